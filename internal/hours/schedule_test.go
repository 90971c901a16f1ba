package hours_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

func TestOpenAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		zone         string
		rules        []hours.Rule
		open, closed []string
	}{
		{
			name: "no rule", zone: "UTC",
			open: []string{"1970-01-01T00:00:00Z", "2024-12-12T12:00:00Z"},
		},
		{
			name: "half-open to the nanosecond", zone: "UTC",
			rules:  []hours.Rule{daily(t, "09:00-12:00")},
			open:   []string{"2024-12-12T09:00:00Z", "2024-12-12T11:59:59.999999999Z"},
			closed: []string{"2024-12-12T08:59:59.999999999Z", "2024-12-12T12:00:00Z"},
		},
		{
			name: "the schedule's clocks, not the caller's", zone: "Asia/Taipei",
			rules:  []hours.Rule{weekly(t, "09:00-18:00", time.Monday)},
			open:   []string{"2024-12-09T01:00:00Z", "2024-12-08T17:00:00-08:00"},
			closed: []string{"2024-12-09T10:00:00Z", "2024-12-09T09:00:00-08:00"},
		},
		{
			name: "overnight belongs to the day it starts", zone: "UTC",
			rules:  []hours.Rule{weekly(t, "22:00-06:00", time.Monday)},
			open:   []string{"2024-12-09T22:00:00Z", "2024-12-10T05:59:59Z"},
			closed: []string{"2024-12-09T05:00:00Z", "2024-12-09T21:59:59Z", "2024-12-10T06:00:00Z", "2024-12-10T22:00:00Z"},
		},
		{
			name: "overnight from Saturday to Sunday", zone: "UTC",
			rules:  []hours.Rule{weekly(t, "22:00-06:00", time.Saturday)},
			open:   []string{"2024-12-07T23:00:00Z", "2024-12-08T05:00:00Z"},
			closed: []string{"2024-12-07T05:00:00Z", "2024-12-08T23:00:00Z"},
		},
		{
			name: "dated overnight into a leap day and a new year", zone: "UTC",
			rules:  []hours.Rule{dated(t, "2024-02-28", "22:00-06:00"), dated(t, "2024-12-31", "22:00-06:00")},
			open:   []string{"2024-02-29T05:59:00Z", "2025-01-01T05:59:00Z"},
			closed: []string{"2024-03-01T05:59:00Z", "2025-02-28T23:00:00Z", "2025-12-31T23:00:00Z"},
		},
		{
			name: "a dated rule adds to the weekly ones", zone: "UTC",
			rules:  []hours.Rule{weekly(t, "09:00-12:00", time.Thursday), dated(t, "2024-12-12", "20:00-21:00")},
			open:   []string{"2024-12-12T09:00:00Z", "2024-12-12T20:00:00Z", "2024-12-19T09:00:00Z"},
			closed: []string{"2024-12-19T20:00:00Z"},
		},
		{
			name: "only a dated rule, long past", zone: "UTC",
			rules:  []hours.Rule{dated(t, "2020-01-01", "00:00-24:00")},
			open:   []string{"2020-01-01T23:59:59Z"},
			closed: []string{"2019-12-31T23:59:59Z", "2020-01-02T00:00:00Z", "2024-12-12T12:00:00Z"},
		},
		{
			name: "only an exclusion", zone: "UTC",
			rules:  []hours.Rule{exclusion(t, "2024-12-25", "00:00-24:00")},
			open:   []string{"2024-12-24T23:59:59Z", "2024-12-26T00:00:00Z", "2025-12-25T12:00:00Z"},
			closed: []string{"2024-12-25T00:00:00Z", "2024-12-25T23:59:59Z"},
		},
		{
			name: "an exclusion wins, whatever the order", zone: "UTC",
			rules: []hours.Rule{
				exclusion(t, "2024-12-24", "22:00-02:00"), daily(t, "00:00-24:00"), dated(t, "2024-12-25", "00:00-24:00"),
			},
			open:   []string{"2024-12-24T21:59:59Z", "2024-12-25T02:00:00Z"},
			closed: []string{"2024-12-24T22:00:00Z", "2024-12-25T01:59:59Z"},
		},
		{
			name: "the doubled hour is open both times", zone: "Europe/Berlin",
			rules:  []hours.Rule{daily(t, "02:15-02:45")},
			open:   []string{"2024-10-27T02:15:00+02:00", "2024-10-27T02:15:00+01:00", "2024-10-27T02:44:59+01:00"},
			closed: []string{"2024-10-27T02:45:00+02:00", "2024-10-27T02:14:59+01:00", "2024-10-27T02:45:00+01:00"},
		},
		{
			name: "the skipped hour is nowhere", zone: "Europe/Berlin",
			rules:  []hours.Rule{daily(t, "02:00-03:00")},
			open:   []string{"2024-03-30T02:00:00+01:00", "2024-04-01T02:00:00+02:00"},
			closed: []string{"2024-03-31T01:59:59+01:00", "2024-03-31T03:00:00+02:00"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := schedule(t, c.zone, c.rules...)
			for _, at := range c.open {
				require.True(t, s.OpenAt(instant(t, at)), "open at %s", at)
			}
			for _, at := range c.closed {
				require.False(t, s.OpenAt(instant(t, at)), "closed at %s", at)
			}
		})
	}
}

