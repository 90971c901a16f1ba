package model

import (
	"time"

	"handoff/internal/handoff"
)

// LogEntry is an entry of a Conversation's log as the API shows it: a [Message],
// a [HandoffChanged], a [ControlChanged] or a [DeliveryFailed].
type LogEntry interface {
	Event
	ConversationUpdate
}

// EntryOf views an event as its GraphQL type; false = the API has no type for its
// kind. It allocates nothing: the entry points to the event, which many
// subscribers may share and nobody may change, and a field is converted when it
// is asked for.
func EntryOf(e *handoff.Event) (LogEntry, bool) {
	switch e.Kind {
	case handoff.EventMessage:
		return Message{entry{e}}, true
	case handoff.EventHandoffChanged:
		return HandoffChanged{entry{e}}, true
	case handoff.EventControlChanged:
		return ControlChanged{entry{e}}, true
	case handoff.EventDeliveryFailed:
		return DeliveryFailed{entry{e}}, true
	}
	return nil, false
}

// entry is what all events have in common. It is as large as a pointer, so that
// an interface holds it without a copy on the heap.
type entry struct{ event *handoff.Event }

// ID is the opaque id of the event.
func (e entry) ID() string { return e.event.ID() }

// Seq is its number in the log.
func (e entry) Seq() int64 { return e.event.Seq }

// At is when it was accepted.
func (e entry) At() time.Time { return e.event.At }

// HandoffID is the Handoff it belongs to; nil = none.
func (e entry) HandoffID() *string { return Optional(e.event.HandoffID) }

// IsEvent marks a member of the interface Event.
func (entry) IsEvent() {}

// IsConversationUpdate marks a member of the union ConversationUpdate.
func (entry) IsConversationUpdate() {}

// Message is what somebody wrote.
type Message struct{ entry }

// MessageOf views an event of kind MESSAGE.
func MessageOf(e *handoff.Event) Message { return Message{entry{e}} }

// Author says who wrote it.
func (m Message) Author() Author { return Author(m.event.Author) }

// Text is what was written.
func (m Message) Text() string { return m.event.Text }

// Attachments are the files it points to.
func (m Message) Attachments() []Attachment {
	list := make([]Attachment, len(m.event.Attachments))
	for i, a := range m.event.Attachments {
		list[i] = Attachment{
			URL:         a.URL,
			Name:        Optional(a.Name),
			ContentType: Optional(a.ContentType),
			SizeBytes:   Optional(a.SizeBytes),
		}
	}
	return list
}

// Notice says which standard text it is.
func (m Message) Notice() *Notice { return Optional(Notice(m.event.Notice)) }

// StatusCode is the code that GPTBots chat clients know.
func (m Message) StatusCode() *int { return Optional(m.event.Notice.StatusCode()) }

// OperatorName is the name of the Operator who wrote.
func (m Message) OperatorName() *string { return Optional(m.event.OperatorName) }

// HandoffChanged says that a Handoff entered a state.
type HandoffChanged struct{ entry }

// State is the state that was entered.
func (h HandoffChanged) State() HandoffState { return HandoffState(h.event.State) }

// Reason is why it ended.
func (h HandoffChanged) Reason() *CloseReason { return Optional(CloseReason(h.event.Reason)) }

// OperatorName is the name of the Operator.
func (h HandoffChanged) OperatorName() *string { return Optional(h.event.OperatorName) }

// StatusCode is the code that GPTBots chat clients know.
func (h HandoffChanged) StatusCode() *int {
	return Optional(statusCode(h.event.State, h.event.Reason))
}

// statusCode is the code for entering a state, 0 where there is none.
func statusCode(state handoff.State, reason handoff.CloseReason) int {
	switch state {
	case handoff.StateRequesting:
		return handoff.StatusRequested
	case handoff.StateWaiting:
		return handoff.StatusConnecting
	case handoff.StateWaitExpired:
		return handoff.StatusKeepWaiting
	case handoff.StateActive:
		return handoff.StatusConnected
	case handoff.StateNone, handoff.StateCollectingEmail:
		return 0
	case handoff.StateClosed:
	}
	switch reason {
	case handoff.ReasonUserEnded, handoff.ReasonUserCancelled:
		return handoff.StatusEndedByUser
	case handoff.ReasonOperatorEnded:
		return handoff.StatusEndedByOperator
	case handoff.ReasonWaitTimeout, handoff.ReasonSessionTimeout:
		return handoff.StatusTimedOut
	case handoff.ReasonTransferFailed:
		return handoff.StatusTransferFailed
	case handoff.ReasonNone, handoff.ReasonHandoffDisabled, handoff.ReasonAdminEnded, handoff.ReasonEmailNotGiven:
	}
	return 0
}

// ControlChanged says that somebody else may speak.
type ControlChanged struct{ entry }

// Control is who may speak from here on.
func (c ControlChanged) Control() Control { return Control(c.event.Control) }

// Epoch is the number of this control.
func (c ControlChanged) Epoch() int64 { return c.event.Epoch }

// DeliveryFailed says that a message of the User was given up.
type DeliveryFailed struct{ entry }

// MessageSeq is the number of the message.
func (d DeliveryFailed) MessageSeq() int64 { return d.event.FailedSeq }

// Signal is a sign of life, which is not in the log.
type Signal struct{ signal *handoff.Signal }

// SignalOf views a signal without a copy.
func SignalOf(s *handoff.Signal) Signal { return Signal{s} }

// Author says whose sign it is.
func (s Signal) Author() Author { return Author(s.signal.Author) }

// Kind says which sign it is.
func (s Signal) Kind() SignalKind { return SignalKind(s.signal.Kind) }

// At is when it was given.
func (s Signal) At() time.Time { return s.signal.At }

// QueuePlace is the User's place in the desk's queue, nil when it is not told.
func (s Signal) QueuePlace() *int { return Optional(s.signal.QueuePlace) }

// IsConversationUpdate marks a member of the union ConversationUpdate.
func (Signal) IsConversationUpdate() {}
