package hours_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

func TestNext(t *testing.T) {
	t.Parallel()
	const never = ""
	nineExclusions := func(day string) []hours.Rule {
		var rules []hours.Rule
		for i := range 9 {
			rules = append(rules, exclusion(t, date(t, day).AddDays(7*i).String(), "00:00-24:00"))
		}
		return rules
	}
	for _, c := range []struct {
		name, zone       string
		rules            []hours.Rule
		from             string
		opening, closing string
	}{
		{
			"no rule", "UTC", nil,
			"2024-12-12T12:34:56.789Z", "2024-12-12T12:34:56.789Z", never,
		},
		{
			"while open", "UTC", []hours.Rule{daily(t, "09:00-12:00")},
			"2024-12-12T09:00:00Z", "2024-12-12T09:00:00Z", "2024-12-12T12:00:00Z",
		},
		{
			"while closed", "UTC", []hours.Rule{daily(t, "09:00-12:00")},
			"2024-12-12T12:00:00Z", "2024-12-13T09:00:00Z", "2024-12-12T12:00:00Z",
		},
		{
			"a nanosecond before", "UTC", []hours.Rule{daily(t, "09:00-12:00")},
			"2024-12-12T08:59:59.999999999Z", "2024-12-12T09:00:00Z", "2024-12-12T08:59:59.999999999Z",
		},
		{
			"over the weekend", "Asia/Taipei", []hours.Rule{weekly(t, "09:00-18:00", 1, 2, 3, 4, 5)},
			"2024-12-13T18:00:00+08:00", "2024-12-16T09:00:00+08:00", "2024-12-13T18:00:00+08:00",
		},
		{
			"over midnight", "UTC", []hours.Rule{weekly(t, "20:00-24:00", time.Monday), weekly(t, "00:00-06:00", time.Tuesday)},
			"2024-12-09T21:00:00Z", "2024-12-09T21:00:00Z", "2024-12-10T06:00:00Z",
		},
		{
			"round the week, closed by an exclusion years away", "Europe/Berlin",
			[]hours.Rule{daily(t, "12:00-11:59"), daily(t, "11:00-13:00"), exclusion(t, "2031-08-01", "12:30-12:31")},
			"2024-12-12T12:00:00Z", "2024-12-12T12:00:00Z", "2031-08-01T12:30:00+02:00",
		},
		{
			"open once, decades away", "America/New_York", []hours.Rule{dated(t, "2088-02-29", "09:00-12:00")},
			"2024-12-12T12:00:00Z", "2088-02-29T09:00:00-05:00", "2024-12-12T12:00:00Z",
		},
		{
			"open once, at the end of time", "America/New_York", []hours.Rule{dated(t, "9999-12-31", "23:59-00:01")},
			"1970-01-01T00:00:00Z", "9999-12-31T23:59:00-05:00", "1970-01-01T00:00:00Z",
		},
		{
			"open once, decades away, only after midnight", "Asia/Taipei",
			[]hours.Rule{dated(t, "2088-02-28", "22:00-06:00"), exclusion(t, "2088-02-28", "22:00-24:00")},
			"2024-12-12T12:00:00Z", "2088-02-29T00:00:00+08:00", "2024-12-12T12:00:00Z",
		},
		{
			"open three times, decades away, in any order", "Asia/Taipei",
			[]hours.Rule{
				dated(t, "2077-01-01", "09:00-12:00"), dated(t, "2066-01-01", "09:00-12:00"), dated(t, "2088-01-01", "09:00-12:00"),
			},
			"2024-12-12T12:00:00Z", "2066-01-01T09:00:00+08:00", "2024-12-12T12:00:00Z",
		},
		{
			"open once, overnight, asked on the second day", "UTC", []hours.Rule{dated(t, "2024-12-11", "22:00-06:00")},
			"2024-12-12T05:00:00Z", "2024-12-12T05:00:00Z", "2024-12-12T06:00:00Z",
		},
		{
			"open once, long ago", "Europe/Berlin", []hours.Rule{dated(t, "2020-01-01", "09:00-12:00")},
			"2024-12-12T12:00:00Z", never, "2024-12-12T12:00:00Z",
		},
		{
			"open once, but excluded", "Europe/Berlin",
			[]hours.Rule{dated(t, "2025-01-01", "09:00-12:00"), exclusion(t, "2025-01-01", "00:00-24:00")},
			"2024-12-12T12:00:00Z", never, "2024-12-12T12:00:00Z",
		},
		{
			"once a week, with all other rules against it", "UTC",
			append(nineExclusions("2024-12-16"), weekly(t, "09:00-12:00", time.Monday)),
			"2024-12-09T12:00:00Z", "2025-02-17T09:00:00Z", "2024-12-09T12:00:00Z",
		},
		{
			"once a week, overnight, with all other rules against its first half", "UTC",
			append(nineExclusions("2024-12-16"), weekly(t, "22:00-06:00", time.Monday)),
			"2024-12-10T06:00:00Z", "2024-12-17T00:00:00Z", "2024-12-10T06:00:00Z",
		},
		{
			"once a week, skipped by the clocks", "Europe/Berlin", []hours.Rule{weekly(t, "02:00-03:00", time.Sunday)},
			"2024-03-24T12:00:00Z", "2024-04-07T02:00:00+02:00", "2024-03-24T12:00:00Z",
		},
		{
			"once, skipped by the clocks", "Europe/Berlin", []hours.Rule{dated(t, "2024-03-31", "02:00-03:00")},
			"2024-03-24T12:00:00Z", never, "2024-03-24T12:00:00Z",
		},
		{
			"start skipped by the clocks", "Europe/Berlin", []hours.Rule{daily(t, "02:30-04:00")},
			"2024-03-31T00:00:00Z", "2024-03-31T03:00:00+02:00", "2024-03-31T00:00:00Z",
		},
		{
			"end skipped by the clocks", "Europe/Berlin", []hours.Rule{daily(t, "01:00-02:30")},
			"2024-03-31T00:00:00Z", "2024-03-31T00:00:00Z", "2024-03-31T03:00:00+02:00",
		},
		{
			"open again in the doubled hour", "Europe/Berlin", []hours.Rule{dated(t, "2024-10-27", "02:00-02:30")},
			"2024-10-27T02:30:00+02:00", "2024-10-27T02:00:00+01:00", "2024-10-27T02:30:00+02:00",
		},
		{
			"closed for a moment in the doubled hour", "Europe/Berlin", []hours.Rule{daily(t, "02:30-04:00")},
			"2024-10-27T02:45:00+02:00", "2024-10-27T02:45:00+02:00", "2024-10-27T02:00:00+01:00",
		},
		{
			"a date that was skipped", "Pacific/Apia", []hours.Rule{weekly(t, "09:00-12:00", time.Friday)},
			"2011-12-29T12:00:00-10:00", "2012-01-06T09:00:00+14:00", "2011-12-29T12:00:00-10:00",
		},
		{
			"an exclusion on a date that was skipped", "Pacific/Apia", []hours.Rule{exclusion(t, "2011-12-30", "00:00-24:00")},
			"2011-12-29T12:00:00-10:00", "2011-12-29T12:00:00-10:00", never,
		},
		{
			"last day of a leap year", "America/New_York", []hours.Rule{weekly(t, "09:00-17:00", time.Thursday)},
			"2024-12-31T12:00:00Z", "2025-01-02T09:00:00-05:00", "2024-12-31T12:00:00Z",
		},
		{
			"an offset with seconds", "Africa/Monrovia", []hours.Rule{dated(t, "1972-01-05", "09:00-12:00")},
			"1972-01-04T00:00:00Z", "1972-01-05T09:44:30Z", "1972-01-04T00:00:00Z",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := schedule(t, c.zone, c.rules...)
			from := instant(t, c.from)
			for _, q := range []struct {
				want string
				ask  func(time.Time) (time.Time, bool)
			}{{c.opening, s.NextOpening}, {c.closing, s.NextClosing}} {
				got, ok := q.ask(from)
				require.Equal(t, q.want != never, ok)
				if !ok {
					require.True(t, got.IsZero())
					continue
				}
				require.Equal(t, instant(t, q.want).UTC(), got.UTC())
				require.Equal(t, c.zone, got.Location().String())
			}
		})
	}
}

func TestNextFromEveryDistance(t *testing.T) {
	t.Parallel()
	s := schedule(t, "Europe/Berlin", dated(t, "2024-12-12", "09:00-12:00"))
	want := instant(t, "2024-12-12T09:00:00+01:00")
	for days := range 400 {
		got, ok := s.NextOpening(want.AddDate(0, 0, -days))
		require.True(t, ok, "%d days before", days)
		require.True(t, got.Equal(want), "%d days before: %s", days, got)
	}
}

// TestNextIsQuickHoweverFar holds the promise that clock changes on the way are
// leapt over: thousands of them lie between these two dates.
func TestNextIsQuickHoweverFar(t *testing.T) {
	t.Parallel()
	s := schedule(t, "America/New_York", dated(t, "9999-12-31", "09:00-12:00"))
	began := time.Now()
	for range 100 {
		_, ok := s.NextOpening(instant(t, "1970-01-01T00:00:00Z"))
		require.True(t, ok)
	}
	require.Less(t, time.Since(began), 5*time.Second)
}
