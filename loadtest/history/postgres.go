package history

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type postgresSink struct{ conn *pgx.Conn }

func openPostgres(ctx context.Context, address string) (sink, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	return postgresSink{conn}, nil
}

func (s postgresSink) write(ctx context.Context, c *chunk) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for i, table := range tables {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{table.name}, table.columns, pgx.CopyFromRows(c.rows[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish does what autovacuum and the checkpointer would do some minutes later, in
// the middle of a measurement.
func (s postgresSink) finish(ctx context.Context) error {
	for _, table := range tables {
		if _, err := s.conn.Exec(ctx, "VACUUM ANALYZE "+table.name); err != nil {
			return err
		}
	}
	_, err := s.conn.Exec(ctx, "CHECKPOINT")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return nil // not everybody may
	}
	return err
}

func (s postgresSink) close(ctx context.Context) error { return s.conn.Close(ctx) }
