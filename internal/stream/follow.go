package stream

import (
	"context"

	"handoff/internal/handoff"
)

// Follow hands over every event after the given seq in order until ctx ends, the
// handler returns false, or the stream ends early. The error is nil only after the
// handler returned false; the hub's own is a [Resync] fault.
func (h *Hub) Follow(ctx context.Context, conversationID string, after int64, handle func(handoff.Event) bool) error {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	var reason error
	events, err := SubscribeConversation(own, h, conversationID, after, Output[Update, *handoff.Event]{
		Convert: func(u Update) (*handoff.Event, bool) { return u.Event, u.Event != nil },
		Ended:   func(why error) { reason = why },
	})
	if err != nil {
		return err
	}
	for e := range events {
		if !handle(*e) {
			cancel()
			for range events { // until the subscription has let go of everything
			}
			return nil
		}
	}
	if reason != nil {
		return reason
	}
	return ctx.Err()
}
