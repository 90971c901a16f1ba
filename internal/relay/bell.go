package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"handoff/internal/handoff"
)

// Bell wakes the workers; it implements handoff.Alarm. Ringing never blocks, and
// a ring that nobody hears is not lost: workers also look now and then.
type Bell struct {
	deliver chan struct{}
	workers atomic.Pointer[Relay] // nil until a Relay starts

	mu       sync.Mutex
	earliest time.Time // the earliest deadline rung since the loop last looked
	deadline chan struct{}
}

// NewBell makes a Bell.
func NewBell() *Bell {
	return &Bell{deliver: make(chan struct{}, 1), deadline: make(chan struct{}, 1)}
}

// Deliver says that lanes have something to deliver.
func (b *Bell) Deliver(...string) { ring(b.deliver) }

// Reserve keeps an idle worker ready; see [handoff.Alarm].
func (b *Bell) Reserve() (handoff.Lease, bool) {
	if r := b.workers.Load(); r != nil {
		return r.reserve()
	}
	return handoff.Lease{}, false
}

// Start lets the reserved worker deliver a lane.
func (b *Bell) Start(l handoff.Lease, head handoff.Delivery) { b.workers.Load().begin(l, head) }

// Dismiss ends a reservation.
func (b *Bell) Dismiss() { b.workers.Load().dismiss() }

// DeadlineAt says that a deadline was set.
func (b *Bell) DeadlineAt(at time.Time) {
	b.mu.Lock()
	sooner := b.earliest.IsZero() || at.Before(b.earliest)
	if sooner {
		b.earliest = at
	}
	b.mu.Unlock()
	if sooner {
		ring(b.deadline)
	}
}

// sleepingUntil tells the Bell when the deadline loop wakes by itself: only
// earlier deadlines ring.
func (b *Bell) sleepingUntil(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earliest = at
}

func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
