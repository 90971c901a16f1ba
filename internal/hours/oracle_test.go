package hours_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

// The oracle knows no edges, no periods and no searching. It paints the minutes
// of a few calendar days from the rules, then walks the instants minute by
// minute and looks up what the clock shows on the painted calendar.

// calendar holds, for each minute of some days in a row, whether it is open.
type calendar struct {
	first time.Time // 00:00 UTC of the first day
	open  []bool
}

const minutesPerDay = 1440

func paint(rules []hours.Rule, first time.Time, days int) calendar {
	c := calendar{first: first, open: make([]bool, days*minutesPerDay)}
	always := true
	for _, r := range rules {
		if r.Kind != hours.Exclusion {
			always = false
		}
	}
	for i := range c.open {
		c.open[i] = always
	}
	for _, closes := range []bool{false, true} { // exclusions are painted last, over everything
		for _, r := range rules {
			if (r.Kind == hours.Exclusion) != closes {
				continue
			}
			for day := -1; day < days; day++ {
				if !applies(r, first.AddDate(0, 0, day)) {
					continue
				}
				length := int(r.End - r.Start)
				if length <= 0 {
					length += minutesPerDay
				}
				for i := range length {
					if at := day*minutesPerDay + int(r.Start) + i; at >= 0 && at < len(c.open) {
						c.open[at] = !closes
					}
				}
			}
		}
	}
	return c
}

func applies(r hours.Rule, day time.Time) bool {
	if r.Kind != hours.Weekly {
		return r.Date.String() == day.Format("2006-01-02")
	}
	for _, w := range r.Weekdays {
		if w == day.Weekday() {
			return true
		}
	}
	return false
}

// step is one minute of the walk.
type step struct {
	at     time.Time
	date   hours.Date
	minute hours.Minute // what the clock shows
	open   bool
	run    int // the painted minute at which this open stretch of the date began
}

// walk visits every minute at which some clock on earth shows one of the dates
// from first to last: since 1970, none has been more than 12 hours behind UTC or
// 14 hours ahead.
func walk(location *time.Location, rules []hours.Rule, first, last time.Time) []step {
	begin, end := first.Add(-14*time.Hour), last.AddDate(0, 0, 1).Add(12*time.Hour)
	const margin = 2 // days that a clock may show beyond first and last meanwhile
	base := first.AddDate(0, 0, -margin)
	c := paint(rules, base, int(last.Sub(first)/(24*time.Hour))+1+2*margin)

	runs := make([]int, len(c.open))
	for i := range runs {
		switch {
		case i%minutesPerDay == 0 || !c.open[i-1]:
			runs[i] = i
		default:
			runs[i] = runs[i-1]
		}
	}

	steps := make([]step, 0, end.Sub(begin)/time.Minute)
	var date hours.Date
	var midnight int // where the date begins on the painted calendar
	for t := begin; t.Before(end); t = t.Add(time.Minute) {
		clock := t.In(location)
		if y, m, d := clock.Date(); date != (hours.Date{Year: y, Month: m, Day: d}) {
			date = hours.Date{Year: y, Month: m, Day: d}
			midnight = int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Sub(base) / time.Minute)
		}
		hour, minute, _ := clock.Clock()
		minute += 60 * hour
		steps = append(steps, step{
			at: t, date: date, minute: hours.Minute(minute),
			open: c.open[midnight+minute], run: runs[midnight+minute],
		})
	}
	return steps
}

func expectedWindows(steps []step, date hours.Date) []hours.Window {
	var windows []hours.Window
	previous := &step{}
	for i := range steps {
		s := &steps[i]
		if s.open && s.date == date {
			if !previous.open || previous.date != date || previous.run != s.run {
				windows = append(windows, hours.Window{From: s.minute, Start: s.at})
			}
			w := &windows[len(windows)-1]
			w.To, w.End = s.minute+1, s.at.Add(time.Minute)
		}
		previous = s
	}
	return windows
}

