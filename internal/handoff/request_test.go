package handoff_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

// requestWhile asks for a human, lets do happen while the caller waits for the
// desk, and gives the answer.
func (b *bundle) requestWhile(do func()) handoff.RequestResult {
	b.t.Helper()
	type answer struct {
		handoff.RequestResult
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		r, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, Wait: handoff.MaxRequestWait})
		answers <- answer{r, err}
	}()
	<-b.feed.waiting
	do()
	a := <-answers
	require.NoError(b.t, a.err)
	return a.RequestResult
}

func TestRequestGoesOnItsWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.userWrites("I want to talk to a person")
	before := b.lastSeq()

	r, err := b.svc.RequestHandoff(b.ctx, handoff.Request{
		ConversationID: b.conv, Note: "  angry \n", Summary: "lost parcel", Email: " ann@example.com ",
	})
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeRequesting, r.Outcome)
	require.Empty(t, r.Text)
	require.Equal(t, []string{"REQUESTING", "control HANDOFF 2"}, b.told(before))
	require.Equal(t, []string{"OPEN"}, b.undelivered(r.Handoff.ID))
	require.Equal(t, []string{handoff.LaneOf(r.Handoff.ID)}, b.alarm.lanes)

	h := b.newest()
	require.Equal(t, h, *r.Handoff)
	require.Equal(t, "angry", h.Note)
	require.Equal(t, "lost parcel", h.Summary)
	require.Equal(t, "ann@example.com", h.Email)
	require.Equal(t, before, h.RequestSeq, "the context ends with the newest event before the request")
	require.Regexp(t, `^[0-9a-f]{24}$`, h.DeskRef)
	require.Equal(t, b.desk.ID, h.ConnectionID)
	require.Equal(t, start, h.RequestedAt)
	require.Zero(t, h.DeadlineAt, "an answer to the request is the relay's to wait for")
	require.Equal(t, "ann@example.com", b.conversation().User.Email)
	require.Equal(t, 1, b.counters.requested[handoff.OutcomeRequesting])
	require.Len(t, b.feed.seen(h.ID), 1)
}

func TestRequestOutcomesOfTheDesk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(b *bundle)
		want handoff.Outcome
	}{
		"accepted":            {func(b *bundle) { b.deskAccepts() }, handoff.OutcomeConnecting},
		"an Operator writes":  {func(b *bundle) { b.operatorWrites("Hi") }, handoff.OutcomeConnecting},
		"refused":             {func(b *bundle) { b.deskRefuses(false) }, handoff.OutcomeTransferFailed},
		"nobody knows":        {func(b *bundle) { b.deskRefuses(true) }, handoff.OutcomeTransferFailed},
		"the User cancels":    {func(b *bundle) { _, err := b.svc.Cancel(b.ctx, b.conv); require.NoError(b.t, err) }, handoff.OutcomeEnded},
		"ended by the desk":   {func(b *bundle) { b.operatorEnds() }, handoff.OutcomeEnded},
		"ended by an admin":   {func(b *bundle) { _, err := b.svc.EndByAdmin(b.ctx, b.conv); require.NoError(b.t, err) }, handoff.OutcomeEnded},
		"messages before yes": {func(b *bundle) { b.userWrites("hurry"); b.deskAccepts() }, handoff.OutcomeConnecting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := b.requestWhile(func() { c.do(b) })
			require.Equal(t, c.want, r.Outcome)
			require.Equal(t, b.newest(), *r.Handoff)
			require.Equal(t, map[handoff.Outcome]int{c.want: 1}, b.counters.requested)
		})
	}
}

func (b *bundle) deskRefuses(maybeOpened bool) {
	b.t.Helper()
	d := b.take(handoff.DeliverOpen)
	require.NoError(b.t, b.svc.DeskRefused(b.ctx, d, finishOf(d), maybeOpened))
}

func TestRequestWaitsNoLongerThanAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		began := time.Now()
		r, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, Wait: 7 * time.Second})
		require.NoError(t, err)
		require.Equal(t, handoff.OutcomeRequesting, r.Outcome)
		require.Equal(t, 7*time.Second, time.Since(began))
	})
}

func TestRequestOfACallerWhoLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(b.ctx)
	failed := make(chan error, 1)
	go func() {
		_, err := b.svc.RequestHandoff(ctx, handoff.Request{ConversationID: b.conv, Wait: handoff.MaxRequestWait})
		failed <- err
	}()
	<-b.feed.waiting
	cancel()
	requireFault(t, <-failed, fault.Canceled)
	b.requireState(handoff.StateRequesting, "") // the request goes on
}

func TestRequestWhileOpen(t *testing.T) {
	t.Parallel()
	for _, state := range handoff.States[:len(handoff.States)-1] {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reach(state)
			before := b.conversation()
			r := b.request()
			require.Equal(t, handoff.OutcomeAlreadyActive, r.Outcome)
			require.Equal(t, h, *r.Handoff)
			require.Equal(t, before, b.conversation())
			require.Equal(t, h, b.newest(), "nothing was changed")
		})
	}
}

func TestRequestOutOfService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settings(func(s *handoff.Settings) {
		s.TimeZone = "Asia/Taipei" // 18:00 there when the tests begin
		s.Hours = []hours.Rule{{Kind: hours.Weekly, Weekdays: []time.Weekday{time.Monday, time.Tuesday}, Start: 9 * 60, End: 18 * 60}}
	})
	r := b.request()
	require.Equal(t, handoff.OutcomeOutOfService, r.Outcome)
	require.Nil(t, r.Handoff)
	require.Equal(t, "Our colleagues are not available at this time.", r.Text)
	require.True(t, r.NextOpening.Equal(time.Date(2026, 3, 3, 1, 0, 0, 0, time.UTC)), "%v", r.NextOpening)
	require.Equal(t, []string{"SYSTEM OUT_OF_HOURS"}, b.told(0))
	require.Equal(t, r.Text, b.log()[0].Text)
	require.Equal(t, handoff.ControlAgent, b.conversation().Control)
	require.Empty(t, b.alarm.lanes)

	b.settings(func(s *handoff.Settings) { s.OffHoursReply = "Back at nine." })
	require.Equal(t, "Back at nine.", b.request().Text)

	b.clock.advance(-time.Second) // 17:59:59
	require.Equal(t, handoff.OutcomeRequesting, b.request().Outcome)
}

func TestRequestWithoutANextOpening(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settings(func(s *handoff.Settings) {
		s.Hours = []hours.Rule{{Kind: hours.Dated, Date: hours.Date{Year: 2026, Month: 3, Day: 1}, Start: 0, End: hours.EndOfDay}}
	})
	r := b.request()
	require.Equal(t, handoff.OutcomeOutOfService, r.Outcome)
	require.Zero(t, r.NextOpening)
}

func TestRequestNotReady(t *testing.T) {
	t.Parallel()
	requireNotReady := func(t *testing.T, b *bundle, detail string) {
		t.Helper()
		r := b.request()
		require.Equal(t, handoff.OutcomeNotReady, r.Outcome)
		require.Nil(t, r.Handoff)
		require.Contains(t, r.Detail, detail)
		require.Empty(t, r.Text)
		require.Empty(t, b.told(0), "the User is told nothing: the Agent is")
	}
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.settings(func(s *handoff.Settings) { s.Enabled = false })
		requireNotReady(t, b, "switched off")
	})
	t.Run("no active connection", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.store.UpdateConnection(b.ctx, b.desk.ID, start, func(c *handoff.Connection) error {
			c.Active = false
			return nil
		})
		require.NoError(t, err)
		requireNotReady(t, b, "no desk connection is active")
	})
	t.Run("unavailable", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.svc.ReportDesk(b.ctx, b.desk.ID, fault.New(fault.DeskUnavailable, "down"))
		requireNotReady(t, b, "UNAVAILABLE")
	})
}

