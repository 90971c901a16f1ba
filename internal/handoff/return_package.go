package handoff

import (
	"context"
	"fmt"

	"handoff/internal/fault"
)

// ReturnPackage is what the Agent needs to go on after the human part.
type ReturnPackage struct {
	Handoff Handoff
	// Marker is one plain sentence for the model's context: the human part is over,
	// and why.
	Marker string
	// Transcript are the messages of the human part, oldest first, standard texts left out.
	Transcript []Event
	// Truncated: the human part was longer; Transcript holds its newest messages.
	Truncated bool
	// Unanswered are the messages of the User that no Operator has answered, oldest
	// first. They are the Agent's again.
	Unanswered []Event
}

// maxReturned bounds the transcript of a return package.
const maxReturned = 500

// ReturnPackage reads it from the log. The Handoff must have ended.
func (s *Service) ReturnPackage(ctx context.Context, handoffID string) (ReturnPackage, error) {
	h, err := s.store.Handoff(ctx, handoffID)
	if err != nil {
		return ReturnPackage{}, err
	}
	if h.Open() {
		return ReturnPackage{}, &fault.Fault{
			Kind: fault.NotAllowedInState, State: string(h.State), Public: "the handoff has not ended yet",
		}
	}
	newest, err := s.store.MessagesBefore(ctx, h.ConversationID, h.EndSeq, maxReturned+1)
	if err != nil {
		return ReturnPackage{}, err
	}
	p := ReturnPackage{Handoff: h, Marker: marker(&h)}
	if len(newest) > maxReturned {
		p.Truncated = newest[maxReturned].Seq > h.RequestSeq
		newest = newest[:maxReturned]
	}
	for i := len(newest) - 1; i >= 0; i-- {
		m := newest[i]
		if m.Seq <= h.RequestSeq || m.Author == AuthorSystem {
			continue
		}
		p.Transcript = append(p.Transcript, m)
		switch m.Author {
		case AuthorOperator:
			p.Unanswered = nil
		case AuthorUser:
			p.Unanswered = append(p.Unanswered, m)
		case AuthorAgent, AuthorSystem:
		}
	}
	return p, nil
}

// marker is English and stable: it is read by a model, not by the User.
func marker(h *Handoff) string {
	if h.ConnectedAt.IsZero() {
		return fmt.Sprintf("[The request for a human has ended without one (%s). You are answering the user again.]", h.Reason)
	}
	return fmt.Sprintf("[The human-service session has ended (%s). You are answering the user again.]", h.Reason)
}
