package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

func TestEachMessageOfTheDeskIsShownOnce(t *testing.T) {
	const (
		messages = 12
		copies   = 8
	)
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		c := s.NewAgent(t).WithWebhook(apptest.NewDesk(t)).Converse(nil)
		h := c.Connecting(nil)

		// A third of them is known by a webhook-like id, a third by a number, a third by
		// what they say; they come in any order, all copies at once.
		var all []apptest.Vars
		var texts []string
		for i := range messages {
			text := fmt.Sprintf("message %d", i)
			m := apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1_760_000_000_000 + i, "body": text}
			switch i % 3 {
			case 0:
				m["message_id"] = fmt.Sprintf("msg-%d", i)
			case 1:
				m["message_id"] = i
			}
			texts = append(texts, text)
			for range copies {
				all = append(all, m)
			}
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		answers := make([]apptest.Human, len(all))
		inParallel(t, 16, len(all), func(i int) (err error) {
			answers[i], err = s.TryHuman(apptest.ReceivePath, c.Key(), all[i])
			return err
		})
		for _, answer := range answers {
			require.Equal(t, apptest.Taken, answer, "a repeat is answered like the first")
		}
		log := c.Log()
		shown := apptest.TextsBy(log, "OPERATOR")
		slices.Sort(shown)
		slices.Sort(texts)
		require.Equal(t, texts, shown)
		require.Equal(t, 1, apptest.Count(log, apptest.Notice("CONNECTED")))
		require.Equal(t, 1, apptest.Count(log, apptest.State("ACTIVE")))

		// The same text again, later, is another message.
		c.OperatorWrites("message 2")
		require.Len(t, apptest.TextsBy(c.Log(), "OPERATOR"), messages+1)

		// Also the end comes many times at once.
		inParallel(t, 8, copies, func(int) error {
			answer, err := s.TryHuman(apptest.EndPath, c.Key(), apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1})
			if err == nil && answer != apptest.Taken {
				err = fmt.Errorf("answered %+v", answer)
			}
			return err
		})
		backWithAgent(c, "OPERATOR_ENDED")
		require.Equal(t, 1, apptest.Count(c.Log(), apptest.State("CLOSED")))

		// A repeat of what was shown is still a success after the end; news are not.
		require.Equal(t, apptest.Taken, s.Human(t, apptest.ReceivePath, c.Key(), all[0]))
		late, err := c.TryOperatorWrites(h.DeskRef, "one more thing", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusConflict, late.Status)
		require.Equal(t, 40356, late.Code)
		require.Len(t, apptest.TextsBy(c.Log(), "OPERATOR"), messages+1)
	})
}

