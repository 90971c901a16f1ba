package relay

import (
	"context"
	"sync"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

const (
	// checkBatch bounds how many sessions are claimed at once; the rest follow at once.
	checkBatch = 64
	// checksAtOnce bounds the desks of one kind that are asked at the same time. The
	// breaker keeps one that does not answer from taking all of them for long.
	checksAtOnce = 8
	// checkOverlap is how far before the newest check a desk is asked again: for
	// clocks that differ, and for events that a desk shows late.
	checkOverlap = 5 * time.Minute
)

// catchUp begins a loop for every kind of desk whose requests to us can get lost;
// the others cost nothing.
func (r *Relay) catchUp(ctx context.Context) {
	for _, d := range r.Desks.Descriptions() {
		if d.CatchUp > 0 {
			r.loops.Go(func() { r.catchUpLoop(ctx, d.Kind, d.CatchUp) })
		}
	}
}

// catchUpLoop asks the desks of one kind about each open session once an interval.
// What fell due while nobody was running is asked at the start.
func (r *Relay) catchUpLoop(ctx context.Context, kind string, every time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for r.checkDue(ctx, kind, every) && ctx.Err() == nil {
		}
		timer.Reset(r.CatchUp)
	}
}

// checkDue checks one batch of sessions; more says that others may be due.
func (r *Relay) checkDue(ctx context.Context, kind string, every time.Duration) (more bool) {
	now := r.Now()
	due, err := r.Store.ClaimChecks(ctx, kind, now, now.Add(every), checkBatch)
	if err != nil {
		if ctx.Err() == nil {
			r.Log.ErrorContext(ctx, "claiming sessions to check failed", "desk", kind, "error", err)
		}
		return false
	}
	var (
		group sync.WaitGroup
		slots = make(chan struct{}, checksAtOnce)
		mu    sync.Mutex
		done  []string
	)
	for _, c := range due {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := r.check(ctx, c); err != nil {
				r.Log.DebugContext(ctx, "looking for missed events failed", "handoff_id", c.HandoffID, "connection_id", c.ConnectionID,
					"desk", kind, "error_kind", fault.KindOf(err), "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, c.HandoffID)
		})
	}
	group.Wait()
	if err := r.Store.ChecksDone(ctx, done, now); err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "recording checks failed; the next ones look back further", "desk", kind, "error", err)
	}
	return len(due) == checkBatch
}

// check asks the desk of one session for what did not reach us and feeds it in,
// like a request of the desk.
func (r *Relay) check(ctx context.Context, c handoff.Check) error {
	connection, err := r.Store.Connection(ctx, c.ConnectionID)
	if err != nil {
		return err
	}
	target, err := r.Desks.For(ctx, connection)
	if err != nil {
		return err
	}
	// Not from before the request: an earlier session may have the same id at the desk.
	since := c.RequestedAt
	if looked := c.CaughtUpAt.Add(-checkOverlap); looked.After(since) {
		since = looked
	}
	attempt, cancel := context.WithTimeout(ctx, r.Attempt)
	defer cancel()
	events, err := desk.Missed(attempt, target, c.DeskRef, since)
	if err != nil {
		return err
	}
	for i := range events {
		switch events[i].Kind {
		case handoff.DeskMessage, handoff.DeskEnded, handoff.DeskUserWrote:
		case handoff.DeskJoined, handoff.DeskTyping, handoff.DeskRead, handoff.DeskQueued:
			continue // old news would undo newer ones; the next message says who answers
		}
		err := r.Business.FromDesk(ctx, connection, events[i:i+1])
		switch fault.KindOf(err) {
		case "", fault.NotFound, fault.NotAllowedInState: // ended meanwhile
		default:
			return err
		}
	}
	return nil
}
