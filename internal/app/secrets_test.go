package app_test

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestSecretsStaySecret plays a whole story, failures included, with everything
// logged, and then looks for what must not be where.
func TestSecretsStaySecret(t *testing.T) {
	const (
		password      = "desk-P4ssword-hunter2"
		email         = "mei.lin+private@example.com"
		phone         = "+886912345678"
		userText      = "my card number is 4711"
		agentText     = "the agent's own words"
		operatorText  = "the operator's own words"
		note, summary = "the agent's note", "the agent's summary"
		metricsToken  = "metrics-token-hunter2"
	)
	signingSecret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a signing secret of 32 bytes ...."))
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{Environ: map[string]string{
			"HANDOFF_LOG_LEVEL": "debug", "HANDOFF_METRICS_TOKEN": metricsToken,
		}})
		s.KeepAnswers()
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk, "username", "desk-bridge", "password", password, "signing_secret", signingSecret, "extended", "on")
		c := agent.Converse(apptest.Vars{"channel": "WIDGET", "user": apptest.Vars{"phone": phone}})
		c.UserWrites(userText)
		c.AgentWrites(1, agentText)
		require.Equal(t, "EMAIL_REQUIRED", c.Request(apptest.Vars{"epoch": 1, "note": note, "summary": summary}).Outcome)
		c.UserWrites("that is no address: " + email + "@@")
		c.UserWrites(email)
		c.Await("connecting", apptest.Notice("CONNECTING"))
		c.OperatorWrites(operatorText)
		c.Await("the operator", apptest.Text(operatorText))

		// Everything that can go wrong, goes wrong.
		require.Equal(t, "STALE_CONTROL", apptest.CodeOf(c.TryAgentWrites(1, agentText)))
		h := c.Handoff()
		for _, key := range []string{"wrong-" + agent.Key(), s.AdminToken, c.UserToken} {
			require.Equal(t, 401, s.Human(t, apptest.ReceivePath, key, apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1, "body": operatorText}).Status)
		}
		require.Equal(t, 400, s.Human(t, apptest.ReceivePath, agent.Key(), `{"conversation_id": 7, "body": "`+operatorText+`"}`).Status)
		require.NotEmpty(t, apptest.CodeOf(agent.Runtime.Try(`mutation { postUserMessage(input: {conversationId: "x", text: "`+userText+`"}) { nonsense } }`, nil, nil)))
		require.NotEmpty(t, apptest.CodeOf(agent.Runtime.Try(`mutation($c: ID!, $e: String!) { setEmail(input: {conversationId: $c, email: $e}) { conversation { id } } }`,
			apptest.Vars{"c": c.ID, "e": email + "@"}, nil)))
		err := agent.Runtime.Try(`mutation($a: ID!, $p: String!) { connectDesk(input: {agentId: $a, kind: "webhook", fields: [
			{name: "url", value: "http://user:hunter2@127.0.0.1/"}, {name: "password", value: $p}]}) { deskConnection { id } } }`,
			apptest.Vars{"a": agent.ID, "p": password}, nil)
		require.Equal(t, "INVALID_INPUT", apptest.CodeOf(err))
		desk.Script(func(call apptest.Call) apptest.Reaction {
			return apptest.Reaction{Lost: true, Status: http.StatusBadRequest, Body: `{"code":400,"message":"` + password + ` ` + userText + ` ` + email + `"}`}
		})
		c.UserWrites(userText)
		c.Await("it was refused", apptest.Notice("NOT_DELIVERED"))
		require.Len(t, agent.Deliveries("DEAD"), 1)
		agent.Runtime.Do(`mutation($id: ID!) { verifyDeskConnection(input: {deskConnectionId: $id}) { deskConnection { lastError } } }`,
			apptest.Vars{"id": agent.Connection.ID}, nil)
		desk.Script(func(apptest.Call) apptest.Reaction {
			return apptest.Reaction{Lost: true, Status: http.StatusUnauthorized}
		})
		c.UserWrites(userText)
		backWithAgent(c, "TRANSFER_FAILED")
		require.Equal(t, []string{"password", "signing_secret"}, agent.Reread().SecretsSet)
		c.ReturnPackage()
		c.Log()
		require.Contains(t, desk.Calls()[0].Header.Get("Authorization"), "Basic ")
		require.NotEmpty(t, desk.Calls()[0].Header.Get("Webhook-Signature"))
		unauthorized, _, err := s.TryGet("/metrics")
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, unauthorized)
		metrics := s.GetWith(t, "/metrics", metricsToken)
		require.Contains(t, metrics, "handoff_messages_total")
		s.Stop()

		secrets := map[string]string{
			"the administrator token": s.AdminToken, "the secret key": d.SecretKey, "the agent key": agent.Key(), "the user token": c.UserToken,
			"the desk's password": password, "the signing secret": signingSecret, "the same in base64": strings.TrimPrefix(signingSecret, "whsec_"),
			"the metrics token": metricsToken, "a password in an address": "hunter2",
			"the Basic header": base64.StdEncoding.EncodeToString([]byte("desk-bridge:" + password)),
		}
		personal := map[string]string{
			"the e-mail address": email, "a part of it": "mei.lin", "the phone number": phone, "what the user wrote": userText, "what the agent wrote": agentText,
			"what the operator wrote": operatorText, "the note": note, "the summary": summary,
		}
		database := stored(t, d)
		lacks := func(where, content, what, text string) {
			t.Helper()
			if i := strings.Index(content, text); i >= 0 {
				t.Errorf("%s is in %s: …%q…", what, where, content[max(0, i-200):min(len(content), i+len(text)+50)])
			}
		}
		for what, secret := range secrets {
			lacks("the log", s.Log.String(), what, secret)
			lacks("the metrics", metrics, what, secret)
			lacks("the database", database, what, secret)
			for _, exchange := range s.Answers() {
				// Both are shown once, by what makes them.
				shown := strings.Contains(exchange.Query, "createAgentKey") && what == "the agent key" ||
					strings.Contains(exchange.Query, "createUserToken") && what == "the user token"
				if !shown {
					lacks("the answer to "+exchange.Query, string(exchange.Answer), what, secret)
				}
			}
		}
		for what, text := range personal {
			lacks("the log", s.Log.String(), what, text)
			lacks("the metrics", metrics, what, text)
		}
		require.Contains(t, s.Log.String(), "level=DEBUG", "everything was logged")
		require.Contains(t, database, userText, "the whole database was read")
	})
}

// stored is everything that a database keeps, as it is kept.
func stored(t *testing.T, d *apptest.Database) string {
	t.Helper()
	var all strings.Builder
	if d.URL == "" {
		files, err := filepath.Glob(filepath.Join(d.Dir, "handoff.db*"))
		require.NoError(t, err)
		for _, name := range files {
			content, err := os.ReadFile(name)
			require.NoError(t, err)
			all.Write(content)
		}
		return all.String()
	}
	db, err := sql.Open("pgx", d.URL)
	require.NoError(t, err)
	defer db.Close()
	for _, table := range column(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'") {
		for _, row := range column(t, db, fmt.Sprintf("SELECT t::text FROM %q t", table)) {
			all.WriteString(row + "\n")
		}
	}
	return all.String()
}

func column(t *testing.T, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.Query(query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var value string
		require.NoError(t, rows.Scan(&value))
		values = append(values, value)
	}
	require.NoError(t, rows.Err())
	return values
}
