package stream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.commit("conv", 200)
		for _, id := range []string{"a", "b"} {
			log.save(id, handoff.StateWaiting)
		}
		h := newHub(t, Options{Log: log, Buffer: 1})
		var liveEnd, stuckEnd, calmEnd, busyEnd ending
		live := subscribe(t, t.Context(), h, 200, &liveEnd)
		stuck := subscribe(t, t.Context(), h, 0, &stuckEnd)
		busy, err := SubscribeHandoffs(t.Context(), h, "agent", asIs[*HandoffUpdate](&busyEnd))
		require.NoError(t, err)
		calm, err := SubscribeHandoffs(t.Context(), h, "nobody", asIs[*HandoffUpdate](&calmEnd))
		require.NoError(t, err)
		require.Equal(t, "done", next(t, calm))
		synctest.Wait()

		require.NoError(t, h.Stop(t.Context()))
		wantClosed(t, live)
		liveEnd.resync(t)
		wantSeqs(t, stuck, 1, 1)
		wantClosed(t, stuck)
		stuckEnd.resync(t)
		require.Equal(t, "initial b 1", next(t, busy))
		wantClosed(t, busy)
		busyEnd.resync(t)
		wantClosed(t, calm)
		calmEnd.resync(t)

		h.Committed("agent", "conv", log.commit("conv", 1))
		h.HandoffChanged(log.save("a", handoff.StateActive))
		h.Signalled(handoff.Signal{ConversationID: "conv"})
		_, err = SubscribeConversation(t.Context(), h, "conv", 0, asIs[Update](nil))
		require.True(t, fault.Is(err, Resync))
		_, err = SubscribeHandoffs(t.Context(), h, "agent", asIs[*HandoffUpdate](nil))
		require.True(t, fault.Is(err, Resync))
		require.NoError(t, h.Stop(t.Context()))
		require.Empty(t, h.topics.keys(nil))
		require.Empty(t, h.handoffs.boards.keys(nil))
	})
}

// Stop cuts reads short, and waits for one that cannot be cut only as long as it may.
func TestStopDuringRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		deaf := make(chan struct{})
		h := newHub(t, Options{Log: log})
		updates := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		log.troubled(func(ctx context.Context, _ string) error {
			<-ctx.Done()
			<-deaf
			return ctx.Err()
		})
		log.commit("conv", 1)
		h.Committed("agent", "conv", log.commit("conv", 1))
		subscribing := make(chan error)
		go func() {
			_, err := SubscribeConversation(context.Background(), h, "conv", 0, asIs[Update](nil))
			subscribing <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, h.Stop(ctx), context.Canceled)
		wantClosed(t, updates)
		close(deaf)
		start := time.Now()
		require.Error(t, <-subscribing)
		require.Zero(t, time.Since(start), "the read was not cut short")
		require.NoError(t, h.Stop(t.Context()))
	})
}

// leaving is a bus that does something in the middle of Stop.
type leaving struct{ then func() }

func (leaving) Publish(Hint)                           {}
func (l leaving) Subscribe(func(Hint)) (cancel func()) { return l.then }

// A reader that falls behind while the hub stops gets no goroutine any more, and
// no gap.
func TestFullBufferDuringStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		var h *Hub
		var updates <-chan Update
		var console <-chan *HandoffUpdate
		h = newHub(t, Options{Log: log, Buffer: 1, Bus: leaving{func() {
			h.Committed("agent", "conv", log.commit("conv", 2))
			h.HandoffChanged(log.save("a", handoff.StateWaiting))
			h.HandoffChanged(log.save("b", handoff.StateWaiting))
			wantSeqs(t, updates, 1, 1)
			h.Committed("agent", "conv", log.commit("conv", 1))
		}}})
		var e, c ending
		updates, console = subscribe(t, t.Context(), h, 0, &e), watch(t, t.Context(), h, &c)
		require.Equal(t, "done", next(t, console))
		synctest.Wait()
		require.NoError(t, h.Stop(t.Context()))
		wantClosed(t, updates)
		e.resync(t)
		require.Equal(t, "a 1", next(t, console))
		wantClosed(t, console)
		c.resync(t)
	})
}

// Stop against everything else at once: whoever got a channel sees it closed.
func TestStopRaces(t *testing.T) {
	t.Parallel()
	for range 200 {
		log := newFakeLog()
		log.commit("conv", 40)
		h := newHub(t, Options{Log: log, Buffer: 2})
		ready := make(chan struct{})
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				<-ready
				if i%2 == 0 {
					updates, err := SubscribeConversation(ctx, h, "conv", int64(5*i), asIs[Update](nil))
					if err == nil {
						for range updates {
						}
					}
					return
				}
				updates, err := SubscribeHandoffs(ctx, h, "agent", asIs[*HandoffUpdate](nil))
				if err == nil {
					for range updates {
					}
				}
			})
		}
		for range 2 {
			all.Go(func() {
				<-ready
				for range 20 {
					h.Committed("agent", "conv", log.commit("conv", 1))
					h.HandoffChanged(log.save("h", handoff.StateWaiting))
				}
			})
		}
		close(ready)
		require.NoError(t, h.Stop(t.Context()))
		all.Wait()
	}
}
