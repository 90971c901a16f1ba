package handoff_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// cancelledAndAskedAgain is a Conversation whose first Handoff ended while its
// "open" was on the way, with a second one that waits for an Operator.
func cancelledAndAskedAgain(b *bundle) (open handoff.Delivery, first, second handoff.Handoff) {
	b.t.Helper()
	b.reach(handoff.StateRequesting)
	open = b.take(handoff.DeliverOpen)
	_, err := b.svc.Cancel(b.ctx, b.conv)
	require.NoError(b.t, err)
	first = b.newest()
	second = b.reach(handoff.StateWaiting)
	return open, first, second
}

func TestDeskAcceptsUnderAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateRequesting)
	d := b.take(handoff.DeliverOpen)
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
	require.Equal(t, "chat-77", b.newest().DeskRef)
	require.Empty(t, b.undelivered(h.ID), "the delivery has ended")
	b.operatorWrites("Hi")
	b.requireState(handoff.StateActive, "")

	known, err := b.svc.KnownElsewhere(b.ctx, "chat-77")
	require.NoError(t, err)
	require.True(t, known)
	known, err = b.svc.KnownElsewhere(b.ctx, h.DeskRef)
	require.NoError(t, err)
	require.False(t, known)
}

func TestDeskAcceptsAfterTheOperatorWrote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateRequesting)
	b.userWrites("hurry")
	before := b.lastSeq()
	b.operatorWrites("I am here")
	require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR I am here"}, b.told(before))
	h := b.newest()
	require.Equal(t, start, h.AcceptedAt, "the desk evidently has the session")
	require.Equal(t, []string{"OPEN", "MESSAGE 3"}, b.undelivered(h.ID))
	b.deskAccepts()
	require.Equal(t, before+3, b.lastSeq(), "connecting is not said any more")
	require.Equal(t, handoff.DeadlineSession, b.newest().DeadlineKind)
	require.Equal(t, []string{"MESSAGE 3"}, b.undelivered(h.ID))
}

func TestDeskAcceptsAfterTheEnd(t *testing.T) {
	t.Parallel()
	t.Run("what may have been opened is closed under the right id", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.reach(handoff.StateRequesting)
		d := b.take(handoff.DeliverOpen)
		b.userWrites("never mind")
		_, err := b.svc.Cancel(b.ctx, b.conv)
		require.NoError(t, err)
		log := b.log()
		require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
		require.Equal(t, log, b.log())
		h := b.newest()
		require.Equal(t, "chat-77", h.DeskRef)
		require.Equal(t, handoff.ReasonUserCancelled, h.Reason)
		require.Equal(t, []string{"MESSAGE 3", "CLOSE"}, b.undelivered(h.ID))
	})
	t.Run("while another handoff is open", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		open, first, second := cancelledAndAskedAgain(b)
		log, conversation := b.log(), b.conversation()
		require.NoError(t, b.svc.DeskAccepted(b.ctx, open, finishOf(open), "chat-77"))
		require.Equal(t, log, b.log())
		require.Equal(t, second, b.newest(), "the other one is not touched")
		require.Equal(t, conversation.OpenHandoffID, b.conversation().OpenHandoffID)
		require.Equal(t, conversation.Control, b.conversation().Control)
		require.Equal(t, []string{"CLOSE"}, b.undelivered(first.ID))
	})
}

func TestDeskRefuses(t *testing.T) {
	t.Parallel()
	for name, maybeOpened := range map[string]bool{"for certain": false, "perhaps": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.userWrites("I want a person")
			h := b.reach(handoff.StateRequesting)
			b.userWrites("please")
			before := b.lastSeq()
			b.deskRefuses(maybeOpened)
			require.Equal(t, []string{"CLOSED TRANSFER_FAILED", "SYSTEM BUSY", "control AGENT 3"}, b.told(before))
			lane := []string{}
			if maybeOpened {
				lane = append(lane, "CLOSE") // no Operator is left with a ghost session
			}
			require.Equal(t, lane, b.undelivered(h.ID))
			require.True(t, b.newest().DeskClosed)

			p, err := b.svc.ReturnPackage(b.ctx, h.ID)
			require.NoError(t, err)
			require.Len(t, p.Unanswered, 1, "what the desk never got is the Agent's again")
			require.Equal(t, "please", p.Unanswered[0].Text)
		})
	}
}

