package scalar_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/stretchr/testify/require"

	"handoff/graph/scalar"
	"handoff/internal/fault"
	"handoff/internal/hours"
)

func text(t *testing.T, m graphql.Marshaler) string {
	t.Helper()
	var b strings.Builder
	m.MarshalGQL(&b)
	return b.String()
}

// requireRefused wants a fault that says what is expected and names no field.
func requireRefused(t *testing.T, err error, says string) {
	t.Helper()
	var f *fault.Fault
	require.ErrorAs(t, err, &f)
	require.Equal(t, fault.InvalidInput, f.Kind)
	require.Empty(t, f.Field)
	require.Contains(t, f.Public, says)
}

func TestInt(t *testing.T) {
	t.Parallel()
	for _, in := range []any{int64(-2147483648), json.Number("2147483647"), 7} {
		i, err := scalar.UnmarshalInt(in)
		require.NoError(t, err, "%#v", in)
		require.Equal(t, fmt.Sprint(in), text(t, scalar.MarshalInt(i)))
	}
	for _, in := range []any{int64(2147483648), json.Number("-2147483649"), json.Number("1.0"), 1.0, "1", true, nil, []any{1}} {
		_, err := scalar.UnmarshalInt(in)
		requireRefused(t, err, "2147483647")
	}
}

func TestInt64(t *testing.T) {
	t.Parallel()
	for _, in := range []any{int64(9007199254740992), json.Number("-9007199254740992"), json.Number("0"), 7} {
		i, err := scalar.UnmarshalInt64(in)
		require.NoError(t, err, "%#v", in)
		require.Equal(t, fmt.Sprint(in), text(t, scalar.MarshalInt64(i)))
	}
	for _, in := range []any{
		int64(9007199254740993), json.Number("-9007199254740993"), json.Number("99999999999999999999"),
		json.Number("1.0"), json.Number("1e3"), 1.0, "1", true, nil,
	} {
		_, err := scalar.UnmarshalInt64(in)
		requireRefused(t, err, "9007199254740992")
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	s, err := scalar.UnmarshalString("a \"b\"\n")
	require.NoError(t, err)
	require.JSONEq(t, `"a \"b\"\n"`, text(t, scalar.MarshalString(s)))
	for _, in := range []any{json.Number("1"), 1, true, nil, map[string]any{}} {
		_, err := scalar.UnmarshalString(in)
		requireRefused(t, err, "string")
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456Z", "2026-01-31T09:30:00.1Z", "0001-01-01T00:00:01Z",
	} {
		at, err := scalar.UnmarshalTime(in)
		require.NoError(t, err, in)
		require.Equal(t, `"`+in+`"`, text(t, scalar.MarshalTime(at)))
	}
	for _, in := range []any{
		"2026-01-31T09:30:00+08:00", "2026-01-31T09:30:00", "2026-01-31", "2026-02-30T09:30:00Z", "2026-01-31T9:30:00Z",
		"2026-01-31 09:30:00Z", "2026-01-31T09:30:00,5Z", "2026-01-31T09:30:00.1234567Z", "", "Z", json.Number("1769851800"), nil,
	} {
		_, err := scalar.UnmarshalTime(in)
		requireRefused(t, err, "2026-01-31T09:30:00Z")
	}
}

func TestTimeIsWrittenInUTCAndCutToMicroseconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 17, 30, 0, 123_456_999, time.FixedZone("", 8*60*60))
	require.Equal(t, `"2026-01-31T09:30:00.123456Z"`, text(t, scalar.MarshalTime(at)))
	require.Equal(t, "null", text(t, scalar.MarshalTime(time.Time{})))
}

func TestDate(t *testing.T) {
	t.Parallel()
	d, err := scalar.UnmarshalDate("2028-02-29")
	require.NoError(t, err)
	require.Equal(t, `"2028-02-29"`, text(t, scalar.MarshalDate(d)))
	require.Equal(t, "null", text(t, scalar.MarshalDate(hours.Date{})))
	for _, in := range []any{"2026-02-29", "2026-2-9", "", "2026-01-31T00:00:00Z", json.Number("20260131"), nil} {
		_, err := scalar.UnmarshalDate(in)
		requireRefused(t, err, "YYYY-MM-DD")
	}
}

func TestTimeOfDay(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"00:00", "09:30", "23:59", "24:00"} {
		m, err := scalar.UnmarshalTimeOfDay(in)
		require.NoError(t, err, in)
		require.Equal(t, `"`+in+`"`, text(t, scalar.MarshalTimeOfDay(m)))
	}
	for _, in := range []any{"24:01", "9:30", "09:60", "09:30:00", "", json.Number("930"), nil} {
		_, err := scalar.UnmarshalTimeOfDay(in)
		requireRefused(t, err, "HH:MM")
	}
}
