package desk

import (
	"context"
	"net/http"
	"sync"
	"time"

	"handoff/internal/fault"
)

// paced gives a client that begins at most perSecond calls in any second, for
// 0 = as many as come. It shares the connections of the given one. Every replica
// counts its own calls.
//
// A call waits for its turn at most half of the time that it has left, so that what
// it was made for still fits in. One that would wait longer is not made:
// DeskRateLimited, NotSent, with the wait.
func paced(client *http.Client, perSecond int, now func() time.Time) *http.Client {
	if perSecond <= 0 {
		return client
	}
	slow := *client
	slow.Transport = &pacedTransport{next: client.Transport, turns: turns{starts: make([]time.Time, perSecond)}, now: now}
	return &slow
}

type pacedTransport struct {
	next  http.RoundTripper
	turns turns
	now   func() time.Time
}

// RoundTrip implements [http.RoundTripper].
func (t *pacedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.wait(req.Context()); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // as the interface demands
		}
		return nil, err
	}
	return t.next.RoundTrip(req)
}

func (t *pacedTransport) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	patience := CallTimeout / 2
	if end, ok := ctx.Deadline(); ok {
		patience = time.Until(end) / 2
	}
	wait, ok := t.turns.take(t.now(), patience)
	if !ok {
		f := fault.New(fault.DeskRateLimited, "more than %d calls a second are waiting to be made to the desk", len(t.turns.starts))
		f.After = wait
		return f
	}
	if wait == 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turns remembers when the newest calls began, as a ring, and so when the next may.
type turns struct {
	mu     sync.Mutex
	starts []time.Time
	oldest int
}

// take reserves the next turn. false = it is further away than the patience, and
// nothing was reserved.
func (t *turns) take(now time.Time, patience time.Duration) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	start := now
	if free := t.starts[t.oldest].Add(time.Second); free.After(now) {
		start = free
	}
	if wait = start.Sub(now); wait > patience && wait > 0 {
		return wait, false
	}
	t.starts[t.oldest] = start
	t.oldest = (t.oldest + 1) % len(t.starts)
	return wait, true
}
