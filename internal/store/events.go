package store

import (
	"context"
	"encoding/json"
	"slices"

	"handoff/internal/handoff"
)

type eventRow struct {
	ConversationID string
	Seq            int64
	At             instant
	Kind           string
	Author         string
	HandoffID      string
	Key            *string
	Text           string
	Data           *string
}

func (eventRow) TableName() string { return "events" }

// eventData are the fields that few events have.
type eventData struct {
	Attachments  []handoff.Attachment `json:"attachments,omitempty"`
	Notice       handoff.Notice       `json:"notice,omitempty"`
	OperatorName string               `json:"operatorName,omitempty"`
	State        handoff.State        `json:"state,omitempty"`
	Reason       handoff.CloseReason  `json:"reason,omitempty"`
	Control      handoff.Control      `json:"control,omitempty"`
	Epoch        int64                `json:"epoch,omitempty"`
	FailedSeq    int64                `json:"failedSeq,omitempty"`
}

func newEventRow(e *handoff.Event) eventRow {
	row := eventRow{
		ConversationID: e.ConversationID, Seq: e.Seq, At: instant(e.At), Kind: string(e.Kind),
		Author: string(e.Author), HandoffID: e.HandoffID, Key: optional(e.Key), Text: e.Text,
	}
	if data := encode(eventData{
		Attachments: e.Attachments, Notice: e.Notice, OperatorName: e.OperatorName, State: e.State, Reason: e.Reason,
		Control: e.Control, Epoch: e.Epoch, FailedSeq: e.FailedSeq,
	}); data != "{}" {
		row.Data = &data
	}
	return row
}

func (r *eventRow) event() (handoff.Event, error) {
	var data eventData
	if r.Data != nil {
		if err := json.Unmarshal([]byte(*r.Data), &data); err != nil {
			return handoff.Event{}, damaged(err, "event")
		}
	}
	return handoff.Event{
		ConversationID: r.ConversationID, Seq: r.Seq, At: r.At.time(), Kind: handoff.EventKind(r.Kind),
		Author: handoff.Author(r.Author), HandoffID: r.HandoffID, Key: orEmpty(r.Key), Text: r.Text,
		Attachments: data.Attachments, Notice: data.Notice, OperatorName: data.OperatorName, State: data.State,
		Reason: data.Reason, Control: data.Control, Epoch: data.Epoch, FailedSeq: data.FailedSeq,
	}, nil
}

// eventAsStored is the event as it is read back, sharing nothing with e.
func eventAsStored(e handoff.Event) handoff.Event {
	e.At = micro(e.At)
	if len(e.Attachments) == 0 {
		e.Attachments = nil
	}
	e.Attachments = slices.Clone(e.Attachments)
	return e
}

func eventsOf(rows []eventRow) ([]handoff.Event, error) {
	events := make([]handoff.Event, len(rows))
	for i := range rows {
		var err error
		if events[i], err = rows[i].event(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// Events implements [handoff.ConversationStore].
func (s *Store) Events(ctx context.Context, conversationID string, after int64, limit int) ([]handoff.Event, error) {
	var rows []eventRow
	err := s.read(ctx).Where("conversation_id = ? AND seq > ?", conversationID, after).Order("seq").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	return eventsOf(rows)
}

// MessagesBefore implements [handoff.ConversationStore].
func (s *Store) MessagesBefore(ctx context.Context, conversationID string, upTo int64, limit int) ([]handoff.Event, error) {
	var rows []eventRow
	err := s.read(ctx).Where("conversation_id = ? AND seq <= ? AND kind = ?", conversationID, upTo, string(handoff.EventMessage)).
		Order("seq DESC").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	return eventsOf(rows)
}

// Event implements [handoff.ConversationStore].
func (s *Store) Event(ctx context.Context, conversationID string, seq int64) (handoff.Event, error) {
	var row eventRow
	if err := s.read(ctx).Where("conversation_id = ? AND seq = ?", conversationID, seq).Take(&row).Error; err != nil {
		return handoff.Event{}, missing(err, "event")
	}
	return row.event()
}
