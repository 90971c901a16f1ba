package apptest

import (
	"sync"
	"time"
)

// Clock stands still until a test moves it, so that "59.9 seconds" is exactly that.
// Replicas of one service share one.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock makes a Clock that shows the present.
func NewClock() *Clock { return NewClockAt(time.Now()) }

// NewClockAt makes a Clock that shows a time.
func NewClockAt(at time.Time) *Clock {
	return &Clock{now: at.UTC().Truncate(time.Microsecond)} // as exact as the databases
}

// Now is what the Clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the Clock on. Whoever waits for a moment that has now come looks at
// the Clock within [app.Pace.Sweep].
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
