package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// lease gives the lane to a reserved worker, as the commit that queues does.
func (s *fakeStore) lease(l handoff.Lease, lane string) (handoff.Lease, handoff.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enqueue(lane, 1)
	s.lanes[lane].owner, s.lanes[lane].ready = l.Owner, l.Until
	l.Lane = lane
	return l, s.lanes[lane].queue[0]
}

func TestAReservedWorkerDeliversWithoutAClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		store, bell := relaying(t, 1, func() error { sent++; return nil })
		claims, lookups, heads := store.counts()

		lease, ok := bell.Reserve()
		require.True(t, ok)
		_, another := bell.Reserve()
		require.False(t, another, "the only worker is taken")
		bell.Start(store.lease(lease, "a"))
		synctest.Wait()

		require.Equal(t, 1, sent)
		claimsNow, lookupsNow, headsNow := store.counts()
		require.Equal(t, []int{claims, lookups, heads}, []int{claimsNow, lookupsNow, headsNow})
		_, ok = bell.Reserve()
		require.True(t, ok, "he is idle again")
		bell.Dismiss()
	})
}

func TestADismissedWorkerTakesWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan time.Time, 1)
		store, bell := relaying(t, 1, func() error { sent <- time.Now(); return nil })
		begin := time.Now()

		_, ok := bell.Reserve()
		require.True(t, ok)
		store.queue("a", 1)
		bell.Deliver("a")
		synctest.Wait()
		bell.Dismiss()

		require.Equal(t, begin, <-sent, "nobody waits for the sweep")
	})
}

func TestStopWaitsForReservationsAndMakesNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		store, bell := relaying(t, 2, func() error { sent++; return nil })
		lease, ok := bell.Reserve()
		require.True(t, ok)
		_, ok = bell.Reserve()
		require.True(t, ok)

		stopped := make(chan struct{})
		go func() {
			bell.workers.Load().Stop(context.Background())
			close(stopped)
		}()
		synctest.Wait()
		_, ok = bell.Reserve()
		require.False(t, ok)
		select {
		case <-stopped:
			t.Fatal("two workers are still reserved")
		default:
		}
		bell.Dismiss()
		bell.Start(store.lease(lease, "a"))
		<-stopped

		require.Zero(t, sent, "nothing begins after the stop")
		require.Equal(t, time.Now(), store.lanes["a"].ready, "the lane was given back")
	})
}

func TestNobodyIsReservedBeforeTheStart(t *testing.T) {
	t.Parallel()
	_, ok := NewBell().Reserve()
	require.False(t, ok)
}

// Whoever comes new does not overtake the lanes that wait for a worker.
func TestNobodyIsReservedWhileLanesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan struct{})
		store, bell := relaying(t, 1, func() error { sent <- struct{}{}; return nil })
		_, ok := bell.Reserve()
		require.True(t, ok)
		store.queue("a", 1)
		bell.Deliver("a")
		synctest.Wait() // nobody is idle

		bell.Dismiss()
		_, ok = bell.Reserve()
		require.False(t, ok, "a comes first")
		<-sent
		synctest.Wait()
		_, ok = bell.Reserve()
		require.True(t, ok, "nothing waits any more")
		bell.Dismiss()
	})
}