// The desk evidently had the session, whatever it answered to the request.
func TestDeskRefusesAfterTheOperatorWrote(t *testing.T) {
	t.Parallel()
	for name, maybeOpened := range map[string]bool{"for certain": false, "perhaps": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(handoff.StateRequesting)
			open := b.take(handoff.DeliverOpen)
			b.operatorWrites("Hi")
			b.userWrites("hello")
			log := b.log()
			require.NoError(t, b.svc.DeskRefused(b.ctx, open, finishOf(open), maybeOpened))
			require.Equal(t, log, b.log())
			b.requireState(handoff.StateActive, "")
			require.False(t, b.newest().DeskClosed)
			require.Equal(t, []string{"MESSAGE 6"}, b.undelivered(h.ID))
		})
		t.Run(name+" and it has ended", func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(handoff.StateRequesting)
			open := b.take(handoff.DeliverOpen)
			b.operatorWrites("Hi")
			b.userWrites("bye")
			_, err := b.svc.EndByUser(b.ctx, b.conv)
			require.NoError(t, err)
			require.NoError(t, b.svc.DeskRefused(b.ctx, open, finishOf(open), maybeOpened))
			require.Equal(t, []string{"MESSAGE 6", "CLOSE"}, b.undelivered(h.ID), "the Operator hears the last word and the end")
			require.False(t, b.newest().DeskClosed)
		})
	}
}

func TestDeskRefusesAfterTheEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end         func(*bundle) error
		maybeOpened bool
		lane        []string
	}{
		"never opened, nobody is told":            {endings["the User cancels"], false, []string{}},
		"perhaps opened, the desk is told once":   {endings["the User cancels"], true, []string{"CLOSE"}},
		"ended by the desk, it is not told back":  {endings["the desk ends"], true, []string{}},
		"ended by the desk, which never began it": {endings["the desk ends"], false, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(handoff.StateRequesting)
			open := b.take(handoff.DeliverOpen)
			b.userWrites("hello?")
			require.NoError(t, c.end(b))
			log := b.log()
			require.NoError(t, b.svc.DeskRefused(b.ctx, open, finishOf(open), c.maybeOpened))
			require.Equal(t, log, b.log())
			require.Equal(t, c.lane, b.undelivered(h.ID))
			require.True(t, b.newest().DeskClosed)
		})
	}
	t.Run("while another handoff is open", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		open, first, second := cancelledAndAskedAgain(b)
		log := b.log()
		require.NoError(t, b.svc.DeskRefused(b.ctx, open, finishOf(open), true))
		require.Equal(t, log, b.log())
		require.Equal(t, second, b.newest())
		require.Equal(t, []string{"CLOSE"}, b.undelivered(first.ID))
	})
}

func TestDeskIsLost(t *testing.T) {
	t.Parallel()
	for _, state := range []handoff.State{handoff.StateWaiting, handoff.StateWaitExpired, handoff.StateActive} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(state)
			b.userWrites("one")
			b.userWrites("two")
			d := b.take(handoff.DeliverMessage)
			before := b.lastSeq()
			require.NoError(t, b.svc.DeskLost(b.ctx, d, finishDead(d)))
			require.Equal(t, []string{"CLOSED TRANSFER_FAILED", "SYSTEM ENDED", "control AGENT 3"}, b.told(before))
			require.Empty(t, b.undelivered(h.ID), "nothing more is sent to it")
			dead, err := b.svc.Delivery(b.ctx, d.ID)
			require.NoError(t, err, "the message that showed it can be replayed")
			require.Equal(t, handoff.DeliveryDead, dead.Status)

			p, err := b.svc.ReturnPackage(b.ctx, h.ID)
			require.NoError(t, err)
			require.Len(t, p.Unanswered, 2)
		})
	}
	t.Run("after the end", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.userWrites("bye")
		d := b.take(handoff.DeliverMessage)
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		log := b.log()
		require.NoError(t, b.svc.DeskLost(b.ctx, d, finishDead(d)))
		require.Equal(t, log, b.log())
		b.requireState(handoff.StateClosed, handoff.ReasonUserEnded)
		require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID), "the end is still tried")
	})
	t.Run("while another handoff is open", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.reach(handoff.StateActive)
		b.userWrites("bye")
		d := b.take(handoff.DeliverMessage)
		b.operatorEnds()
		second := b.reach(handoff.StateActive)
		log := b.log()
		require.NoError(t, b.svc.DeskLost(b.ctx, d, finishDead(d)))
		require.Equal(t, log, b.log())
		require.Equal(t, second, b.newest())
	})
}

func TestDeskHasEnded(t *testing.T) {
	t.Parallel()
	t.Run("the news did not reach us", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.userWrites("one")
		b.userWrites("two")
		d := b.take(handoff.DeliverMessage)
		before := b.lastSeq()
		require.NoError(t, b.svc.DeskHasEnded(b.ctx, d, finishOf(d)))
		require.Equal(t, []string{"CLOSED OPERATOR_ENDED", "SYSTEM ENDED_BY_OPERATOR", "control AGENT 3"}, b.told(before))
		require.Empty(t, b.undelivered(h.ID))
		p, err := b.svc.ReturnPackage(b.ctx, h.ID)
		require.NoError(t, err)
		require.Len(t, p.Unanswered, 2)
	})
	t.Run("after the end", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.userWrites("bye")
		d := b.take(handoff.DeliverMessage)
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		log := b.log()
		require.NoError(t, b.svc.DeskHasEnded(b.ctx, d, finishOf(d)))
		require.Equal(t, log, b.log())
		require.Empty(t, b.undelivered(h.ID), "it needs no close")
	})
	t.Run("while another handoff is open", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.reach(handoff.StateActive)
		b.userWrites("bye")
		d := b.take(handoff.DeliverMessage)
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		first, second := b.newest(), b.reach(handoff.StateActive)
		log := b.log()
		require.NoError(t, b.svc.DeskHasEnded(b.ctx, d, finishOf(d)))
		require.Equal(t, log, b.log())
		require.Equal(t, second, b.newest())
		require.Empty(t, b.undelivered(first.ID))
	})
}

