package app_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app"
	"handoff/internal/app/apptest"
	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// requireUntouched wants that a refused request changed nothing but, perhaps, what
// the User was told: the Agent speaks, and the desk was not called.
func requireUntouched(t *testing.T, c *apptest.Conversation) {
	t.Helper()
	who, epoch := control(c)
	require.Equal(t, "AGENT", who)
	require.EqualValues(t, 1, epoch)
	require.Empty(t, c.Desk.Calls())
	c.AgentWrites(1, "I am still here.")
	require.Zero(t, apptest.Count(c.Log(), func(e apptest.Event) bool { return e.Typename != "Message" }))
}

func TestRequestOutsideTheServiceHours(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		// Friday 2026-03-27, 18:00 in Berlin: it closes at this very moment, and opens on
		// Monday at 09:00, which is summer time by then.
		clock := apptest.NewClockAt(time.Date(2026, 3, 27, 17, 0, 0, 0, time.UTC))
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		agent := s.NewAgent(t).WithWebhook(apptest.NewDesk(t)).Set(apptest.Vars{
			"timeZone": "Europe/Berlin", "offHoursReply": "Wir sind ab Montag wieder da.",
			"hours": []apptest.Vars{{
				"kind": "WEEKLY", "weekdays": []string{"MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"}, "start": "09:00", "end": "18:00",
			}},
		})
		opening := time.Date(2026, 3, 30, 7, 0, 0, 0, time.UTC)

		c := agent.Converse(apptest.Vars{"language": "de"})
		refused := c.Request(apptest.Vars{"epoch": 1, "idempotencyKey": "once"})
		require.Equal(t, "OUT_OF_SERVICE", refused.Outcome)
		require.Equal(t, "Wir sind ab Montag wieder da.", refused.Text)
		require.True(t, opening.Equal(*refused.NextOpening), refused.NextOpening)
		require.Nil(t, refused.Handoff)
		require.Equal(t, refused, c.Request(apptest.Vars{"epoch": 1, "idempotencyKey": "once"}))
		told := c.Await("told", apptest.Notice("OUT_OF_HOURS"))
		require.Equal(t, "Wir sind ab Montag wieder da.", told.Text)
		require.Equal(t, 37, told.StatusCode)
		requireUntouched(t, c)
		require.Equal(t, 1, apptest.Count(c.Log(), apptest.Notice("OUT_OF_HOURS")), "told once for the one key")

		clock.Advance(opening.Add(-time.Microsecond).Sub(clock.Now()))
		require.Equal(t, "OUT_OF_SERVICE", c.Request(nil).Outcome)
		clock.Advance(time.Microsecond)
		c.Connecting(nil)
	})
}

func TestRequestBeforeTheDeskIsReady(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		messenger := &apptest.Messenger{Kind: "messenger", Channel: handoff.ChannelIntercom}
		s := apptest.Start(t, d, apptest.Options{Drivers: []desk.Driver{messenger}})
		agent := s.NewAgent(t)
		agent.Desk = apptest.NewDesk(t)
		c := agent.Converse(nil)
		refuse := func() {
			refused := c.Request(nil)
			require.Equal(t, "NOT_READY", refused.Outcome)
			require.NotEmpty(t, refused.Detail)
			require.Nil(t, refused.Handoff)
		}
		refuse() // no desk
		err := agent.Runtime.Try(`mutation($a: ID!) { updateHandoffSettings(input: {agentId: $a, enabled: true}) { settings { enabled } } }`,
			apptest.Vars{"a": agent.ID}, nil)
		require.Equal(t, "INVALID_INPUT", apptest.CodeOf(err), "switching on needs a desk")
		agent.Connect("webhook", map[string]string{"url": agent.Desk.URL})
		refuse() // switched off
		requireUntouched(t, c)

		agent.Set(apptest.Vars{"enabled": true})
		_, err = agent.TryConverse(apptest.Vars{"channel": "INTERCOM"})
		require.Equal(t, "INVALID_INPUT", apptest.CodeOf(err), "it begins in the desk's own messenger")
		removed := agent.Connect("messenger", nil).ID
		agent.Tells(userWrote("1", "Hello?"))
		other := agent.InMessenger(agent.Awaiting().Await(t, 1, 1).Conversation.ID)
		agent.Runtime.Do(`mutation($id: ID!) { disconnectDesk(input: {deskConnectionId: $id}) { disconnectedId } }`, apptest.Vars{"id": removed}, nil)
		wrong := other.Request(nil)
		require.Equal(t, "WRONG_CHANNEL", wrong.Outcome)
		require.Contains(t, wrong.Detail, "INTERCOM")
		require.Len(t, other.Log(), 1)
	})
}

