package relay

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// fakeStore holds lanes of messages in memory. Methods that these tests do not
// need are missing.
type fakeStore struct {
	Store
	now func() time.Time

	mu      sync.Mutex
	lanes   map[string]*fakeLane
	claims  int // that found something or not
	lookups int // of NextReady
	heads   int

	// dropped empties the lane before a head is read, once, and queues a message after.
	dropped bool
}

type fakeLane struct {
	queue []handoff.Delivery
	ready time.Time // zero = nothing to deliver
	owner string
}

// queue adds messages to a lane, as a commit does.
func (s *fakeStore) queue(lane string, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enqueue(lane, messages)
}

func (s *fakeStore) enqueue(lane string, messages int) {
	l := s.lanes[lane]
	if l == nil {
		l = &fakeLane{}
		s.lanes[lane] = l
	}
	for range messages {
		l.queue = append(l.queue, handoff.Delivery{ID: lane, Lane: lane, Kind: handoff.DeliverMessage})
	}
	if l.ready.IsZero() {
		l.ready = s.now()
	}
}

func (s *fakeStore) ClaimLanes(_ context.Context, owner string, now, until time.Time, limit int) ([]handoff.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	var leases []handoff.Lease
	for key, l := range s.lanes {
		if len(leases) < limit && !l.ready.IsZero() && !l.ready.After(now) {
			l.owner, l.ready = owner, until
			leases = append(leases, handoff.Lease{Lane: key, Owner: owner, Until: until})
		}
	}
	return leases, nil
}

func (s *fakeStore) NextReady(context.Context) (next time.Time, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	for _, l := range s.lanes {
		if !l.ready.IsZero() && (next.IsZero() || l.ready.Before(next)) {
			next = l.ready
		}
	}
	return next, nil
}

func (s *fakeStore) Head(_ context.Context, lane string) (handoff.Delivery, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads++
	if s.dropped {
		s.dropped = false
		s.lanes[lane].queue = nil
		defer s.enqueue(lane, 1)
	}
	if l := s.lanes[lane]; len(l.queue) > 0 {
		return l.queue[0], true, nil
	}
	return handoff.Delivery{}, false, nil
}

func (s *fakeStore) FinishDelivery(_ context.Context, f handoff.FinishDelivery, _ time.Time) (handoff.Delivery, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[f.Lane]
	if l.queue = l.queue[1:]; len(l.queue) > 0 {
		return l.queue[0], true, nil
	}
	l.ready = time.Time{}
	return handoff.Delivery{}, false, nil
}

func (s *fakeStore) PostponeDelivery(_ context.Context, f handoff.FinishDelivery, retryAt time.Time, failed handoff.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[f.Lane]
	l.queue[0], l.ready = failed, retryAt
	return nil
}

func (s *fakeStore) ReleaseLane(_ context.Context, lane, _ string, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[lane]
	if l.ready = (time.Time{}); len(l.queue) > 0 {
		l.ready = now
	}
	return nil
}

func (s *fakeStore) Handoff(context.Context, string) (handoff.Handoff, error) {
	return handoff.Handoff{State: handoff.StateActive}, nil
}

func (s *fakeStore) Connection(context.Context, string) (handoff.Connection, error) {
	return handoff.Connection{}, nil
}

func (s *fakeStore) Event(context.Context, string, int64) (handoff.Event, error) {
	return handoff.Event{}, nil
}

func (s *fakeStore) DueHandoffs(context.Context, time.Time, int) ([]handoff.Handoff, time.Time, error) {
	return nil, time.Time{}, nil
}

type idleBusiness struct{ Business }

func (idleBusiness) Recheck(context.Context, int) error { return nil }

type nobody struct{}

func (nobody) Delivered(string, handoff.DeliveryKind, string, time.Duration) {}
func (nobody) DeadlineFired(time.Duration)                                   {}

// fakeDesk is a desk, and its own catalogue.
type fakeDesk struct {
	desk.Desk
	send func() error
}

func (d fakeDesk) For(context.Context, handoff.Connection) (desk.Desk, error) { return d, nil }

func (d fakeDesk) Describe(string) (handoff.DeskDescription, bool) {
	return handoff.DeskDescription{Retry: map[handoff.DeliveryKind]handoff.RetryPolicy{
		handoff.DeliverMessage: {Attempts: 5, Base: 300 * time.Millisecond, Max: time.Minute},
	}}, true
}

func (fakeDesk) Descriptions() []handoff.DeskDescription { return nil }

func (d fakeDesk) Send(context.Context, desk.SendRequest) (desk.Sent, error) {
	return desk.Sent{}, d.send()
}

// relaying runs a relay over a store until the test ends.
func relaying(t *testing.T, workers int, send func() error) (*fakeStore, *Bell) {
	t.Helper()
	store := &fakeStore{now: time.Now, lanes: map[string]*fakeLane{}}
	r := New(Options{
		Store: store, Business: idleBusiness{}, Desks: fakeDesk{send: send}, Bell: NewBell(), Observer: nobody{},
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Owner: "test", Workers: workers,
	})
	r.Start(t.Context())
	t.Cleanup(func() { r.Stop(context.Background()) })
	synctest.Wait() // the look at the start is over
	return store, r.Bell
}

func (s *fakeStore) counts() (claims, lookups, heads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims, s.lookups, s.heads
}

func TestAMessageCostsOneClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		store, bell := relaying(t, 4, func() error { sent++; return nil })
		claims, lookups, _ := store.counts()

		store.queue("a", 1)
		bell.Deliver("a")
		synctest.Wait()

		require.Equal(t, 1, sent)
		claimsNow, lookupsNow, _ := store.counts()
		require.Equal(t, claims+1, claimsNow)
		require.Equal(t, lookups, lookupsNow)
	})
}

func TestALaneIsDeliveredToItsEndInOneGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		store, bell := relaying(t, 4, func() error { sent++; return nil })

		store.queue("a", 3)
		bell.Deliver("a")
		synctest.Wait()

		require.Equal(t, 3, sent)
		_, _, heads := store.counts()
		require.Equal(t, 1, heads)
	})
}

func TestALaneThatFoundNoWorkerIsTakenByTheFirstThatEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const call = 10 * time.Millisecond
		sent := make(chan time.Time, 3)
		store, bell := relaying(t, 1, func() error {
			time.Sleep(call)
			sent <- time.Now()
			return nil
		})
		begin := time.Now()

		for _, lane := range []string{"a", "b", "c"} {
			store.queue(lane, 1)
			bell.Deliver(lane)
		}
		for range 3 {
			<-sent
		}

		require.Equal(t, 3*call, time.Since(begin), "nobody waits for the sweep")
	})
}

func TestARetryComesAtItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := make(chan time.Time, 2)
		store, bell := relaying(t, 1, func() error {
			attempts <- time.Now()
			if len(attempts) == 1 {
				return &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.NotSent, After: 400 * time.Millisecond}
			}
			return nil
		})

		store.queue("a", 1)
		bell.Deliver("a")
		synctest.Wait()
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()

		require.Len(t, attempts, 2, "long before the next sweep")
	})
}

func TestWhatIsQueuedAsALaneIsGivenBackDoesNotWaitForTheSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		store, bell := relaying(t, 4, func() error { sent++; return nil })

		store.dropped = true
		store.queue("a", 1)
		bell.Deliver("a")
		synctest.Wait()

		require.Equal(t, 1, sent)
	})
}