func TestMessageNotDelivered(t *testing.T) {
	t.Parallel()
	t.Run("the session goes on", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.userWrites("poison")
		b.userWrites("fine")
		before := b.newest()
		last := b.lastSeq()
		d := b.take(handoff.DeliverMessage)
		require.NoError(t, b.svc.MessageNotDelivered(b.ctx, d, finishDead(d)))
		require.Equal(t, []string{"failed 8", "SYSTEM NOT_DELIVERED"}, b.told(last))
		require.Equal(t, []string{"MESSAGE 9"}, b.undelivered(h.ID), "the lane goes on")
		after := b.newest()
		require.Equal(t, before.State, after.State)
		require.Equal(t, before.DeadlineAt, after.DeadlineAt)
		require.Contains(t, b.alarm.lanes, d.Lane)
	})
	t.Run("after the end", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.userWrites("poison")
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		last := b.lastSeq()
		d := b.take(handoff.DeliverMessage)
		require.NoError(t, b.svc.MessageNotDelivered(b.ctx, d, finishDead(d)))
		require.Equal(t, []string{"failed 8"}, b.told(last), "the Agent has the word; it is not interrupted")
		require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID))
		require.Equal(t, handoff.ControlAgent, b.conversation().Control)
	})
	t.Run("while another handoff is open", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.reach(handoff.StateActive)
		b.userWrites("poison")
		d := b.take(handoff.DeliverMessage)
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		second := b.reach(handoff.StateWaiting)
		last := b.lastSeq()
		require.NoError(t, b.svc.MessageNotDelivered(b.ctx, d, finishDead(d)))
		require.Equal(t, []string{"failed 8"}, b.told(last))
		require.Equal(t, first.ID, b.log()[last].HandoffID)
		require.Equal(t, second, b.newest())
	})
}

// The Handoff ends between the look at it and the decision.
func TestDeliveryOutcomeRacedByTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateRequesting)
	d := b.take(handoff.DeliverOpen)
	b.store.interrupt(func() {
		_, err := b.svc.Cancel(b.ctx, b.conv)
		require.NoError(t, err)
	})
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
	b.requireState(handoff.StateClosed, handoff.ReasonUserCancelled)
	require.Equal(t, "chat-77", b.newest().DeskRef)
	require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID))
}

func TestDeliveryOutcomeOfWhatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateRequesting)
	d := b.take(handoff.DeliverOpen)
	unknown := d
	unknown.HandoffID = "hof_unknown"
	requireFault(t, b.svc.DeskAccepted(b.ctx, unknown, finishOf(d), ""), fault.NotFound)

	// Recorded twice, because the first answer was lost.
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), ""))
	log := b.log()
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), ""))
	require.Equal(t, log, b.log())
}

func TestReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateActive)
	b.userWrites("one")
	b.userWrites("two")
	d := b.take(handoff.DeliverMessage)
	d.Attempts = 8
	require.NoError(t, b.svc.MessageNotDelivered(b.ctx, d, finishDead(d)))
	list, err := b.svc.Deliveries(b.ctx, handoff.DeliveryFilter{AgentID: b.agent, Status: handoff.DeliveryDead}, handoff.Page{First: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)

	b.alarm.forget()
	again, err := b.svc.ReplayDelivery(b.ctx, d.ID)
	require.NoError(t, err)
	require.Equal(t, handoff.DeliveryPending, again.Status)
	require.Zero(t, again.Attempts)
	require.Equal(t, []string{d.Lane}, b.alarm.lanes)
	require.Len(t, b.undelivered(h.ID), 2)
	_, err = b.svc.ReplayDelivery(b.ctx, d.ID)
	requireFault(t, err, fault.NotAllowedInState)
	_, err = b.svc.ReplayDelivery(b.ctx, "dlv_unknown")
	requireFault(t, err, fault.NotFound)

	d = b.take(handoff.DeliverMessage)
	require.NoError(t, b.svc.MessageNotDelivered(b.ctx, d, finishDead(d)))
	b.alarm.forget()
	n, err := b.svc.ReplayConnection(b.ctx, b.desk.ID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 1, b.alarm.rung)
	n, err = b.svc.ReplayConnection(b.ctx, b.desk.ID)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, 1, b.alarm.rung, "nobody is woken for nothing")
}
