package stream

import (
	"context"
	"slices"
	"time"

	"handoff/internal/handoff"
)

// HandoffUpdate tells a console how a Handoff of its Agent stands; Initial ones were
// open when the subscription began.
type HandoffUpdate = ItemUpdate[handoff.Handoff]

// SubscribeHandoffs delivers the open Handoffs of an Agent, the newest first, then
// every Handoff that changes. A console that reads slowly gets a Handoff's newest
// state instead of each; an older version never follows a newer one, the same
// version may come again (then something beside the Handoff changed, like its
// notes). A Handoff that closes while the subscription begins may appear first as
// a change, although the console never saw it open.
//
// The channel is closed when ctx ends or the hub ends the subscription, which
// out.Ended then explains: because the hub stops, because the open Handoffs cannot
// be read, or because the console reads nothing while thousands of Handoffs
// change. The subscription holds memory until ctx ends.
func SubscribeHandoffs[T any](ctx context.Context, h *Hub, agentID string, out Output[*HandoffUpdate, T]) (<-chan T, error) {
	e, updates := connect(ctx, h, KindHandoffs, out)
	if err := h.handoffs.watch(e, agentID); err != nil {
		return nil, err
	}
	return updates, nil
}

// HandoffChanged shows a Handoff to the consoles of its Agent. It never waits.
func (h *Hub) HandoffChanged(changed handoff.Handoff) {
	if b := h.handoffs.boards.get(changed.AgentID); b != nil {
		b.show(&changed)
	}
	h.bus.Publish(Hint{AgentID: changed.AgentID, HandoffID: changed.ID, Version: changed.Version})
}

var openStates = slices.DeleteFunc(slices.Clone(handoff.States), func(s handoff.State) bool {
	return s == handoff.StateClosed
})

// listHandoffs says what the open Handoffs of an Agent are.
func (h *Hub) listHandoffs() {
	l := &h.handoffs
	l.init(h, KindHandoffs)
	l.id = func(i *handoff.Handoff) string { return i.ID }
	l.agent = func(i *handoff.Handoff) string { return i.AgentID }
	l.version = func(i *handoff.Handoff) int64 { return i.Version }
	l.updatedAt = func(i *handoff.Handoff) time.Time { return i.UpdatedAt }
	l.page = func(ctx context.Context, agentID, after string) (handoff.List[handoff.Handoff], error) {
		return h.log.Handoffs(ctx,
			handoff.HandoffFilter{AgentID: agentID, States: openStates},
			handoff.Page{First: handoff.MaxPageSize, After: after})
	}
	l.one = func(ctx context.Context, id string) (*handoff.Handoff, error) {
		found, err := h.log.Handoff(ctx, id)
		return &found, err
	}
	if others, ok := h.log.(ChangedHandoffs); ok {
		l.changed = others.HandoffsChangedSince
	}
}
