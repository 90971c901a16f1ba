package hours

import (
	"slices"
	"time"

	"handoff/internal/fault"
)

// Schedule answers when a service is open. It is immutable, safe for concurrent
// use, and made by [New]; the zero Schedule is not usable.
type Schedule struct {
	location   *time.Location
	rules      []Rule
	hasOpening bool     // some rule opens; without one, everything is open
	edges      []Minute // ascending: 00:00 and every minute at which some rule starts or ends
	datedDays  []Date   // ascending: every date on which a Dated or Exclusion window may lie
}

// New makes the schedule of the given rules, in any order, on the clocks of the
// location. It copies the rules.
//
// A mistake is an InvalidInput fault that names the field, counting rules from 0:
// "timeZone" (no location), "rules" (more than [MaxRules]), or one like
// "rules[3].start".
func New(location *time.Location, rules []Rule) (*Schedule, error) {
	if location == nil {
		return nil, fault.Invalid("timeZone", "a time zone is required")
	}
	if err := validateRules(rules); err != nil {
		return nil, err
	}
	s := &Schedule{location: location, edges: []Minute{0}}
	for _, r := range rules {
		r.Weekdays = slices.Clone(r.Weekdays)
		s.rules = append(s.rules, r)
		s.edges = append(s.edges, r.Start)
		if r.End < EndOfDay {
			s.edges = append(s.edges, r.End)
		}
		if r.Kind != Exclusion {
			s.hasOpening = true
		}
		if r.Kind != Weekly {
			s.datedDays = append(s.datedDays, r.Date, r.Date.AddDays(1))
		}
	}
	slices.Sort(s.edges)
	s.edges = slices.Compact(s.edges)
	slices.SortFunc(s.datedDays, Date.Compare)
	s.datedDays = slices.Compact(s.datedDays)
	return s, nil
}

// DateAt gives the date that the schedule's clocks show at the instant.
func (s *Schedule) DateAt(t time.Time) Date { return dateOf(s.reading(t)) }

// OpenAt reports whether the service is open at the instant: whether the date
// and time of day that the schedule's clocks then show are open by the rules.
func (s *Schedule) OpenAt(t time.Time) bool { return s.openAtReading(s.reading(t)) }

func (s *Schedule) openAtReading(reading time.Time) bool {
	return s.open(dayOf(dateOf(reading)), minuteOf(reading))
}

func minuteOf(t time.Time) Minute { return Minute(t.Hour()*60 + t.Minute()) }

// open is the one place that decides. Every other answer follows from it.
func (s *Schedule) open(d day, m Minute) bool {
	open := !s.hasOpening
	for i := range s.rules {
		r := &s.rules[i]
		if !r.covers(d, m) {
			continue
		}
		if r.Kind == Exclusion {
			return false
		}
		open = true
	}
	return open
}
