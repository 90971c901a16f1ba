package stream

import "handoff/internal/handoff"

// Bus carries hints between the replicas of the service. It may lose hints,
// repeat them and change their order: that delays subscribers until the next
// hint or poll, and does no other harm. Signals are the exception, they travel
// nowhere else.
type Bus interface {
	// Publish sends a hint to the other replicas, not back to this one. It must not
	// wait: it is called on the path of every message.
	Publish(Hint)
	// Subscribe calls receive for each hint from another replica until cancel is
	// called. receive does not wait.
	Subscribe(receive func(Hint)) (cancel func())
}

// Hint says that something has happened. It is one of four: a Conversation's log has
// reached Seq, a Handoff of an Agent has reached Version, a Conversation that awaits
// its Agent has, or somebody gave a Signal.
type Hint struct {
	ConversationID string
	Seq            int64

	AgentID   string
	HandoffID string
	Version   int64

	Signal *handoff.Signal
}

// noBus is the bus of a process that is alone.
type noBus struct{}

func (noBus) Publish(Hint)                {}
func (noBus) Subscribe(func(Hint)) func() { return func() {} }

// hinted takes a hint from another replica.
func (h *Hub) hinted(hint Hint) {
	switch {
	case hint.Signal != nil:
		h.signal(hint.Signal)
	case hint.HandoffID != "":
		if b := h.handoffs.boards.get(hint.AgentID); b != nil {
			b.announced(hint.HandoffID, hint.Version)
		}
	case hint.AgentID != "":
		if b := h.awaiting.boards.get(hint.AgentID); b != nil {
			b.announced(hint.ConversationID, hint.Version)
		}
	default:
		if t := h.topics.get(hint.ConversationID); t != nil {
			t.announced(hint.Seq)
		}
	}
}
