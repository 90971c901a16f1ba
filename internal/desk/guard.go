package desk

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Limits of the circuit breaker.
const (
	// TripAfter is how many calls in a row must fail before a connection rests.
	TripAfter = 5
	// RestTime is how long it rests before one call may try again.
	RestTime = 15 * time.Second
	// probeTime is the wait for a call that comes while another one is trying.
	probeTime = time.Second
)

// Watch is told what the calls to the desks say about them. Either function may
// be nil; both are called by the goroutine that made the call.
type Watch struct {
	// Report moves the service status of a connection: nil after a success, the
	// failure when the desk refused the credentials, and when too many calls in a
	// row failed.
	Report func(ctx context.Context, connectionID string, failed *fault.Fault)
	// Observe counts a call. The result is "ok", the kind of the fault, or
	// [ResultResting]; the operation is one of verify, open, send, say, close, receive,
	// or one given to [Guarded].
	Observe func(kind, operation, result string, took time.Duration)
}

// ResultResting is the result of a call that was not made because the connection rests.
const ResultResting = "RESTING"

// Guard wraps the Desk of one connection: it rests a desk that fails again and
// again, reports to the service status, and counts.
//
// Only Open, Send, Say and Close are held back while the connection rests. Verify
// always calls, since it is how an administrator finds out whether the desk is
// back; its success ends the rest. Receive calls nobody. Optional interfaces of
// the wrapped desk are found with [As]; calls through them are held back only when
// they are made by [Guarded].
//
// Failures that count are those that say something about the desk as a whole,
// DeskUnavailable and DeskUnauthorized. An answer to one request (DeskRejected,
// DeskGone) proves that the desk works. DeskRateLimited proves neither: the desk
// is alive, but must not be called more. Cancellation and our own mistakes do not
// count.
func Guard(d Desk, kind, connectionID string, now func() time.Time, w Watch) Desk {
	g := &guard{desk: d, kind: kind, connectionID: connectionID, now: now, watch: w}
	g.reset()
	if speaker, ok := As[Speaker](d); ok {
		return speakingGuard{g, speaker}
	}
	return g
}

// speakingGuard guards a desk that is a Speaker as well.
type speakingGuard struct {
	*guard
	speaker Speaker
}

func (g speakingGuard) Say(ctx context.Context, r SayRequest) (Sent, error) {
	return guarded(ctx, g.guard, "say", func() (Sent, error) { return g.speaker.Say(ctx, r) })
}

type guard struct {
	desk         Desk
	kind         string
	connectionID string
	now          func() time.Time
	watch        Watch

	mu         sync.Mutex
	breaker    *gobreaker.CircuitBreaker[struct{}]
	restsUntil time.Time // meaningful while the breaker is open
}

// Unwrap gives the wrapped desk.
func (g *guard) Unwrap() Desk { return g.desk }

// As finds an optional interface of a desk behind its wrappers.
func As[T any](d Desk) (T, bool) {
	for d != nil {
		if t, ok := d.(T); ok {
			return t, true
		}
		w, ok := d.(interface{ Unwrap() Desk })
		if !ok {
			break
		}
		d = w.Unwrap()
	}
	var none T
	return none, false
}

func (g *guard) Verify(ctx context.Context) error {
	start := g.now()
	err := g.desk.Verify(ctx)
	g.observe("verify", resultOf(err), start)
	if err == nil {
		g.reset()
	}
	return err
}

func (g *guard) Open(ctx context.Context, r OpenRequest) (Opened, error) {
	return guarded(ctx, g, "open", func() (Opened, error) { return g.desk.Open(ctx, r) })
}

func (g *guard) Send(ctx context.Context, r SendRequest) (Sent, error) {
	return guarded(ctx, g, "send", func() (Sent, error) { return g.desk.Send(ctx, r) })
}

func (g *guard) Close(ctx context.Context, r CloseRequest) error {
	_, err := guarded(ctx, g, "close", func() (struct{}, error) { return struct{}{}, g.desk.Close(ctx, r) })
	return err
}

