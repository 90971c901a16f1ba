package hours_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	var (
		week = []time.Weekday{time.Monday}
		day  = hours.Date{Year: 2024, Month: time.December, Day: 12}
	)
	for _, c := range []struct {
		name  string
		rule  hours.Rule
		field string
		text  string
	}{
		{"no kind", hours.Rule{Weekdays: week, End: 60}, "rules[1].kind", "WEEKLY, DATED or EXCLUSION"},
		{"unknown kind", hours.Rule{Kind: "weekly", Weekdays: week, End: 60}, "rules[1].kind", "WEEKLY, DATED or EXCLUSION"},
		{"no weekday", hours.Rule{Kind: hours.Weekly, End: 60}, "rules[1].weekdays", "at least 1"},
		{"weekday twice", hours.Rule{Kind: hours.Weekly, Weekdays: []time.Weekday{1, 2, 1}, End: 60}, "rules[1].weekdays", "Monday"},
		{"weekday too small", hours.Rule{Kind: hours.Weekly, Weekdays: []time.Weekday{-1}, End: 60}, "rules[1].weekdays", "0 (Sunday) to 6 (Saturday)"},
		{"weekday too large", hours.Rule{Kind: hours.Weekly, Weekdays: []time.Weekday{7}, End: 60}, "rules[1].weekdays", "0 (Sunday) to 6 (Saturday)"},
		{"weekly with date", hours.Rule{Kind: hours.Weekly, Weekdays: week, Date: day, End: 60}, "rules[1].date", "no date"},
		{"dated without date", hours.Rule{Kind: hours.Dated, End: 60}, "rules[1].date", "1970-01-01 to 9999-12-31"},
		{"dated on no day", hours.Rule{Kind: hours.Dated, Date: hours.Date{Year: 2023, Month: 2, Day: 29}, End: 60}, "rules[1].date", "calendar"},
		{"dated too early", hours.Rule{Kind: hours.Dated, Date: hours.Date{Year: 1969, Month: 12, Day: 31}, End: 60}, "rules[1].date", "1970-01-01"},
		{"dated too late", hours.Rule{Kind: hours.Dated, Date: hours.Date{Year: 10000, Month: 1, Day: 1}, End: 60}, "rules[1].date", "9999-12-31"},
		{"dated with weekdays", hours.Rule{Kind: hours.Dated, Date: day, Weekdays: week, End: 60}, "rules[1].weekdays", "no weekdays"},
		{"exclusion without date", hours.Rule{Kind: hours.Exclusion, End: 60}, "rules[1].date", "EXCLUSION"},
		{"exclusion with weekdays", hours.Rule{Kind: hours.Exclusion, Date: day, Weekdays: week, End: 60}, "rules[1].weekdays", "no weekdays"},
		{"start too small", hours.Rule{Kind: hours.Weekly, Weekdays: week, Start: -1, End: 60}, "rules[1].start", "00:00 and 23:59"},
		{"start at 24:00", hours.Rule{Kind: hours.Weekly, Weekdays: week, Start: 1440, End: 60}, "rules[1].start", "00:00 and 23:59"},
		{"end at 00:00", hours.Rule{Kind: hours.Weekly, Weekdays: week, Start: 1320, End: 0}, "rules[1].end", "24:00"},
		{"end too large", hours.Rule{Kind: hours.Weekly, Weekdays: week, Start: 0, End: 1441}, "rules[1].end", "24:00"},
		{"no length", hours.Rule{Kind: hours.Exclusion, Date: day, Start: 600, End: 600}, "rules[1].end", "the whole day is 00:00 to 24:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := hours.New(time.UTC, []hours.Rule{daily(t, "09:00-12:00"), c.rule})
			require.Nil(t, s)
			requireInvalid(t, err, c.field, c.text)
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	rules := []hours.Rule{daily(t, "00:00-00:01"), daily(t, "23:59-24:00"), daily(t, "00:00-24:00"), daily(t, "23:59-23:58")}
	for len(rules) < hours.MaxRules {
		rules = append(rules, exclusion(t, "2024-12-25", "00:00-24:00"))
	}
	_, err := hours.New(time.UTC, rules)
	require.NoError(t, err)

	_, err = hours.New(time.UTC, append(rules, rules[0]))
	requireInvalid(t, err, "rules", "at most 10 rules")
	_, err = hours.New(nil, nil)
	requireInvalid(t, err, "timeZone", "required")
}

func TestRuleJSON(t *testing.T) {
	t.Parallel()
	for _, r := range []hours.Rule{
		weekly(t, "22:00-06:00", time.Monday, time.Sunday),
		dated(t, "2024-12-12", "09:00-12:00"),
		exclusion(t, "2024-12-25", "00:00-24:00"),
	} {
		data, err := json.Marshal(r)
		require.NoError(t, err)
		var back hours.Rule
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, r, back, "%s", data)
	}
}

func TestScheduleKeepsItsOwnRules(t *testing.T) {
	t.Parallel()
	rules := []hours.Rule{weekly(t, "09:00-12:00", time.Monday)}
	s, err := hours.New(time.UTC, rules)
	require.NoError(t, err)
	rules[0].Weekdays[0] = time.Tuesday
	rules[0].Start = 0
	require.True(t, s.OpenAt(instant(t, "2024-12-09T09:00:00Z")))
	require.False(t, s.OpenAt(instant(t, "2024-12-09T08:00:00Z")))
	require.False(t, s.OpenAt(instant(t, "2024-12-10T09:00:00Z")))
}
