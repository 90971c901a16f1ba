package hours_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

func TestWindowsOfADate(t *testing.T) {
	t.Parallel()
	const thursday = "2024-12-12"
	for _, c := range []struct {
		name  string
		rules []hours.Rule
		want  []string
	}{
		{
			"the product's own example",
			[]hours.Rule{
				daily(t, "09:00-12:00"), daily(t, "10:00-12:00"), daily(t, "13:00-18:00"), daily(t, "15:00-17:00"),
			},
			[]string{"09:00-12:00", "13:00-18:00"},
		},
		{
			"the same as dated rules, in another order",
			[]hours.Rule{
				dated(t, thursday, "15:00-17:00"), dated(t, thursday, "13:00-18:00"),
				dated(t, thursday, "10:00-12:00"), dated(t, thursday, "09:00-12:00"),
			},
			[]string{"09:00-12:00", "13:00-18:00"},
		},
		{"no rule", nil, []string{"00:00-24:00"}},
		{"another weekday", []hours.Rule{weekly(t, "09:00-12:00", time.Friday)}, []string{}},
		{"another date", []hours.Rule{dated(t, "2024-12-13", "09:00-12:00")}, []string{}},
		{"overlap", []hours.Rule{daily(t, "09:00-12:00"), daily(t, "11:00-14:00")}, []string{"09:00-14:00"}},
		{"touch", []hours.Rule{daily(t, "12:00-14:00"), daily(t, "09:00-12:00")}, []string{"09:00-14:00"}},
		{"a minute between", []hours.Rule{daily(t, "09:00-12:00"), daily(t, "12:01-14:00")}, []string{"09:00-12:00", "12:01-14:00"}},
		{"same window twice", []hours.Rule{daily(t, "09:00-12:00"), daily(t, "09:00-12:00")}, []string{"09:00-12:00"}},
		{"three become one", []hours.Rule{daily(t, "09:00-11:00"), daily(t, "13:00-15:00"), daily(t, "10:00-14:00")}, []string{"09:00-15:00"}},
		{"first and last minute", []hours.Rule{daily(t, "00:00-00:01"), daily(t, "23:59-24:00")}, []string{"00:00-00:01", "23:59-24:00"}},
		{"overnight, start", []hours.Rule{weekly(t, "22:00-06:00", time.Thursday)}, []string{"22:00-24:00"}},
		{"overnight, end", []hours.Rule{weekly(t, "22:00-06:00", time.Wednesday)}, []string{"00:00-06:00"}},
		{"overnight, both", []hours.Rule{daily(t, "22:00-06:00")}, []string{"00:00-06:00", "22:00-24:00"}},
		{"overnight all but a minute", []hours.Rule{daily(t, "12:01-12:00")}, []string{"00:00-12:00", "12:01-24:00"}},
		{"overnight meets the morning", []hours.Rule{weekly(t, "22:00-06:00", time.Wednesday), weekly(t, "05:00-08:00", time.Thursday)}, []string{"00:00-08:00"}},
		{"exclusion alone", []hours.Rule{exclusion(t, thursday, "12:00-13:00")}, []string{"00:00-12:00", "13:00-24:00"}},
		{"exclusion in the middle", []hours.Rule{daily(t, "09:00-18:00"), exclusion(t, thursday, "12:00-13:00")}, []string{"09:00-12:00", "13:00-18:00"}},
		{"exclusion at an end", []hours.Rule{daily(t, "09:00-18:00"), exclusion(t, thursday, "08:00-10:00")}, []string{"10:00-18:00"}},
		{"exclusion beside", []hours.Rule{daily(t, "09:00-18:00"), exclusion(t, thursday, "18:00-24:00")}, []string{"09:00-18:00"}},
		{"exclusion of everything", []hours.Rule{daily(t, "09:00-18:00"), exclusion(t, thursday, "00:00-24:00")}, []string{}},
		{"exclusion from the day before", []hours.Rule{daily(t, "04:00-18:00"), exclusion(t, "2024-12-11", "20:00-06:00")}, []string{"06:00-18:00"}},
		{"exclusion on another date", []hours.Rule{daily(t, "09:00-18:00"), exclusion(t, "2024-12-13", "00:00-24:00")}, []string{"09:00-18:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			windows := schedule(t, "Asia/Taipei", c.rules...).Windows(date(t, thursday))
			require.Equal(t, c.want, texts(windows))
			for _, w := range windows {
				require.Equal(t, w.To-w.From, hours.Minute(w.End.Sub(w.Start)/time.Minute))
				require.Equal(t, "Asia/Taipei", w.Start.Location().String())
			}
		})
	}
}

