package handoff_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// breakingStore panics where a change would be written.
type breakingStore struct{ *fakeStore }

func (s breakingStore) Change(_ context.Context, conversationID, key string, decide handoff.Decide) (handoff.Committed, error) {
	snapshot, _, err := s.snapshot(conversationID, key)
	if err != nil {
		return handoff.Committed{}, err
	}
	if _, err := decide(snapshot); err != nil {
		return handoff.Committed{}, err
	}
	panic("broken")
}

// oneWorker lends its only worker.
type oneWorker struct {
	fakeAlarm
	idle bool
}

func (a *oneWorker) Reserve() (handoff.Lease, bool) {
	was := a.idle
	a.idle = false
	return handoff.Lease{Owner: "worker"}, was
}

func (a *oneWorker) Dismiss() { a.idle = true }

// Servers recover from a panic of one request; its worker must not be lost.
func TestAWorkerGoesHomeAfterAPanic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	alarm := &oneWorker{idle: true}
	svc := handoff.New(handoff.Dependencies{
		Store: breakingStore{b.store}, Desks: b.desks, Feed: b.feed, Alarm: alarm, Sealer: b.sealer, Counters: b.counters,
		Log: slog.New(slog.DiscardHandler), Now: b.clock.now, DefaultTimeZone: "UTC",
	})
	require.Panics(t, func() { _, _ = svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv}) })
	require.True(t, alarm.idle)
}
