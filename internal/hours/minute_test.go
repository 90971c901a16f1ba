package hours_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

func TestMinuteText(t *testing.T) {
	t.Parallel()
	for m := hours.Minute(0); m <= hours.EndOfDay; m++ {
		parsed, err := hours.ParseMinute(m.String())
		require.NoError(t, err)
		require.Equal(t, m, parsed)
	}
	require.Equal(t, hours.Minute(9*60+5), minute(t, "09:05"))
	require.Equal(t, hours.EndOfDay, minute(t, "24:00"))

	for _, text := range []string{
		"", "9:05", "09:5", "09:60", "24:01", "25:00", "99:99", "0905", "09-05", "09:05:00",
		" 09:05", "09:05 ", "+9:05", "-1:00", "09:-5", "0９:05", "9:05 AM", "09：05", "١٢:٠٠",
	} {
		_, err := hours.ParseMinute(text)
		requireInvalid(t, err, "", "HH:MM")
	}
}

func TestMinuteJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(hours.Minute(90))
	require.NoError(t, err)
	require.Equal(t, `"01:30"`, string(data))

	m := hours.Minute(7)
	require.Error(t, json.Unmarshal([]byte(`"24:30"`), &m))
	require.Equal(t, hours.Minute(7), m, "bad input changes nothing")
	require.NoError(t, json.Unmarshal(data, &m))
	require.Equal(t, hours.Minute(90), m)

	for _, m := range []hours.Minute{-1, hours.EndOfDay + 1} {
		_, err := m.MarshalText()
		requireInvalid(t, err, "", "24:00")
	}
}

var minutePattern = regexp.MustCompile(`\A(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)\z`)

func FuzzParseMinute(f *testing.F) {
	for _, text := range []string{"00:00", "23:59", "24:00", "24:01", "9:00", "", "12:3\x00", "１２:00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := hours.ParseMinute(text)
		require.Equal(t, minutePattern.MatchString(text), err == nil)
		if err == nil {
			require.Equal(t, text, m.String())
		}
	})
}