// TestWindowsOnClockChanges states by hand what the oracle checks at large.
func TestWindowsOnClockChanges(t *testing.T) {
	t.Parallel()
	type window struct{ from, to, start, end string }
	for _, c := range []struct {
		name, zone, date string
		rules            []hours.Rule
		want             []window
	}{
		{
			"over the skipped hour", "Europe/Berlin", "2024-03-31",
			[]hours.Rule{daily(t, "01:00-04:00")},
			[]window{{"01:00", "04:00", "2024-03-31T00:00:00Z", "2024-03-31T02:00:00Z"}},
		},
		{
			"into the skipped hour", "Europe/Berlin", "2024-03-31",
			[]hours.Rule{daily(t, "01:30-02:30")},
			[]window{{"01:30", "02:00", "2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z"}},
		},
		{
			"out of the skipped hour", "Europe/Berlin", "2024-03-31",
			[]hours.Rule{daily(t, "02:30-03:30")},
			[]window{{"03:00", "03:30", "2024-03-31T01:00:00Z", "2024-03-31T01:30:00Z"}},
		},
		{"inside the skipped hour", "Europe/Berlin", "2024-03-31", []hours.Rule{daily(t, "02:00-03:00")}, nil},
		{
			"over the doubled hour", "Europe/Berlin", "2024-10-27",
			[]hours.Rule{daily(t, "00:00-06:00")},
			[]window{{"00:00", "06:00", "2024-10-26T22:00:00Z", "2024-10-27T05:00:00Z"}},
		},
		{
			"inside the doubled hour", "Europe/Berlin", "2024-10-27",
			[]hours.Rule{daily(t, "02:00-02:30")},
			[]window{
				{"02:00", "02:30", "2024-10-27T00:00:00Z", "2024-10-27T00:30:00Z"},
				{"02:00", "02:30", "2024-10-27T01:00:00Z", "2024-10-27T01:30:00Z"},
			},
		},
		{
			"out of the doubled hour", "Europe/Berlin", "2024-10-27",
			[]hours.Rule{daily(t, "02:30-04:00")},
			[]window{
				{"02:30", "03:00", "2024-10-27T00:30:00Z", "2024-10-27T01:00:00Z"},
				{"02:30", "04:00", "2024-10-27T01:30:00Z", "2024-10-27T03:00:00Z"},
			},
		},
		{
			"two windows in the doubled hour stay two", "Europe/Berlin", "2024-10-27",
			[]hours.Rule{daily(t, "02:00-02:40"), daily(t, "02:50-03:10")},
			[]window{
				{"02:00", "02:40", "2024-10-27T00:00:00Z", "2024-10-27T00:40:00Z"},
				{"02:50", "03:00", "2024-10-27T00:50:00Z", "2024-10-27T01:00:00Z"},
				{"02:00", "02:40", "2024-10-27T01:00:00Z", "2024-10-27T01:40:00Z"},
				{"02:50", "03:10", "2024-10-27T01:50:00Z", "2024-10-27T02:10:00Z"},
			},
		},
		{
			"a day without midnight", "Africa/Cairo", "2024-04-26",
			nil,
			[]window{{"01:00", "24:00", "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"}},
		},
		{
			"a day that ends twice", "Africa/Cairo", "2024-10-31",
			[]hours.Rule{daily(t, "22:00-24:00")},
			[]window{{"22:00", "24:00", "2024-10-31T19:00:00Z", "2024-10-31T22:00:00Z"}},
		},
		{
			"a day that begins twice", "America/St_Johns", "2010-11-07",
			nil,
			[]window{
				{"00:00", "00:01", "2010-11-07T02:30:00Z", "2010-11-07T02:31:00Z"},
				{"00:00", "24:00", "2010-11-07T03:30:00Z", "2010-11-08T03:30:00Z"},
			},
		},
		{
			"half an hour", "Australia/Lord_Howe", "2025-04-06",
			[]hours.Rule{daily(t, "01:45-03:00")},
			[]window{
				{"01:45", "02:00", "2025-04-05T14:45:00Z", "2025-04-05T15:00:00Z"},
				{"01:45", "03:00", "2025-04-05T15:15:00Z", "2025-04-05T16:30:00Z"},
			},
		},
		{"a date that was skipped", "Pacific/Apia", "2011-12-30", nil, nil},
		{
			"overnight out of a date that was skipped", "Pacific/Apia", "2011-12-31",
			[]hours.Rule{weekly(t, "22:00-06:00", time.Friday)},
			[]window{{"00:00", "06:00", "2011-12-30T10:00:00Z", "2011-12-30T16:00:00Z"}},
		},
		{
			"an offset with seconds", "Africa/Monrovia", "1972-01-07", // 44 minutes 30 seconds skipped at 00:00
			[]hours.Rule{daily(t, "00:30-01:00")},
			[]window{{"00:44", "01:00", "1972-01-07T00:44:30Z", "1972-01-07T01:00:00Z"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []window
			for _, w := range schedule(t, c.zone, c.rules...).Windows(date(t, c.date)) {
				got = append(got, window{
					w.From.String(), w.To.String(),
					w.Start.UTC().Format(time.RFC3339Nano), w.End.UTC().Format(time.RFC3339Nano),
				})
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestNoWindowsOnDatesThatAreNone(t *testing.T) {
	t.Parallel()
	s := schedule(t, "UTC")
	for _, d := range []hours.Date{{}, {Year: 2024, Month: 2, Day: 30}, {Year: 1969, Month: 12, Day: 31}, {Year: 10000, Month: 1, Day: 1}} {
		require.Empty(t, s.Windows(d))
	}
	require.NotEmpty(t, s.Windows(date(t, "1970-01-01")))
	require.NotEmpty(t, s.Windows(date(t, "9999-12-31")))
}
