package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// GORM's TranslateError is off: it hides which constraint was broken, and plain
// SQL needs this classification of the drivers' errors anyway.

// missing makes NotFound of "no such row", and classifies everything else.
func missing(err error, what string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) || errors.Is(err, sql.ErrNoRows) {
		return fault.Missing(what)
	}
	return classify(err)
}

// classify makes a Fault of whatever a database said. Faults pass unchanged.
func classify(err error) error {
	var (
		known    *fault.Fault
		postgres *pgconn.PgError
		lite     *sqlite.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled):
		return fault.As(err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Overloaded, err, "the database did not answer in time")
	case errors.As(err, &postgres):
		return classifyPostgres(postgres, err)
	case errors.As(err, &lite):
		return classifySQLite(lite, err)
	case unreachable(err):
		return fault.Wrap(fault.Overloaded, err, "the database cannot be reached")
	}
	return fault.Wrap(fault.Internal, err, "internal error")
}

// unreachable reports whether the error is about the connection, not the statement.
func unreachable(err error) bool {
	var (
		connect *pgconn.ConnectError
		network net.Error
	)
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err)
}

// Codes of https://www.postgresql.org/docs/current/errcodes-appendix.html.
func classifyPostgres(e *pgconn.PgError, err error) error {
	switch {
	case e.Code == "23505":
		return conflict(e.ConstraintName, err)
	case e.Code == "22021" || e.Code == "22P05": // a text that Postgres cannot store
		return fault.Wrap(fault.InvalidInput, err, "a text is not valid UTF-8 without NUL")
	case transient(err):
		return fault.Wrap(fault.Overloaded, err, "others are changing the same; try again")
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "57", "58", "25": // connection, resources, operator, system, read-only after a failover
		return fault.Wrap(fault.Overloaded, err, "the database is not able to serve")
	}
	return fault.Wrap(fault.Internal, err, "internal error")
}

// transient reports whether a transaction lost against others, did nothing, and
// may simply be run again: serialization failure, deadlock, lock not available.
func transient(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == "40001" || e.Code == "40P01" || e.Code == "55P03"
}

// Codes of https://www.sqlite.org/rescode.html; the lower byte is the primary one.
func classifySQLite(e *sqlite.Error, err error) error {
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		_, columns, _ := strings.Cut(e.Error(), "UNIQUE constraint failed: ")
		columns, _, _ = strings.Cut(columns, " (")
		return conflict(columns, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		return fault.Wrap(fault.Overloaded, err, "the database is not able to serve")
	}
	return fault.Wrap(fault.Internal, err, "internal error")
}

// conflict says which rule was broken: Postgres names the constraint, SQLite its columns.
func conflict(rule string, err error) error {
	switch rule {
	case "connections_active", "connections.agent_id, connections.mode":
		return fault.Wrap(fault.Conflict, err, "another connection of this mode is active")
	case "connections_receive_token", "connections.receive_token":
		return fault.Wrap(fault.Conflict, err, "the receive token is in use")
	case "agent_keys_hash", "agent_keys.hash":
		return fault.Wrap(fault.Conflict, err, "the key exists already")
	case "events_key", "events.conversation_id, events.key":
		return fault.Wrap(fault.Conflict, err, "an event with this key exists already")
	case "handoffs_open", "handoffs.conversation_id":
		return fault.Wrap(fault.Conflict, err, "a handoff is open already")
	case "handoffs_open_ref", "handoffs.connection_id, handoffs.desk_ref":
		return fault.Wrap(fault.Conflict, errors.Join(handoff.ErrSessionTaken, err), "another open handoff has this session at the desk")
	}
	return fault.Wrap(fault.Conflict, err, "it exists already")
}
