package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"handoff/migrations"
)

// How many batches are under way at a time, each on a connection: one runs while the
// other waits for the disk. More would make them smaller and the whole slower.
const (
	changeBatches = 2
	finishBatches = 1
)

// applicationName shows in pg_stat_activity unless the URL has another one.
const applicationName = "handoff"

func (s *Store) openPostgres(ctx context.Context, o Options) error {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// Not wrapped: the text may hold the password.
		return errors.New("DATABASE_URL is not a Postgres URL such as postgres://user:password@host:5432/database")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
	s.dialect = dialect{
		name:       "postgres",
		forUpdate:  " FOR UPDATE",
		skipLocked: " FOR UPDATE SKIP LOCKED",
		elements:   "jsonb_array_elements_text(CAST(? AS jsonb)) AS list(value)",
		claimLanes: claimLanes,
	}

	db := stdlib.OpenDB(*config)
	s.closers = append(s.closers, db.Close)
	batches := min(changeBatches+finishBatches, o.MaxConnections/2)
	own := o.MaxConnections - batches
	db.SetMaxOpenConns(own)
	db.SetMaxIdleConns(own)
	files, err := fs.Sub(migrations.Postgres, "postgres")
	if err != nil {
		return err
	}
	if err := s.migrate(ctx, db, goose.DialectPostgres, files); err != nil {
		return fmt.Errorf("open Postgres: %w", err)
	}
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: db}), s.gormConfig())
	if err != nil {
		return fmt.Errorf("open Postgres: %w", err)
	}
	s.reads = g
	s.writes = postgresWriter{g}

	pool, err := openBatchPool(ctx, config, batches)
	if err != nil {
		return fmt.Errorf("open Postgres: %w", err)
	}
	s.closers = append(s.closers, func() error { pool.Close(); return nil })
	s.changes, s.finishes = newChangeBatcher(pool), newFinishBatcher(pool)
	s.closers = append(s.closers, func() error {
		s.changes.close()
		s.finishes.close()
		return nil
	})
	return nil
}

// claimLanes takes lanes that nobody is just taking. The list of keys is an array,
// because a join would read all lanes once there is a plan for any length.
const claimLanes = `WITH ready AS MATERIALIZED (
  SELECT key, lease_owner FROM lanes WHERE ready_at <= ? ORDER BY ready_at LIMIT ? FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE lanes SET lease_owner = ?, ready_at = ? WHERE key = ANY (ARRAY(SELECT key FROM ready))
)
SELECT key, lease_owner FROM ready`

// openBatchPool opens the connections for batches. Their few statements join lists
// of unknown length to big tables by primary key. A plan that was made while the
// tables were small, and is kept, would read them from end to end until the next
// analyze, so the planner is told what is always right here.
func openBatchPool(ctx context.Context, base *pgx.ConnConfig, connections int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.ConnConfig = base.Copy()
	for _, off := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin"} {
		config.ConnConfig.RuntimeParams[off] = "off"
	}
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	config.ConnConfig.RuntimeParams["lock_timeout"] = strconv.FormatInt(batchLockTimeout.Milliseconds(), 10)
	config.MaxConns = int32(connections)
	return pgxpool.NewWithConfig(ctx, config)
}

// postgresWriter runs transactions on a pool.
type postgresWriter struct{ db *gorm.DB }

// transientAttempts bounds how often a transaction that lost against others is run again.
const transientAttempts = 4

func (w postgresWriter) transact(ctx context.Context, fn func(tx *gorm.DB) error) (err error) {
	for range transientAttempts {
		if err = w.db.WithContext(ctx).Transaction(fn); !transient(err) {
			return err
		}
	}
	return err
}