func TestDateAt(t *testing.T) {
	t.Parallel()
	at := instant(t, "2024-12-31T23:30:00Z")
	require.Equal(t, date(t, "2025-01-01"), schedule(t, "Asia/Taipei").DateAt(at))
	require.Equal(t, date(t, "2024-12-31"), schedule(t, "America/New_York").DateAt(at))
}

// TestOpenAtDoesNotAllocate is not parallel: it counts allocations.
func TestOpenAtDoesNotAllocate(t *testing.T) {
	s := schedule(t, "Europe/Berlin", busyRules(t)...)
	at := instant(t, "2024-12-12T19:00:00Z")
	require.Zero(t, testing.AllocsPerRun(100, func() { s.OpenAt(at) }))
}

// busyRules is a full set of rules of all kinds.
func busyRules(t testing.TB) []hours.Rule {
	t.Helper()
	return []hours.Rule{
		weekly(t, "09:00-12:00", 1, 2, 3, 4, 5), weekly(t, "10:00-12:30", 1, 2, 3, 4, 5),
		weekly(t, "13:00-18:00", 1, 2, 3, 4), weekly(t, "13:00-16:00", 5), weekly(t, "22:00-06:00", 6),
		dated(t, "2024-12-12", "18:30-20:00"), dated(t, "2024-12-31", "22:00-02:00"),
		exclusion(t, "2024-12-24", "12:00-24:00"), exclusion(t, "2024-12-25", "00:00-24:00"), exclusion(t, "2024-12-26", "00:00-24:00"),
	}
}

func BenchmarkOpenAt(b *testing.B) {
	s := schedule(b, "Europe/Berlin", busyRules(b)...)
	at := instant(b, "2024-12-12T19:00:00Z")
	b.ReportAllocs()
	for b.Loop() {
		s.OpenAt(at)
	}
}

func BenchmarkWindows(b *testing.B) {
	s := schedule(b, "Europe/Berlin", busyRules(b)...)
	d := date(b, "2024-12-12")
	b.ReportAllocs()
	for b.Loop() {
		s.Windows(d)
	}
}

func BenchmarkNextOpening(b *testing.B) {
	for _, c := range []struct {
		name  string
		rules []hours.Rule
	}{
		{"tomorrow", busyRules(b)},
		{"in 50 years", []hours.Rule{dated(b, "2074-12-12", "09:00-12:00")}},
		{"never", []hours.Rule{dated(b, "2020-12-12", "09:00-12:00")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := schedule(b, "Europe/Berlin", c.rules...)
			at := instant(b, "2024-12-12T20:00:00Z")
			b.ReportAllocs()
			for b.Loop() {
				s.NextOpening(at)
			}
		})
	}
}