func (g *guard) Receive(ctx context.Context, r Inbound) ([]handoff.DeskEvent, error) {
	start := g.now()
	events, err := g.desk.Receive(ctx, r)
	g.observe("receive", resultOf(err), start)
	return events, err
}

// Guarded makes a call of an optional interface as the guard around the desk makes
// Open, Send and Close. Without a guard it only calls.
func Guarded[T any](ctx context.Context, d Desk, operation string, call func() (T, error)) (T, error) {
	if g, ok := As[interface{ itself() *guard }](d); ok {
		return guarded(ctx, g.itself(), operation, call)
	}
	return call()
}

// itself finds the guard also inside of a type that embeds it.
func (g *guard) itself() *guard { return g }

// Missed asks a [Rememberer] through its guard. Unsupported when the desk is none.
func Missed(ctx context.Context, d Desk, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	r, ok := As[Rememberer](d)
	if !ok {
		return nil, fault.New(fault.Unsupported, "this desk does not tell what was missed")
	}
	return Guarded(ctx, d, "missed", func() ([]handoff.DeskEvent, error) { return r.Missed(ctx, ref, since) })
}

func guarded[T any](ctx context.Context, g *guard, operation string, call func() (T, error)) (T, error) {
	start := g.now()
	breaker := g.current()
	var result T
	_, err := breaker.Execute(func() (struct{}, error) {
		var err error
		result, err = call()
		return struct{}{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		g.observe(operation, ResultResting, start)
		return result, g.resting(err)
	}
	g.observe(operation, resultOf(err), start)
	g.report(ctx, err, breaker.State() == gobreaker.StateOpen)
	return result, err
}

// resting is the fault of a call that was not made.
func (g *guard) resting(refusal error) *fault.Fault {
	f := fault.New(fault.DeskUnavailable, "the desk failed %d times in a row and is left alone for a moment", TripAfter)
	f.After = probeTime
	if errors.Is(refusal, gobreaker.ErrOpenState) {
		g.mu.Lock()
		f.After = max(g.restsUntil.Sub(g.now()), 0)
		g.mu.Unlock()
	}
	return f
}

func (g *guard) report(ctx context.Context, err error, tripped bool) {
	if g.watch.Report == nil {
		return
	}
	switch f := fault.As(err); {
	case f == nil:
		g.watch.Report(ctx, g.connectionID, nil)
	case f.Kind == fault.DeskUnauthorized, f.Kind == fault.DeskUnavailable && tripped:
		g.watch.Report(ctx, g.connectionID, f)
	}
}

func (g *guard) observe(operation, result string, start time.Time) {
	if g.watch.Observe != nil {
		g.watch.Observe(g.kind, operation, result, g.now().Sub(start))
	}
}

func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	return string(fault.KindOf(err))
}

func (g *guard) current() *gobreaker.CircuitBreaker[struct{}] {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.breaker
}

// reset forgets all failures. gobreaker cannot be closed from outside, so it gets a successor.
func (g *guard) reset() {
	breaker := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      RestTime,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= TripAfter },
		IsSuccessful: func(err error) bool { return !counts(fault.KindOf(err)) },
		IsExcluded:   func(err error) bool { return !tellsOfDesk(fault.KindOf(err)) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				g.mu.Lock()
				g.restsUntil = g.now().Add(RestTime)
				g.mu.Unlock()
			}
		},
	})
	g.mu.Lock()
	g.breaker = breaker
	g.mu.Unlock()
}

// counts reports whether a failure of this kind is one of the desk as a whole.
func counts(kind fault.Kind) bool {
	return kind == fault.DeskUnavailable || kind == fault.DeskUnauthorized
}

// tellsOfDesk reports whether an outcome of this kind ("" = success) says whether the desk works.
func tellsOfDesk(kind fault.Kind) bool {
	return kind == "" || counts(kind) || kind == fault.DeskRejected || kind == fault.DeskGone
}
