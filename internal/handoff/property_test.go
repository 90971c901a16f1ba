package handoff_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// world is one Conversation to which anything may happen in any order.
type world struct {
	*bundle
	taken map[string]handoff.Delivery // by lane: what the worker is delivering right now
	past  []handoff.Handoff           // how handoffs stood at some time, for deadlines that come late
}

// TestAnythingInAnyOrder lets the User, the Agent, the desk, the worker, the clock
// and the administrator act at random, also between a decision and its commit. The
// invariants are checked after every step; see checkInvariants and the fake store.
func TestAnythingInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{remoteDesk, remoteDesk, localDesk}).Draw(t, "desk")
		w := &world{bundle: setupDesk(t, kind), taken: map[string]handoff.Delivery{}}
		actions := map[string]func(*rapid.T){}
		for name, action := range map[string]struct {
			weight int
			do     func(*rapid.T)
		}{
			"the User writes":        {4, w.userMessage},
			"the Agent writes":       {1, w.agentMessage},
			"a human is asked for":   {3, w.humanIsAskedFor},
			"the User decides":       {1, w.decision},
			"an address is given":    {1, w.address},
			"the Operator writes":    {3, w.operatorMessage},
			"the desk says":          {1, w.deskNews},
			"an Operator acts here":  {1, w.localOperator},
			"the worker takes":       {3, w.workerTakes},
			"the worker finishes":    {3, w.workerFinishes},
			"time passes":            {1, w.timePasses},
			"a deadline comes again": {1, w.lateDeadline},
			"settings change":        {1, w.settingsChange},
			"a decision is outdated": {1, func(t *rapid.T) { w.store.makeStale(rapid.IntRange(1, 3).Draw(t, "times")) }},
		} {
			for n := range action.weight {
				actions[name+strings.Repeat(" ", n)] = action.do
			}
		}
		names := slices.Sorted(maps.Keys(actions))
		meanwhile := maps.Clone(actions)
		actions["something happens meanwhile"] = func(t *rapid.T) {
			name := rapid.SampledFrom(names).Draw(t, "what")
			w.store.interrupt(func() { meanwhile[name](t) })
		}
		actions[""] = func(t *rapid.T) { checkInvariants(t, w.store) }
		t.Repeat(actions)
		w.everythingEnds()
	})
}

// may accepts success, and the refusals that a caller of an open system must expect.
func (w *world) may(err error) {
	w.t.Helper()
	if err != nil && !fault.Is(err, fault.NotAllowedInState) && !fault.Is(err, fault.StaleControl) {
		require.NoError(w.t, err)
	}
}

func (w *world) userMessage(t *rapid.T) {
	d := handoff.Draft{
		Text:           rapid.SampledFrom([]string{"hi", "skip", "I am ann@example.com", "ann@example.com", "a@b.co c@d.ef"}).Draw(t, "text"),
		IdempotencyKey: rapid.SampledFrom([]string{"", "", "u1", "u2"}).Draw(t, "key"),
	}
	posted, err := w.svc.PostUserMessage(w.ctx, w.conv, d)
	require.NoError(w.t, err, "a message of the User is always accepted")
	stored, err := w.store.Event(w.ctx, w.conv, posted.Event.Seq)
	require.NoError(w.t, err)
	require.Equal(w.t, stored, posted.Event)
	if !posted.Duplicate {
		require.Equal(w.t, d.Text, stored.Text)
	}
}

func (w *world) agentMessage(t *rapid.T) {
	before := w.conversation()
	epoch := before.Epoch + rapid.Int64Range(-2, 1).Draw(t, "epoch")
	_, err := w.svc.PostAgentMessage(w.ctx, w.conv, epoch, handoff.Draft{Text: "let me help"})
	if before.Control == handoff.ControlAgent && before.Epoch == epoch && w.conversation().Epoch == epoch {
		require.NoError(w.t, err)
		return
	}
	w.may(err)
}

