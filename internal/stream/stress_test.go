package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// TestEveryEventOnceInOrder lets everything go wrong at once: two replicas, one
// of them restarted again and again; hints lost, late and out of order, on the
// way from the committer and on the bus; a database that is slow and fails; and
// readers that are quick, slow, stop for a while, or reconnect from their cursor.
// Each must see each event once and in order.
func TestEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { everyEventOnceInOrder(t, seed) })
		})
	}
}

const (
	stressLogs    = 4
	stressWriters = 6
	stressReaders = 40
)

func everyEventOnceInOrder(t *testing.T, seed uint64) {
	log := newFakeLog()
	log.troubled(func(context.Context, string) error {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		if rand.IntN(10) == 0 {
			return errors.New("trouble")
		}
		return nil
	})
	var causes sync.Map
	w := &wire{}
	start := func() *Hub {
		return New(Options{
			Log: log, Now: time.Now, Bus: losing{w.tap()}, PollInterval: time.Second, Buffer: 4,
			Metrics: Metrics{Replayed: func(c Cause) { causes.Store(c, true) }},
		})
	}
	var replicas [2]atomic.Pointer[Hub]
	for i := range replicas {
		replicas[i].Store(start())
	}
	replica := func(r *rand.Rand) *Hub { return replicas[r.IntN(len(replicas))].Load() }

	var writers, readers sync.WaitGroup
	for i := range uint64(stressWriters) {
		r := rand.New(rand.NewPCG(seed, i))
		writers.Go(func() {
			for range 250 {
				id := fmt.Sprint(r.IntN(stressLogs))
				h, events := replica(r), log.commit(id, 1+r.IntN(3))
				switch r.IntN(5) {
				case 0: // lost
				case 1: // late
					time.AfterFunc(time.Duration(r.IntN(2000))*time.Millisecond, func() { h.Committed("agent", id, events) })
				default:
					h.Committed("agent", id, events)
				}
				if r.IntN(3) == 0 {
					replica(r).Signalled(handoff.Signal{ConversationID: id})
				}
				time.Sleep(time.Duration(r.IntN(10_000)) * time.Microsecond)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var last [stressReaders]int64
	for i := range uint64(stressReaders) {
		r := rand.New(rand.NewPCG(seed, 1000+i))
		readers.Go(func() {
			id := fmt.Sprint(i % stressLogs)
			for ctx.Err() == nil {
				last[i] = readFor(t, ctx, r, i, replica(r), id, last[i])
			}
		})
	}
	for range 6 {
		time.Sleep(200 * time.Millisecond)
		old := replicas[0].Swap(start())
		require.NoError(t, old.Stop(ctx))
		require.Empty(t, old.topics.keys(nil))
	}
	writers.Wait()
	time.Sleep(3 * time.Minute)
	cancel()
	readers.Wait()
	for i, got := range last {
		require.EqualValues(t, len(log.logs[fmt.Sprint(i%stressLogs)]), got, "reader %d", i)
	}
	for i := range replicas {
		h := replicas[i].Load()
		require.NoError(t, h.Stop(t.Context()))
		require.Empty(t, h.topics.keys(nil))
	}
	for _, c := range []Cause{CauseSubscribed, CauseSlow, CauseGap} {
		_, happened := causes.Load(c)
		require.True(t, happened, "nothing went wrong in the way of %q", c)
	}
	require.LessOrEqual(t, log.mostBusy, 3*maxReads)
}

// readFor reads one subscription until it ends, or until the reader has had
// enough of it, and gives the last seq seen.
func readFor(t *testing.T, ctx context.Context, r *rand.Rand, i uint64, h *Hub, id string, last int64) int64 {
	own, leave := context.WithCancel(ctx)
	defer leave()
	var e ending
	updates, err := SubscribeConversation(own, h, id, last, asIs[Update](&e))
	if err != nil {
		if fault.Is(err, fault.InvalidInput) {
			t.Errorf("reader %d cannot resume: %v", i, err)
		}
		time.Sleep(10 * time.Millisecond)
		return last
	}
	enough := -1
	if i%3 == 0 && time.Since(start2000) < time.Minute {
		enough = r.IntN(50)
	}
	for u := range updates {
		if u.Event == nil {
			continue
		}
		if u.Event.Seq != last+1 {
			t.Errorf("reader %d got %d after %d", i, u.Event.Seq, last)
		}
		last = u.Event.Seq
		if enough--; enough == 0 {
			return last
		}
		switch i % 5 {
		case 1:
			time.Sleep(time.Duration(r.IntN(10_000)) * time.Microsecond)
		case 2:
			if r.IntN(100) == 0 {
				time.Sleep(2 * time.Second)
			}
		}
	}
	if ctx.Err() == nil && len(e.reasons) != 1 {
		t.Errorf("reader %d was not told why its subscription ended", i)
	}
	return last
}

// losing is a bus that loses a third of the hints.
type losing struct{ *tap }

func (l losing) Publish(hint Hint) {
	if rand.IntN(3) != 0 {
		l.tap.Publish(hint)
	}
}
