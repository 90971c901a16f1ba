package handoff_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// endings are the ways to end a Handoff from outside of the lifecycle's own clock.
var endings = map[string]func(*bundle) error{
	"the User ends": func(b *bundle) error {
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		return err
	},
	"the User cancels": func(b *bundle) error {
		_, err := b.svc.Cancel(b.ctx, b.conv)
		return err
	},
	"an administrator ends": func(b *bundle) error {
		_, err := b.svc.EndByAdmin(b.ctx, b.conv)
		return err
	},
	"handoff is switched off": func(b *bundle) error {
		_, err := b.svc.UpdateSettings(b.ctx, b.agent, func(s *handoff.Settings) error {
			s.Enabled = false
			return nil
		})
		return err
	},
	"the desk is disconnected": func(b *bundle) error { return b.svc.Disconnect(b.ctx, b.desk.ID) },
	"the Agent is deleted":     func(b *bundle) error { return b.svc.DeleteAgent(b.ctx, b.agent) },
	"the desk ends":            func(b *bundle) error { return b.deskSays(handoff.DeskEvent{Kind: handoff.DeskEnded}) },
}

// queued lists by kind everything that was ever queued for a Handoff.
func (b *bundle) queued(handoffID string) []handoff.DeliveryKind {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	var kinds []handoff.DeliveryKind
	for _, d := range b.store.lane(handoff.LaneOf(handoffID)).queued {
		kinds = append(kinds, d.Kind)
	}
	return kinds
}

func TestEndings(t *testing.T) {
	t.Parallel()
	type outcome struct {
		reason handoff.CloseReason // "" = not possible in this state
		notice handoff.Notice
	}
	byUser := outcome{handoff.ReasonUserEnded, handoff.NoticeEndedByUser}
	cancelled := outcome{handoff.ReasonUserCancelled, handoff.NoticeEndedByUser}
	timedOut := outcome{handoff.ReasonWaitTimeout, handoff.NoticeEndedByTimeout}
	byAdmin := outcome{handoff.ReasonAdminEnded, handoff.NoticeEnded}
	disabled := outcome{handoff.ReasonHandoffDisabled, handoff.NoticeEnded}
	byDesk := outcome{handoff.ReasonOperatorEnded, handoff.NoticeEndedByOperator}
	// In the order of handoff.States, without CLOSED.
	for name, outcomes := range map[string][]outcome{
		"the User ends":            {cancelled, cancelled, byUser, timedOut, byUser},
		"the User cancels":         {cancelled, cancelled, cancelled, timedOut, {}},
		"an administrator ends":    {byAdmin, byAdmin, byAdmin, byAdmin, byAdmin},
		"handoff is switched off":  {disabled, disabled, disabled, disabled, disabled},
		"the desk is disconnected": {disabled, disabled, disabled, disabled, disabled},
		"the Agent is deleted":     {byAdmin, byAdmin, byAdmin, byAdmin, byAdmin},
		"the desk ends":            {{}, byDesk, byDesk, byDesk, byDesk},
	} {
		for i, want := range outcomes {
			state := handoff.States[i]
			t.Run(name+" in "+string(state), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // some endings wait until the desk has heard of it
					b := setup(t)
					h := b.reach(state)
					before := b.log()
					epoch := b.conversation().Epoch
					err := endings[name](b)
					if want.reason == "" {
						requireNotAllowed(t, err, state)
						require.Equal(t, before, b.log())
						return
					}
					require.NoError(t, err)
					h = b.newest()
					require.Equal(t, handoff.StateClosed, h.State)
					require.Equal(t, want.reason, h.Reason)
					require.Equal(t, b.clock.now(), h.ClosedAt)
					require.Zero(t, h.WaitingSince)
					require.Equal(t, map[handoff.CloseReason]int{want.reason: 1}, b.counters.closed)

					said := b.log()[len(before):]
					require.Len(t, said, 3)
					require.Equal(t, "CLOSED "+string(want.reason), short(said[0]))
					require.Equal(t, want.notice, said[1].Notice)
					require.Equal(t, handoff.EventControlChanged, said[2].Kind, "last: the Agent starts when all is said")
					require.Equal(t, epoch+1, said[2].Epoch)
					require.Equal(t, said[2].Seq, h.EndSeq)
					for _, e := range said {
						require.Equal(t, h.ID, e.HandoffID)
					}

					heard := state != handoff.StateCollectingEmail
					require.Equal(t, heard && name == "the desk ends", h.DeskClosed)
					require.Equal(t, heard && name != "the desk ends", slices.Contains(b.queued(h.ID), handoff.DeliverClose))
					changes := b.feed.seen(h.ID)
					require.Equal(t, h, changes[len(changes)-1], "consoles are told")
				})
			})
		}
	}
}