func TestRefusedCallsOfTheDesk(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		c := agent.Converse(nil)
		h := c.Connecting(nil)
		other := s.NewAgent(t).WithWebhook(desk)
		nobody := s.NewAgent(t) // without a desk
		revoked := agent.NewKey()
		agent.Admin.Do(`mutation($a: ID!, $k: ID!) { revokeAgentKey(input: {agentId: $a, keyId: $k}) { agentKey { revokedAt } } }`,
			apptest.Vars{"a": agent.ID, "k": agent.KeyID}, nil)

		message := func(change apptest.Vars) apptest.Vars {
			m := apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1, "body": "must not be shown"}
			for name, value := range change {
				if m[name] = value; value == nil {
					delete(m, name)
				}
			}
			return m
		}
		for name, call := range map[string]struct {
			key          string
			body         any
			status, code int
			says         string
		}{
			"without a key":               {"", message(nil), 401, 40127, ""},
			"with an invented key":        {"hkey_invented", message(nil), 401, 40127, ""},
			"with a revoked key":          {revoked.Token, message(nil), 401, 40127, ""},
			"with a user token":           {c.UserToken, message(nil), 401, 40127, ""},
			"with the administrator's":    {s.AdminToken, message(nil), 401, 40127, ""},
			"with another agent's key":    {other.Key(), message(nil), 403, 40358, ""},
			"with a key without any desk": {nobody.Key(), message(nil), 403, 40358, ""},
			"unknown, and without a desk": {nobody.Key(), message(apptest.Vars{"conversation_id": "68e778000fa31d1ef64f5301"}), 404, 40356, ""},
			"no JSON, and without a desk": {nobody.Key(), "body=hello", 400, 40000, "JSON"},
			"no id, and without a desk":   {nobody.Key(), message(apptest.Vars{"conversation_id": nil}), 400, 40000, "conversation_id"},
			"unknown session":             {agent.Key(), message(apptest.Vars{"conversation_id": "68e778000fa31d1ef64f5301"}), 404, 40356, ""},
			"our own conversation id":     {agent.Key(), message(apptest.Vars{"conversation_id": c.ID}), 404, 40356, ""},
			"no conversation_id":          {agent.Key(), message(apptest.Vars{"conversation_id": nil}), 400, 40000, "conversation_id"},
			"empty conversation_id":       {agent.Key(), message(apptest.Vars{"conversation_id": " "}), 400, 40000, "conversation_id"},
			"conversation_id a number":    {agent.Key(), message(apptest.Vars{"conversation_id": 7}), 400, 40000, "conversation_id"},
			"no timestamp":                {agent.Key(), message(apptest.Vars{"timestamp": nil}), 400, 40000, "timestamp"},
			"timestamp a word":            {agent.Key(), message(apptest.Vars{"timestamp": "now"}), 400, 40000, "timestamp"},
			"timestamp negative":          {agent.Key(), message(apptest.Vars{"timestamp": -1}), 400, 40000, "timestamp"},
			"no body":                     {agent.Key(), message(apptest.Vars{"body": nil}), 400, 40000, "body"},
			"empty body":                  {agent.Key(), message(apptest.Vars{"body": "\n"}), 400, 40000, "body"},
			"body a list":                 {agent.Key(), message(apptest.Vars{"body": []string{"x"}}), 400, 40000, "body"},
			"body with NUL":               {agent.Key(), message(apptest.Vars{"body": "a\x00b"}), 400, 40000, "body"},
			"body too long":               {agent.Key(), message(apptest.Vars{"body": strings.Repeat("字", 16_001)}), 400, 40000, "16000"},
			"files without an address":    {agent.Key(), message(apptest.Vars{"files": []apptest.Vars{{"name": "x"}}}), 400, 40000, "files[0].url"},
			"agent_name with a line feed": {agent.Key(), message(apptest.Vars{"agent_name": "a\nb"}), 400, 40000, "agent_name"},
			"no JSON":                     {agent.Key(), "body=hello", 400, 40000, "JSON"},
			"an array":                    {agent.Key(), "[]", 400, 40000, "JSON"},
			"nothing":                     {agent.Key(), "", 400, 40000, "JSON"},
			"too large":                   {agent.Key(), message(apptest.Vars{"body": strings.Repeat("x", 1<<20)}), 413, 40000, "too large"},
		} {
			answer := s.Human(t, apptest.ReceivePath, call.key, call.body)
			require.Equal(t, call.status, answer.Status, name)
			require.Equal(t, call.code, answer.Code, name)
			require.Contains(t, answer.Message, call.says, name)
		}
		for name, call := range map[string]struct {
			key          string
			body         apptest.Vars
			status, code int
		}{
			"end without a key":            {"", apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1}, 401, 40127},
			"end with another agent's key": {other.Key(), apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1}, 403, 40358},
			"end of an unknown session":    {agent.Key(), apptest.Vars{"conversation_id": "x", "timestamp": 1}, 404, 40356},
			"end without timestamp":        {agent.Key(), apptest.Vars{"conversation_id": h.DeskRef}, 400, 40000},
		} {
			answer := s.Human(t, apptest.EndPath, call.key, call.body)
			require.Equal(t, call.status, answer.Status, name)
			require.Equal(t, call.code, answer.Code, name)
		}
		require.Equal(t, "WAITING", c.Handoff().State, "none of them has touched anything")
		require.Empty(t, apptest.TextsBy(c.Log(), "OPERATOR"))

		// What the contract does not know is ignored, and a string of digits is a number.
		require.Equal(t, apptest.Taken, s.Human(t, apptest.ReceivePath, agent.Key(), message(apptest.Vars{
			"timestamp": "1760000021000", "body": "Hello", "message_id": nil, "unknown": apptest.Vars{"a": 1}, "files": []string{},
		})))
		require.Equal(t, "ACTIVE", c.Handoff().State)
	})
}
