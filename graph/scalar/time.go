package scalar

import (
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"handoff/internal/fault"
	"handoff/internal/hours"
)

// MarshalTime writes the scalar Time: RFC 3339 in UTC, cut to microseconds, the
// precision of the database. The zero time is null.
func MarshalTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return graphql.MarshalString(t.UTC().Format("2006-01-02T15:04:05.999999Z"))
}

// UnmarshalTime reads the scalar Time: RFC 3339 in UTC, written with Z, with at
// most six digits after the second.
func UnmarshalTime(v any) (time.Time, error) {
	const (
		toTheSecond = "2006-01-02T15:04:05"
		longest     = len(toTheSecond + ".000000Z")
	)
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	// time.Parse also takes hours of one digit and a comma before the fraction.
	if err != nil || len(s) > longest || !strings.HasSuffix(s, "Z") ||
		!strings.HasPrefix(s, t.Format(toTheSecond)) || strings.Contains(s, ",") {
		return time.Time{}, fault.Invalid("", "must be a time in UTC such as 2026-01-31T09:30:00Z, with at most microseconds")
	}
	return t, nil
}

// MarshalDate writes the scalar Date, e.g. "2026-01-31". No date is null.
func MarshalDate(d hours.Date) graphql.Marshaler {
	if d == (hours.Date{}) {
		return graphql.Null
	}
	return graphql.MarshalString(d.String())
}

// UnmarshalDate reads the scalar Date: a day of the calendar, "2026-01-31".
func UnmarshalDate(v any) (hours.Date, error) {
	s, _ := v.(string)
	return hours.ParseDate(s)
}

// MarshalTimeOfDay writes the scalar TimeOfDay, e.g. "09:30".
func MarshalTimeOfDay(m hours.Minute) graphql.Marshaler { return graphql.MarshalString(m.String()) }

// UnmarshalTimeOfDay reads the scalar TimeOfDay, from "00:00" to "24:00".
func UnmarshalTimeOfDay(v any) (hours.Minute, error) {
	s, _ := v.(string)
	return hours.ParseMinute(s)
}
