package hours

import "time"

// period is a stretch of time during which the clocks of a location keep their
// distance from UTC, so that instants and readings translate both ways.
type period struct {
	offset  time.Duration // east of UTC
	end     time.Time     // the first instant after it
	endless bool          // it never ends; end is meaningless
}

// periodAt gives a period that holds the instant: not always the longest one,
// and not when it began.
//
// The reason is [time.Time.ZoneBounds]. For years that a zone describes by a
// repeating rule it cuts at the turn of the year, as UTC has it, and 365 days
// after it began, so that on the last day of a leap year its end is already past
// (Go 1.26, tzset in time/zoneinfo.go). Its start may lie before the true one.
// On that last day no clock changes, and the end taken here is midnight in UTC.
func (s *Schedule) periodAt(t time.Time) period {
	local := t.In(s.location)
	_, seconds := local.Zone()
	_, end := local.ZoneBounds()
	p := period{offset: time.Duration(seconds) * time.Second, end: end, endless: end.IsZero()}
	if !p.endless && !end.After(t) {
		p.end = dateOf(t.UTC()).AddDays(1).reading(0)
	}
	return p
}

// reading is what the schedule's clocks show at the instant.
func (s *Schedule) reading(t time.Time) time.Time {
	_, seconds := t.In(s.location).Zone()
	return t.UTC().Add(time.Duration(seconds) * time.Second)
}

// reading is what the clocks show at the instant, which must lie in the period.
func (p period) reading(instant time.Time) time.Time { return instant.UTC().Add(p.offset) }

// instant is when the clocks would show the reading, were the period endless
// both ways; the caller checks that it lies inside.
func (p period) instant(reading time.Time) time.Time { return reading.Add(-p.offset) }
