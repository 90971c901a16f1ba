package hours

import "time"

// Window is one opening on one date: the instants from Start up to, but not
// including, End, during which the clock runs from From up to To.
type Window struct {
	From, To   Minute    // what the clock shows at Start, and where it stops; 00:00 to 24:00
	Start, End time.Time // the exact instants, in the schedule's location
}

// Windows gives what is open on the date, in the order in which it happens.
// Overlapping and touching windows of the rules are one; exclusions are taken
// out; the part of an overnight window after midnight counts for the date on
// which it lies. So a window 22:00–06:00 on Mondays gives 22:00–24:00 for a
// Monday and 00:00–06:00 for a Tuesday.
//
// On days on which the clocks change, the windows are the times that really
// happen. With clocks going forward from 02:00 to 03:00, 01:00–04:00 stays one
// window that lasts two hours, 01:30–02:30 becomes 01:30–02:00, and 02:00–03:00
// is not there. With clocks going back from 02:00 to 01:00, 00:00–06:00 stays
// one window that lasts seven hours, and 01:00–01:30 is there twice.
//
// A date that is not [Date.Valid], or that the location's calendar skipped, has
// no windows.
func (s *Schedule) Windows(d Date) []Window {
	if !d.Valid() {
		return nil
	}
	var windows []Window
	var last int // the timetable entry of the last window
	entries := s.timetable(d)
	// No clock is a day off UTC, so these three days of UTC hold all of the date.
	t, end := d.AddDays(-1).reading(0), d.AddDays(2).reading(0)
	for t.Before(end) {
		p := s.periodAt(t)
		if p.endless || p.end.After(end) {
			p.end = end
		}
		for i, e := range entries {
			start := latest(t, p.instant(d.reading(e.from)))
			stop := earliest(p.end, p.instant(d.reading(e.to)))
			if !start.Before(stop) {
				continue
			}
			w := Window{
				From:  minuteOf(p.reading(start)),
				To:    minuteOf(p.reading(stop.Add(-time.Nanosecond))) + 1,
				Start: start.In(s.location),
				End:   stop.In(s.location),
			}
			if n := len(windows); n > 0 && last == i && windows[n-1].End.Equal(start) {
				windows[n-1].To, windows[n-1].End = w.To, w.End
				continue
			}
			windows = append(windows, w)
			last = i
		}
		t = p.end
	}
	return windows
}

// entry is a longest stretch of open minutes of one date, by the rules alone.
type entry struct{ from, to Minute }

// timetable gives the open stretches of the date as if every clock showed every
// minute of it once.
func (s *Schedule) timetable(date Date) []entry {
	var entries []entry
	d := dayOf(date)
	for i, from := range s.edges {
		if !s.open(d, from) {
			continue
		}
		to := EndOfDay
		if i+1 < len(s.edges) {
			to = s.edges[i+1]
		}
		if n := len(entries); n > 0 && entries[n-1].to == from {
			entries[n-1].to = to
			continue
		}
		entries = append(entries, entry{from, to})
	}
	return entries
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
