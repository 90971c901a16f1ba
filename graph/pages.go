package graph

import (
	"context"

	"handoff/graph/model"
	"handoff/internal/handoff"
)

func pageOf[A, B any](list handoff.List[A], convert func(A) *B) *model.Connection[B] {
	return &model.Connection[B]{
		Items:   each(list.Items, func(a A) B { return *convert(a) }),
		Cursors: list.Cursors,
		HasNext: list.HasNext,
	}
}

func (r *Resolver) handoffPage(ctx context.Context, f handoff.HandoffFilter, first int, after *string) (*model.HandoffConnection, error) {
	p, err := page(first, after)
	if err != nil {
		return nil, err
	}
	list, err := r.service.Handoffs(ctx, f, p)
	return &model.HandoffConnection{Items: r.handoffs(ctx, list.Items), Cursors: list.Cursors, HasNext: list.HasNext}, err
}

// operatorQueue selects what Operators of the built-in desk have to do.
func operatorQueue(agentID, claimedBy string) handoff.HandoffFilter {
	return handoff.HandoffFilter{
		AgentID:     agentID,
		States:      []handoff.State{handoff.StateWaiting, handoff.StateWaitExpired, handoff.StateActive},
		ReadsLog:    true,
		ClaimedBy:   claimedBy,
		OldestFirst: true,
	}
}

func (r *Resolver) deliveryPage(ctx context.Context, f handoff.DeliveryFilter, first int, after *string) (*model.DeliveryConnection, error) {
	p, err := page(first, after)
	if err != nil {
		return nil, err
	}
	list, err := r.service.Deliveries(ctx, f, p)
	return pageOf(list, delivery), err
}

func (r *Resolver) eventPage(ctx context.Context, conversationID string, after int64, first int) (*model.EventPage, error) {
	list, err := r.service.Events(ctx, conversationID, after, first)
	if err != nil {
		return nil, err
	}
	p := &model.EventPage{Nodes: events(list), EndSeq: after}
	if len(list) == 0 {
		return p, nil
	}
	p.EndSeq = list[len(list)-1].Seq
	if len(list) == first {
		// The Conversation's LastSeq may be older than this page: look.
		more, err := r.service.Events(ctx, conversationID, p.EndSeq, 1)
		if err != nil {
			return nil, err
		}
		p.HasNextPage = len(more) > 0
	}
	return p, nil
}