func (w *world) humanIsAskedFor(t *rapid.T) {
	r := handoff.Request{
		ConversationID: w.conv,
		IdempotencyKey: rapid.SampledFrom([]string{"", "", "r1", "r2"}).Draw(t, "key"),
	}
	if rapid.Bool().Draw(t, "by the Agent") {
		epoch := w.conversation().Epoch - rapid.Int64Range(0, 1).Draw(t, "turns ago")
		r.Epoch = &epoch
	}
	result, err := w.svc.RequestHandoff(w.ctx, r)
	w.may(err)
	if err == nil {
		require.Contains(w.t, handoff.Outcomes, result.Outcome)
		refused := result.Outcome == handoff.OutcomeNotReady
		require.Equal(w.t, refused, result.Handoff == nil)
	}
}

func (w *world) decision(t *rapid.T) {
	decide := rapid.SampledFrom([]string{"keep waiting", "cancel", "end", "an administrator ends"}).Draw(t, "decision")
	var err error
	switch decide {
	case "keep waiting":
		_, err = w.svc.KeepWaiting(w.ctx, w.conv)
	case "cancel":
		_, err = w.svc.Cancel(w.ctx, w.conv)
	case "end":
		_, err = w.svc.EndByUser(w.ctx, w.conv)
	default:
		_, err = w.svc.EndByAdmin(w.ctx, w.conv)
	}
	w.may(err)
}

func (w *world) address(*rapid.T) {
	_, _, err := w.svc.SetEmail(w.ctx, w.conv, "ann@example.com")
	require.NoError(w.t, err)
}

// session draws one of the Conversation's sessions, open or not.
func (w *world) session(t *rapid.T) (handoff.Handoff, bool) {
	list, err := w.svc.Handoffs(w.ctx, handoff.HandoffFilter{ConversationID: w.conv}, handoff.Page{First: 3})
	require.NoError(w.t, err)
	if len(list.Items) == 0 {
		return handoff.Handoff{}, false
	}
	return list.Items[rapid.IntRange(0, len(list.Items)-1).Draw(t, "session")], true
}

func (w *world) operatorMessage(t *rapid.T) {
	w.fromDesk(t, handoff.DeskEvent{
		Kind: handoff.DeskMessage,
		ID:   rapid.SampledFrom([]string{"", "m1", "m2", "m3"}).Draw(t, "id"),
		Text: strings.Repeat("hello ", rapid.SampledFrom([]int{1, 1, 1, handoff.MaxTextRunes / 4}).Draw(t, "length")),
	})
}

func (w *world) deskNews(t *rapid.T) {
	w.fromDesk(t, handoff.DeskEvent{
		Kind: rapid.SampledFrom([]handoff.DeskEventKind{
			handoff.DeskEnded, handoff.DeskJoined, handoff.DeskTyping, handoff.DeskRead,
		}).Draw(t, "kind"),
		OperatorName: rapid.SampledFrom([]string{"", "Olga"}).Draw(t, "name"),
	})
}

func (w *world) fromDesk(t *rapid.T, e handoff.DeskEvent) {
	h, ok := w.session(t)
	if !ok {
		return
	}
	e.Ref = h.DeskRef
	w.may(w.svc.FromDesk(w.ctx, w.desk, []handoff.DeskEvent{e}))
}

func (w *world) localOperator(t *rapid.T) {
	h, ok := w.session(t)
	if !ok || !h.DeskReadsLog {
		return
	}
	operator := rapid.SampledFrom([]string{"Olga", "Piet"}).Draw(t, "operator")
	var err error
	switch rapid.IntRange(0, 2).Draw(t, "action") {
	case 0:
		_, err = w.svc.Claim(w.ctx, h.ID, operator)
	case 1:
		_, err = w.svc.Reply(w.ctx, h.ID, operator, handoff.Draft{Text: "hello"})
	default:
		_, err = w.svc.EndByOperator(w.ctx, h.ID, operator)
	}
	w.may(err)
}

