package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
	"handoff/internal/stream"
)

// presentation is what becomes of one error.
type presentation struct {
	*gqlerror.Error
	log     map[string]any
	counted []string
}

func presentError(t *testing.T, ctx context.Context, err error) presentation {
	t.Helper()
	var (
		out bytes.Buffer
		p   presentation
	)
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.Error = ErrorPresenter(log, func(code string) { p.counted = append(p.counted, code) })(ctx, err)
	require.NoError(t, json.Unmarshal(out.Bytes(), &p.log), "exactly one line is logged: %s", out.String())
	return p
}

func TestEveryKindIsPresented(t *testing.T) {
	t.Parallel()
	for _, kind := range append([]fault.Kind{stream.Resync}, fault.Kinds...) {
		cause := errors.New("secret detail")
		err := fmt.Errorf("read something: %w", fault.Wrap(kind, cause, "what the caller may read"))
		p := presentError(t, WithRequestID(t.Context(), "req-1"), err)

		require.Equal(t, map[string]any{"code": string(kind), "requestId": "req-1"}, p.Extensions)
		require.Equal(t, []string{string(kind)}, p.counted)
		message, level := "what the caller may read", kind.LogLevel()
		switch kind {
		case fault.Internal:
			message = "internal error"
		case stream.Resync:
			level = slog.LevelDebug
		default:
		}
		require.Equal(t, message, p.Message)
		require.Equal(t, level.String(), p.log["level"], "%s", kind)
		require.Equal(t, "secret detail", p.log["error"])
		require.Equal(t, "req-1", p.log["request_id"])
	}
}

func TestFaultsShowWhatTheyKnow(t *testing.T) {
	t.Parallel()
	p := presentError(t, t.Context(), fault.Invalid("hours[3].start", "must be earlier"))
	require.Equal(t, map[string]any{"code": "INVALID_INPUT", "field": "hours[3].start"}, p.Extensions)

	p = presentError(t, t.Context(), &fault.Fault{Kind: fault.NotAllowedInState, State: "ACTIVE", Public: "no"})
	require.Equal(t, map[string]any{"code": "NOT_ALLOWED_IN_STATE", "state": "ACTIVE"}, p.Extensions)

	p = presentError(t, t.Context(), &fault.Fault{Kind: fault.StaleControl, State: "HANDOFF", Field: "epoch", Public: "no"})
	require.Equal(t, map[string]any{"code": "STALE_CONTROL", "control": "HANDOFF", "field": "epoch"}, p.Extensions)

	p = presentError(t, t.Context(), &fault.Fault{Kind: fault.RateLimited, After: 1500 * time.Millisecond, Public: "later"})
	require.Equal(t, map[string]any{"code": "RATE_LIMITED", "retryAfterSeconds": 2}, p.Extensions)
}

func TestUnknownErrorsStayInside(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("password is hunter2"),
		fmt.Errorf("deep: %w", errors.New("password is hunter2")),
		gqlerror.WrapPath(ast.Path{ast.PathName("agent")}, errors.New("password is hunter2")),
		gqlerror.Errorf("password is hunter2"), // gqlgen's own, when it finds the code at fault
	} {
		p := presentError(t, t.Context(), err)
		require.Equal(t, "internal error", p.Message)
		require.Equal(t, map[string]any{"code": "INTERNAL"}, p.Extensions)
		require.Equal(t, "ERROR", p.log["level"])
		require.Contains(t, p.log["error"], "hunter2")
	}
}

func TestLeavingIsNotOurFault(t *testing.T) {
	t.Parallel()
	p := presentError(t, t.Context(), fmt.Errorf("query: %w", context.Canceled))
	require.Equal(t, "CANCELED", p.Extensions["code"])
	require.Equal(t, "DEBUG", p.log["level"])
}

func TestGraphQLKeepsItsWords(t *testing.T) {
	t.Parallel()
	from := &gqlerror.Error{
		Message: "Unexpected }", Locations: []gqlerror.Location{{Line: 1, Column: 2}},
		Extensions: map[string]any{"code": "GRAPHQL_PARSE_FAILED"},
	}
	p := presentError(t, WithRequestID(t.Context(), "req-1"), from)
	require.Equal(t, "Unexpected }", p.Message)
	require.Equal(t, from.Locations, p.Locations)
	require.Equal(t, map[string]any{"code": "GRAPHQL_PARSE_FAILED", "requestId": "req-1"}, p.Extensions)
	require.Equal(t, "DEBUG", p.log["level"])
	require.NotContains(t, from.Extensions, "requestId", "the error may be shared")
}

// What a scalar or an enum refuses arrives with the path of the argument.
func TestRefusedArgumentsAreBadInput(t *testing.T) {
	t.Parallel()
	ctx := graphql.WithFieldContext(t.Context(), &graphql.FieldContext{
		Field: graphql.CollectedField{Field: &ast.Field{Alias: "updateHandoffSettings"}},
	})
	at := func(elements ...ast.PathElement) ast.Path {
		return append(ast.Path{ast.PathName("updateHandoffSettings")}, elements...)
	}
	input := ast.PathName("input")
	for _, c := range []struct {
		path  ast.Path
		field string
	}{
		{at(input, ast.PathName("hours"), ast.PathIndex(3), ast.PathName("start")), "hours[3].start"},
		{at(input), "input"},
		{at(ast.PathName("first")), "first"},
	} {
		p := presentError(t, ctx, gqlerror.WrapPath(c.path, fault.Invalid("", "no such time")))
		require.Equal(t, "no such time", p.Message)
		require.Equal(t, map[string]any{"code": "INVALID_INPUT", "field": c.field}, p.Extensions)

		p = presentError(t, ctx, gqlerror.WrapPath(c.path, errors.New("ask is not a valid WaitAction")))
		require.Equal(t, "ask is not a valid WaitAction", p.Message)
		require.Equal(t, map[string]any{"code": "INVALID_INPUT", "field": c.field}, p.Extensions)
	}
	p := presentError(t, ctx, gqlerror.WrapPath(at(), errors.New("password is hunter2")))
	require.Equal(t, "INTERNAL", p.Extensions["code"], "the path of the field itself is not an argument's")
}

func TestRenamed(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{
		"rules": "hours", "rules[3].start": "hours[3].start", "rulesets": "rulesets", "timeZone": "timeZone",
	} {
		var f *fault.Fault
		require.ErrorAs(t, renamed(fault.Invalid(from, "no"), "rules", "hours"), &f)
		require.Equal(t, to, f.Field)
	}
	require.NoError(t, renamed(nil, "rules", "hours"))
	other := errors.New("other")
	require.Equal(t, other, renamed(other, "rules", "hours"))
}
