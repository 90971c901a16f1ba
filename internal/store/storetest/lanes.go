package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

var laneTests = map[string]func(*testing.T, *world){
	"deliveries leave in order, one after the other": func(t *testing.T, w *world) {
		s := w.session()
		done := w.change(s.conversation.ID, func(snap handoff.Snapshot) *handoff.Change {
			first, second := s.delivery(start), s.delivery(start.Add(time.Second))
			first.EventIndex = 1
			second.EventSeq = 77
			second.Kind = handoff.DeliverClose
			return &handoff.Change{Events: []handoff.Event{message("a"), message("b")}, Deliveries: []handoff.QueuedDelivery{first, second}}
		})
		require.Equal(t, []string{s.lane}, done.Lanes)
		next, err := w.NextReady(w.ctx)
		require.NoError(t, err)
		require.Equal(t, after(0), next)
		w.noLane(start.Add(-time.Microsecond))

		lease := w.claim(start)
		require.Equal(t, handoff.Lease{Lane: s.lane, Owner: lease.Owner, Until: after(30 * time.Second)}, lease)
		w.noLane(start)
		d := w.head(s.lane)
		require.Equal(t, int64(2), d.EventSeq)
		require.Equal(t, int64(1), d.LaneSeq)
		require.Equal(t, after(0), d.CreatedAt)
		w.queue(s, 1)
		w.noLane(start)

		second, more := w.finish(lease)
		require.True(t, more)
		require.Equal(t, int64(77), second.EventSeq)
		require.Equal(t, handoff.DeliverClose, second.Kind)
		equal(t, second, w.head(s.lane))
		_, more = w.finish(lease)
		require.True(t, more)
		_, more = w.finish(lease)
		require.False(t, more)
		_, ok, err := w.Head(w.ctx, s.lane)
		require.NoError(t, err)
		require.False(t, ok)
		w.noLane(start.Add(time.Hour))
		next, err = w.NextReady(w.ctx)
		require.NoError(t, err)
		require.Zero(t, next)
		_, err = w.Delivery(w.ctx, d.ID)
		requireFault(t, err, fault.NotFound, "")

		w.queue(s, 1)
		again := w.claim(start)
		require.False(t, again.Abandoned)
		require.Equal(t, int64(4), w.head(again.Lane).LaneSeq)
	},
	"an idle lane is leased to whoever queues": func(t *testing.T, w *world) {
		s := w.session()
		lease := func(owner string) *handoff.Lease {
			return &handoff.Lease{Owner: owner, Until: start.Add(30 * time.Second)}
		}
		queue := func(l *handoff.Lease, n int) handoff.Committed {
			return w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
				c := &handoff.Change{Lease: l}
				for range n {
					c.Deliveries = append(c.Deliveries, s.delivery(start))
				}
				return c
			})
		}
		done := queue(lease("a"), 2)
		require.NotNil(t, done.Leased)
		equal(t, w.head(s.lane), *done.Leased)
		w.noLane(start.Add(29 * time.Second))
		require.Nil(t, queue(lease("b"), 1).Leased, "it is a's")

		held := handoff.Lease{Lane: s.lane, Owner: "a"}
		_, more := w.finish(held)
		require.True(t, more)
		_, more = w.finish(held)
		require.True(t, more)
		_, more = w.finish(held)
		require.False(t, more)

		done = queue(lease("c"), 1)
		require.NotNil(t, done.Leased)
		require.Equal(t, int64(4), done.Leased.LaneSeq)
		late := w.claim(start.Add(30 * time.Second))
		require.True(t, late.Abandoned, "c has not come back")
		require.NoError(t, w.ReleaseLane(w.ctx, s.lane, late.Owner, start))
		require.Nil(t, queue(lease("d"), 1).Leased, "it has something to deliver")
		w.claim(start)
	},
	"a lease is for one lane": func(t *testing.T, w *world) {
		s := w.session()
		done := w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			other := s.delivery(start)
			other.Lane = unique("lane")
			return &handoff.Change{
				Lease:      &handoff.Lease{Owner: "a", Until: start.Add(time.Minute)},
				Deliveries: []handoff.QueuedDelivery{s.delivery(start), other},
			}
		})
		require.Nil(t, done.Leased)
		leases, err := w.ClaimLanes(w.ctx, "b", start, start.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, leases, 2)
	},
	"a claim takes the lanes that wait longest": func(t *testing.T, w *world) {
		s := w.session()
		var lanes []string
		for i := range 4 {
			one := w.another(s)
			w.change(one.conversation.ID, func(handoff.Snapshot) *handoff.Change {
				return &handoff.Change{Deliveries: []handoff.QueuedDelivery{one.delivery(start.Add(-time.Duration(i) * time.Second))}}
			})
			lanes = append(lanes, one.lane)
		}
		leases, err := w.ClaimLanes(w.ctx, "o", start, start.Add(time.Minute), 3)
		require.NoError(t, err)
		var claimed []string
		for _, l := range leases {
			claimed = append(claimed, l.Lane)
		}
		require.ElementsMatch(t, lanes[1:], claimed)
		next, err := w.NextReady(w.ctx)
		require.NoError(t, err)
		require.Equal(t, after(0), next)
		require.Equal(t, lanes[0], w.claim(start).Lane)
	},
	"a lane is claimed by one": func(t *testing.T, w *world) {
		s := w.session()
		const lanes, claimers, rounds = 40, 6, 3
		var (
			mu    sync.Mutex
			taken = map[string]int{}
		)
		for round := range rounds {
			w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
				c := &handoff.Change{}
				for i := range lanes {
					d := s.delivery(start)
					d.Lane = fmt.Sprintf("lane %d/%d", round, i)
					c.Deliveries = append(c.Deliveries, d)
				}
				return c
			})
			together(claimers, func(int) {
				for {
					leases, err := w.ClaimLanes(w.ctx, unique("owner"), start, start.Add(time.Hour), 4)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, l := range leases {
						taken[l.Lane]++
					}
					mu.Unlock()
					if len(leases) == 0 {
						return
					}
				}
			})
		}
		require.Len(t, taken, lanes*rounds)
		for lane, n := range taken {
			require.Equal(t, 1, n, lane)
		}
	},
	"a failure holds the lane until the retry": func(t *testing.T, w *world) {
		s := w.session()
		w.queue(s, 1)
		lease := w.claim(start)
		d := w.head(s.lane)
		failed := d
		failed.Status, failed.Attempts = handoff.DeliveryPending, 3 // the store knows that it failed
		failed.LastError, failed.LastErrorKind, failed.LastErrorAt = hardText, fault.DeskUnavailable, start.Add(time.Second)
		retry := start.Add(10 * time.Second)

		require.NoError(t, w.PostponeDelivery(w.ctx, finishOf(lease, d), retry, failed))

		w.queue(s, 1) // what comes meanwhile does not shorten the wait
		w.noLane(retry.Add(-time.Millisecond))
		next, err := w.NextReady(w.ctx)
		require.NoError(t, err)
		require.Equal(t, after(10*time.Second), next)
		lease = w.claim(retry)
		require.False(t, lease.Abandoned)
		want := failed
		want.Status, want.LastErrorAt = handoff.DeliveryFailed, after(time.Second)
		equal(t, want, w.head(s.lane))
		_, more := w.finish(lease)
		require.True(t, more)
	},
	"a worker that died is noticed, one that comes late is refused": func(t *testing.T, w *world) {
		s := w.session()
		w.queue(s, 2)
		dead := w.claim(start)
		d := w.head(s.lane)
		w.noLane(dead.Until.Add(-time.Microsecond))
		next, err := w.NextReady(w.ctx)
		require.NoError(t, err)
		require.Equal(t, dead.Until, next)
		held, err := w.RenewLease(w.ctx, dead, start.Add(time.Minute))
		require.NoError(t, err)
		require.True(t, held)
		w.noLane(dead.Until)

		heir := w.claim(start.Add(time.Minute))
		require.True(t, heir.Abandoned)
		require.NotEqual(t, dead.Owner, heir.Owner)

		held, err = w.RenewLease(w.ctx, dead, start.Add(time.Hour))
		require.NoError(t, err)
		require.False(t, held)
		f := finishOf(dead, d)
		_, more, err := w.FinishDelivery(w.ctx, f, start)
		require.NoError(t, err)
		require.False(t, more)
		requireFault(t, w.PostponeDelivery(w.ctx, f, start, d), fault.Conflict, "")
		requireFault(t, w.DropDeliveries(w.ctx, *s.drop(), dead.Owner), fault.Conflict, "")
		require.NoError(t, w.ReleaseLane(w.ctx, s.lane, dead.Owner, start))
		_, err = w.Change(w.ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
			return &handoff.Change{Events: []handoff.Event{message("accepted")}, Finish: &f}, nil
		})
		requireFault(t, err, fault.Conflict, "")
		equal(t, d, w.head(s.lane))
		w.noLane(start.Add(time.Minute))
		c, err := w.Conversation(w.ctx, s.conversation.ID)
		require.NoError(t, err)
		require.Zero(t, c.LastSeq, "the whole change is refused")

		_, more = w.finish(heir)
		require.True(t, more)
		held, err = w.RenewLease(w.ctx, handoff.Lease{Lane: "nowhere", Owner: "o"}, start)
		require.NoError(t, err)
		require.False(t, held)
	},
	"a lane is given back untouched": func(t *testing.T, w *world) {
		s := w.session()
		w.queue(s, 1)
		lease := w.claim(start)
		d := w.head(s.lane)
		require.NoError(t, w.ReleaseLane(w.ctx, s.lane, lease.Owner, start.Add(time.Second)))
		w.noLane(start)
		lease = w.claim(start.Add(time.Second))
		require.False(t, lease.Abandoned)
		equal(t, d, w.head(s.lane))

		// An empty one is not ready again.
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change { return &handoff.Change{Drop: s.drop()} })
		require.NoError(t, w.ReleaseLane(w.ctx, s.lane, lease.Owner, start))
		w.noLane(start.Add(time.Hour))
		w.queue(s, 1)
		w.claim(start)
		require.NoError(t, w.ReleaseLane(w.ctx, "nowhere", "o", start))
	},
	"a dead letter does not stop its lane": func(t *testing.T, w *world) {
		s := w.session()
		w.queue(s, 2)
		lease := w.claim(start)
		dead := w.bury(lease)
		next := w.head(s.lane)
		require.Equal(t, dead.LaneSeq+1, next.LaneSeq)
		_, more := w.finish(lease)
		require.False(t, more)
		w.noLane(start.Add(time.Hour))
		read, err := w.Delivery(w.ctx, dead.ID)
		require.NoError(t, err)
		want := dead
		want.Status, want.Attempts = handoff.DeliveryDead, 8
		want.LastError, want.LastErrorKind, want.LastErrorAt = "the desk says no", fault.DeskRejected, after(0)
		equal(t, want, read)

		// The last of the lane.
		w.queue(s, 1)
		lease = w.claim(start)
		w.bury(lease)
		w.noLane(start.Add(time.Hour))
	},
	"an outcome is committed with the change it causes": func(t *testing.T, w *world) {
		s := w.session()
		w.queue(s, 1)
		lease := w.claim(start)
		f := finishOf(lease, w.head(s.lane))
		done := w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{
				Events: []handoff.Event{message("accepted")}, Finish: &f,
				Deliveries: []handoff.QueuedDelivery{s.delivery(start), s.delivery(start)},
			}
		})
		require.Equal(t, []string{s.lane}, done.Lanes)
		w.noLane(start) // still leased
		require.Equal(t, int64(2), w.head(s.lane).LaneSeq)
		w.finish(lease)

		// Also when the lane is empty then.
		f = finishOf(lease, w.head(s.lane))
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change { return &handoff.Change{Finish: &f} })
		w.noLane(start)
		_, ok, err := w.Head(w.ctx, s.lane)
		require.NoError(t, err)
		require.False(t, ok)
		w.queue(s, 1)
		w.noLane(start)
		require.Equal(t, int64(4), w.head(s.lane).LaneSeq)
		require.NoError(t, w.ReleaseLane(w.ctx, s.lane, lease.Owner, start))
		lease = w.claim(start)

		// As dead.
		d := w.head(s.lane)
		dead := d
		dead.Attempts, dead.LastErrorAt = 5, start
		f = finishOf(lease, d)
		f.Dead = &dead
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Finish: &f, Drop: s.drop(), Deliveries: []handoff.QueuedDelivery{s.delivery(start)}}
		})
		read, err := w.Delivery(w.ctx, d.ID)
		require.NoError(t, err)
		require.Equal(t, handoff.DeliveryDead, read.Status)
		require.Equal(t, 5, read.Attempts)
		_, more := w.finish(lease)
		require.False(t, more)
	},
	"a change drops what is not dead": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 4)
		lease := w.claim(start)
		w.bury(lease)
		underWay := w.head(s.lane)
		other := w.another(s)
		kept := w.queue(other, 1)
		last := s.delivery(start)
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Drop: s.drop(), Deliveries: []handoff.QueuedDelivery{last}}
		})
		for i, id := range ids {
			_, err := w.Delivery(w.ctx, id)
			if i == 0 {
				require.NoError(t, err)
			} else {
				requireFault(t, err, fault.NotFound, "")
			}
		}
		_, err := w.Delivery(w.ctx, kept[0])
		require.NoError(t, err)
		// The worker ends what is gone, and goes on with what came after.
		next, more, err := w.FinishDelivery(w.ctx, finishOf(lease, underWay), start)
		require.NoError(t, err)
		require.True(t, more)
		require.Equal(t, last.ID, next.ID)
		_, more = w.finish(lease)
		require.False(t, more)

		// A lane that waits for a retry does not make what comes after the drop wait.
		w.queue(s, 1)
		leases, err := w.ClaimLanes(w.ctx, "o", start, start.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, leases, 2)
		d := w.head(s.lane)
		require.NoError(t, w.PostponeDelivery(w.ctx, handoff.FinishDelivery{Lane: s.lane, LaneSeq: d.LaneSeq, Owner: "o"}, start.Add(time.Hour), d))
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Drop: s.drop(), Deliveries: []handoff.QueuedDelivery{s.delivery(start)}}
		})
		require.Equal(t, s.lane, w.claim(start).Lane)
		// A lane that never was.
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Drop: &handoff.Drop{Lane: "nowhere", HandoffID: s.handoff.ID}}
		})
	},
	"a worker drops what its handoff has still to deliver": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 3)
		lease := w.claim(start)
		dead := w.bury(lease)
		require.NoError(t, w.DropDeliveries(w.ctx, *s.drop(), lease.Owner))
		w.noLane(start) // still leased
		require.NoError(t, w.ReleaseLane(w.ctx, s.lane, lease.Owner, start))
		w.noLane(start.Add(time.Hour))
		_, err := w.Delivery(w.ctx, dead.ID)
		require.NoError(t, err)
		_, err = w.Delivery(w.ctx, ids[1])
		requireFault(t, err, fault.NotFound, "")
		w.queue(s, 1)
		w.claim(start)
	},
	"nothing is lost, overtaken or stranded": func(t *testing.T, w *world) { Stress(t, 10, w.Store) },
}

