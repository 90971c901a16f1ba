package handoff_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestControlMovesWithTheHandoff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, int64(1), b.conversation().Epoch)
	require.Equal(t, handoff.ControlAgent, b.conversation().Control)
	for round := range int64(3) {
		b.reach(handoff.StateActive)
		require.Equal(t, handoff.ControlHandoff, b.conversation().Control)
		require.Equal(t, 2+2*round, b.conversation().Epoch)
		b.operatorEnds()
		require.Equal(t, handoff.ControlAgent, b.conversation().Control)
		require.Equal(t, 3+2*round, b.conversation().Epoch)
	}
}

// In no open state does the Agent get a word in, whatever epoch it names.
func TestAgentIsSilentWhileAHandoffIsOpen(t *testing.T) {
	t.Parallel()
	for _, state := range handoff.States[:len(handoff.States)-1] {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.reach(state)
			before := b.conversation()
			for epoch := range before.Epoch + 2 {
				_, err := b.svc.PostAgentMessage(b.ctx, b.conv, epoch, handoff.Draft{Text: "let me help"})
				f := requireFault(t, err, fault.StaleControl)
				require.Equal(t, string(handoff.ControlHandoff), f.State)
				require.Equal(t, "epoch", f.Field)
			}
			require.Equal(t, before, b.conversation())
			require.Zero(t, b.counters.accepted[handoff.AuthorAgent])
		})
	}
}

func TestAgentSpeaksUnderTheNewEpochOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	posted, err := b.svc.PostAgentMessage(b.ctx, b.conv, 1, handoff.Draft{Text: "hello", IdempotencyKey: "a1"})
	require.NoError(t, err)
	require.Equal(t, int64(1), posted.Event.Epoch)
	b.reach(handoff.StateClosed)
	for _, epoch := range []int64{0, 1, 2, 4} {
		_, err := b.svc.PostAgentMessage(b.ctx, b.conv, epoch, handoff.Draft{Text: "late"})
		requireFault(t, err, fault.StaleControl)
	}
	again, err := b.svc.PostAgentMessage(b.ctx, b.conv, 1, handoff.Draft{Text: "hello", IdempotencyKey: "a1"})
	require.NoError(t, err, "a repeat of what was accepted in time is answered")
	require.True(t, again.Duplicate)
	require.Equal(t, posted.Event, again.Event)
	_, err = b.svc.PostAgentMessage(b.ctx, b.conv, 3, handoff.Draft{Text: "I am back"})
	require.NoError(t, err)
}

// The answer of the Agent and the takeover are decided at the same time: whoever
// commits first is first, and a late answer never appears.
func TestTakeoverWithALateAgentMessage(t *testing.T) {
	t.Parallel()
	t.Run("the takeover commits first", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.store.interrupt(func() { b.request() })
		_, err := b.svc.PostAgentMessage(b.ctx, b.conv, 1, handoff.Draft{Text: "late"})
		requireFault(t, err, fault.StaleControl)
		require.Equal(t, []string{"REQUESTING", "control HANDOFF 2"}, b.told(0))
	})
	t.Run("the message commits first", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.store.interrupt(func() {
			_, err := b.svc.PostAgentMessage(b.ctx, b.conv, 1, handoff.Draft{Text: "in time"})
			require.NoError(t, err)
		})
		r := b.request()
		require.Equal(t, []string{"AGENT in time", "REQUESTING", "control HANDOFF 2"}, b.told(0))
		require.Equal(t, int64(1), r.Handoff.RequestSeq, "the message belongs to the context")
	})
	t.Run("a whole handoff passes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.store.interrupt(func() { b.reach(handoff.StateClosed) })
		_, err := b.svc.PostAgentMessage(b.ctx, b.conv, 1, handoff.Draft{Text: "late"})
		require.Equal(t, string(handoff.ControlAgent), requireFault(t, err, fault.StaleControl).State)
	})
}

