package hours_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

func TestDateText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1970-01-01", "2000-02-29", "2024-02-29", "2024-12-12", "9999-12-31"} {
		require.Equal(t, text, date(t, text).String())
	}
	require.Equal(t, hours.Date{Year: 2024, Month: time.December, Day: 12}, date(t, "2024-12-12"))
	require.Empty(t, hours.Date{}.String())

	for _, text := range []string{
		"", "2023-02-29", "2100-02-29", "2024-02-30", "2024-13-01", "2024-00-10", "2024-01-00", "2024-1-1",
		"24-01-01", "2024/01/01", "2024-01-01T00:00:00Z", " 2024-01-01", "1969-12-31", "10000-01-01", "-2024-01-01",
	} {
		_, err := hours.ParseDate(text)
		requireInvalid(t, err, "", "YYYY-MM-DD")
	}
}

func TestDateJSON(t *testing.T) {
	t.Parallel()
	d := date(t, "2024-02-29")
	require.Error(t, json.Unmarshal([]byte(`"2023-02-29"`), &d))
	require.Equal(t, date(t, "2024-02-29"), d, "bad input changes nothing")

	for _, d := range []hours.Date{{}, d} {
		data, err := json.Marshal(d)
		require.NoError(t, err)
		back := date(t, "2001-01-01")
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, d, back)
	}
	_, err := hours.Date{Year: 2023, Month: 2, Day: 29}.MarshalText()
	requireInvalid(t, err, "", "1970-01-01")
}

func TestDateArithmetic(t *testing.T) {
	t.Parallel()
	require.Equal(t, date(t, "2024-02-29"), date(t, "2024-02-28").AddDays(1))
	require.Equal(t, date(t, "2023-03-01"), date(t, "2023-02-28").AddDays(1))
	require.Equal(t, date(t, "2023-12-31"), date(t, "2024-01-01").AddDays(-1))

	ascending := []hours.Date{date(t, "2023-12-31"), date(t, "2024-01-30"), date(t, "2024-02-01"), date(t, "2024-02-02")}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			require.Equal(t, want, a.Compare(b), "%s and %s", a, b)
		}
	}
}