// requireAgreement compares every answer of the schedule with the oracle's, for
// the dates from first to last (00:00 UTC each). Offsets from UTC must be whole
// minutes there.
func requireAgreement(t *testing.T, location *time.Location, rules []hours.Rule, first, last time.Time) {
	t.Helper()
	schedule, err := hours.New(location, rules)
	require.NoError(t, err)
	steps := walk(location, rules, first, last)

	for i := range steps {
		s := &steps[i]
		if got := schedule.OpenAt(s.at.Add(59*time.Second + 999*time.Millisecond)); got != s.open {
			t.Fatalf("%s: OpenAt(%s): got %t\nrules %v", location, s.at.In(location), got, rules)
		}
	}
	for date := first; !date.After(last); date = date.AddDate(0, 0, 1) {
		d := hours.Date{Year: date.Year(), Month: date.Month(), Day: date.Day()}
		want, got := expectedWindows(steps, d), schedule.Windows(d)
		if !sameWindows(want, got) {
			t.Fatalf("%s: Windows(%s):\nwant %v\ngot  %v\nrules %v", location, d, want, got, rules)
		}
	}
	requireNext(t, schedule.NextOpening, steps, true)
	requireNext(t, schedule.NextClosing, steps, false)
	if t.Failed() {
		t.Fatalf("%s: rules %v", location, rules)
	}
}

func sameWindows(a, b []hours.Window) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].From != b[i].From || a[i].To != b[i].To || !a[i].Start.Equal(b[i].Start) || !a[i].End.Equal(b[i].End) {
			return false
		}
	}
	return true
}

// requireNext asks from the middle of a minute before and after every change of
// state, and from every so many minutes.
func requireNext(t *testing.T, next func(time.Time) (time.Time, bool), steps []step, open bool) {
	t.Helper()
	end := steps[len(steps)-1].at.Add(time.Minute)
	var found time.Time // the nearest wanted step, seen from behind
	for i := len(steps) - 1; i >= 0; i-- {
		s := &steps[i]
		changes := i > 0 && steps[i-1].open != s.open || i+1 < len(steps) && steps[i+1].open != s.open
		if changes || i%211 == 0 {
			from := s.at.Add(17 * time.Second)
			want := found
			if s.open == open {
				want = from
			}
			got, ok := next(from)
			switch {
			case want.IsZero() && ok && got.Before(end):
				t.Errorf("next(%s, open %t): got %s, the oracle has none before %s", from, open, got, end)
			case !want.IsZero() && (!ok || !got.Equal(want)):
				t.Errorf("next(%s, open %t): got %s %t, want %s", from, open, got.UTC(), ok, want)
			}
		}
		if s.open == open {
			found = s.at
		}
	}
}

// randomRules makes up to MaxRules valid rules that matter on the days around
// the date. Many begin or end in the hours around midnight, when clocks change.
func randomRules(random *rand.Rand, around time.Time) []hours.Rule {
	minute := func(low, high int) hours.Minute {
		switch random.IntN(4) {
		case 0:
			return hours.Minute(min(high, max(low, 30*random.IntN(9)))) // 00:00 to 04:00
		case 1:
			return hours.Minute(min(high, max(low, minutesPerDay-1-random.IntN(70))))
		case 2:
			return hours.Minute(min(high, max(low, random.IntN(240))))
		default:
			return hours.Minute(low + random.IntN(high-low+1))
		}
	}
	var rules []hours.Rule
	for range random.IntN(hours.MaxRules + 1) {
		r := hours.Rule{Start: minute(0, minutesPerDay-1), End: minute(1, minutesPerDay)}
		if r.Start == r.End {
			r.Start, r.End = 0, hours.EndOfDay
		}
		switch random.IntN(4) {
		case 0:
			r.Kind = hours.Dated
		case 1:
			r.Kind = hours.Exclusion
		default:
			r.Kind = hours.Weekly
		}
		if r.Kind == hours.Weekly {
			chosen := 1 + random.IntN(127)
			for w := range 7 {
				if chosen&(1<<w) != 0 {
					r.Weekdays = append(r.Weekdays, time.Weekday(w))
				}
			}
		} else {
			d := around.AddDate(0, 0, random.IntN(5)-2)
			r.Date = hours.Date{Year: d.Year(), Month: d.Month(), Day: d.Day()}
		}
		rules = append(rules, r)
	}
	return rules
}
