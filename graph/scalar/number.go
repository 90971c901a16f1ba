package scalar

import (
	"encoding/json"
	"io"
	"math"
	"strconv"

	"github.com/99designs/gqlgen/graphql"

	"handoff/internal/fault"
)

// maxInt64 is 2^53, up to which a client that counts in 64-bit floats, as
// JavaScript does, is exact.
const maxInt64 = 1 << 53

// MarshalInt writes the scalar Int.
func MarshalInt(i int) graphql.Marshaler { return number(int64(i)) }

// UnmarshalInt reads the scalar Int: a whole number of 32 bits (GraphQL §3.5.1).
func UnmarshalInt(v any) (int, error) {
	i, ok := whole(v)
	if !ok || i < math.MinInt32 || i > math.MaxInt32 {
		return 0, fault.Invalid("", "must be a whole number from -2147483648 to 2147483647")
	}
	return int(i), nil
}

// MarshalInt64 writes the scalar Int64.
func MarshalInt64(i int64) graphql.Marshaler { return number(i) }

// UnmarshalInt64 reads the scalar Int64: a whole number from -2^53 to 2^53.
func UnmarshalInt64(v any) (int64, error) {
	i, ok := whole(v)
	if !ok || i < -maxInt64 || i > maxInt64 {
		return 0, fault.Invalid("", "must be a whole number from -9007199254740992 to 9007199254740992")
	}
	return i, nil
}

// whole takes what literals (int64) and variables (json.Number, or int64 where
// the validator has looked at them) hold for a whole number.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case json.Number:
		i, err := strconv.ParseInt(string(v), 10, 64)
		return i, err == nil
	}
	return 0, false
}

func number(i int64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = w.Write(strconv.AppendInt(nil, i, 10))
	})
}
