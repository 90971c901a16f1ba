package app_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app"
	"handoff/internal/app/apptest"
)

func TestDeadlinesOutliveTheProcess(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		waits := agent.ConverseUnwatched(nil)
		waits.Connecting(nil)
		clock.Advance(time.Second)
		later := agent.ConverseUnwatched(nil)
		later.Connecting(nil)
		asks := agent.ConverseUnwatched(apptest.Vars{"channel": "WIDGET"})
		require.Equal(t, "EMAIL_REQUIRED", asks.Request(nil).Outcome)
		talks := agent.ConverseUnwatched(nil)
		talks.Connected(nil)

		// The time of the first comes while nobody is there. It is late, but once; the
		// others are not early.
		s.Stop()
		clock.Advance(59 * time.Second)
		s.Start()
		apptest.Eventually(t, "the late deadline", func() bool { return waits.Handoff().State == "WAIT_EXPIRED" })
		require.Equal(t, "WAITING", later.Handoff().State)
		clock.Advance(time.Second)
		apptest.Eventually(t, "the deadline in time", func() bool { return later.Handoff().State == "WAIT_EXPIRED" })
		require.Equal(t, "ACTIVE", talks.Handoff().State)
		require.Equal(t, "COLLECTING_EMAIL", asks.Handoff().State)

		s.Stop()
		clock.Advance(time.Hour)
		s.Start()
		for c, reason := range map[*apptest.Conversation]string{
			waits: "WAIT_TIMEOUT", later: "WAIT_TIMEOUT", talks: "SESSION_TIMEOUT", asks: "EMAIL_NOT_GIVEN",
		} {
			apptest.Eventually(t, reason, func() bool { return c.Handoff().Reason == reason })
			require.LessOrEqual(t, apptest.Count(c.Log(), apptest.State("WAIT_EXPIRED")), 1)
			c.AgentWrites(3, "I am back.")
		}
		require.Equal(t, "TIMEOUT", desk.AwaitSeen(t, waits.Handoff().DeskRef, 2)[1].Type)
	})
}

// contest is what happens in the same millisecond as a deadline.
type contest struct {
	policy string // the wait action: END races the end, ASK the end of the question
	act    func(c *apptest.Conversation, h apptest.Handoff) []error
	// won says whether answers, Handoff and log tell together that act has won; lost
	// the same for the deadline.
	won, lost func(answers []error, h apptest.Handoff, log []apptest.Event) bool
}

var contests = map[string]contest{
	"an operator's message": {
		"END",
		func(c *apptest.Conversation, h apptest.Handoff) []error {
			return []error{c.TryBuiltinWrites(h.ID, "Here I am.")}
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return answers[0] == nil && h.State == "ACTIVE" && apptest.Count(log, apptest.Text("Here I am.")) == 1
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return apptest.CodeOf(answers[0]) == "NOT_ALLOWED_IN_STATE" && h.Reason == "WAIT_TIMEOUT" &&
				apptest.Count(log, apptest.Text("Here I am.")) == 0 && apptest.Count(log, apptest.Notice("ENDED_BY_TIMEOUT")) == 1
		},
	},
	"the user's end": {
		"END",
		func(c *apptest.Conversation, _ apptest.Handoff) []error {
			_, err := c.TryUserEnds()
			return []error{err}
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return answers[0] == nil && h.Reason == "USER_ENDED" &&
				apptest.Count(log, apptest.Notice("ENDED_BY_USER")) == 1 && apptest.Count(log, apptest.Notice("ENDED_BY_TIMEOUT")) == 0
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return answers[0] == nil && h.Reason == "WAIT_TIMEOUT" &&
				apptest.Count(log, apptest.Notice("ENDED_BY_USER")) == 0 && apptest.Count(log, apptest.Notice("ENDED_BY_TIMEOUT")) == 1
		},
	},
	"keep waiting": {
		"ASK",
		func(c *apptest.Conversation, _ apptest.Handoff) []error {
			_, err := c.TryKeepWaiting()
			return []error{err}
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return answers[0] == nil && h.State == "WAITING" && apptest.Count(log, apptest.State("CLOSED")) == 0
		},
		func(answers []error, h apptest.Handoff, _ []apptest.Event) bool {
			return apptest.CodeOf(answers[0]) == "NOT_ALLOWED_IN_STATE" && h.Reason == "WAIT_TIMEOUT"
		},
	},
	"keep waiting and an operator's message": {
		"ASK",
		func(c *apptest.Conversation, h apptest.Handoff) []error {
			var (
				both    sync.WaitGroup
				answers = make([]error, 2)
			)
			both.Go(func() { _, answers[0] = c.TryKeepWaiting() })
			both.Go(func() { answers[1] = c.TryBuiltinWrites(h.ID, "Here I am.") })
			both.Wait()
			return answers
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return answers[0] == nil && answers[1] == nil && h.State == "ACTIVE" &&
				apptest.Count(log, apptest.Text("Here I am.")) == 1 && apptest.Count(log, apptest.State("CLOSED")) == 0
		},
		func(answers []error, h apptest.Handoff, log []apptest.Event) bool {
			return apptest.CodeOf(answers[0]) == "NOT_ALLOWED_IN_STATE" && apptest.CodeOf(answers[1]) == "NOT_ALLOWED_IN_STATE" &&
				h.Reason == "WAIT_TIMEOUT" && apptest.Count(log, apptest.Text("Here I am.")) == 0
		},
	},
}

