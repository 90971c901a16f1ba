package store

import (
	"context"
	"database/sql"
	"os"
	"sync"
	"time"
)

const (
	// walLimit is the size of the write-ahead log, in pages of 4 KiB, at which a commit
	// waits for a checkpoint: 64 MB.
	walLimit = 16_384
	// walWanted is the size, in bytes, above which the loop makes a checkpoint.
	walWanted = 4 << 20
	// walLook is how often the loop looks.
	walLook = 250 * time.Millisecond
)

// startCheckpoints copies the write-ahead log into the database file beside the
// writer, on a connection of its own, instead of in the middle of somebody's commit
// (https://www.sqlite.org/wal.html#application_initiated_checkpoints). A passive
// checkpoint waits for nobody and nobody waits for it.
func startCheckpoints(path string) (stop func() error, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, false))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() {
		ticker := time.NewTicker(walLook)
		defer ticker.Stop()
		var seen time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			log, err := os.Stat(path + "-wal")
			if err != nil || log.Size() < walWanted || log.ModTime().Equal(seen) {
				continue
			}
			seen = log.ModTime()
			// What it cannot do now, the next look or the writer does; a disk that fails
			// is reported by the next commit.
			_, _ = db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		}
	})
	return func() error {
		cancel()
		loop.Wait()
		return db.Close()
	}, nil
}
