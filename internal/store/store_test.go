package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/store/pgtest"
	"handoff/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestSQLite(t *testing.T) {
	t.Parallel()
	// A copy of a file that has the schema: making it takes longer than most tests.
	path := filepath.Join(t.TempDir(), "migrated.db")
	s, err := store.Open(t.Context(), store.Options{SQLitePath: path})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	schema, err := os.ReadFile(path)
	require.NoError(t, err)
	storetest.Run(t, func(t testing.TB) handoff.Store {
		path := filepath.Join(t.TempDir(), "test.db")
		require.NoError(t, os.WriteFile(path, schema, 0o600))
		return open(t, store.Options{SQLitePath: path})
	})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	urls := sharedDatabases(t)
	storetest.Run(t, func(t testing.TB) handoff.Store { return openPostgres(t, urls(t)) })
}

// A change that comes alone is written in another way than many at once: both pass.
func TestPostgresInBatches(t *testing.T) {
	t.Parallel()
	urls := sharedDatabases(t)
	storetest.Run(t, func(t testing.TB) handoff.Store {
		url := urls(t)
		s := openPostgres(t, url)
		require.NoError(t, store.OnlyMany(t.Context(), s, url))
		return s
	}, "Change", "Lanes")
}

// sharedDatabases lends databases to tests, one after the other, since making one
// takes longer than most tests.
func sharedDatabases(t *testing.T) (url func(t testing.TB) string) {
	const databases = 2
	free := make(chan string, databases)
	for range databases {
		free <- migrated(t)
	}
	return func(t testing.TB) string {
		url := <-free
		t.Cleanup(func() {
			empty(t, url)
			free <- url
		})
		return url
	}
}

// tables in an order in which they can be emptied.
var tables = []string{
	"once", "deliveries", "lanes", "operator_notes", "handoffs", "events", "conversations", "desk_memory", "connections", "agent_keys", "agents",
}

func empty(t testing.TB, url string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for _, table := range tables {
		_, err := conn.Exec(context.Background(), "DELETE FROM "+table)
		require.NoError(t, err)
	}
}

func open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func openPostgres(t testing.TB, url string) *store.Store {
	t.Helper()
	return open(t, store.Options{URL: url, MaxConnections: 8})
}

// migrated is the address of a fresh database that has the schema.
func migrated(t testing.TB) string {
	t.Helper()
	return pgtest.Template(t, "migrated", func(url string) error {
		s, err := store.Open(context.Background(), store.Options{URL: url})
		if err != nil {
			return err
		}
		return s.Close()
	})
}
