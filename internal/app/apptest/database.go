package apptest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"handoff/internal/store"
	"handoff/internal/store/pgtest"
)

// Database is an empty database of one test, with the secrets of the service that
// runs on it. It outlives the processes that use it.
type Database struct {
	Name       string // sqlite or postgres
	URL        string // of Postgres; "" = SQLite in Dir
	Dir        string // the data directory
	AdminToken string
	SecretKey  string
}

// Environ is the configuration that makes a process use the database, on a free
// port, with desks on this machine allowed.
func (d *Database) Environ() map[string]string {
	return map[string]string{
		"HANDOFF_ADDR":                     "127.0.0.1:0",
		"HANDOFF_DATA_DIR":                 d.Dir,
		"DATABASE_URL":                     d.URL,
		"HANDOFF_ADMIN_TOKEN":              d.AdminToken,
		"HANDOFF_SECRET_KEY":               d.SecretKey,
		"HANDOFF_ALLOWED_PRIVATE_NETWORKS": "loopback",
	}
}

// OnEachDatabase plays a story on SQLite and on Postgres, in parallel, each time as
// a subtest with a database of its own.
func OnEachDatabase(t *testing.T, story func(t *testing.T, d *Database)) {
	t.Helper()
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *Database{"sqlite": SQLite, "postgres": Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, open(t))
		})
	}
}

// SQLite makes an empty SQLite database.
func SQLite(t testing.TB) *Database { return newDatabase(t, "sqlite", "") }

// Postgres makes an empty Postgres database, its schema up to date.
func Postgres(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, "postgres", pgtest.Template(t, "migrated", func(url string) error {
		s, err := store.Open(context.Background(), store.Options{URL: url})
		if err != nil {
			return err
		}
		return s.Close()
	}))
}

func newDatabase(t testing.TB, name, url string) *Database {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24: the process ends instead
	return &Database{
		Name: name, URL: url, Dir: t.TempDir(),
		AdminToken: "hadm_" + hex.EncodeToString(random[:]),
		SecretKey:  base64.StdEncoding.EncodeToString(random[:]),
	}
}
