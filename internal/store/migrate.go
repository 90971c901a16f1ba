package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// How long one process waits for another one to migrate, in seconds.
const (
	migrationPoll = 1
	migrationWait = 300
)

// migrate brings the schema up to date and refuses one that is newer than this
// program. On Postgres one process at a time does it; the caller of SQLite holds
// the lock of the file.
func (s *Store) migrate(ctx context.Context, db *sql.DB, d goose.Dialect, files fs.FS) error {
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(migrationPoll, migrationWait/migrationPoll))
		if err != nil {
			return fmt.Errorf("migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d, db, files, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if err := refuseNewer(ctx, provider); err != nil {
		return err
	}
	applied, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	for _, m := range applied {
		s.log.InfoContext(ctx, "database migrated", "version", m.Source.Version, "took", m.Duration)
	}
	// A newer program may have migrated while this one waited for the lock.
	return refuseNewer(ctx, provider)
}

func refuseNewer(ctx context.Context, provider *goose.Provider) error {
	has, knows, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the database: %w", err)
	}
	if has > knows {
		return fmt.Errorf("the database has schema version %d and this program knows up to version %d: "+
			"it was used by a newer release; start that one, or restore a backup from before", has, knows)
	}
	return nil
}