func TestLateToolCallOfTheAgent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	epoch := b.conversation().Epoch
	ask := func() (handoff.RequestResult, error) {
		return b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, Epoch: &epoch})
	}
	r, err := ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeRequesting, r.Outcome)
	r, err = ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeAlreadyActive, r.Outcome)

	_, err = b.svc.EndByUser(b.ctx, b.conv)
	require.NoError(t, err)
	before := b.lastSeq()
	_, err = ask()
	requireFault(t, err, fault.StaleControl)
	require.Equal(t, before, b.lastSeq())

	epoch = b.conversation().Epoch
	r, err = ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeRequesting, r.Outcome)
}

// An Agent that talks all the time, a User who asks for a human again and again:
// the invariants that the store and the log check hold.
func TestTakeoversUnderLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				c, err := b.svc.Conversation(b.ctx, b.conv)
				if err == nil {
					_, _ = b.svc.PostAgentMessage(b.ctx, b.conv, c.Epoch, handoff.Draft{Text: "hm"})
				}
			}
		})
	}
	for range 30 {
		b.reach(handoff.StateClosed)
	}
	close(done)
	group.Wait()
	require.Equal(t, int64(61), b.conversation().Epoch)
}

// What the User writes reaches the desk in every state from the request to the end.
func TestUserMessagesWhileOpen(t *testing.T) {
	t.Parallel()
	for _, state := range []handoff.State{
		handoff.StateRequesting, handoff.StateWaiting, handoff.StateWaitExpired, handoff.StateActive,
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(state)
			before := b.lastSeq()
			first := b.userWrites("one")
			b.userWrites("two")
			require.Equal(t, []string{"USER one", "USER two"}, b.told(before))
			require.Equal(t, h.ID, first.Event.HandoffID)
			lane := b.undelivered(h.ID)
			if state == handoff.StateRequesting {
				require.Equal(t, "OPEN", lane[0])
				lane = lane[1:]
			}
			require.Len(t, lane, 2)
			d := b.take(map[bool]handoff.DeliveryKind{true: handoff.DeliverOpen, false: handoff.DeliverMessage}[state == handoff.StateRequesting])
			if d.Kind == handoff.DeliverMessage {
				require.Equal(t, first.Event.Seq, d.EventSeq)
			}
			after := b.newest()
			require.Equal(t, state, after.State, "a message moves no state")
			if state == handoff.StateActive {
				require.Zero(t, after.DeadlineAt, "the User is there")
			} else {
				require.Equal(t, h.DeadlineAt, after.DeadlineAt, "typing does not prolong the wait")
			}
			require.Equal(t, 2, b.counters.accepted[handoff.AuthorUser])
		})
	}
}

func TestUserMessagesWithoutAHandoffAreTheAgents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	posted := b.userWrites("hello")
	require.Empty(t, posted.Event.HandoffID)
	require.Nil(t, posted.Handoff)
	h := b.reach(handoff.StateClosed)
	lane := b.undelivered(h.ID)
	posted = b.userWrites("thanks")
	require.Empty(t, posted.Event.HandoffID)
	require.Equal(t, lane, b.undelivered(h.ID))
}

func TestUserMessageKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateActive)
	write := func() handoff.Posted {
		p, err := b.svc.PostUserMessage(b.ctx, b.conv, handoff.Draft{Text: "once", IdempotencyKey: "k"})
		require.NoError(t, err)
		return p
	}
	first := write()
	require.False(t, first.Duplicate)
	again := write()
	require.True(t, again.Duplicate)
	require.Equal(t, first.Event, again.Event)
	require.Equal(t, 1, b.counters.accepted[handoff.AuthorUser])
	require.Len(t, b.undelivered(h.ID), 1)

	_, err := b.svc.EndByUser(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, first.Event, write().Event, "also after the end")
	other, err := b.svc.PostAgentMessage(b.ctx, b.conv, b.conversation().Epoch, handoff.Draft{Text: "mine", IdempotencyKey: "k"})
	require.NoError(t, err)
	require.Equal(t, "AGENT mine", short(other.Event), "writers have keys of their own")
}
