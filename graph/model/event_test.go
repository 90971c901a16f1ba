package model_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/graph/model"
	"handoff/internal/handoff"
)

func TestEveryKindOfEventHasAType(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
	event := func(kind handoff.EventKind) *handoff.Event {
		return &handoff.Event{ConversationID: "cnv_1", Seq: 7, Kind: kind, At: at, HandoffID: "hof_1"}
	}

	entry, ok := model.EntryOf(&handoff.Event{
		ConversationID: "cnv_1", Seq: 7, Kind: handoff.EventMessage, At: at, Author: handoff.AuthorOperator, Text: "hello",
		Attachments: []handoff.Attachment{{URL: "https://example.com/a", SizeBytes: 5}, {URL: "https://example.com/b", Name: "b"}},
		Notice:      handoff.NoticeConnected, OperatorName: "Ann",
	})
	require.True(t, ok)
	m := entry.(model.Message)
	require.Equal(t, "evt_1_7", m.ID())
	require.EqualValues(t, 7, m.Seq())
	require.Equal(t, at, m.At())
	require.Nil(t, m.HandoffID())
	require.Equal(t, model.AuthorOperator, m.Author())
	require.Equal(t, "hello", m.Text())
	require.Equal(t, model.NoticeConnected, *m.Notice())
	require.Equal(t, handoff.StatusConnected, *m.StatusCode())
	require.Equal(t, "Ann", *m.OperatorName())
	require.Equal(t, []model.Attachment{
		{URL: "https://example.com/a", SizeBytes: new(int64(5))}, {URL: "https://example.com/b", Name: new("b")},
	}, m.Attachments())

	changed := event(handoff.EventHandoffChanged)
	changed.State = handoff.StateWaiting
	entry, ok = model.EntryOf(changed)
	require.True(t, ok)
	h := entry.(model.HandoffChanged)
	require.Equal(t, "hof_1", *h.HandoffID())
	require.Equal(t, model.HandoffStateWaiting, h.State())
	require.Nil(t, h.Reason())
	require.Nil(t, h.OperatorName())

	control := event(handoff.EventControlChanged)
	control.Control, control.Epoch = handoff.ControlHandoff, 2
	entry, ok = model.EntryOf(control)
	require.True(t, ok)
	require.Equal(t, model.ControlHandoff, entry.(model.ControlChanged).Control())
	require.EqualValues(t, 2, entry.(model.ControlChanged).Epoch())

	failed := event(handoff.EventDeliveryFailed)
	failed.FailedSeq = 5
	entry, ok = model.EntryOf(failed)
	require.True(t, ok)
	require.EqualValues(t, 5, entry.(model.DeliveryFailed).MessageSeq())

	_, ok = model.EntryOf(event("SOMETHING_NEW"))
	require.False(t, ok)
}

func TestSignal(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
	s := model.SignalOf(&handoff.Signal{Author: handoff.AuthorUser, Kind: handoff.SignalRead, At: at})
	require.Equal(t, model.AuthorUser, s.Author())
	require.Equal(t, model.SignalKindRead, s.Kind())
	require.Equal(t, at, s.At())
	require.Nil(t, s.QueuePlace())
	require.Equal(t, 3, *model.SignalOf(&handoff.Signal{Kind: handoff.SignalQueued, QueuePlace: 3}).QueuePlace())
}

func TestStatusCodes(t *testing.T) {
	t.Parallel()
	codes := map[handoff.State]int{
		handoff.StateRequesting: 36, handoff.StateWaiting: 29, handoff.StateWaitExpired: 30, handoff.StateActive: 31,
	}
	for _, state := range handoff.States {
		if state != handoff.StateClosed {
			requireCode(t, codes[state], handoff.Event{State: state})
		}
	}
	reasons := map[handoff.CloseReason]int{
		handoff.ReasonUserEnded: 33, handoff.ReasonUserCancelled: 33, handoff.ReasonOperatorEnded: 34,
		handoff.ReasonWaitTimeout: 35, handoff.ReasonSessionTimeout: 35, handoff.ReasonTransferFailed: 84,
	}
	for _, reason := range handoff.CloseReasons {
		requireCode(t, reasons[reason], handoff.Event{State: handoff.StateClosed, Reason: reason})
	}
}

// requireCode wants the code of a change of state, 0 for none.
func requireCode(t *testing.T, want int, e handoff.Event) {
	t.Helper()
	e.Kind = handoff.EventHandoffChanged
	entry, ok := model.EntryOf(&e)
	require.True(t, ok)
	require.Equal(t, model.Optional(want), entry.(model.HandoffChanged).StatusCode(), "%s %s", e.State, e.Reason)
}

// Every subscriber of every conversation gets every event through EntryOf.
func TestViewingAnEventAllocatesNothing(t *testing.T) {
	e := &handoff.Event{Kind: handoff.EventMessage}
	s := &handoff.Signal{}
	var sink model.ConversationUpdate
	require.Zero(t, testing.AllocsPerRun(100, func() {
		sink, _ = model.EntryOf(e)
		sink = model.SignalOf(s)
	}))
	require.NotNil(t, sink)
}
