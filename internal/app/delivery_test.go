package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app"
	"handoff/internal/app/apptest"
)

// unreliable makes a desk fail at random, by a seed: it loses calls, stores calls
// that it answers with an error, breaks off answers, and asks for patience. No call
// fails more often than mostFailures in a row.
type unreliable struct {
	mu     sync.Mutex
	random *rand.Rand
	failed map[string]int
	total  int
}

// mostFailures stays below what makes the breaker rest the desk, which would only
// make the test wait.
const mostFailures = 4

func (u *unreliable) react(call apptest.Call) apptest.Reaction {
	if call.Path == apptest.Establish || call.Path == "" {
		return apptest.Reaction{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	id := string(call.Raw)
	reactions := []apptest.Reaction{
		{}, {}, {}, {},
		{Lost: true, Status: http.StatusInternalServerError},
		{Status: http.StatusInternalServerError},
		{Lost: true, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "2"}},
		{Cut: true},
		{Lost: true, Cut: true, Status: http.StatusServiceUnavailable},
		{Lost: true, Body: `{"code":50000,"message":"internal error"}`},
	}
	r := reactions[u.random.IntN(len(reactions))]
	failure := r.Status != 0 || r.Cut || r.Body != ""
	if failure && u.failed[id] == mostFailures {
		return apptest.Reaction{}
	}
	if failure {
		u.failed[id]++
		u.total++
	}
	return r
}

// TestOrderThroughRetries: whatever the desk does, what it shows is what Users
// wrote, each once and in order, and nothing stays behind.
func TestOrderThroughRetries(t *testing.T) {
	const (
		conversations = 4
		messages      = 8
		seed          = 20260131
	)
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		// Time is moved in steps of seconds: the lease must not end because of that.
		s := apptest.Start(t, d, apptest.Options{Clock: clock, Pace: app.Pace{Lease: 24 * time.Hour}})
		var (
			desks []*apptest.Desk
			open  []*apptest.Conversation
			fates []*unreliable
			refs  []string
		)
		for i := range conversations {
			u := &unreliable{random: rand.New(rand.NewPCG(seed, uint64(i))), failed: map[string]int{}}
			desk := apptest.NewDesk(t)
			desk.Script(u.react)
			c := s.NewAgent(t).WithWebhook(desk).ConverseUnwatched(nil)
			refs = append(refs, c.Connected(nil).DeskRef)
			desks, open, fates = append(desks, desk), append(open, c), append(fates, u)
		}
		written := make([][]string, conversations)
		inParallel(t, 4, conversations, func(i int) error {
			for m := range messages {
				text := fmt.Sprintf("conversation %d, message %d", i, m)
				if _, err := open[i].TryUserWrites(text, nil); err != nil {
					return err
				}
				written[i] = append(written[i], text)
			}
			_, err := open[i].TryUserEnds()
			return err
		})

		apptest.Eventually(t, "every delivery arrives", func() bool {
			clock.Advance(40 * time.Second) // more than the longest wait between two tries
			calls := 0
			for _, desk := range desks {
				calls += len(desk.Calls())
			}
			return calls >= conversations*(messages+2) && !slices.ContainsFunc(open, func(c *apptest.Conversation) bool {
				return len(c.Deliveries("")) > 0
			})
		})
		failures := 0
		for i, c := range open {
			shown := desks[i].Seen(refs[i])
			require.Equal(t, written[i], apptest.Texts(shown))
			require.Equal(t, apptest.Close, shown[len(shown)-1].Path, "the end comes behind the last message")
			failures += fates[i].total
			log := c.Log()
			require.Zero(t, apptest.Count(log, apptest.Notice("NOT_DELIVERED")))
		}
		require.Greater(t, failures, conversations*messages/2, "the desk hardly failed: nothing was tried")
		t.Logf("%d messages arrived through %d failures", conversations*messages, failures)
	})
}

