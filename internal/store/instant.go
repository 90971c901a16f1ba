package store

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// instant is a time as both databases keep it: whole microseconds in UTC, with
// the zero time as NULL. Postgres has it as timestamptz; the SQLite driver writes
// it as an integer (_time_integer_format=unix_micro).
type instant time.Time

// Value implements [driver.Valuer].
func (i instant) Value() (driver.Value, error) {
	if time.Time(i).IsZero() {
		return nil, nil
	}
	return micro(time.Time(i)), nil
}

// Scan implements [sql.Scanner].
func (i *instant) Scan(from any) error {
	switch v := from.(type) {
	case nil:
		*i = instant{}
	case time.Time:
		*i = instant(micro(v))
	case int64:
		*i = instant(time.UnixMicro(v).UTC())
	default:
		return fmt.Errorf("%T is not a time", from)
	}
	return nil
}

// GormDataType keeps GORM from looking inside.
func (instant) GormDataType() string { return "time" }

// time is the time as it comes back from the database.
func (i instant) time() time.Time { return micro(time.Time(i)) }

// micro cuts a time to what the databases keep.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
