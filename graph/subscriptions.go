package graph

import (
	"context"

	"handoff/graph/model"
	"handoff/graph/transport"
	"handoff/internal/stream"
)

// A subscription costs no goroutine here: the hub puts into its channel what the
// executor reads, and the fields are converted in the goroutine of the reader.

// conversationOutput shows a Conversation's stream as the union of the schema.
func conversationOutput(ctx context.Context) stream.Output[stream.Update, model.ConversationUpdate] {
	return stream.Output[stream.Update, model.ConversationUpdate]{
		Convert: func(u stream.Update) (model.ConversationUpdate, bool) {
			if u.Signal != nil {
				return model.SignalOf(u.Signal), true
			}
			return model.EntryOf(u.Event)
		},
		Ended: failsSubscription(ctx),
	}
}

// handoffOutput shows an Agent's handoffs as they are; the field resolver converts them.
func handoffOutput(ctx context.Context) stream.Output[*stream.HandoffUpdate, *stream.HandoffUpdate] {
	return stream.Output[*stream.HandoffUpdate, *stream.HandoffUpdate]{
		Convert: func(u *stream.HandoffUpdate) (*stream.HandoffUpdate, bool) { return u, !u.InitialDone },
		Ended:   failsSubscription(ctx),
	}
}

// awaitingOutput shows the Conversations that await an Agent, in the same way.
func awaitingOutput(ctx context.Context) stream.Output[*stream.AwaitingUpdate, *stream.AwaitingUpdate] {
	return stream.Output[*stream.AwaitingUpdate, *stream.AwaitingUpdate]{
		Convert: func(u *stream.AwaitingUpdate) (*stream.AwaitingUpdate, bool) { return u, !u.InitialDone },
		Ended:   failsSubscription(ctx),
	}
}

// failsSubscription tells the client why its subscription ends early; without
// that it would take the end for a regular one.
func failsSubscription(ctx context.Context) func(error) {
	return func(reason error) { transport.AddSubscriptionError(ctx, reason) }
}