// TestRacesAtTheDeadline has something else happen in the millisecond in which a
// deadline comes. Whoever wins, there is one outcome, and answers, state and log tell
// the same.
func TestRacesAtTheDeadline(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock, Pace: app.Pace{Sweep: 5 * time.Millisecond}})
		for name, k := range contests {
			t.Run(name, func(t *testing.T) {
				agent := s.NewAgent(t).WithBuiltin().Set(apptest.Vars{"waitAction": k.policy})
				t.Logf("%d of %d races were won by the act", k.play(t, agent, clock), racing)
			})
		}
	})
}

// racing is how many conversations have the same deadline.
const racing = 12

// play races in every conversation and counts what act has won: the first, in which it
// comes before the deadline, but not the last, in which it comes after. In between the
// relay fires the deadlines in the order in which the others act.
func (k *contest) play(t *testing.T, agent *apptest.Agent, clock *apptest.Clock) (wins int) {
	t.Helper()
	const wait = time.Minute // the default of the wait timeout
	var (
		conversations = make([]*apptest.Conversation, racing)
		handoffs      = make([]apptest.Handoff, racing)
		answers       = make([][]error, racing)
	)
	inParallel(t, 4, racing, func(i int) (err error) {
		if conversations[i], err = agent.TryConverse(nil); err != nil {
			return err
		}
		_, err = conversations[i].TryRequest(apptest.Vars{"waitSeconds": 30})
		return err
	})
	if k.policy == "ASK" {
		clock.Advance(wait)
		for _, c := range conversations {
			apptest.Eventually(t, "the question", func() bool { return c.Handoff().State == "WAIT_EXPIRED" })
		}
	}
	for i, c := range conversations {
		handoffs[i] = c.Handoff()
	}
	clock.Advance(wait - time.Millisecond)

	act := func(i int) error {
		answers[i] = k.act(conversations[i], handoffs[i])
		return nil
	}
	last := racing - 1
	_ = act(0)
	clock.Advance(time.Millisecond)
	inParallel(t, 4, last-1, func(i int) error { return act(i + 1) })
	apptest.Eventually(t, "the deadline", func() bool { return conversations[last].Handoff().State == "CLOSED" })
	_ = act(last)
	for i, c := range conversations {
		h, log := c.Handoff(), c.Log()
		won, lost := k.won(answers[i], h, log), k.lost(answers[i], h, log)
		require.NotEqual(t, won, lost, "answered %v, the handoff is %s %s, and the log\n%v", answers[i], h.State, h.Reason, log)
		require.False(t, i == 0 && lost || i == last && won, "race %d", i)
		if won {
			wins++
		}
	}
	return wins
}
