package hours

import (
	"fmt"
	"slices"
	"time"

	"handoff/internal/fault"
)

// MaxRules is the largest number of rules of one schedule, exclusions included.
const MaxRules = 10

// Kind says when a rule applies and whether it opens or closes.
type Kind string

// The kinds of rules.
const (
	Weekly    Kind = "WEEKLY"    // open in the window on every chosen weekday
	Dated     Kind = "DATED"     // open in the window on one date, besides what else is open
	Exclusion Kind = "EXCLUSION" // closed in the window on one date, whatever else would be open
)

// Rule is one entry of a schedule: the window from Start up to, but not
// including, End, on the days that Kind, Weekdays and Date choose.
//
// The whole day is 00:00–24:00. An End before Start runs overnight: the window
// belongs to the day on which it starts and ends on the next day of the calendar.
type Rule struct {
	Kind     Kind
	Weekdays []time.Weekday // Weekly only: at least one, each once, in any order
	Date     Date           // Dated and Exclusion only
	Start    Minute         // 00:00 to 23:59
	End      Minute         // 00:01 to 24:00, never equal to Start
}

// validate returns the first mistake of the rule as an InvalidInput fault; path
// is where the rule stands in the input, such as "rules[3]".
func (r *Rule) validate(path string) error {
	switch r.Kind {
	case Weekly:
		if err := r.validateWeekdays(path + ".weekdays"); err != nil {
			return err
		}
		if r.Date != (Date{}) {
			return fault.Invalid(path+".date", "a %s rule has weekdays and no date", r.Kind)
		}
	case Dated, Exclusion:
		if !r.Date.Valid() {
			return fault.Invalid(path+".date", "a %s rule needs a date of the calendar from 1970-01-01 to 9999-12-31", r.Kind)
		}
		if len(r.Weekdays) > 0 {
			return fault.Invalid(path+".weekdays", "a %s rule has a date and no weekdays", r.Kind)
		}
	default:
		return fault.Invalid(path+".kind", "the kind of a rule is %s, %s or %s", Weekly, Dated, Exclusion)
	}
	if r.Start < 0 || r.Start >= EndOfDay {
		return fault.Invalid(path+".start", "a window starts between 00:00 and 23:59")
	}
	if r.End <= 0 || r.End > EndOfDay {
		return fault.Invalid(path+".end", "a window ends between 00:01 and 24:00; midnight at its end is 24:00")
	}
	if r.Start == r.End {
		return fault.Invalid(path+".end", "start and end are the same; the whole day is 00:00 to 24:00")
	}
	return nil
}

func (r *Rule) validateWeekdays(field string) error {
	if len(r.Weekdays) == 0 {
		return fault.Invalid(field, "a %s rule needs at least 1 weekday", r.Kind)
	}
	var seen [7]bool
	for _, d := range r.Weekdays {
		if d < time.Sunday || d > time.Saturday {
			return fault.Invalid(field, "a weekday is a number from 0 (Sunday) to 6 (Saturday)")
		}
		if seen[d] {
			return fault.Invalid(field, "%s is listed more than once", d)
		}
		seen[d] = true
	}
	return nil
}

// validateRules returns the first mistake of a list of rules.
func validateRules(rules []Rule) error {
	if len(rules) > MaxRules {
		return fault.Invalid("rules", "at most %d rules are allowed, exclusions included; there are %d", MaxRules, len(rules))
	}
	for i := range rules {
		if err := rules[i].validate(fmt.Sprintf("rules[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// day is a date with what the rules ask about it, worked out once.
type day struct {
	date    Date
	weekday time.Weekday
	eve     Date // the date before
}

func dayOf(d Date) day {
	return day{date: d, weekday: d.reading(0).Weekday(), eve: d.AddDays(-1)}
}

// covers reports whether minute m of day d lies in a window of the rule, be it
// one that starts on d or one that started the day before.
func (r *Rule) covers(d day, m Minute) bool {
	if r.Start < r.End {
		return r.Start <= m && m < r.End && r.startsOn(d.date, d.weekday)
	}
	return m >= r.Start && r.startsOn(d.date, d.weekday) ||
		m < r.End && r.startsOn(d.eve, (d.weekday+6)%7)
}

func (r *Rule) startsOn(date Date, weekday time.Weekday) bool {
	if r.Kind == Weekly {
		return slices.Contains(r.Weekdays, weekday)
	}
	return r.Date == date
}
