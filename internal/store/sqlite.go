package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"handoff/migrations"
)

// sqliteReaders is the number of connections that read while the writer writes.
const sqliteReaders = 4

// freeLanes makes what was leased ready. Whoever holds a lease has died: the lock of
// the file proves that nobody else is there. The owner stays, so that the lane is
// claimed as abandoned.
const freeLanes = "UPDATE lanes SET ready_at = $1 WHERE ready_at > $1 AND lease_owner IS NOT NULL"

func (s *Store) openSQLite(ctx context.Context, o Options) error {
	if o.SQLitePath == "" {
		return errors.New("open SQLite: no file is named")
	}
	path, err := filepath.Abs(o.SQLitePath)
	if err != nil {
		return fmt.Errorf("open SQLite: %w", err)
	}
	s.dialect = dialect{name: "sqlite", elements: "json_each(?)"}

	// Two processes would not see each other's wake-ups, and one would keep what
	// the other has changed in memory.
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	s.closers = append(s.closers, unlock)
	// Made here so that nobody else may read it; SQLite gives its other files the same mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open SQLite: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("open SQLite: %w", err)
	}

	writer, err := sql.Open("sqlite", sqliteDSN(path, false))
	if err != nil {
		return fmt.Errorf("open SQLite: %w", err)
	}
	s.closers = append(s.closers, writer.Close)
	writer.SetMaxOpenConns(1)
	files, err := fs.Sub(migrations.SQLite, "sqlite")
	if err != nil {
		return err
	}
	if err := s.migrate(ctx, writer, goose.DialectSQLite3, files); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := writer.ExecContext(ctx, freeLanes, instant(s.now())); err != nil {
		return fmt.Errorf("open %s: free the lanes of the last process: %w", path, err)
	}

	readers, err := sql.Open("sqlite", sqliteDSN(path, true))
	if err != nil {
		return fmt.Errorf("open SQLite: %w", err)
	}
	s.closers = append(s.closers, readers.Close)
	readers.SetMaxOpenConns(sqliteReaders)
	readers.SetMaxIdleConns(sqliteReaders)
	pool := newPrepared(readers)
	s.closers = append(s.closers, pool.forget)
	if s.reads, err = gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), s.gormConfig()); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}

	w, err := newSQLiteWriter(ctx, writer, s.gormConfig())
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	s.writes = w
	s.closers = append(s.closers, w.close)

	checkpoints, err := startCheckpoints(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	s.closers = append(s.closers, checkpoints)
	return nil
}

// sqliteDSN names the file and how to use it: a write is on the disk when it is
// committed (FULL), readers do not wait for the writer (WAL), a transaction that
// will write says so when it begins (immediate), and times are integers. The writer
// checkpoints only when the loop of startCheckpoints has fallen far behind.
func sqliteDSN(path string, readOnly bool) string {
	q := url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(1)",
			fmt.Sprintf("wal_autocheckpoint(%d)", walLimit)},
		"_txlock":              {"immediate"},
		"_time_integer_format": {"unix_micro"},
	}
	if readOnly {
		q.Set("_query_only", "1")
		q.Set("_txlock", "deferred")
	}
	name := "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")
	return (&url.URL{Scheme: "file", Path: name, RawQuery: q.Encode()}).String()
}

// sqliteWriter runs every write on the one connection that writes. What arrives
// while it is busy is committed together: one wait for the disk instead of many.
type sqliteWriter struct {
	conn *sql.Conn
	sql  *prepared // on conn
	db   *gorm.DB
	jobs *combiner[*sqliteJob]
}

// sqliteBatch bounds a transaction, so that no caller waits for a long queue.
const sqliteBatch = 64

type sqliteJob struct {
	run  func(tx *gorm.DB) error
	done chan error // has room for the one answer
}

func newSQLiteWriter(ctx context.Context, db *sql.DB, config *gorm.Config) (*sqliteWriter, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &sqliteWriter{conn: conn, sql: newPrepared(conn)}
	if w.db, err = gorm.Open(sqlite.New(sqlite.Config{Conn: w.sql}), config); err != nil {
		_ = conn.Close()
		return nil, err
	}
	w.jobs = newCombiner(1, sqliteBatch, w.commit)
	return w, nil
}

func (w *sqliteWriter) close() error {
	w.jobs.close()
	return errors.Join(w.sql.forget(), w.conn.Close())
}

// transact queues fn and waits for the commit. Until it begins, ctx can end the
// wait; afterwards it runs to its end, because SQLite rolls the whole transaction
// back, with everybody's work, when a statement is interrupted.
func (w *sqliteWriter) transact(ctx context.Context, fn func(tx *gorm.DB) error) error {
	job := &sqliteJob{run: fn, done: make(chan error, 1)}
	if err := w.jobs.submit(ctx, job); err != nil {
		return err
	}
	return <-job.done
}

// commit runs jobs in one transaction, each in a savepoint of its own, so that one
// that fails takes nobody along.
func (w *sqliteWriter) commit(batch []*sqliteJob) {
	failed := make([]error, len(batch))
	err := w.transaction(batch, failed)
	for i, job := range batch {
		if failed[i] == nil {
			failed[i] = err
		}
		job.done <- failed[i]
	}
}

func (w *sqliteWriter) transaction(batch []*sqliteJob, failed []error) (err error) {
	ctx := context.Background()
	if err := w.do(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = w.do(ctx, "ROLLBACK") // fails when SQLite has done it by itself
		}
	}()
	if len(batch) == 1 { // nobody to protect
		if failed[0] = batch[0].run(w.db.WithContext(ctx)); failed[0] != nil {
			return w.do(ctx, "ROLLBACK")
		}
		return w.do(ctx, "COMMIT")
	}
	useful := false
	for i, job := range batch {
		if err := w.do(ctx, "SAVEPOINT job"); err != nil {
			return err
		}
		failed[i] = job.run(w.db.WithContext(ctx))
		if failed[i] != nil {
			if err := w.do(ctx, "ROLLBACK TO job"); err != nil {
				return failed[i] // it ended the transaction, as a full disk does: nobody's work is left
			}
		}
		if err := w.do(ctx, "RELEASE job"); err != nil {
			return err
		}
		useful = useful || failed[i] == nil
	}
	if !useful {
		return w.do(ctx, "ROLLBACK")
	}
	return w.do(ctx, "COMMIT")
}

func (w *sqliteWriter) do(ctx context.Context, statement string) error {
	_, err := w.sql.ExecContext(ctx, statement)
	return err
}
