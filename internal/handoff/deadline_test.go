package handoff_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateRequesting)
	before := b.lastSeq()
	b.clock.advance(4 * time.Second)
	b.alarm.forget()
	b.deskAccepts()
	h := b.newest()
	require.Equal(t, []string{"WAITING", "SYSTEM CONNECTING"}, b.told(before))
	require.Equal(t, handoff.DeadlineWait, h.DeadlineKind)
	require.Equal(t, b.clock.now().Add(60*time.Second), h.DeadlineAt)
	require.Equal(t, b.clock.now(), h.AcceptedAt)
	require.Equal(t, b.clock.now(), h.WaitingSince)
	require.Zero(t, h.ConnectedAt)
	require.Equal(t, []time.Time{h.DeadlineAt}, b.alarm.deadlines)
}

func TestNobodyWritesInTime(t *testing.T) {
	t.Parallel()
	asks := map[handoff.Channel]bool{
		handoff.ChannelWidget: true, handoff.ChannelIframe: true, handoff.ChannelShare: true, handoff.ChannelAPI: true,
		handoff.ChannelWhatsApp: false, handoff.ChannelLine: false, handoff.ChannelIntercom: false,
	}
	for _, action := range []handoff.WaitAction{handoff.WaitAsk, handoff.WaitEnd} {
		for channel, canAsk := range asks {
			t.Run(string(action)+" on "+string(channel), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.settings(func(s *handoff.Settings) { s.WaitAction = action })
				if channel.OfDesk() {
					b.desk = b.connect(messengerDesk)
					b.conv = b.converseInMessenger("ref-1")
				} else {
					b.conv = b.converse(channel)
				}
				h := b.reach(handoff.StateWaiting)
				before := b.lastSeq()
				b.pass(60*time.Second - 1)
				require.Equal(t, h, b.newest(), "never early")
				b.pass(1)
				if action == handoff.WaitAsk && canAsk {
					require.Equal(t, []string{"WAIT_EXPIRED", "SYSTEM KEEP_WAITING"}, b.told(before))
					h = b.newest()
					require.Equal(t, handoff.DeadlineAnswer, h.DeadlineKind)
					require.Equal(t, b.clock.now().Add(60*time.Second), h.DeadlineAt)
					require.Equal(t, start, h.WaitingSince, "the User waits since the beginning")
					require.Empty(t, b.undelivered(h.ID))
					return
				}
				require.Equal(t, []string{"CLOSED WAIT_TIMEOUT", "SYSTEM ENDED_BY_TIMEOUT", "control AGENT 3"}, b.told(before))
				if channel.OfDesk() { // what the Agent says goes the same way
					ended := b.lastSeq() - 1
					require.Equal(t, []string{fmt.Sprintf("SAY %d", before), "CLOSE", fmt.Sprintf("SAY %d", ended)}, b.undelivered(h.ID))
					return
				}
				require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID))
			})
		}
	}
}

func TestKeepWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaitExpired)
	b.pass(20 * time.Second)
	before := b.lastSeq()
	h, err := b.svc.KeepWaiting(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, handoff.StateWaiting, h.State)
	require.Equal(t, handoff.DeadlineWait, h.DeadlineKind)
	require.Equal(t, b.clock.now().Add(60*time.Second), h.DeadlineAt, "a fresh deadline")
	require.Equal(t, start, h.WaitingSince)
	require.Equal(t, []string{"WAITING"}, b.told(before), "connecting is not said again")

	b.pass(10 * time.Second)
	again, err := b.svc.KeepWaiting(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, h, again, "pressing twice prolongs nothing")

	b.pass(50 * time.Second)
	b.requireState(handoff.StateWaitExpired, "")
	_, err = b.svc.KeepWaiting(b.ctx, b.conv)
	require.NoError(t, err)
	b.pass(60 * time.Second)
	b.requireState(handoff.StateWaitExpired, "")
	b.pass(60 * time.Second)
	b.requireState(handoff.StateClosed, handoff.ReasonWaitTimeout)
	require.Equal(t, map[handoff.CloseReason]int{handoff.ReasonWaitTimeout: 1}, b.counters.closed)

	_, err = b.svc.KeepWaiting(b.ctx, b.conv)
	requireNotAllowed(t, err, handoff.StateClosed)
}

func TestTheQuestionIsAnsweredWithEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bundle) (handoff.Handoff, error){
		"end":    func(b *bundle) (handoff.Handoff, error) { return b.svc.EndByUser(b.ctx, b.conv) },
		"cancel": func(b *bundle) (handoff.Handoff, error) { return b.svc.Cancel(b.ctx, b.conv) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.reach(handoff.StateWaitExpired)
			b.userWrites("hm") // no answer to the question
			b.requireState(handoff.StateWaitExpired, "")
			h, err := end(b)
			require.NoError(t, err)
			require.Equal(t, handoff.ReasonWaitTimeout, h.Reason)
			require.Equal(t, []string{"MESSAGE 7", "CLOSE"}, b.undelivered(h.ID))
		})
	}
}

