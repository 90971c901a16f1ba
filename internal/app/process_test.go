package app_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"; the store brings "sqlite"
	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestKillLosesNothing kills the process at the worst moments of several
// conversations at once.
func TestKillLosesNothing(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		p := apptest.Launch(t, d, nil)
		release := make(chan struct{}) // never: the answers get lost with the process
		t.Cleanup(func() { close(release) })
		desk := apptest.NewDesk(t)
		agent := p.NewAgent(t).WithWebhook(desk).Set(apptest.Vars{"waitTimeoutSeconds": 5})

		// The desk has got "first", and the process waits for its answer, so that the
		// delivery is not recorded. "second" and "third" are committed and not delivered.
		talking := agent.Converse(nil)
		talkingH := talking.Connected(nil)
		// The desk has got the establish of this one.
		waits := agent.Converse(nil)
		waits.Connecting(nil)
		desk.Script(func(apptest.Call) apptest.Reaction { return apptest.Reaction{Hold: release} })
		for _, text := range []string{"first", "second", "third"} {
			talking.UserWrites(text)
		}
		opening := agent.Converse(nil)
		opening.UserWrites("Let me talk to a person.")
		asked := opening.Request(apptest.Vars{"epoch": 1})
		opening.UserWrites("I am in a hurry.")
		desk.Await(t, "first", func(call apptest.Call) bool { return call.Text == "first" })
		desk.Await(t, "the establish", func(call apptest.Call) bool { return call.ConversationID == asked.Handoff.DeskRef })
		talking.Await("third", apptest.Text("third"))
		opening.Await("the hurry", apptest.Text("I am in a hurry."))

		p.Kill()
		for _, c := range []*apptest.Conversation{talking, opening, waits} {
			require.NotNil(t, c.Stream.AwaitEnd(t))
		}
		desk.Script(nil)
		endLeases(t, d)
		p.Launch()

		// The chats go on from the last event that they have.
		var resumed []*apptest.Stream
		for _, c := range []*apptest.Conversation{talking, opening, waits} {
			seen := c.Stream.Events()
			resumed = append(resumed, p.Subscribe(t, c.UserToken, c.ID, apptest.StreamOptions{After: int64(len(seen))}))
		}
		answer, err := talking.TryOperatorWrites(talkingH.DeskRef, "I am still here.", nil)
		require.NoError(t, err)
		require.Equal(t, apptest.Taken, answer)
		resumed[0].Await(t, 0, "the operator", apptest.Text("I am still here."))
		resumed[2].Await(t, 0, "the deadline of before", apptest.Notice("KEEP_WAITING"))

		calls := desk.AwaitSeen(t, talkingH.DeskRef, 4)
		require.Equal(t, []string{"first", "second", "third"}, apptest.Texts(calls))
		all := desk.CallsOf(talkingH.DeskRef)
		require.Equal(t, []string{"first", "first", "second", "third"}, apptest.Texts(all), "one repeat, of what may not have arrived")
		require.Equal(t, string(all[1].Raw), string(all[2].Raw), "the repeat can be recognised: it is the same in every byte")

		resumed[1].Await(t, 0, "connecting", apptest.Notice("CONNECTING"))
		calls = desk.AwaitSeen(t, asked.Handoff.DeskRef, 2)
		require.Equal(t, []string{apptest.Establish, apptest.Chat}, apptest.Paths(calls))
		require.Equal(t, []string{apptest.Establish, apptest.Establish, apptest.Chat}, apptest.Paths(desk.CallsOf(asked.Handoff.DeskRef)))

		for i, c := range []*apptest.Conversation{talking, opening, waits} {
			require.Equal(t, c.Log(), append(c.Stream.Events(), resumed[i].Events()...), "both streams together are the log")
		}
	})
}

// endLeases moves the end of the leases of a dead process from half a minute ahead to
// now. On SQLite its successor does so itself.
func endLeases(t *testing.T, d *apptest.Database) {
	t.Helper()
	if d.URL == "" {
		return
	}
	db, err := sql.Open("pgx", d.URL)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec("UPDATE lanes SET ready_at = now() WHERE lease_owner IS NOT NULL")
	require.NoError(t, err)
}

func TestStopFinishesWhatHasBegun(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		p := apptest.Launch(t, d, nil)
		desk := apptest.NewDesk(t)
		c := p.NewAgent(t).WithWebhook(desk).Converse(nil)
		h := c.Connected(nil)
		release := make(chan struct{})
		desk.Script(func(apptest.Call) apptest.Reaction { return apptest.Reaction{Hold: release} })
		c.UserWrites("Are you there?")
		desk.AwaitSeen(t, h.DeskRef, 2)

		p.Terminate()
		ended := c.Stream.AwaitEnd(t)
		require.Equal(t, 1012, ended.CloseCode, "come again")
		require.Empty(t, ended.ErrorCode)
		_, _, err := p.TryGet("/healthz")
		require.Error(t, err, "nothing new is accepted")
		close(release)
		require.Zero(t, p.AwaitExit(), p.Output)

		desk.Script(nil)
		p.Launch()
		c.Stream = p.Subscribe(t, c.UserToken, c.ID, apptest.StreamOptions{})
		c.UserWrites("Thanks!")
		require.Equal(t, []string{"Are you there?", "Thanks!"}, apptest.Texts(desk.AwaitSeen(t, h.DeskRef, 3)))
		require.Len(t, desk.CallsOf(h.DeskRef), 3, "what was finished is not repeated")
		p.Terminate()
		require.Zero(t, p.AwaitExit())
	})
}

