package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

func TestEmailStepInTheChat(t *testing.T) {
	languages := map[string]struct{ ask, invalid, connecting string }{
		"zh-TW": {
			"為您轉接專人之前，請先告訴我您的電子郵件地址。",
			"這看起來不是有效的電子郵件地址，請重新輸入，例如 name@example.com。",
			"正在為您轉接專人，請稍候。",
		},
		"ja": {
			"担当者におつなぎする前に、メールアドレスを入力してください。",
			"メールアドレスの形式ではないようです。name@example.com のようにもう一度入力してください。",
			"担当者におつなぎしています。少々お待ちください。",
		},
	}
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		for language, texts := range languages {
			desk := apptest.NewDesk(t)
			c := s.NewAgent(t).WithWebhook(desk).Converse(apptest.Vars{"channel": "WIDGET", "language": language})
			asked := c.Request(apptest.Vars{"epoch": 1})
			require.Equal(t, "EMAIL_REQUIRED", asked.Outcome)
			require.Equal(t, texts.ask, asked.Text)
			require.Equal(t, texts.ask, c.Await("asked", apptest.Notice("EMAIL_ASK")).Text)
			require.Equal(t, "STALE_CONTROL", apptest.CodeOf(c.TryAgentWrites(1, "a late answer")))

			c.UserWrites("order 4711 at example dot com")
			require.Equal(t, texts.invalid, c.Await("asked again", apptest.Notice("EMAIL_INVALID")).Text)
			clock.Advance(599 * time.Second) // nine minutes do not run against the wait timeout
			require.Empty(t, desk.Calls(), "the desk is asked when the address is known")
			c.UserWrites("mei.lin@example.com")
			connecting := c.Await("connecting", apptest.Notice("CONNECTING"))
			require.Equal(t, texts.connecting, connecting.Text)
			h := c.Handoff()
			require.Equal(t, "WAIT", h.DeadlineKind)
			require.Equal(t, clock.Now().Add(60*time.Second), h.DeadlineAt.UTC(), "all of the wait timeout is left")

			calls := desk.AwaitSeen(t, h.DeskRef, 2)
			require.Equal(t, "mei.lin@example.com", calls[0].Email)
			require.Equal(t, "mei.lin@example.com", *calls[0].UserInfo.Email)
			require.Equal(t, []string{"order 4711 at example dot com"}, apptest.Texts(calls), "what was no address is for the operator")
			_, err := c.TryUserEnds()
			require.NoError(t, err)
			backWithAgent(c, "USER_ENDED")
			require.Equal(t, "CONNECTING", c.Request(apptest.Vars{"waitSeconds": 30}).Outcome, "the address is known now")
			c.Log()
		}
	})
}

func TestEmailStepEnds(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		agent := s.NewAgent(t).WithWebhook(apptest.NewDesk(t))
		begin := func() *apptest.Conversation {
			c := agent.Converse(apptest.Vars{"channel": "WIDGET"})
			require.Equal(t, "EMAIL_REQUIRED", c.Request(nil).Outcome)
			return c
		}

		tries := begin()
		texts := []string{"no", "no!", "I said no"}
		for _, text := range texts {
			tries.UserWrites(text)
		}
		backWithAgent(tries, "EMAIL_NOT_GIVEN")
		require.Equal(t, texts, apptest.TextsBy(tries.ReturnPackage().Unanswered, "USER"))

		silent := begin()
		canary := begin() // begun at the same moment, answered later
		clock.Advance(300 * time.Second)
		canary.UserWrites("what for?")
		clock.Advance(300 * time.Second)
		backWithAgent(silent, "EMAIL_NOT_GIVEN")
		require.Equal(t, "COLLECTING_EMAIL", canary.Handoff().State, "each answer gives the time anew")

		cancelled := begin()
		_, err := cancelled.TryUserCancels()
		require.NoError(t, err)
		backWithAgent(cancelled, "USER_CANCELLED")
		require.Empty(t, agent.Desk.Calls(), "the desk never heard of any of them")
		for _, c := range []*apptest.Conversation{tries, silent, canary, cancelled} {
			c.Log()
		}
	})
}

func TestEmailIsOptionalOrNeverAsked(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk, "default_email", "unknown@shop.example").Set(apptest.Vars{"emailPolicy": "OPTIONAL"})

		skipping := agent.Converse(apptest.Vars{"channel": "SHARE", "language": "zh-TW"})
		require.Equal(t, "EMAIL_REQUIRED", skipping.Request(nil).Outcome)
		require.Contains(t, skipping.Await("asked", apptest.Notice("EMAIL_OPTIONAL")).Text, "略過")
		skipping.UserWrites("略過")
		skipping.Await("connecting", apptest.Notice("CONNECTING"))

		agent.Set(apptest.Vars{"emailPolicy": "NEVER"})
		never := agent.Converse(apptest.Vars{"channel": "WIDGET"})
		never.Connecting(nil)

		agent.Set(apptest.Vars{"emailPolicy": "ASK"})
		providing := agent.Converse(apptest.Vars{"channel": "IFRAME"})
		require.Equal(t, "EMAIL_REQUIRED", providing.Request(nil).Outcome)
		provide := func(email string) error {
			return providing.User.Try(`mutation($c: ID!, $e: String!) { provideEmail(input: {conversationId: $c, email: $e}) { handoff { state } } }`,
				apptest.Vars{"c": providing.ID, "e": email}, nil)
		}
		require.Equal(t, "INVALID_INPUT", apptest.CodeOf(provide("nobody")))
		require.Equal(t, "COLLECTING_EMAIL", providing.Handoff().State)
		require.NoError(t, provide("mei.lin@example.com"))
		providing.Await("connecting", apptest.Notice("CONNECTING"))

		for c, want := range map[*apptest.Conversation]string{
			skipping: "unknown@shop.example", never: "unknown@shop.example", providing: "mei.lin@example.com",
		} {
			calls := desk.AwaitSeen(t, c.Handoff().DeskRef, 1)
			require.Equal(t, want, calls[0].Email)
			c.Log()
		}
	})
}
