package hours_test

import (
	"testing"
	"time"

	"handoff/internal/hours"
)

// FuzzScheduleAgainstOracle reads every seven bytes as one rule, brought into
// range, so that every input asks something.
func FuzzScheduleAgainstOracle(f *testing.F) {
	zones := allZones(f)
	f.Add(uint16(0), uint16(19_000), []byte{})
	f.Add(uint16(150), uint16(18_990), []byte("\x00\x7f\x00\x00\x00\x00\x78"+"\x02\x00\x02\x05\xa0\x00\x3c"))
	f.Add(uint16(480), uint16(18_713), []byte("\x01\x00\x02\x05\x28\x01\x68"))
	f.Fuzz(func(t *testing.T, zone, day uint16, data []byte) {
		z := zones[int(zone)%len(zones)]
		// From 1973 on: the last offsets with seconds ended the year before.
		first := time.Date(1973, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(day))
		var rules []hours.Rule
		for ; len(data) >= 7 && len(rules) < hours.MaxRules; data = data[7:] {
			rules = append(rules, ruleOf([7]byte(data), first))
		}
		requireAgreement(t, z.location, rules, first, first.AddDate(0, 0, 1))
	})
}

// ruleOf reads the kind, the weekdays as bits, the date as a distance from the
// first day, and start and end in two bytes each.
func ruleOf(b [7]byte, first time.Time) hours.Rule {
	r := hours.Rule{
		Kind:  []hours.Kind{hours.Weekly, hours.Dated, hours.Exclusion}[b[0]%3],
		Start: hours.Minute((int(b[3])<<8 + int(b[4])) % minutesPerDay),
		End:   hours.Minute((int(b[5])<<8+int(b[6]))%minutesPerDay) + 1,
	}
	if r.Start == r.End {
		r.Start, r.End = 0, hours.EndOfDay
	}
	if r.Kind != hours.Weekly {
		y, m, d := first.AddDate(0, 0, int(b[2]%6)-2).Date()
		r.Date = hours.Date{Year: y, Month: m, Day: d}
		return r
	}
	for w := time.Sunday; w <= time.Saturday; w++ {
		if b[1]&(1<<w) != 0 {
			r.Weekdays = append(r.Weekdays, w)
		}
	}
	if len(r.Weekdays) == 0 {
		r.Weekdays = []time.Weekday{first.Weekday()}
	}
	return r
}