func TestRequestOnTheWrongChannel(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T) *bundle{
		"a messenger, the desk serves the Agent's channels": func(t *testing.T) *bundle {
			b := setupDesk(t, messengerDesk)
			b.connect(remoteDesk)
			require.NoError(t, b.svc.Disconnect(b.ctx, b.desk.ID))
			return b
		},
		"the Agent's channel, the desk serves its own": func(t *testing.T) *bundle {
			b := setupDesk(t, messengerDesk)
			b.conv = b.converse(handoff.ChannelWidget)
			return b
		},
		"a messenger, another connection serves its own": func(t *testing.T) *bundle {
			b := setupDesk(t, messengerDesk)
			b.connect(messengerDesk)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t)
			before := b.lastSeq()
			r := b.request()
			require.Equal(t, handoff.OutcomeWrongChannel, r.Outcome)
			require.Nil(t, r.Handoff)
			require.Contains(t, r.Detail, string(b.conversation().Channel))
			require.Empty(t, b.told(before))
		})
	}
}

func TestRequestFromAMessenger(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	b.connect(remoteDesk) // one active connection per mode
	r := b.request()
	require.Equal(t, handoff.OutcomeRequesting, r.Outcome)
	require.Equal(t, handoff.ModeDeskToDesk, r.Handoff.Mode)
	require.Equal(t, messengerDesk, r.Handoff.DeskKind)
}

// Everything is wrong at first; what a caller hears of is mended one after the other.
func TestRequestOrderOfChecks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conv = b.converse(handoff.ChannelLine)
	b.reach(handoff.StateRequesting)
	b.settings(func(s *handoff.Settings) {
		s.Hours = []hours.Rule{{Kind: hours.Dated, Date: hours.Date{Year: 2030, Month: 1, Day: 1}, Start: 0, End: hours.EndOfDay}}
	})
	b.svc.ReportDesk(b.ctx, b.desk.ID, fault.New(fault.DeskUnavailable, "down"))
	late := int64(7)
	ask := func() (handoff.RequestResult, error) {
		return b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, Epoch: &late})
	}

	r, err := ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeAlreadyActive, r.Outcome)

	b.settings(func(s *handoff.Settings) { s.Enabled = false }) // ends it
	_, err = ask()
	require.Equal(t, "epoch", requireFault(t, err, fault.StaleControl).Field)

	late = b.conversation().Epoch
	r, err = ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeNotReady, r.Outcome)
	require.Contains(t, r.Detail, "switched off")

	b.settings(func(s *handoff.Settings) { s.Enabled = true })
	line := b.conv
	external := b.desk
	b.desk = b.connect(messengerDesk)
	b.conv = b.converseInMessenger("ref-1")
	require.NoError(t, b.svc.Disconnect(b.ctx, b.desk.ID))
	require.Equal(t, handoff.OutcomeWrongChannel, b.request().Outcome)
	b.desk, b.conv = external, line

	r, err = ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeOutOfService, r.Outcome)

	b.settings(func(s *handoff.Settings) { s.Hours = nil })
	r, err = ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeNotReady, r.Outcome)
	require.Contains(t, r.Detail, "UNAVAILABLE")

	b.svc.ReportDesk(b.ctx, b.desk.ID, nil)
	r, err = ask()
	require.NoError(t, err)
	require.Equal(t, handoff.OutcomeRequesting, r.Outcome)
}

func TestRequestInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		r     handoff.Request
		field string // "" = accepted
	}{
		"note at the limit":     {handoff.Request{Note: strings.Repeat("語", handoff.MaxNoteRunes)}, ""},
		"note beyond it":        {handoff.Request{Note: strings.Repeat("語", handoff.MaxNoteRunes+1)}, "note"},
		"note with NUL":         {handoff.Request{Note: "a\x00b"}, "note"},
		"summary at the limit":  {handoff.Request{Summary: strings.Repeat("s", handoff.MaxNoteRunes)}, ""},
		"summary beyond it":     {handoff.Request{Summary: strings.Repeat("s", handoff.MaxNoteRunes+1)}, "summary"},
		"no e-mail address":     {handoff.Request{Email: "ann at example"}, "email"},
		"wait of less than 0":   {handoff.Request{Wait: -1}, "waitSeconds"},
		"wait beyond the limit": {handoff.Request{Wait: handoff.MaxRequestWait + 1}, "waitSeconds"},
		"key at the limit":      {handoff.Request{IdempotencyKey: strings.Repeat("k", handoff.MaxIdempotencyKeyLength)}, ""},
		"key beyond it":         {handoff.Request{IdempotencyKey: strings.Repeat("k", handoff.MaxIdempotencyKeyLength+1)}, "idempotencyKey"},
		"key of two lines":      {handoff.Request{IdempotencyKey: "a\nb"}, "idempotencyKey"},
	} {
		c.r.ConversationID = b.converse(handoff.ChannelWidget)
		r, err := b.svc.RequestHandoff(b.ctx, c.r)
		if c.field == "" {
			require.NoError(t, err, name)
			require.Equal(t, handoff.OutcomeRequesting, r.Outcome, name)
			continue
		}
		requireInvalid(t, err, c.field)
		stored, err := b.svc.Conversation(b.ctx, c.r.ConversationID)
		require.NoError(t, err)
		require.Zero(t, stored.LastSeq, name)
	}
	_, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: "cnv_unknown"})
	requireFault(t, err, fault.NotFound)
}