// TestStopHandsBackWhatDoesNotEnd: a desk that does not answer cannot keep the process
// from stopping, and what it may or may not have got is not lost.
func TestStopHandsBackWhatDoesNotEnd(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		p := apptest.Launch(t, d, map[string]string{"HANDOFF_SHUTDOWN_TIMEOUT": "1s"})
		desk := apptest.NewDesk(t)
		c := p.NewAgent(t).WithWebhook(desk).Converse(nil)
		h := c.Connected(nil)
		never := make(chan struct{})
		t.Cleanup(func() { close(never) })
		desk.Script(func(apptest.Call) apptest.Reaction { return apptest.Reaction{Hold: never} })
		c.UserWrites("Are you there?")
		c.UserWrites("Hello?")
		desk.AwaitSeen(t, h.DeskRef, 2)

		p.Terminate()
		require.Zero(t, p.AwaitExit(), p.Output)
		desk.Script(nil)
		p.Launch()
		desk.AwaitSeen(t, h.DeskRef, 3)
		require.Equal(t, []string{"Are you there?", "Are you there?", "Hello?"}, apptest.Texts(desk.CallsOf(h.DeskRef)))
		c.Log()
	})
}

func TestOneProcessPerDataDirectory(t *testing.T) {
	t.Parallel()
	d := apptest.SQLite(t)
	p := apptest.Launch(t, d, nil)
	output, code := apptest.RunToEnd(t, d.Environ())
	require.Equal(t, 1, code)
	require.Contains(t, output, "another process uses this database")
	require.Contains(t, output, filepath.Join(d.Dir, "handoff.db"))
	require.Equal(t, "ready\n", p.Get(t, "/readyz"), "the first one does not mind")
}

func TestDatabaseOfANewerReleaseIsRefused(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		p := apptest.Launch(t, d, nil)
		p.Terminate()
		require.Zero(t, p.AwaitExit())
		driver, name := "sqlite", filepath.Join(d.Dir, "handoff.db")
		if d.URL != "" {
			driver, name = "pgx", d.URL
		}
		db, err := sql.Open(driver, name)
		require.NoError(t, err)
		_, err = db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, $1)", true)
		require.NoError(t, err)
		require.NoError(t, db.Close())

		output, code := apptest.RunToEnd(t, d.Environ())
		require.Equal(t, 1, code)
		require.Contains(t, output, "99999")
		require.Contains(t, output, "newer release")
	})
}

func TestMistakesInTheConfigurationAreListed(t *testing.T) {
	t.Parallel()
	output, code := apptest.RunToEnd(t, map[string]string{
		"HANDOFF_ADDR": "8080", "DATABASE_URL": "mysql://root:hunter2@db/handoff", "HANDOFF_ADMIN_TOKEN": "hunter2",
		"HANDOFF_MAX_DEPTH": "many", "HANDOFF_ADRR": ":80",
	})
	require.Equal(t, 1, code)
	for _, variable := range []string{"HANDOFF_ADDR", "DATABASE_URL", "HANDOFF_ADMIN_TOKEN", "HANDOFF_MAX_DEPTH", "HANDOFF_ADRR"} {
		require.Contains(t, output, variable)
	}
	require.NotContains(t, output, "hunter2")
}

// TestFirstRun starts without any secret, as a newcomer does.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	d := apptest.SQLite(t)
	d.AdminToken, d.SecretKey = "", ""
	p := apptest.Launch(t, d, nil)
	printed := regexp.MustCompile(`Authorization: Bearer (\S+)`).FindStringSubmatch(p.Output.String())
	require.NotNil(t, printed, "the administrator token is shown")
	for _, name := range []string{"admin.token", "secret.key", "handoff.db"} {
		info, err := os.Stat(filepath.Join(d.Dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	stored, err := os.ReadFile(filepath.Join(d.Dir, "admin.token"))
	require.NoError(t, err)
	require.Equal(t, printed[1]+"\n", string(stored))

	p.AdminToken = printed[1]
	desk := apptest.NewDesk(t)
	c := p.NewAgent(t).WithWebhook(desk, "password", "s3cret").Converse(nil)
	p.Kill()
	p.Launch() // with the same secrets: token, user token and password go on working
	require.Contains(t, p.Output.String(), printed[1])
	c.Connecting(nil)
	require.Equal(t, "Basic OnMzY3JldA==", desk.Calls()[0].Header.Get("Authorization"))
	require.Contains(t, p.Get(t, "/metrics"), "handoff_subscriptions 0\n")
}
