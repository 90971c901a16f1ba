package scalar

import (
	"github.com/99designs/gqlgen/graphql"

	"handoff/internal/fault"
)

// MarshalString writes the scalar String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads the scalar String. Numbers and booleans are refused:
// what they would look like as text is not for us to guess.
func UnmarshalString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fault.Invalid("", "must be a string")
	}
	return s, nil
}