// What the settings said at the request holds for the whole Handoff.
func TestRequestCopiesTheSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settings(func(s *handoff.Settings) {
		s.WaitTimeout, s.SessionTimeout, s.ContextRounds, s.WaitAction = 90, 240, 7, handoff.WaitAsk
	})
	h := b.reach(handoff.StateWaiting)
	require.Equal(t, handoff.Seconds(90), h.WaitTimeout)
	require.Equal(t, handoff.Seconds(240), h.SessionTimeout)
	require.Equal(t, 7, h.ContextRounds)

	b.settings(func(s *handoff.Settings) { s.WaitTimeout, s.SessionTimeout, s.WaitAction = 5, 5, handoff.WaitEnd })
	b.pass(89 * time.Second)
	b.requireState(handoff.StateWaiting, "")
	b.pass(time.Second)
	b.requireState(handoff.StateWaitExpired, "")
	b.operatorWrites("Hi")
	require.Equal(t, b.clock.now().Add(240*time.Second), b.newest().DeadlineAt)
}

func TestRequestKey(t *testing.T) {
	t.Parallel()
	keyed := func(b *bundle, key string) handoff.RequestResult {
		b.t.Helper()
		r, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, IdempotencyKey: key})
		require.NoError(b.t, err)
		return r
	}
	t.Run("repeated while open", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := keyed(b, "k")
		require.Equal(t, handoff.OutcomeRequesting, first.Outcome)
		b.deskAccepts()
		again := keyed(b, "k")
		require.Equal(t, handoff.OutcomeConnecting, again.Outcome)
		require.Equal(t, first.Handoff.ID, again.Handoff.ID)
		require.Equal(t, handoff.OutcomeAlreadyActive, keyed(b, "other").Outcome)
		require.Equal(t, map[handoff.Outcome]int{handoff.OutcomeRequesting: 1, handoff.OutcomeAlreadyActive: 1}, b.counters.requested)
	})
	t.Run("repeated during the e-mail step", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.settings(func(s *handoff.Settings) { s.EmailPolicy = handoff.EmailAsk })
		first := keyed(b, "k")
		require.Equal(t, handoff.OutcomeEmailRequired, first.Outcome)
		again := keyed(b, "k")
		require.Equal(t, handoff.OutcomeEmailRequired, again.Outcome)
		require.Equal(t, first.Handoff.ID, again.Handoff.ID)
		require.Equal(t, []string{"COLLECTING_EMAIL", "control HANDOFF 2", "SYSTEM EMAIL_ASK"}, b.told(0), "asked once")
	})
	t.Run("repeated after the end", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := keyed(b, "k")
		b.deskRefuses(false)
		again := keyed(b, "k")
		require.Equal(t, handoff.OutcomeTransferFailed, again.Outcome)
		require.Equal(t, first.Handoff.ID, again.Handoff.ID)
		next := keyed(b, "k2")
		require.Equal(t, handoff.OutcomeRequesting, next.Outcome)
		require.NotEqual(t, first.Handoff.ID, next.Handoff.ID)
		_, err := b.svc.Cancel(b.ctx, b.conv)
		require.NoError(t, err)
		require.Equal(t, handoff.OutcomeEnded, keyed(b, "k2").Outcome)
		require.Equal(t, handoff.OutcomeTransferFailed, keyed(b, "k").Outcome, "each key keeps its own answer")
	})
	t.Run("in another conversation", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := keyed(b, "k")
		b.conv = b.converse(handoff.ChannelWidget)
		require.NotEqual(t, first.Handoff.ID, keyed(b, "k").Handoff.ID)
	})
	t.Run("twice at once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var first handoff.RequestResult
		b.store.interrupt(func() { first = keyed(b, "k") })
		second := keyed(b, "k")
		require.Equal(t, handoff.OutcomeRequesting, first.Outcome)
		require.Equal(t, first.Outcome, second.Outcome, "the same request has the same answer")
		require.Equal(t, first.Handoff.ID, second.Handoff.ID)
	})
	t.Run("twice at once, and the first has ended", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var first handoff.RequestResult
		b.store.interrupt(func() {
			first = keyed(b, "k")
			b.deskRefuses(false)
		})
		second := keyed(b, "k")
		require.Equal(t, handoff.OutcomeTransferFailed, second.Outcome)
		require.Equal(t, first.Handoff.ID, second.Handoff.ID)
	})
	t.Run("out of hours, the User reads it once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.settings(func(s *handoff.Settings) {
			s.Hours = []hours.Rule{{Kind: hours.Dated, Date: hours.Date{Year: 2026, Month: 3, Day: 3}, Start: 0, End: hours.EndOfDay}}
		})
		first := keyed(b, "k")
		require.Equal(t, handoff.OutcomeOutOfService, first.Outcome)
		require.Equal(t, first, keyed(b, "k"))
		require.Equal(t, []string{"SYSTEM OUT_OF_HOURS"}, b.told(0))
		require.Equal(t, first, keyed(b, "k2"))
		require.Equal(t, []string{"SYSTEM OUT_OF_HOURS", "SYSTEM OUT_OF_HOURS"}, b.told(0), "another request is another answer")
	})
}