// Stress lets producers, workers and accidents loose on a few lanes of one
// database, which the stores share. Each of 8 producers makes so many changes with
// one to three deliveries.
//
// Workers note what they deliver. After an accident a delivery may be noted again,
// never after its successor. In the end all were noted and no lane is left.
func Stress(t *testing.T, each int, stores ...handoff.Store) {
	t.Helper()
	w := &world{Store: stores[0], t: t, ctx: t.Context()}
	const (
		lanes     = 10
		producers = 8
		workers   = 6
	)
	base := w.session()
	sessions := make([]session, lanes)
	for i := range sessions {
		sessions[i] = w.another(base)
	}
	var (
		clock atomic.Int64 // virtual: only the leases of workers that had an accident end
		mu    sync.Mutex
		order = map[string][]int64{} // per lane, as delivered
		note  = func(d handoff.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			order[d.Lane] = append(order[d.Lane], d.EventSeq)
		}
		queued    atomic.Int64
		producing sync.WaitGroup
		working   sync.WaitGroup
		ctx, stop = context.WithCancel(w.ctx)
	)
	defer stop()
	now := func() time.Time { return start.Add(time.Duration(clock.Add(1)) * time.Millisecond) }
	for p := range producers {
		producing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			w := stores[p%len(stores)]
			for i := range each {
				s := &sessions[random.IntN(lanes)]
				n := 1 + random.IntN(3)
				lease := handoff.Lease{Lane: s.lane, Owner: fmt.Sprintf("producer%d/%d", p, i), Until: now().Add(time.Hour)}
				done, err := w.Change(ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
					c := &handoff.Change{}
					for i := range n {
						d := s.delivery(now())
						d.EventIndex = i
						c.Events = append(c.Events, message("x"))
						c.Deliveries = append(c.Deliveries, d)
					}
					if n == 1 {
						c.Lease = &lease
					}
					return c, nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				queued.Add(int64(n))
				if done.Leased == nil {
					continue
				}
				if err := work(ctx, w, lease, random, now, note); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range workers {
		working.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(i)))
			w := stores[i%len(stores)]
			for claim := 0; ctx.Err() == nil; claim++ {
				at := now()
				leases, err := w.ClaimLanes(ctx, fmt.Sprintf("worker%d/%d", i, claim), at, at.Add(time.Hour), 3)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				if len(leases) == 0 {
					select { // give producers the processor
					case <-ctx.Done():
					case <-time.After(2 * time.Millisecond):
					}
				}
				for _, l := range leases {
					if err := work(ctx, w, l, random, now, note); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	producing.Wait()
	deadline := time.Now().Add(30 * time.Second)
	for {
		next, err := w.NextReady(ctx)
		require.NoError(t, err)
		if next.IsZero() || t.Failed() {
			break
		}
		require.False(t, time.Now().After(deadline), "lanes are left")
		clock.Add(5)
		<-time.After(2 * time.Millisecond)
	}
	stop()
	working.Wait()

	left, err := w.Deliveries(w.ctx, handoff.DeliveryFilter{AgentID: base.agent.ID}, handoff.Page{First: 10})
	require.NoError(t, err)
	require.Empty(t, left.Items, "stranded")
	delivered := int64(0)
	for _, s := range sessions {
		newest := int64(0)
		for _, seq := range order[s.lane] {
			require.LessOrEqual(t, newest, seq, "overtaken in %s", s.lane)
			require.LessOrEqual(t, seq, newest+1, "lost in %s", s.lane)
			if seq > newest {
				newest = seq
				delivered++
			}
		}
	}
	require.Equal(t, queued.Load(), delivered)
}

// work delivers a lane with accidents: failures, deaths, workers that come back too
// late, and outcomes that are committed with a change.
func work(ctx context.Context, w handoff.Store, l handoff.Lease, random *rand.Rand, now func() time.Time, deliver func(handoff.Delivery)) error {
	die := func() error {
		_, err := w.RenewLease(ctx, l, start) // the lease ends, and nobody releases the lane
		return err
	}
	for {
		d, ok, err := w.Head(ctx, l.Lane)
		if err != nil {
			return err
		}
		if !ok {
			return w.ReleaseLane(ctx, l.Lane, l.Owner, now())
		}
		f := finishOf(l, d)
		switch random.IntN(12) {
		case 0:
			return die()
		case 1:
			return ignoreLost(w.PostponeDelivery(ctx, f, now().Add(3*time.Millisecond), d))
		case 2:
			return w.ReleaseLane(ctx, l.Lane, l.Owner, now())
		}
		deliver(d)
		late := false
		switch random.IntN(12) {
		case 0:
			return die()
		case 1:
			late = true
			if err := die(); err != nil {
				return err
			}
		}
		if random.IntN(4) == 0 {
			if _, err := w.Change(ctx, d.ConversationID, "", func(handoff.Snapshot) (*handoff.Change, error) {
				return &handoff.Change{Finish: &f}, nil
			}); err != nil {
				return ignoreLost(err)
			}
		} else {
			next, more, err := w.FinishDelivery(ctx, f, now())
			if err != nil || !more {
				return err
			}
			if next.LaneSeq != d.LaneSeq+1 {
				return fmt.Errorf("after %d comes %d", d.LaneSeq, next.LaneSeq)
			}
		}
		if late {
			return nil // still the owner, but of a lease that has ended
		}
	}
}

func ignoreLost(err error) error {
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	return err
}
