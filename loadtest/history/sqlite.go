package history

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

type sqliteSink struct {
	db   *sql.DB
	path string
}

// openSQLite gives up durability: nobody misses a database that was not filled.
func openSQLite(path string) (sink, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return sqliteSink{db, path}, nil
}

func (s sqliteSink) write(ctx context.Context, c *chunk) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i, table := range tables {
		if err := insert(ctx, tx, table.name, table.columns, c.rows[i]); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func insert(ctx context.Context, tx *sql.Tx, table string, columns []string, rows [][]any) error {
	statement, err := tx.PrepareContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES (?"+
		strings.Repeat(", ?", len(columns)-1)+")")
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }()
	for _, row := range rows {
		if _, err := statement.ExecContext(ctx, inSQLite(row)...); err != nil {
			return err
		}
	}
	return nil
}

// inSQLite writes times as microseconds and truths as 0 and 1.
func inSQLite(row []any) []any {
	values := make([]any, len(row))
	for i, value := range row {
		switch value := value.(type) {
		case time.Time:
			values[i] = value.UnixMicro()
		case bool:
			values[i] = 0
			if value {
				values[i] = 1
			}
		default:
			values[i] = value
		}
	}
	return values
}

// finish moves everything from the log into the file, and the file to the disk: what
// the system still has to write would slow down every commit that is measured.
func (s sqliteSink) finish(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	file, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func (s sqliteSink) close(context.Context) error { return s.db.Close() }