func TestDeskIsUsedAgainByItselfWhenItIsBack(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		statusIs := func(status string, ready bool) {
			t.Helper()
			apptest.Eventually(t, "the service status "+status, func() bool {
				isStatus, isReady := agent.Status()
				return isStatus == status && isReady == ready
			})
		}
		down := func(apptest.Call) apptest.Reaction {
			return apptest.Reaction{Lost: true, Status: http.StatusServiceUnavailable}
		}

		// Five calls in a row fail: the breaker opens and the status follows.
		desk.Script(down)
		for range 5 {
			c := agent.ConverseUnwatched(nil)
			require.Equal(t, "TRANSFER_FAILED", c.Request(apptest.Vars{"waitSeconds": 30}).Outcome)
		}
		statusIs("UNAVAILABLE", false)
		require.Contains(t, agent.Reread().LastError, "503")
		calls := len(desk.Calls())
		c := agent.Converse(nil)
		require.Equal(t, "NOT_READY", c.Request(nil).Outcome)
		require.Len(t, desk.Calls(), calls, "a desk that is down is not called for it")
		asUser, err := c.TryUserRequest()
		require.NoError(t, err)
		require.Equal(t, "NOT_READY", asUser.Outcome)
		require.Empty(t, asUser.Detail, "what the owner could do is nothing for users")

		desk.Script(nil)
		clock.Advance(15 * time.Second)
		statusIs("AVAILABLE", true)
		require.Empty(t, agent.Reread().LastError)
		c.Connecting(nil)

		// Found by a verification instead of by calls.
		desk.Script(down)
		agent.Runtime.Do(`mutation($id: ID!) { verifyDeskConnection(input: {deskConnectionId: $id}) { deskConnection { status } } }`,
			apptest.Vars{"id": agent.Connection.ID}, nil)
		statusIs("UNAVAILABLE", false)
		desk.Script(nil)
		clock.Advance(15 * time.Second)
		statusIs("AVAILABLE", true)
	})
}

func TestTransferFails(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	json := func(body string) apptest.Reaction { return apptest.Reaction{Lost: true, Body: body} }
	failures := map[string]struct {
		apptest.Reaction
		perhapsOpened bool // the desk is told to close what it may have opened
	}{
		"500":                  {apptest.Reaction{Lost: true, Status: 500}, false},
		"503 with Retry-After": {apptest.Reaction{Lost: true, Status: 503, Header: map[string]string{"Retry-After": "1"}}, false},
		"401":                  {apptest.Reaction{Lost: true, Status: 401}, false},
		"404":                  {apptest.Reaction{Lost: true, Status: 404}, false},
		"204":                  {apptest.Reaction{Lost: true, Status: 204, Body: "-"}, false},
		"201":                  {apptest.Reaction{Lost: true, Status: 201}, false},
		"a redirect":           {apptest.Reaction{Lost: true, Status: 302, Header: map[string]string{"Location": "/elsewhere"}}, false},
		"code 50000":           {json(`{"code":50000,"message":"internal error"}`), false},
		"code 1":               {json(`{"message":"no","code":1}`), false},
		"code as text":         {json(`{"code":"no"}`), false},
		"a gateway's 502":      {apptest.Reaction{Status: 502}, true},
		"a cut answer":         {apptest.Reaction{Cut: true}, true},
		"no answer in time":    {apptest.Reaction{Hold: release}, true},
	}
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{Pace: app.Pace{Attempt: 3 * time.Second}})
		for name, failure := range failures {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				desk := apptest.NewDesk(t)
				c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
				typed := make(chan struct{})
				desk.Script(func(call apptest.Call) apptest.Reaction {
					if call.Path != apptest.Establish {
						return apptest.Reaction{}
					}
					<-typed
					return failure.Reaction
				})
				asked := c.Request(apptest.Vars{"epoch": 1})
				require.Equal(t, "REQUESTING", asked.Outcome)
				texts := []string{"It is order 4711.", "Hello?"}
				for _, text := range texts {
					require.Equal(t, "HANDOFF", c.UserWrites(text).Control)
				}
				close(typed)
				busy := c.Await("busy", apptest.Notice("BUSY"))
				require.Equal(t, 84, busy.StatusCode)
				require.EqualValues(t, 3, c.Await("control back", apptest.Control("AGENT")).Epoch)
				require.Equal(t, "TRANSFER_FAILED", c.Handoff().Reason)
				require.Equal(t, texts, apptest.TextsBy(c.ReturnPackage().Unanswered, "USER"))
				c.AgentWrites(3, "Let me look that up myself.")

				expected := []string{apptest.Establish}
				if failure.perhapsOpened {
					expected = append(expected, apptest.Close)
				}
				apptest.Eventually(t, "no delivery is left", func() bool { return len(c.Deliveries("")) == 0 })
				calls := desk.CallsOf(asked.Handoff.DeskRef)
				require.Equal(t, expected, apptest.Paths(calls), "asked once; what was typed is the agent's again")
				if failure.perhapsOpened {
					require.Equal(t, "TIMEOUT", calls[1].Type)
				}
				require.Zero(t, apptest.Count(c.Log(), apptest.Notice("CONNECTING")))
			})
		}
		t.Run("nobody listens", func(t *testing.T) {
			t.Parallel()
			desk := apptest.NewDesk(t)
			c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
			desk.Shut()
			require.Equal(t, "TRANSFER_FAILED", c.Request(apptest.Vars{"waitSeconds": 30}).Outcome)
			c.Await("busy", apptest.Notice("BUSY"))
			require.EqualValues(t, 3, c.Await("control back", apptest.Control("AGENT")).Epoch)
			c.Log()
		})
	})
}

func TestTransferSucceeds(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		for i, body := range []string{
			`-`, `OK`, `<html>thanks</html>`, `{}`, `{"message":"success"}`, `{"code":0}`, `{"code":200,"message":"success"}`, `{"code":null}`, `[]`,
		} {
			t.Run(fmt.Sprint(i, " ", body), func(t *testing.T) {
				t.Parallel()
				desk := apptest.NewDesk(t)
				c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
				desk.Script(func(apptest.Call) apptest.Reaction { return apptest.Reaction{Body: body} })
				c.Connecting(nil)
				c.UserWrites("Hello?")
				desk.AwaitSeen(t, c.Handoff().DeskRef, 2)
				c.Log()
			})
		}
	})
}