func TestEndingWhatHasEnded(t *testing.T) {
	t.Parallel()
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				h := b.reach(handoff.StateClosed)
				before := b.log()
				require.NoError(t, end(b))
				require.Equal(t, before, b.log())
				require.Equal(t, h, b.newest())
			})
		})
	}
}

func TestEndingWhatNeverBegan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"the User ends", "the User cancels", "an administrator ends"} {
		requireNotAllowed(t, endings[name](b), handoff.StateClosed)
	}
	_, err := b.svc.KeepWaiting(b.ctx, b.conv)
	requireNotAllowed(t, err, handoff.StateClosed)
	require.Empty(t, b.log())
	_, err = b.svc.EndByUser(b.ctx, "cnv_unknown")
	requireFault(t, err, fault.NotFound)
}

// The answer to an end is the Handoff, also for the one who comes second.
func TestEndGivesTheHandoff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateActive)
	first, err := b.svc.EndByUser(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, b.newest(), first)
	second, err := b.svc.EndByAdmin(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, first, second)
}

func TestBothSidesEndAtOnce(t *testing.T) {
	t.Parallel()
	user, desk := endings["the User ends"], endings["the desk ends"]
	for name, c := range map[string]struct {
		first, second func(*bundle) error
		reason        handoff.CloseReason
		told          bool // the desk is told
	}{
		"the User is faster": {user, desk, handoff.ReasonUserEnded, true},
		"the desk is faster": {desk, user, handoff.ReasonOperatorEnded, false},
	} {
		check := func(t *testing.T, b *bundle, before int) {
			t.Helper()
			h := b.newest()
			require.Equal(t, c.reason, h.Reason)
			require.Len(t, b.log(), before+3, "it ends once")
			require.Equal(t, c.told, slices.Contains(b.undelivered(h.ID), "CLOSE"))
			require.Len(t, b.counters.closed, 1)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.reach(handoff.StateActive)
			before := len(b.log())
			require.NoError(t, c.first(b))
			require.NoError(t, c.second(b))
			check(t, b, before)
		})
		t.Run(name+" within one decision", func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.reach(handoff.StateActive)
			before := len(b.log())
			b.store.interrupt(func() { require.NoError(t, c.first(b)) })
			require.NoError(t, c.second(b))
			check(t, b, before)
		})
	}
}

func TestDecidedAgainAtTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateActive)
	before := b.lastSeq()
	b.store.makeStale(3)
	_, err := b.svc.EndByUser(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, 4, b.store.decisions())
	require.Equal(t, []string{"CLOSED USER_ENDED", "SYSTEM ENDED_BY_USER", "control AGENT 3"}, b.told(before))
	require.Equal(t, []string{"CLOSE"}, b.undelivered(b.newest().ID))
}

// Switching off ends the Handoffs of this Agent, all of them, and nobody else's.
func TestSwitchingOffEndsEverySession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 7 {
		b.conv = b.converse(handoff.ChannelWidget)
		b.reach(handoff.StateWaiting)
	}
	other := handoff.Agent{ID: "agt_other", Settings: handoff.DefaultSettings("UTC")}
	_, err := b.store.CreateAgent(b.ctx, other, nil)
	require.NoError(t, err)
	mine := b.agent
	b.agent = other.ID
	b.connect(remoteDesk)
	b.settings(func(s *handoff.Settings) { s.Enabled, s.EmailPolicy = true, handoff.EmailNever })
	b.conv = b.converse(handoff.ChannelWidget)
	theirs := b.reach(handoff.StateWaiting)
	b.agent = mine

	require.NoError(t, endings["handoff is switched off"](b))
	open, err := b.svc.OpenHandoffs(b.ctx)
	require.NoError(t, err)
	require.Equal(t, map[handoff.State]int64{handoff.StateWaiting: 1}, open)
	h, err := b.svc.Handoff(b.ctx, theirs.ID)
	require.NoError(t, err)
	require.Equal(t, theirs, h)
}

// An end that could not be stored is not hidden, and can be repeated.
func TestEndingWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.reach(handoff.StateWaiting)
				b.store.broken = fault.New(fault.Overloaded, "busy")
				requireFault(t, end(b), fault.Overloaded)
				b.requireState(handoff.StateWaiting, "")
				b.store.broken = nil
				require.NoError(t, end(b))
				require.Equal(t, handoff.StateClosed, b.newest().State)
			})
		})
	}
}
