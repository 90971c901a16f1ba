package store_test

import (
	"database/sql"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/store/pgtest"
	"handoff/migrations"
)

func TestOpenTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]store.Options{
		"sqlite":   {SQLitePath: filepath.Join(t.TempDir(), "with space & %41 #?.db")},
		"postgres": {URL: pgtest.URL(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), options)
			require.NoError(t, err)
			require.NoError(t, s.Ping(t.Context()))
			c := newConversation(t, s)
			require.NoError(t, s.Close())
			require.NoError(t, s.Close(), "closing twice")
			require.Error(t, s.Ping(t.Context()))
			_, err = s.Change(t.Context(), c.ID, "", func(handoff.Snapshot) (*handoff.Change, error) { return &handoff.Change{}, nil })
			require.Error(t, err)

			again := open(t, options)
			read, err := again.Conversation(t.Context(), c.ID)
			require.NoError(t, err)
			require.Equal(t, c, read)
		})
	}
}

func TestOpenRefusesADatabaseOfANewerRelease(t *testing.T) {
	t.Parallel()
	const newer = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)"
	refused := func(t *testing.T, o store.Options) {
		t.Helper()
		_, err := store.Open(t.Context(), o)
		require.ErrorContains(t, err, "schema version 99")
		require.ErrorContains(t, err, "knows up to version 1")
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		o := store.Options{SQLitePath: filepath.Join(t.TempDir(), "test.db")}
		s, err := store.Open(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		db, err := sql.Open("sqlite", o.SQLitePath)
		require.NoError(t, err)
		_, err = db.Exec(newer)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		refused(t, o)
		refused(t, o) // and the file is not left locked
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		o := store.Options{URL: migrated(t)}
		conn, err := pgx.Connect(t.Context(), o.URL)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), newer)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		refused(t, o)
	})
}

func TestSQLiteBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	o := store.Options{SQLitePath: filepath.Join(t.TempDir(), "test.db")}
	first, err := store.Open(t.Context(), o)
	require.NoError(t, err)
	_, err = store.Open(t.Context(), o)
	require.ErrorContains(t, err, "another process uses this database")
	require.ErrorContains(t, err, o.SQLitePath)
	require.NoError(t, first.Ping(t.Context()))
	require.NoError(t, first.Close())
	open(t, o)
	for _, file := range []string{o.SQLitePath, o.SQLitePath + "-wal"} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), "others can read %s", file)
	}
}

// A process that has died leaves its leases behind. On SQLite its successor need not
// wait for their end, and still knows that the heads may have been delivered.
func TestSQLiteFreesTheLanesOfTheLastProcess(t *testing.T) {
	t.Parallel()
	o := store.Options{SQLitePath: filepath.Join(t.TempDir(), "test.db"), Now: func() time.Time { return now }}
	s, err := store.Open(t.Context(), o)
	require.NoError(t, err)
	c := newConversation(t, s)
	queue := func(lane string) {
		_, err := s.Change(t.Context(), c.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
			return &handoff.Change{Deliveries: []handoff.QueuedDelivery{{EventIndex: -1, Delivery: handoff.Delivery{
				ID: handoff.NewID(handoff.DeliveryPrefix), Lane: lane, ConversationID: c.ID, Kind: handoff.DeliverMessage,
				Status: handoff.DeliveryPending, CreatedAt: now,
			}}}}, nil
		})
		require.NoError(t, err)
	}
	claim := func(owner string) map[string]bool {
		leases, err := s.ClaimLanes(t.Context(), owner, now, now.Add(30*time.Second), 10)
		require.NoError(t, err)
		abandoned := map[string]bool{}
		for _, l := range leases {
			abandoned[l.Lane] = l.Abandoned
		}
		return abandoned
	}
	queue("postponed")
	require.Equal(t, map[string]bool{"postponed": false}, claim("first"))
	finish := handoff.FinishDelivery{Lane: "postponed", LaneSeq: 1, Owner: "first"}
	require.NoError(t, s.PostponeDelivery(t.Context(), finish, now.Add(time.Second), handoff.Delivery{Attempts: 1}))
	queue("leased")
	require.Equal(t, map[string]bool{"leased": false}, claim("second"))
	require.NoError(t, s.Close()) // gives nothing back, as a process that dies

	s = open(t, o)
	require.Equal(t, map[string]bool{"leased": true}, claim("third"), "what waits for a retry goes on waiting")
	require.Empty(t, claim("fourth"), "it is leased again")
}

func TestPostgresOpensForManyAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := store.Open(t.Context(), store.Options{URL: url, MaxConnections: 2})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	newConversation(t, open(t, store.Options{URL: url, MaxConnections: 2}))
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), store.Options{})
	require.ErrorContains(t, err, "no file is named")
	_, err = store.Open(t.Context(), store.Options{SQLitePath: filepath.Join(t.TempDir(), "missing", "test.db")})
	require.ErrorContains(t, err, "missing")
	_, err = store.Open(t.Context(), store.Options{URL: "postgres://user:secret@[broken"})
	require.ErrorContains(t, err, "DATABASE_URL")
	require.NotContains(t, err.Error(), "secret")
	_, err = store.Open(t.Context(), store.Options{URL: "postgres://user:secret@127.0.0.1:1/db?connect_timeout=2"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	directory := filepath.Join(t.TempDir(), "test.db")
	require.NoError(t, os.WriteFile(directory, []byte(strings.Repeat("this is not a database", 100)), 0o600))
	_, err = store.Open(t.Context(), store.Options{SQLitePath: directory})
	require.ErrorContains(t, err, "not a database")
}

func TestMigrationsHaveTheSameNumbers(t *testing.T) {
	t.Parallel()
	numbers := func(files fs.FS, folder string) []string {
		entries, err := fs.ReadDir(files, folder)
		require.NoError(t, err)
		var names []string
		for _, e := range entries {
			require.Equal(t, ".sql", path.Ext(e.Name()))
			names = append(names, e.Name())
		}
		require.True(t, slices.IsSorted(names))
		return names
	}
	require.Equal(t, numbers(migrations.Postgres, "postgres"), numbers(migrations.SQLite, "sqlite"))
}
