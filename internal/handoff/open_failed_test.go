package handoff_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func TestAFailedOpenNamesWhatItMade(t *testing.T) {
	t.Parallel()
	for name, maybeOpened := range map[string]bool{"nothing of the last attempt arrived": false, "perhaps": true} {
		t.Run("and is closed there when it is given up: "+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(handoff.StateRequesting)
			d := b.take(handoff.DeliverOpen)
			log := b.log()
			require.NoError(t, b.svc.DeskBegan(b.ctx, d, "chat-77"))
			require.Equal(t, log, b.log(), "the User is told nothing")
			require.Equal(t, "chat-77", b.newest().DeskRef)
			require.True(t, b.newest().DeskBegun)
			require.Equal(t, []string{"OPEN"}, b.undelivered(h.ID), "it is tried again")

			require.NoError(t, b.svc.DeskRefused(b.ctx, d, finishOf(d), maybeOpened))
			b.requireState(handoff.StateClosed, handoff.ReasonTransferFailed)
			require.Equal(t, "chat-77", b.newest().DeskRef)
			require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID))
		})
	}
	t.Run("and is accepted there later", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.reach(handoff.StateRequesting)
		d := b.take(handoff.DeliverOpen)
		require.NoError(t, b.svc.DeskBegan(b.ctx, d, "chat-77"))
		version := b.newest().Version
		require.NoError(t, b.svc.DeskBegan(b.ctx, d, "chat-77"))
		require.Equal(t, version, b.newest().Version, "the same again changes nothing")
		require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
		b.requireState(handoff.StateWaiting, "")
		require.False(t, b.newest().DeskBegun)
	})
	t.Run("after the User has cancelled", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		open, first, second := cancelledAndAskedAgain(b)
		require.NoError(t, b.svc.DeskBegan(b.ctx, open, "chat-77"))
		require.Equal(t, second, b.newest(), "the other one is not touched")
		require.NoError(t, b.svc.DeskRefused(b.ctx, open, finishOf(open), false))
		h, err := b.svc.Handoff(b.ctx, first.ID)
		require.NoError(t, err)
		require.Equal(t, "chat-77", h.DeskRef)
		require.Equal(t, []string{"CLOSE"}, b.undelivered(first.ID))
	})
	t.Run("after the Operator wrote there", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.reach(handoff.StateRequesting)
		d := b.take(handoff.DeliverOpen)
		b.operatorWrites("Hi")
		before := b.newest()
		require.NoError(t, b.svc.DeskBegan(b.ctx, d, "chat-77"))
		require.Equal(t, before, b.newest(), "the session is where the Operator answers")
	})
}

// A desk that has one chat per person may give two Conversations of that person the
// same one.
func TestASessionOfAnotherHandoffIsARefusal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateRequesting)
	d := b.take(handoff.DeliverOpen)
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
	first, conversation := b.newest(), b.conv

	b.conv = b.converse(handoff.ChannelWidget)
	h := b.reach(handoff.StateRequesting)
	b.userWrites("hello?")
	d = b.take(handoff.DeliverOpen)
	before := b.lastSeq()
	require.NoError(t, b.svc.DeskBegan(b.ctx, d, "chat-77"))
	require.False(t, b.newest().DeskBegun, "what is another's is not ours to close")
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
	require.Equal(t, []string{"CLOSED TRANSFER_FAILED", "SYSTEM BUSY", "control AGENT 3"}, b.told(before))
	require.NotEqual(t, "chat-77", b.newest().DeskRef)
	require.Empty(t, b.undelivered(h.ID), "closing would end the other one")

	b.conv = conversation
	require.Equal(t, first, b.newest())
	b.operatorWrites("still here")
	b.requireState(handoff.StateActive, "")
}
