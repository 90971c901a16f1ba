package graph

import (
	"context"

	"handoff/graph/model"
	"handoff/internal/handoff"
)

// handoffs makes Handoffs of one page. What a User must not see is left out here;
// fields that ask further look at ForUser.
func (r *Resolver) handoffs(ctx context.Context, list []handoff.Handoff) []model.Handoff {
	forUser := isUser(ctx)
	siblings := &model.Siblings{
		Conversations: model.NewLookup(r.service.Conversation),
		Connections:   model.NewLookup(r.service.Connection),
	}
	return each(list, func(h handoff.Handoff) model.Handoff {
		m := model.Handoff{
			ID:             h.ID,
			AgentID:        h.AgentID,
			ConversationID: h.ConversationID,
			State:          model.HandoffState(h.State),
			Reason:         model.Optional(model.CloseReason(h.Reason)),
			DeskKind:       h.DeskKind,
			Mode:           model.Mode(h.Mode),
			OperatorName:   model.Optional(h.Operator),
			RequestedAt:    h.RequestedAt,
			AcceptedAt:     model.Optional(h.AcceptedAt),
			WaitingSince:   model.Optional(h.WaitingSince),
			ConnectedAt:    model.Optional(h.ConnectedAt),
			ClosedAt:       model.Optional(h.ClosedAt),
			DeadlineKind:   model.Optional(model.DeadlineKind(h.DeadlineKind)),
			DeadlineAt:     model.Optional(h.DeadlineAt),
			UpdatedAt:      h.UpdatedAt,
			Version:        h.Version,
			ForUser:        forUser,
			Siblings:       siblings,
		}
		if !forUser {
			m.DeskConnectionID = h.ConnectionID
			m.DeskRef = model.Optional(h.DeskRef)
			m.ClaimedBy = model.Optional(h.ClaimedBy)
			m.Note = model.Optional(h.Note)
			m.Summary = model.Optional(h.Summary)
		}
		return m
	})
}

func (r *Resolver) handoff(ctx context.Context, h handoff.Handoff) *model.Handoff {
	return &r.handoffs(ctx, []handoff.Handoff{h})[0]
}

// optionalHandoff is handoff for one that may not be there.
func (r *Resolver) optionalHandoff(ctx context.Context, h *handoff.Handoff) *model.Handoff {
	if h == nil {
		return nil
	}
	return r.handoff(ctx, *h)
}

func operatorNote(n handoff.OperatorNote) model.OperatorNote {
	return model.OperatorNote{ID: n.ID, Operator: n.Operator, Text: n.Text, At: n.At}
}

func returnPackage(p handoff.ReturnPackage) *model.ReturnPackage {
	return &model.ReturnPackage{
		Reason:     model.CloseReason(p.Handoff.Reason),
		Marker:     p.Marker,
		Transcript: messages(p.Transcript),
		Truncated:  p.Truncated,
		Unanswered: messages(p.Unanswered),
	}
}

// requestAnswer is the answer to a request. A User is not told what is the
// business of the Agent's owner.
func (r *Resolver) requestAnswer(ctx context.Context, result handoff.RequestResult) *model.RequestHandoffPayload {
	m := &model.RequestHandoffPayload{
		Outcome:     model.HandoffOutcome(result.Outcome),
		Handoff:     r.optionalHandoff(ctx, result.Handoff),
		Text:        model.Optional(result.Text),
		NextOpening: model.Optional(result.NextOpening),
	}
	if !isUser(ctx) {
		m.Detail = model.Optional(result.Detail)
	}
	return m
}
