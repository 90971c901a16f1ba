package floor

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// store makes one durable insert per message.
type store interface {
	insert(ctx context.Context, conversation, body string) error
	close() error
}

func open(ctx context.Context, target string) (store, error) {
	if strings.HasPrefix(target, "postgres") {
		return openPostgres(ctx, target)
	}
	return openSQLite(ctx, target)
}

type postgresStore struct{ pool *pgxpool.Pool }

// poolSize is the service's default.
const poolSize = 20

func openPostgres(ctx context.Context, address string) (store, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, errors.New("the address of the database cannot be read") // not quoted: it may hold a password
	}
	config.MaxConns = poolSize
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS floor (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), conversation text NOT NULL, body text NOT NULL)`)
	return postgresStore{pool}, err
}

func (s postgresStore) insert(ctx context.Context, conversation, body string) error {
	_, err := s.pool.Exec(ctx, "INSERT INTO floor (conversation, body) VALUES ($1, $2)", conversation, body)
	return err
}

func (s postgresStore) close() error { s.pool.Close(); return nil }

type sqliteStore struct {
	db        *sql.DB
	statement *sql.Stmt
}

// openSQLite opens a file as the service does: in WAL mode, a write being on the
// disk when it is committed, over one connection because SQLite has one writer.
func openSQLite(ctx context.Context, path string) (store, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?"+url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"},
		"_txlock": {"immediate"},
	}.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS floor (
		id INTEGER PRIMARY KEY, at INTEGER NOT NULL DEFAULT (unixepoch()), conversation TEXT NOT NULL, body TEXT NOT NULL) STRICT`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	statement, err := db.PrepareContext(ctx, "INSERT INTO floor (conversation, body) VALUES (?, ?)")
	return sqliteStore{db, statement}, err
}

func (s sqliteStore) insert(ctx context.Context, conversation, body string) error {
	_, err := s.statement.ExecContext(ctx, conversation, body)
	return err
}

func (s sqliteStore) close() error { return errors.Join(s.statement.Close(), s.db.Close()) }