func TestRequestsRacing(t *testing.T) {
	t.Parallel()
	const callers = 8
	for name, key := range map[string]string{"with one key": "k", "without keys": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			results := make([]handoff.RequestResult, callers)
			errs := make([]error, callers)
			var group sync.WaitGroup
			for i := range callers {
				group.Go(func() {
					results[i], errs[i] = b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, IdempotencyKey: key})
				})
			}
			group.Wait()
			made := 0
			for i := range callers {
				require.NoError(t, errs[i])
				require.Equal(t, b.newest().ID, results[i].Handoff.ID)
				if results[i].Outcome == handoff.OutcomeRequesting {
					made++
				}
			}
			if key == "" {
				require.Equal(t, 1, made, "the others find it open")
			} else {
				require.Equal(t, callers, made, "all get the answer of the one request")
			}
			require.Equal(t, []string{"REQUESTING", "control HANDOFF 2"}, b.told(0))
			require.Equal(t, []string{"OPEN"}, b.undelivered(b.newest().ID))
		})
	}
}

// A decision that runs again begins from nothing.
func TestRequestDecidedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.makeStale(3)
	r, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv, IdempotencyKey: "k"})
	require.NoError(t, err)
	require.Equal(t, 4, b.store.decisions())
	require.Equal(t, []string{"REQUESTING", "control HANDOFF 2"}, b.told(0))
	require.Equal(t, []string{"OPEN"}, b.undelivered(r.Handoff.ID))
	made, err := b.store.Once(b.ctx, b.conv+"/requestHandoff", "k")
	require.NoError(t, err)
	require.Equal(t, r.Handoff.ID, made)
}

// Handoff is switched off, or the desk is disconnected, between the look at the
// settings and the commit: no Handoff is left that nobody will ever answer.
func TestRequestRacedByTheEndOfTheService(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"handoff is switched off", "the desk is disconnected", "the Agent is deleted"} {
		for _, policy := range []handoff.EmailPolicy{handoff.EmailNever, handoff.EmailAsk} {
			t.Run(name+" "+string(policy), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.settings(func(s *handoff.Settings) { s.EmailPolicy = policy })
				b.store.interrupt(func() { require.NoError(t, endings[name](b)) })
				r := b.request()
				require.Equal(t, handoff.OutcomeEnded, r.Outcome)
				require.Equal(t, handoff.ReasonHandoffDisabled, r.Handoff.Reason)
				require.Equal(t, b.newest(), *r.Handoff)
			})
		}
	}
}