func TestAnOperatorWritesAtLast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaitExpired)
	before := b.lastSeq()
	b.operatorWrites("Sorry for the wait")
	require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR Sorry for the wait"}, b.told(before))
	h := b.newest()
	require.Zero(t, h.WaitingSince)
	require.Equal(t, b.clock.now(), h.ConnectedAt)
	require.Equal(t, handoff.DeadlineSession, h.DeadlineKind)
	_, err := b.svc.KeepWaiting(b.ctx, b.conv)
	require.NoError(t, err, "a choice made as the Operator wrote")
	require.Equal(t, h, b.newest())
}

func TestSessionDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateActive)
	require.Equal(t, b.clock.now().Add(180*time.Second), b.newest().DeadlineAt)

	b.pass(100 * time.Second)
	b.operatorWrites("Are you there?")
	require.Equal(t, b.clock.now().Add(180*time.Second), b.newest().DeadlineAt, "armed again by every Operator message")

	b.pass(100 * time.Second)
	b.userWrites("yes")
	require.Zero(t, b.newest().DeadlineAt, "cleared by the User")
	b.userWrites("still here")
	b.pass(24 * time.Hour)
	b.requireState(handoff.StateActive, "") // a silent Operator never trips it

	b.operatorWrites("One moment")
	before := b.lastSeq()
	b.pass(180*time.Second - 1)
	b.requireState(handoff.StateActive, "")
	b.pass(1)
	require.Equal(t, []string{"CLOSED SESSION_TIMEOUT", "SYSTEM ENDED_BY_TIMEOUT", "control AGENT 3"}, b.told(before))
	lane := b.undelivered(b.newest().ID)
	require.Equal(t, "CLOSE", lane[len(lane)-1])
}

func TestDeadlineFiredAtTheWrongTime(t *testing.T) {
	t.Parallel()
	t.Run("early", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateWaiting)
		b.clock.advance(60*time.Second - 1)
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		require.Equal(t, h, b.newest())
	})
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateWaiting)
		b.clock.advance(time.Hour)
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		b.requireState(handoff.StateWaitExpired, "")
		require.Equal(t, b.clock.now().Add(60*time.Second), b.newest().DeadlineAt, "the User gets the whole time to answer")
	})
	t.Run("after it was moved", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.clock.advance(100 * time.Second)
		b.operatorWrites("hello?")
		b.clock.advance(100 * time.Second)
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		b.requireState(handoff.StateActive, "")
	})
	t.Run("after it was cleared", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.userWrites("here")
		b.clock.advance(time.Hour)
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		b.requireState(handoff.StateActive, "")
	})
	t.Run("after another state came", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateWaiting)
		b.clock.advance(60 * time.Second)
		b.operatorWrites("hello")
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		b.requireState(handoff.StateActive, "")
	})
	t.Run("after the end", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateWaiting)
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		b.clock.advance(time.Hour)
		before := b.lastSeq()
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		next := b.reach(handoff.StateWaiting)
		b.clock.advance(time.Hour)
		require.NoError(t, b.svc.FireDeadline(b.ctx, h), "nor the deadline of the next one")
		require.Equal(t, next, b.newest())
		require.Greater(t, b.lastSeq(), before)
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateWaiting)
		b.clock.advance(60 * time.Second)
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		before := b.lastSeq()
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		require.Equal(t, before, b.lastSeq())
	})
}

// At the very moment of the deadline somebody writes: one of both wins, and the
// other finds it decided.
func TestDeadlineRacedByAMessage(t *testing.T) {
	t.Parallel()
	t.Run("the Operator is faster than the wait deadline", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateWaiting)
		b.clock.advance(60 * time.Second)
		before := b.lastSeq()
		b.store.interrupt(func() { b.operatorWrites("hello") })
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR hello"}, b.told(before))
	})
	t.Run("the User is faster than the session deadline", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.clock.advance(180 * time.Second)
		b.store.interrupt(func() { b.userWrites("wait!") })
		require.NoError(t, b.svc.FireDeadline(b.ctx, h))
		b.requireState(handoff.StateActive, "")
	})
	t.Run("the session deadline is faster than the Operator", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.clock.advance(180 * time.Second)
		before := b.lastSeq()
		b.store.interrupt(func() { require.NoError(t, b.svc.FireDeadline(b.ctx, h)) })
		err := b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "too late"})
		requireFault(t, err, fault.NotAllowedInState)
		require.Equal(t, []string{"CLOSED SESSION_TIMEOUT", "SYSTEM ENDED_BY_TIMEOUT", "control AGENT 3"}, b.told(before))
	})
	t.Run("the session deadline is faster than the User", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := b.reach(handoff.StateActive)
		b.clock.advance(180 * time.Second)
		b.store.interrupt(func() { require.NoError(t, b.svc.FireDeadline(b.ctx, h)) })
		posted := b.userWrites("am I late?")
		require.Empty(t, posted.Event.HandoffID, "the message is the Agent's")
		require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID))
	})
}
