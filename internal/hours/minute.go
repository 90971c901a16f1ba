package hours

import (
	"fmt"

	"handoff/internal/fault"
)

// Minute is a time of day as a clock shows it, in minutes since 00:00. Its text
// form is "HH:MM", from "00:00" to "24:00".
type Minute int

// EndOfDay is 24:00: the first minute that no longer belongs to the day. It can
// end a window, never start one.
const EndOfDay Minute = 24 * 60

// ParseMinute reads "HH:MM": exactly two digits each, from "00:00" to "24:00".
// Anything else is an InvalidInput fault without a field, which the caller knows.
func ParseMinute(text string) (Minute, error) {
	refused := fault.Invalid("", "a time of day is written HH:MM, from 00:00 to 24:00")
	if len(text) != len("HH:MM") || text[2] != ':' {
		return 0, refused
	}
	for _, i := range [...]int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, refused
		}
	}
	hour := Minute(text[0]-'0')*10 + Minute(text[1]-'0')
	minute := Minute(text[3]-'0')*10 + Minute(text[4]-'0')
	m := hour*60 + minute
	if minute > 59 || m > EndOfDay {
		return 0, refused
	}
	return m, nil
}

// String gives the text form, "HH:MM".
func (m Minute) String() string { return fmt.Sprintf("%02d:%02d", int(m)/60, int(m)%60) }

// MarshalText gives the text form and refuses what [ParseMinute] would not read.
func (m Minute) MarshalText() ([]byte, error) {
	if m < 0 || m > EndOfDay {
		return nil, fault.Invalid("", "a time of day lies between 00:00 and 24:00")
	}
	return []byte(m.String()), nil
}

// UnmarshalText is [ParseMinute]. On an error the value stays as it was.
func (m *Minute) UnmarshalText(text []byte) error {
	parsed, err := ParseMinute(string(text))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}
