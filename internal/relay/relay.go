package relay

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Business is what the relay asks of the use cases.
type Business interface {
	DeskAccepted(ctx context.Context, d handoff.Delivery, f handoff.FinishDelivery, ref string) error
	DeskBegan(ctx context.Context, d handoff.Delivery, ref string) error
	DeskRefused(ctx context.Context, d handoff.Delivery, f handoff.FinishDelivery, maybeOpened bool) error
	DeskLost(ctx context.Context, d handoff.Delivery, f handoff.FinishDelivery) error
	DeskHasEnded(ctx context.Context, d handoff.Delivery, f handoff.FinishDelivery) error
	MessageNotDelivered(ctx context.Context, d handoff.Delivery, f handoff.FinishDelivery) error
	FromDesk(ctx context.Context, c handoff.Connection, events []handoff.DeskEvent) error
	NotSaid(ctx context.Context, d handoff.Delivery, f handoff.FinishDelivery) error
	FireDeadline(ctx context.Context, due handoff.Handoff) error
	Recheck(ctx context.Context, limit int) error
}

// Store is what the relay reads and writes itself.
type Store interface {
	handoff.DeliveryStore
	handoff.CheckStore
	Agent(ctx context.Context, id string) (handoff.Agent, error)
	Connection(ctx context.Context, id string) (handoff.Connection, error)
	Conversation(ctx context.Context, id string) (handoff.Conversation, error)
	Event(ctx context.Context, conversationID string, seq int64) (handoff.Event, error)
	Handoff(ctx context.Context, id string) (handoff.Handoff, error)
	MessagesBefore(ctx context.Context, conversationID string, upTo int64, limit int) ([]handoff.Event, error)
	DueHandoffs(ctx context.Context, now time.Time, limit int) ([]handoff.Handoff, time.Time, error)
}

// Desks gives the desk of a connection, with breaker and metrics around it.
type Desks interface {
	For(ctx context.Context, c handoff.Connection) (desk.Desk, error)
	Describe(kind string) (handoff.DeskDescription, bool)
	Descriptions() []handoff.DeskDescription
}

// Observer counts outcomes.
type Observer interface {
	// Delivered is called once per attempt. result is ok, retry, dead, refused or
	// dropped; waited is the time since the delivery was queued.
	Delivered(deskKind string, kind handoff.DeliveryKind, result string, waited time.Duration)
	DeadlineFired(late time.Duration)
}

// Options configure a Relay. Zero durations take the defaults.
type Options struct {
	Store    Store
	Business Business
	Desks    Desks
	Bell     *Bell
	Observer Observer
	Log      *slog.Logger
	Now      func() time.Time
	Owner    string // unique per process start
	Workers  int    // lanes delivered at the same time

	Lease   time.Duration // how long a lane is ours without a sign of life; default 30 s
	Sweep   time.Duration // how often to look without being rung; default 1 s
	Attempt time.Duration // longest single attempt; default 15 s
	Recheck time.Duration // how often unavailable desks are looked at; default 5 s
	CatchUp time.Duration // how often sessions that are due for a check are looked for; default 5 s
}

// Relay delivers, fires deadlines and catches up until it is stopped.
type Relay struct {
	Options

	stop    context.CancelFunc
	attempt context.CancelFunc // cancels the attempts under way
	loops   sync.WaitGroup
	lanes   sync.WaitGroup
	free    chan struct{} // one token per idle worker
	claims  atomic.Uint64

	// working keeps reservations from being made while Stop waits for the lanes.
	working struct {
		sync.Mutex
		claims, attempts context.Context // the zero value: not started, or stopped
	}

	// starved says that a claim may have left lanes behind for want of a worker.
	starved atomic.Bool
	// crowded says that the newest claim may have left lanes behind. Whoever comes new
	// queues up with them, or he would overtake them for as long as others keep coming.
	crowded atomic.Bool
	// postponed is rung when a lane begins to wait for a time of its own.
	postponed chan struct{}
}

// New builds a Relay; Start begins.
func New(o Options) *Relay {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Sweep == 0 {
		o.Sweep = time.Second
	}
	if o.Attempt == 0 {
		o.Attempt = 15 * time.Second
	}
	if o.Recheck == 0 {
		o.Recheck = 5 * time.Second
	}
	if o.CatchUp == 0 {
		o.CatchUp = 5 * time.Second
	}
	r := &Relay{Options: o, free: make(chan struct{}, o.Workers), postponed: make(chan struct{}, 1)}
	for range o.Workers {
		r.free <- struct{}{}
	}
	return r
}

// Start begins the loops. ctx ends everything at once; prefer Stop.
func (r *Relay) Start(ctx context.Context) {
	loops, stop := context.WithCancel(ctx)
	attempts, cancel := context.WithCancel(ctx)
	r.stop, r.attempt = stop, cancel
	r.working.claims, r.working.attempts = loops, attempts
	r.Bell.workers.Store(r)
	r.loops.Go(func() { r.deliverLoop(loops, attempts) })
	r.loops.Go(func() { r.deadlineLoop(loops) })
	r.loops.Go(func() { r.recheckLoop(loops) })
	r.catchUp(loops)
}

// Stop claims nothing new, lets the attempts under way end until ctx does, and
// then cancels them: their lanes are given back, marked as perhaps delivered.
func (r *Relay) Stop(ctx context.Context) {
	if r.stop == nil {
		return
	}
	r.working.Lock()
	r.stop()
	r.working.Unlock()
	r.loops.Wait()
	done := make(chan struct{})
	go func() {
		r.lanes.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	r.attempt()
	<-done
}

// deliverLoop claims lanes for idle workers whenever it is rung, a lane becomes
// ready, or the sweep is due. When to look again is asked only after a look that
// nothing has called for: what is queued is ready at once and rings by itself, so
// a message costs one claim and no more.
func (r *Relay) deliverLoop(ctx, attempts context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Bell.deliver:
			r.claim(ctx, attempts)
		case <-r.postponed:
			timer.Reset(r.untilReady(ctx))
		case <-timer.C:
			sleep := r.Sweep
			if r.claim(ctx, attempts) {
				sleep = r.untilReady(ctx)
			}
			timer.Reset(sleep)
		}
	}
}

