package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Options say which database to open.
type Options struct {
	URL            string // postgres://… or postgresql://…; "" = the SQLite file
	SQLitePath     string
	MaxConnections int              // of this process to Postgres, at least 2; 0 = DefaultMaxConnections
	Logger         *slog.Logger     // nil = silent
	Now            func() time.Time // for what comes without a time; nil = time.Now
}

// DefaultMaxConnections is how many connections a process opens to Postgres at most.
const DefaultMaxConnections = 20

// Store is one open database. It is safe for concurrent use.
type Store struct {
	dialect dialect
	log     *slog.Logger
	now     func() time.Time

	reads  *gorm.DB
	writes interface {
		// transact runs fn in a transaction, perhaps more than once.
		transact(ctx context.Context, fn func(tx *gorm.DB) error) error
	}
	busy keyLocks
	// maxDeskMemory is handoff.MaxDeskMemory; tests have a smaller one.
	maxDeskMemory int64
	recent        snapshots
	closers       []func() error // in the order of opening

	// On Postgres, what every message needs is done for many at once.
	changes  *batcher[*plan, struct{}]
	finishes *batcher[handoff.FinishDelivery, ending]
}

var _ handoff.Store = (*Store)(nil)

// dialect is where the two databases need different words.
type dialect struct {
	name       string
	forUpdate  string // SQLite locks nothing: its writer is alone
	skipLocked string
	elements   string // the strings of a JSON list as a table with a column "value"
	claimLanes string // ClaimLanes in one statement, where one can do it
}

// Open opens the database and brings its schema up to date. It fails when the
// database is newer than this program, or when another process has the SQLite file.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	s := &Store{log: o.Logger, now: o.Now, maxDeskMemory: handoff.MaxDeskMemory}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxConnections < 2 {
		return nil, fmt.Errorf("open the store: MaxConnections is %d, must be at least 2", o.MaxConnections)
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	opening := s.openPostgres
	if o.URL == "" {
		opening = s.openSQLite
	}
	if err := opening(ctx, o); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends what is under way and closes the database. Whoever still uses the
// Store gets errors. It may be called twice.
func (s *Store) Close() error {
	var first error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		if err := s.closers[last](); err != nil && first == nil {
			first = err
		}
		s.closers = s.closers[:last]
	}
	return first
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return classify(s.read(ctx).Raw("SELECT 1").Row().Scan(&one))
}

// read is where queries start.
func (s *Store) read(ctx context.Context) *gorm.DB { return s.reads.WithContext(ctx) }

// write runs fn in a transaction; fn may run more than once and must not keep
// what it read in an earlier run. The error is a Fault.
func (s *Store) write(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return classify(s.writes.transact(ctx, fn))
}

// gormConfig is the same for every pool: no transaction that was not asked for, no
// log of statements, which may hold personal data.
func (s *Store) gormConfig() *gorm.Config {
	return &gorm.Config{SkipDefaultTransaction: true, Logger: logger.Discard, NowFunc: func() time.Time { return micro(s.now()) }}
}

// maxAttempts bounds how often work is done again because somebody else was faster.
const maxAttempts = 10

// repeat calls try until it reports that it has won.
func repeat[T any](ctx context.Context, try func() (T, bool, error)) (T, error) {
	var zero T
	for range maxAttempts {
		value, won, err := try()
		if err != nil {
			return zero, err
		}
		if won {
			return value, nil
		}
		if err := ctx.Err(); err != nil {
			return zero, classify(err)
		}
	}
	return zero, fault.New(fault.Overloaded, "others keep changing the same; try again")
}

// Plain SQL on the connection of a transaction. The parameters are $1, $2, … for
// both databases.

func exec(tx *gorm.DB, query string, args ...any) (changed int64, err error) {
	result, err := tx.Statement.ConnPool.ExecContext(tx.Statement.Context, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func queryRow(tx *gorm.DB, query string, args ...any) *sql.Row {
	return tx.Statement.ConnPool.QueryRowContext(tx.Statement.Context, query, args...)
}
