package fault_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// kinds says by hand what every kind means outside of this package. The codes and
// statuses are public and must not change.
var kinds = map[fault.Kind]struct {
	code      string
	status    int
	level     slog.Level
	retryable bool
}{
	fault.InvalidInput:      {"INVALID_INPUT", http.StatusBadRequest, slog.LevelDebug, false},
	fault.Unauthenticated:   {"UNAUTHENTICATED", http.StatusUnauthorized, slog.LevelDebug, false},
	fault.Forbidden:         {"FORBIDDEN", http.StatusForbidden, slog.LevelDebug, false},
	fault.NotFound:          {"NOT_FOUND", http.StatusNotFound, slog.LevelDebug, false},
	fault.NotAllowedInState: {"NOT_ALLOWED_IN_STATE", http.StatusConflict, slog.LevelInfo, false},
	fault.StaleControl:      {"STALE_CONTROL", http.StatusConflict, slog.LevelInfo, false},
	fault.Conflict:          {"CONFLICT", http.StatusConflict, slog.LevelDebug, false},
	fault.LimitReached:      {"LIMIT_REACHED", http.StatusConflict, slog.LevelInfo, false},
	fault.RateLimited:       {"RATE_LIMITED", http.StatusTooManyRequests, slog.LevelWarn, true},
	fault.Overloaded:        {"OVERLOADED", http.StatusServiceUnavailable, slog.LevelWarn, true},
	fault.DeskRejected:      {"DESK_REJECTED", http.StatusBadGateway, slog.LevelWarn, false},
	fault.DeskGone:          {"DESK_GONE", http.StatusConflict, slog.LevelInfo, false},
	fault.DeskUnauthorized:  {"DESK_UNAUTHORIZED", http.StatusBadGateway, slog.LevelError, false},
	fault.DeskRateLimited:   {"DESK_RATE_LIMITED", http.StatusTooManyRequests, slog.LevelWarn, true},
	fault.DeskUnavailable:   {"DESK_UNAVAILABLE", http.StatusServiceUnavailable, slog.LevelWarn, true},
	fault.Unsupported:       {"UNSUPPORTED", http.StatusBadRequest, slog.LevelDebug, false},
	fault.Resync:            {"RESYNC", http.StatusServiceUnavailable, slog.LevelDebug, true},
	fault.Canceled:          {"CANCELED", http.StatusServiceUnavailable, slog.LevelDebug, true},
	fault.Internal:          {"INTERNAL", http.StatusInternalServerError, slog.LevelError, true},
}

func TestEveryKind(t *testing.T) {
	t.Parallel()
	require.Len(t, kinds, len(fault.Kinds))
	for _, kind := range fault.Kinds {
		want, ok := kinds[kind]
		require.True(t, ok, "the table lacks %s", kind)
		require.Equal(t, want.code, string(kind))
		require.Equal(t, want.status, kind.HTTPStatus(), "%s", kind)
		require.Equal(t, want.level, kind.LogLevel(), "%s", kind)
		require.Equal(t, want.retryable, fault.New(kind, "x").Retryable(), "%s", kind)
	}
	require.Equal(t, http.StatusInternalServerError, fault.Kind("SOMETHING").HTTPStatus())
	require.Equal(t, slog.LevelError, fault.Kind("SOMETHING").LogLevel(), "what nobody knows is loud")
}

func TestKindsIsComplete(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	require.NoError(t, err)
	var declared []fault.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Kind" {
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			declared = append(declared, fault.Kind(code))
		}
		return true
	})
	require.Equal(t, declared, fault.Kinds)
}

func TestConstructors(t *testing.T) {
	t.Parallel()
	cause := errors.New("password=s3cret")
	for want, f := range map[string]*fault.Fault{
		"DESK_REJECTED: the desk says 7":      fault.New(fault.DeskRejected, "the desk says %d", 7),
		"INVALID_INPUT: name: at most 3":      fault.Invalid("name", "at most %d", 3),
		"NOT_FOUND: agent not found":          fault.Missing("agent"),
		"DESK_UNAVAILABLE: the desk is down":  fault.Wrap(fault.DeskUnavailable, cause, "the desk is %s", "down"),
		"STALE_CONTROL: epoch: drop it":       {Kind: fault.StaleControl, Field: "epoch", Public: "drop it", Cause: cause},
		"INTERNAL: internal error":            fault.As(cause),
		"CANCELED: the request was cancelled": fault.As(context.Canceled),
	} {
		require.Equal(t, want, f.Error(), "the cause is for logs")
	}
	require.ErrorIs(t, fault.Wrap(fault.Internal, cause, "x"), cause)
	require.NoError(t, errors.Unwrap(fault.New(fault.Internal, "x")))
}

func TestAs(t *testing.T) {
	t.Parallel()
	require.Nil(t, fault.As(nil))

	f := fault.Invalid("name", "too long")
	require.Same(t, f, fault.As(f))
	require.Same(t, f, fault.As(fmt.Errorf("rename agent: %w", fmt.Errorf("store: %w", f))))
	require.Same(t, f, fault.As(errors.Join(errors.New("first"), f)))

	outer := fault.Wrap(fault.DeskUnavailable, fault.New(fault.RateLimited, "inner"), "outer")
	require.Same(t, outer, fault.As(outer), "classified once: the outermost counts")

	for _, err := range []error{context.Canceled, fmt.Errorf("read: %w", context.Canceled)} {
		got := fault.As(err)
		require.Equal(t, fault.Canceled, got.Kind)
		require.Equal(t, err, got.Cause)
		require.NotContains(t, got.Public, "read")
	}
}

// Whatever an unknown error says, no caller reads it.
func TestUnknownErrorsStayInside(t *testing.T) {
	t.Parallel()
	secret := errors.New(`pq: password authentication failed for user "ann@example.com"`)
	for _, err := range []error{secret, fmt.Errorf("load: %w", secret), context.DeadlineExceeded, errors.Join(secret, nil)} {
		f := fault.As(err)
		require.Equal(t, fault.Internal, f.Kind)
		require.Equal(t, "internal error", f.Public)
		require.Equal(t, "INTERNAL: internal error", f.Error())
		require.Empty(t, f.Field)
		require.ErrorIs(t, f, err, "the log has the cause")
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, fault.Kind(""), fault.KindOf(nil))
	require.Equal(t, fault.NotFound, fault.KindOf(fmt.Errorf("x: %w", fault.Missing("agent"))))
	require.Equal(t, fault.Internal, fault.KindOf(errors.New("x")))
	require.True(t, fault.Is(fault.Missing("agent"), fault.NotFound))
	require.False(t, fault.Is(nil, fault.Internal))
	require.False(t, fault.Is(errors.New("x"), fault.NotFound))
}

func TestStages(t *testing.T) {
	t.Parallel()
	require.Equal(t, fault.NotSent, (&fault.Fault{}).Sent, "nothing is claimed to have been sent")
	for stage, want := range map[fault.Stage]string{
		fault.NotSent: "not_sent", fault.MaybeSent: "maybe_sent", fault.Sent: "sent", fault.Stage(7): "unknown",
	} {
		require.Equal(t, want, stage.String())
	}
}
