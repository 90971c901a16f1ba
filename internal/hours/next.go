package hours

import (
	"iter"
	"time"
)

// NextOpening gives the first instant, at or after t, at which the service is
// open: t itself while it is open, otherwise exactly the instant that opens it,
// however many years away. False means that it will never be open again, which
// only happens when the rules that open all have dates.
func (s *Schedule) NextOpening(t time.Time) (time.Time, bool) { return s.next(t, true) }

// NextClosing gives the first instant, at or after t, at which the service is
// closed: t itself while it is closed, otherwise exactly the instant that closes
// it, however many years away. False means that it will never be closed again.
func (s *Schedule) NextClosing(t time.Time) (time.Time, bool) { return s.next(t, false) }

// next gives the first instant at or after t at which the service is open, or is
// closed, as wanted. It looks for the reading and translates it to an instant
// within a period; where the clocks changed first, it looks again from there,
// for the change may have skipped the reading or brought back an earlier one.
func (s *Schedule) next(t time.Time, open bool) (time.Time, bool) {
	if s.OpenAt(t) == open {
		return t.In(s.location), true
	}
	for {
		// No clock is a day off UTC, so from t on none shows less than a day
		// before t in UTC. That gives up when nothing is left, and leaps over
		// the clock changes before an opening in years to come.
		soonest, ok := s.nextReading(t.UTC().AddDate(0, 0, -1), open)
		if !ok {
			return time.Time{}, false
		}
		t = latest(t, soonest.AddDate(0, 0, -1))

		p := s.periodAt(t)
		if reading, ok := s.nextReading(p.reading(t), open); ok {
			if found := p.instant(reading); p.endless || found.Before(p.end) {
				return found.In(s.location), true
			}
		}
		if p.endless {
			return time.Time{}, false
		}
		t = p.end
	}
}

// nextReading gives the first reading, at or after the given one, that is open,
// or closed, as wanted.
func (s *Schedule) nextReading(from time.Time, open bool) (time.Time, bool) {
	if s.openAtReading(from) == open {
		return from, true
	}
	for date := range s.datesToSearch(dateOf(from)) {
		d := dayOf(date)
		for _, m := range s.edges {
			if r := date.reading(m); r.After(from) && s.open(d, m) == open {
				return r, true
			}
		}
	}
	return time.Time{}, false
}

// datesToSearch gives the first date and, in order, those after it that need a
// look: the earliest minute that is open, or closed, lies on one of them.
//
// The weekly pattern repeats every 7 days. A window with a date lasts at most
// 24 hours, so it changes at most one repetition of any one minute. Of
// MaxRules+1 repetitions at least one shows the pattern as it is: what the
// pattern has comes up within that many weeks. What it has not can only come
// with a date.
func (s *Schedule) datesToSearch(first Date) iter.Seq[Date] {
	return func(yield func(Date) bool) {
		date := first
		for range 1 + 7*(MaxRules+1) {
			if !yield(date) {
				return
			}
			date = date.AddDays(1)
		}
		for _, dated := range s.datedDays {
			if dated.Compare(date) >= 0 && !yield(dated) {
				return
			}
		}
	}
}
