package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // for its version

	"handoff/internal/store/pgtest"
)

// The databases that are measured.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

// database is a kind of database, and where new ones are made.
type database struct {
	kind    string
	version string
	scratch string
	server  postgresServer // with Postgres
}

// postgresServer makes databases. The function that comes with one drops it.
type postgresServer interface {
	Database() (address string, drop func() error, err error)
	Stop() error
}

// place is one empty database: a directory, and with Postgres an address.
type place struct {
	dir  string
	url  string // "" = SQLite
	drop func() error
}

// openDatabase gets a kind ready.
func openDatabase(ctx context.Context, kind, scratch string) (*database, error) {
	d := &database{kind: kind, scratch: scratch}
	if kind == sqlite {
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			return nil, err
		}
		defer func() { _ = db.Close() }()
		return d, db.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&d.version)
	}
	address := os.Getenv("DATABASE_URL")
	if address != "" {
		d.server = givenPostgres(address)
	} else {
		server, err := pgtest.Start(pgtest.Options{Durable: true})
		if err != nil {
			return nil, err
		}
		d.server = server
	}
	p, err := d.empty()
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.version, err = postgresVersion(ctx, p.url)
	if err := errors.Join(err, p.drop()); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// postgresVersion names the version, and what about the server would make figures
// look better than they are.
func postgresVersion(ctx context.Context, address string) (string, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	var version, fsync, synchronous string
	if err := conn.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('fsync'), current_setting('synchronous_commit')").
		Scan(&version, &fsync, &synchronous); err != nil {
		return "", err
	}
	if fsync != "on" || synchronous != "on" {
		return "", fmt.Errorf("the Postgres server has fsync %s and synchronous_commit %s; the figures would mean nothing", fsync, synchronous)
	}
	return "PostgreSQL " + version, nil
}

// empty makes an empty database.
func (d *database) empty() (*place, error) {
	dir, err := os.MkdirTemp(d.scratch, "handoff-loadtest-")
	if err != nil {
		return nil, err
	}
	p := &place{dir: dir, drop: func() error { return os.RemoveAll(dir) }}
	if d.kind == sqlite {
		return p, nil
	}
	address, drop, err := d.server.Database()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.url, p.drop = address, func() error { return errors.Join(drop(), os.RemoveAll(dir)) }
	return p, nil
}

// file is where the server keeps SQLite.
func (p *place) file() string { return filepath.Join(p.dir, "handoff.db") }

func (d *database) close() error {
	if d.server == nil {
		return nil
	}
	return d.server.Stop()
}

// givenPostgres is the address of a server that somebody else runs.
type givenPostgres string

const adminTimeout = time.Minute

func (g givenPostgres) Database() (string, func() error, error) {
	name := "handoff_loadtest_" + strings.ToLower(rand.Text())
	u, err := url.Parse(string(g))
	if err != nil {
		return "", nil, errors.New("DATABASE_URL is not a URL") // not quoted: it may hold a password
	}
	quoted := pgx.Identifier{name}.Sanitize()
	if err := g.exec("CREATE DATABASE " + quoted); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() error { return g.exec("DROP DATABASE IF EXISTS " + quoted + " WITH (FORCE)") }, nil
}

func (g givenPostgres) Stop() error { return nil }

func (g givenPostgres) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, string(g))
	if err != nil {
		return fmt.Errorf("the server of DATABASE_URL: %w", err)
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
