package hours

import (
	"cmp"
	"time"

	"handoff/internal/fault"
)

// The years that a [Date] may have. The tz database makes no promise about
// clocks before 1970; the text form has four digits.
const (
	minYear = 1970
	maxYear = 9999
)

// Date is one day of the civil calendar, without a time zone. Its text form is
// "2006-01-02". The zero Date means "no date" and has the empty text.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads "YYYY-MM-DD", a day that exists, from 1970-01-01 to 9999-12-31.
// Anything else is an InvalidInput fault without a field, which the caller knows.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if d := dateOf(t); err == nil && d.Valid() {
		return d, nil
	}
	return Date{}, fault.Invalid("", "a date is a day of the calendar written YYYY-MM-DD, from 1970-01-01 to 9999-12-31")
}

// String gives the text form, "2006-01-02", or "" for the zero Date.
func (d Date) String() string {
	if d == (Date{}) {
		return ""
	}
	return d.reading(0).Format(time.DateOnly)
}

// MarshalText gives the text form and refuses a date that does not exist.
func (d Date) MarshalText() ([]byte, error) {
	if d != (Date{}) && !d.Valid() {
		return nil, fault.Invalid("", "a date is a day of the calendar from 1970-01-01 to 9999-12-31")
	}
	return []byte(d.String()), nil
}

// UnmarshalText is [ParseDate], and takes the empty text for the zero Date. On an
// error the value stays as it was.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Valid reports whether the date exists in the calendar and lies between
// 1970-01-01 and 9999-12-31.
func (d Date) Valid() bool {
	return d.Year >= minYear && d.Year <= maxYear && dateOf(d.reading(0)) == d
}

// AddDays gives the date n days later, or earlier when n is negative.
func (d Date) AddDays(n int) Date {
	return dateOf(time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, time.UTC))
}

// Compare gives -1, 0 or +1 as d is before, equal to or after e.
func (d Date) Compare(e Date) int {
	return cmp.Or(cmp.Compare(d.Year, e.Year), cmp.Compare(d.Month, e.Month), cmp.Compare(d.Day, e.Day))
}

func dateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date{year, month, day}
}

// reading is minute m of the date as a reading.
//
// A reading is what a wall clock shows, held as a time in UTC. It is not an
// instant: UTC serves only because its calendar has no clock changes, so that
// arithmetic on readings is arithmetic of the calendar.
func (d Date) reading(m Minute) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, int(m), 0, 0, time.UTC)
}
