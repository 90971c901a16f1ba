package hours_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/hours"
)

func requireInvalid(t *testing.T, err error, field, text string) {
	t.Helper()
	var f *fault.Fault
	require.True(t, errors.As(err, &f), "want a fault, got %v", err)
	require.Equal(t, fault.InvalidInput, f.Kind)
	require.Equal(t, field, f.Field)
	require.Contains(t, f.Public, text)
}

func minute(t testing.TB, text string) hours.Minute {
	t.Helper()
	m, err := hours.ParseMinute(text)
	require.NoError(t, err)
	return m
}

func date(t testing.TB, text string) hours.Date {
	t.Helper()
	d, err := hours.ParseDate(text)
	require.NoError(t, err)
	return d
}

// window reads "09:00-12:00".
func window(t testing.TB, text string) (start, end hours.Minute) {
	t.Helper()
	require.Len(t, text, len("09:00-12:00"))
	return minute(t, text[:5]), minute(t, text[6:])
}

func weekly(t testing.TB, text string, days ...time.Weekday) hours.Rule {
	t.Helper()
	start, end := window(t, text)
	return hours.Rule{Kind: hours.Weekly, Weekdays: days, Start: start, End: end}
}

func daily(t testing.TB, text string) hours.Rule {
	t.Helper()
	return weekly(t, text, 0, 1, 2, 3, 4, 5, 6)
}

func dated(t testing.TB, day, text string) hours.Rule {
	t.Helper()
	start, end := window(t, text)
	return hours.Rule{Kind: hours.Dated, Date: date(t, day), Start: start, End: end}
}

func exclusion(t testing.TB, day, text string) hours.Rule {
	t.Helper()
	r := dated(t, day, text)
	r.Kind = hours.Exclusion
	return r
}

// schedule makes a schedule in the zone of that name.
func schedule(t testing.TB, zone string, rules ...hours.Rule) *hours.Schedule {
	t.Helper()
	location, err := hours.LoadZone(zone)
	require.NoError(t, err)
	s, err := hours.New(location, rules)
	require.NoError(t, err)
	return s
}

// instant reads RFC 3339.
func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}

// texts writes each window as "09:00-12:00".
func texts(windows []hours.Window) []string {
	out := []string{}
	for _, w := range windows {
		out = append(out, w.From.String()+"-"+w.To.String())
	}
	return out
}
