package graph_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is wrong with an operation, the answer has a code.
func TestEveryMistakeHasACode(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, c := range []struct {
		operation string
		variables vars
		code      string
		field     any
	}{
		{`{ viewer {`, nil, "GRAPHQL_PARSE_FAILED", nil},
		{``, nil, "GRAPHQL_VALIDATION_FAILED", nil},
		{`{ viewer { nothing } }`, nil, "GRAPHQL_VALIDATION_FAILED", nil},
		{`{ agents(first: "many") { nodes { id } } }`, nil, "GRAPHQL_VALIDATION_FAILED", nil},
		{`query($n: Int!) { agents(first: $n) { nodes { id } } }`, nil, "GRAPHQL_VALIDATION_FAILED", nil},
		{`query($n: Int!) { agents(first: $n) { nodes { id } } }`, vars{"n": 1.5}, "GRAPHQL_VALIDATION_FAILED", nil},
		{`query($n: Int!) { agents(first: $n) { nodes { id } } }`, vars{"n": "1"}, "INVALID_INPUT", "first"},
		{`query($n: String!) { agents(after: $n) { nodes { id } } }`, vars{"n": 1}, "INVALID_INPUT", "after"},
		{`query($n: Int!) { agents(first: $n) { nodes { id } } }`, vars{"n": 101}, "INVALID_INPUT", "first"},
		{`mutation($c: Channel!) { startConversation(input: {channel: $c}) { conversation { id } } }`, vars{"c": "FAX"}, "GRAPHQL_VALIDATION_FAILED", nil},
		{`mutation($c: Channel!) { startConversation(input: {channel: $c}) { conversation { id } } }`, vars{"c": "api"}, "INVALID_INPUT", "channel"},
		{`{ a: agents(first: 100) { nodes { keys { id } } } }`, nil, "COMPLEXITY_LIMIT_EXCEEDED", nil},
		{`{ agent(id: "x") { id } }`, nil, "NOT_FOUND", nil},
		// A number that no machine type holds made gqlparser panic.
		{`{ conversation(id: "x") { events(after: 99999999999999999999) { endSeq } } }`, nil, "GRAPHQL_VALIDATION_FAILED", nil},
		{`query { conversation(id: "x") { ...f } } fragment f on Conversation { events(after: 99999999999999999999) { endSeq } }`, nil, "GRAPHQL_VALIDATION_FAILED", nil},
	} {
		result := a.admin().do(c.operation, c.variables)
		require.Len(t, result.Errors, 1, c.operation)
		require.Equal(t, c.code, result.Errors[0].Extensions["code"], "%s: %s", c.operation, result.Errors[0].Message)
		require.Equal(t, c.field, result.Errors[0].Extensions["field"], c.operation)
		require.Equal(t, "request-of-the-test", result.Errors[0].Extensions["requestId"], c.operation)
		require.NotEqual(t, "internal error", result.Errors[0].Message)
	}
}