// claim takes lanes until there are none (true), no worker is idle, or it fails.
func (r *Relay) claim(ctx, attempts context.Context) (all bool) {
	for {
		// Set before the idle workers are counted: one that ends right after the count
		// sees it and rings.
		r.starved.Store(true)
		idle := r.takeIdle()
		if idle == 0 {
			r.crowded.Store(true)
			return false
		}
		now := r.Now()
		leases, err := r.Store.ClaimLanes(ctx, r.owner(), now, now.Add(r.Lease), idle)
		if err != nil {
			r.giveIdle(idle)
			if ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "claiming deliveries failed", "error", err)
			}
			return false
		}
		all = len(leases) < idle
		r.crowded.Store(!all)
		if all {
			r.starved.Store(false)
		}
		r.giveIdle(idle - len(leases))
		for _, lease := range leases {
			r.lanes.Go(func() {
				r.runLane(attempts, ctx, lease, nil)
				r.workerIsIdle()
			})
		}
		if all {
			return true
		}
	}
}

// owner is one of its own for every claim: a lane that was released and claimed
// again by this very process must not be finished under the old lease.
func (r *Relay) owner() string { return r.Owner + "/" + strconv.FormatUint(r.claims.Add(1), 36) }

func (r *Relay) workerIsIdle() {
	r.giveIdle(1)
	if r.starved.Load() {
		ring(r.Bell.deliver)
	}
}

// reserve takes an idle worker for a lane that is about to be leased.
func (r *Relay) reserve() (handoff.Lease, bool) {
	r.working.Lock()
	defer r.working.Unlock()
	if r.working.claims.Err() != nil || r.crowded.Load() {
		return handoff.Lease{}, false
	}
	select {
	case <-r.free:
	default:
		return handoff.Lease{}, false
	}
	r.lanes.Add(1)
	return handoff.Lease{Owner: r.owner(), Until: r.Now().Add(r.Lease)}, true
}

// begin delivers the lane that the reserved worker got.
func (r *Relay) begin(lease handoff.Lease, head handoff.Delivery) {
	go func() {
		defer r.lanes.Done()
		r.runLane(r.working.attempts, r.working.claims, lease, &head)
		r.workerIsIdle()
	}()
}

func (r *Relay) dismiss() {
	r.workerIsIdle()
	r.lanes.Done()
}

// untilReady is how long nothing needs to be looked at, at most a sweep.
func (r *Relay) untilReady(ctx context.Context) time.Duration {
	next, err := r.Store.NextReady(ctx)
	if err != nil || next.IsZero() {
		return r.Sweep
	}
	return min(max(next.Sub(r.Now()), time.Millisecond), r.Sweep)
}

func (r *Relay) takeIdle() int {
	n := 0
	for {
		select {
		case <-r.free:
			n++
		default:
			return n
		}
	}
}

func (r *Relay) giveIdle(n int) {
	for range n {
		r.free <- struct{}{}
	}
}

// deadlineBatch bounds how many deadlines are read at once; the rest follow at once.
const deadlineBatch = 200

// deadlineLoop fires what is due and sleeps until the next deadline, at most a sweep.
func (r *Relay) deadlineLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Bell.deadline:
		case <-timer.C:
		}
		sleep := r.fireDue(ctx)
		r.Bell.sleepingUntil(r.Now().Add(sleep))
		timer.Reset(sleep)
	}
}

func (r *Relay) fireDue(ctx context.Context) time.Duration {
	for {
		now := r.Now()
		due, next, err := r.Store.DueHandoffs(ctx, now, deadlineBatch)
		if err != nil {
			if ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "reading deadlines failed", "error", err)
			}
			return r.Sweep
		}
		failed := r.fireAll(ctx, now, due)
		if failed || ctx.Err() != nil {
			return r.Sweep
		}
		if len(due) == deadlineBatch {
			continue
		}
		if next.IsZero() {
			return r.Sweep
		}
		return min(max(next.Sub(r.Now()), time.Millisecond), r.Sweep)
	}
}

// deadlinesAtOnce bounds the commits that fire deadlines at the same time.
const deadlinesAtOnce = 8

func (r *Relay) fireAll(ctx context.Context, now time.Time, due []handoff.Handoff) (failed bool) {
	var (
		group sync.WaitGroup
		slots = make(chan struct{}, deadlinesAtOnce)
		mu    sync.Mutex
	)
	for _, h := range due {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			err := r.Business.FireDeadline(ctx, h)
			switch {
			case err == nil:
				r.Observer.DeadlineFired(now.Sub(h.DeadlineAt))
			case ctx.Err() == nil && !fault.Is(err, fault.NotFound):
				r.Log.ErrorContext(ctx, "firing a deadline failed", "handoff_id", h.ID, "error", err)
				mu.Lock()
				failed = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return failed
}

// recheckBatch bounds how many unavailable desks are looked at in a row.
const recheckBatch = 10

func (r *Relay) recheckLoop(ctx context.Context) {
	ticker := time.NewTicker(r.Recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := r.Business.Recheck(ctx, recheckBatch); err != nil && ctx.Err() == nil {
				r.Log.WarnContext(ctx, "checking unavailable desks failed", "error", err)
			}
		}
	}
}