// workerTakes begins to deliver the head of a lane that nobody has. An "open" whose
// Handoff has ended is dropped with its lane: the desk never heard of it.
func (w *world) workerTakes(t *rapid.T) {
	h, ok := w.session(t)
	lane := handoff.LaneOf(h.ID)
	if _, busy := w.taken[lane]; !ok || busy {
		return
	}
	d, ok, err := w.store.Head(w.ctx, lane)
	require.NoError(w.t, err)
	switch {
	case !ok:
	case d.Kind == handoff.DeliverOpen && !h.Open():
		require.NoError(w.t, w.store.DropDeliveries(w.ctx, handoff.Drop{Lane: lane, HandoffID: h.ID}, "worker"))
	default:
		w.taken[lane] = d
	}
}

// workerFinishes records how a delivery that was taken before ended.
func (w *world) workerFinishes(t *rapid.T) {
	if len(w.taken) == 0 {
		return
	}
	lane := rapid.SampledFrom(slices.Sorted(maps.Keys(w.taken))).Draw(t, "lane")
	d := w.taken[lane]
	delete(w.taken, lane)
	outcome := rapid.IntRange(0, 5).Draw(t, "outcome")
	var err error
	switch {
	case d.Kind == handoff.DeliverOpen && outcome == 0:
		err = w.svc.DeskRefused(w.ctx, d, finishOf(d), false)
	case d.Kind == handoff.DeliverOpen && outcome == 1:
		err = w.svc.DeskRefused(w.ctx, d, finishOf(d), true)
	case d.Kind == handoff.DeliverOpen:
		err = w.svc.DeskAccepted(w.ctx, d, finishOf(d), rapid.SampledFrom([]string{"", d.HandoffID}).Draw(t, "ref"))
	case d.Kind == handoff.DeliverMessage && outcome == 0:
		err = w.svc.DeskLost(w.ctx, d, finishDead(d))
	case d.Kind == handoff.DeliverMessage && outcome == 1:
		err = w.svc.DeskHasEnded(w.ctx, d, finishOf(d))
	case d.Kind == handoff.DeliverMessage && outcome == 2:
		err = w.svc.MessageNotDelivered(w.ctx, d, finishDead(d))
	default:
		_, _, err = w.store.FinishDelivery(w.ctx, finishOf(d), w.clock.now())
	}
	require.NoError(w.t, err, "an outcome is always recorded")
}

func (w *world) timePasses(t *rapid.T) {
	if h, ok := w.session(t); ok {
		w.past = append(w.past, h)
	}
	w.pass(time.Duration(rapid.SampledFrom([]int{1, 59, 60, 180, 600}).Draw(t, "seconds")) * time.Second)
}

func (w *world) lateDeadline(t *rapid.T) {
	if len(w.past) > 0 {
		h := w.past[rapid.IntRange(0, len(w.past)-1).Draw(t, "deadline")]
		require.NoError(w.t, w.svc.FireDeadline(w.ctx, h))
	}
}

func (w *world) settingsChange(t *rapid.T) {
	w.settings(func(s *handoff.Settings) {
		s.EmailPolicy = rapid.SampledFrom([]handoff.EmailPolicy{
			handoff.EmailNever, handoff.EmailNever, handoff.EmailOptional, handoff.EmailAsk,
		}).Draw(t, "e-mail")
		s.WaitAction = rapid.SampledFrom([]handoff.WaitAction{handoff.WaitAsk, handoff.WaitEnd}).Draw(t, "wait")
		s.Enabled = rapid.IntRange(0, 7).Draw(t, "off") != 7
	})
}

// everythingEnds closes what is open: whatever happened, the chat comes back to
// the Agent, which may speak at once.
func (w *world) everythingEnds() {
	_, err := w.svc.EndByAdmin(w.ctx, w.conv)
	w.may(err)
	open, err := w.svc.OpenHandoffs(w.ctx)
	require.NoError(w.t, err)
	require.Empty(w.t, open)
	_, err = w.agentWrites("I am back")
	require.NoError(w.t, err)
}