func TestPoisonMessageBlocksNothing(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		desk := apptest.NewDesk(t)
		mended := make(chan struct{})
		desk.Script(func(call apptest.Call) apptest.Reaction {
			select {
			case <-mended:
				return apptest.Reaction{}
			default:
			}
			if call.Text == "poison" {
				return apptest.Reaction{Lost: true, Status: http.StatusBadRequest}
			}
			return apptest.Reaction{}
		})
		agent := s.NewAgent(t).WithWebhook(desk)
		c := agent.Converse(nil)
		h := c.Connected(nil)
		c.UserWrites("before")
		poison := c.UserWrites("poison")
		c.UserWrites("behind")
		require.Equal(t, []string{"before", "behind"}, apptest.Texts(desk.AwaitSeen(t, h.DeskRef, 3)))
		failed := c.Await("that it was given up", func(e apptest.Event) bool { return e.Typename == "DeliveryFailed" })
		require.Equal(t, poison.Message.Seq, failed.MessageSeq)
		c.Await("the user is told", apptest.Notice("NOT_DELIVERED"))
		require.Equal(t, "ACTIVE", c.Handoff().State)

		var dead []apptest.Delivery
		apptest.Eventually(t, "only the dead one is left", func() bool {
			dead = agent.Deliveries("")
			return len(dead) == 1
		})
		require.Equal(t, "DEAD", dead[0].Status)
		require.Equal(t, "DESK_REJECTED", dead[0].LastErrorCode)
		require.EqualValues(t, 1, dead[0].Attempts, "a refusal is not repeated")
		require.EqualValues(t, poison.Message.Seq, dead[0].MessageSeq)

		replay := func() error {
			return agent.Runtime.Try(`mutation($d: ID!) { replayDelivery(input: {deliveryId: $d}) { delivery { status } } }`,
				apptest.Vars{"d": dead[0].ID}, nil)
		}
		require.NoError(t, replay())
		apptest.Eventually(t, "refused and dead again", func() bool {
			list := agent.Deliveries("DEAD")
			return len(list) == 1 && len(desk.CallsOf(h.DeskRef)) == 5
		})
		close(mended)
		require.NoError(t, replay())
		apptest.Eventually(t, "it has arrived", func() bool { return len(agent.Deliveries("")) == 0 })
		require.Equal(t, []string{"before", "behind", "poison"}, apptest.Texts(desk.Seen(h.DeskRef)))
		require.Contains(t, []string{"NOT_FOUND", "NOT_ALLOWED_IN_STATE"}, apptest.CodeOf(replay()), "it is no more")
		c.Log()
	})
}

func TestDeskFailsForGood(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		for name, story := range map[string]struct {
			status int
			reason string
			dead   int // deliveries that can be replayed
		}{
			"credentials refused": {http.StatusUnauthorized, "TRANSFER_FAILED", 1},
			"session gone":        {http.StatusNotFound, "OPERATOR_ENDED", 0},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				desk := apptest.NewDesk(t)
				agent := s.NewAgent(t).WithWebhook(desk)
				c := agent.Converse(nil)
				h := c.Connected(nil)
				desk.Script(func(call apptest.Call) apptest.Reaction {
					if call.Path == apptest.Chat {
						return apptest.Reaction{Lost: true, Status: story.status}
					}
					return apptest.Reaction{}
				})
				c.UserWrites("Are you there?")
				require.EqualValues(t, 3, backWithAgent(c, story.reason))
				require.Equal(t, []string{"Are you there?"}, apptest.TextsBy(c.ReturnPackage().Unanswered, "USER"))
				c.AgentWrites(3, "I am.")
				require.Len(t, agent.Deliveries("DEAD"), story.dead)
				require.NotContains(t, apptest.Paths(desk.CallsOf(h.DeskRef)), apptest.Close)

				// After the desk is mended the owner can still bring it what was lost.
				desk.Script(nil)
				var replayed struct{ ReplayDeliveries struct{ Count int } }
				agent.Runtime.Do(`mutation($c: ID!) { replayDeliveries(input: {deskConnectionId: $c}) { count } }`,
					apptest.Vars{"c": agent.Connection.ID}, &replayed)
				require.Equal(t, story.dead, replayed.ReplayDeliveries.Count)
				apptest.Eventually(t, "nothing is left", func() bool { return len(agent.Deliveries("")) == 0 })
				require.Len(t, apptest.Texts(desk.Seen(h.DeskRef)), story.dead)
				c.Log()
			})
		}
	})
}

// TestRetryAfterIsHonoured: a desk that asks for patience is not called before its time.
func TestRetryAfterIsHonoured(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		c := agent.Converse(nil)
		other := agent.Converse(nil)
		h, otherH := c.Connected(nil), other.Connected(nil)
		patience := true
		var mu sync.Mutex
		desk.Script(func(call apptest.Call) apptest.Reaction {
			mu.Lock()
			defer mu.Unlock()
			if call.Text == "first" && patience {
				patience = false
				return apptest.Reaction{Lost: true, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "120"}}
			}
			return apptest.Reaction{}
		})
		c.UserWrites("first")
		c.UserWrites("second")
		apptest.Eventually(t, "the refusal is written down", func() bool { return len(agent.Deliveries("FAILED")) == 1 })
		clock.Advance(119 * time.Second)
		// Another conversation's message shows that the relay has looked in the meantime.
		other.UserWrites("not affected")
		require.Equal(t, []string{"not affected"}, apptest.Texts(desk.AwaitSeen(t, otherH.DeskRef, 2)))
		require.Len(t, desk.CallsOf(h.DeskRef), 2, "called before its time, or overtaken by the second")
		clock.Advance(time.Second)
		require.Equal(t, []string{"first", "second"}, apptest.Texts(desk.AwaitSeen(t, h.DeskRef, 3)))
		c.Log()
	})
}
