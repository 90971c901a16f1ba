package handoff_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// TestMessengerWalk does what can happen in a messenger in random order, twice now
// and then. The invariants are checked when each walk ends; see checkInvariants.
func TestMessengerWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := messengerWalk{setupDesk(t, messengerDesk), rand.New(rand.NewPCG(seed, 8))}
			for step := range 60 {
				w.step(step)
			}
		})
	}
}

type messengerWalk struct {
	*bundle
	random *rand.Rand
}

func (w messengerWalk) step(n int) {
	w.t.Helper()
	id := fmt.Sprint(n - w.random.IntN(3)) // some are told again
	tell := func(e handoff.DeskEvent) {
		e.Ref = "ref-1"
		err := w.svc.FromDesk(w.ctx, w.desk, []handoff.DeskEvent{e})
		if err != nil {
			require.Contains(w.t, []fault.Kind{fault.NotFound, fault.NotAllowedInState}, fault.KindOf(err), "%v", err)
		}
	}
	switch w.random.IntN(10) {
	case 0, 1:
		tell(handoff.DeskEvent{Kind: handoff.DeskUserWrote, ID: "u" + id, Text: "user " + id})
	case 2:
		at := w.clock.now().Add(time.Duration(w.random.IntN(3)-2) * time.Second)
		tell(handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "o" + id, Text: "operator " + id, At: at})
	case 3:
		tell(handoff.DeskEvent{Kind: handoff.DeskEnded})
	case 4, 5:
		epoch := w.conversation().Epoch - int64(w.random.IntN(4)/3)
		_, err := w.svc.PostAgentMessage(w.ctx, w.conv, epoch, handoff.Draft{Text: "agent " + id, IdempotencyKey: id})
		if err != nil {
			requireFault(w.t, err, fault.StaleControl)
		}
	case 6:
		w.request()
	case 7, 8:
		w.work()
	case 9:
		w.pass(time.Duration(w.random.IntN(200)) * time.Second)
	}
}

// work delivers the head of the lane, as a worker would.
func (w messengerWalk) work() {
	w.t.Helper()
	d, ok, err := w.store.Head(w.ctx, handoff.MessengerLane(w.conv))
	require.NoError(w.t, err)
	switch {
	case !ok:
	case d.Kind == handoff.DeliverSay:
		if d.EventSeq < w.conversation().HumanSeq {
			err = w.svc.NotSaid(w.ctx, d, finishOf(d))
			break
		}
		_, _, err = w.store.FinishDelivery(w.ctx, finishOf(d), w.clock.now())
	case d.Kind == handoff.DeliverOpen:
		h, lookup := w.store.Handoff(w.ctx, d.HandoffID)
		require.NoError(w.t, lookup)
		switch {
		case !h.Open():
			err = w.store.DropDeliveries(w.ctx, handoff.Drop{Lane: d.Lane, HandoffID: h.ID}, "worker")
		case w.random.IntN(4) == 0:
			err = w.svc.DeskRefused(w.ctx, d, finishOf(d), w.random.IntN(2) == 0)
		default:
			err = w.svc.DeskAccepted(w.ctx, d, finishOf(d), "")
		}
	default:
		_, _, err = w.store.FinishDelivery(w.ctx, finishOf(d), w.clock.now())
	}
	require.NoError(w.t, err)
}
