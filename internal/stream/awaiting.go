package stream

import (
	"context"
	"time"

	"handoff/internal/handoff"
)

// AwaitingUpdate tells an Agent's runtime of a Conversation whose User, in a desk's
// messenger, awaits it; Initial ones did when the subscription began.
type AwaitingUpdate = ItemUpdate[handoff.Conversation]

// SubscribeAwaiting delivers the Conversations that await an Agent in a desk's
// messenger, the longest waiting first, then each whenever its User turns to the
// Agent: by writing, or because control is back while a message is unanswered. It
// keeps the rules of [SubscribeHandoffs]. That a Conversation awaits nobody any
// more is not told: whoever answers knows.
func SubscribeAwaiting[T any](ctx context.Context, h *Hub, agentID string, out Output[*AwaitingUpdate, T]) (<-chan T, error) {
	e, updates := connect(ctx, h, KindAwaiting, out)
	if err := h.awaiting.watch(e, agentID); err != nil {
		return nil, err
	}
	return updates, nil
}

// ConversationAwaits shows a Conversation to those who answer for its Agent. It
// never waits.
func (h *Hub) ConversationAwaits(c handoff.Conversation) {
	if b := h.awaiting.boards.get(c.AgentID); b != nil {
		b.show(&c)
	}
	h.bus.Publish(Hint{AgentID: c.AgentID, ConversationID: c.ID, Version: c.Version})
}

// listAwaiting says which Conversations await an Agent.
func (h *Hub) listAwaiting() {
	l := &h.awaiting
	l.init(h, KindAwaiting)
	l.id = func(i *handoff.Conversation) string { return i.ID }
	l.agent = func(i *handoff.Conversation) string { return i.AgentID }
	l.version = func(i *handoff.Conversation) int64 { return i.Version }
	l.updatedAt = func(i *handoff.Conversation) time.Time { return i.UpdatedAt }
	l.page = func(ctx context.Context, agentID, after string) (handoff.List[handoff.Conversation], error) {
		return h.log.Conversations(ctx,
			handoff.ConversationFilter{AgentID: agentID, AwaitsAgent: true},
			handoff.Page{First: handoff.MaxPageSize, After: after})
	}
	l.one = func(ctx context.Context, id string) (*handoff.Conversation, error) {
		found, err := h.log.Conversation(ctx, id)
		if err != nil || !found.AwaitsAgent() {
			return nil, err
		}
		return &found, nil
	}
	l.changed = h.log.AwaitingConversations
}
