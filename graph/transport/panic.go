package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
)

// presentPanic turns a panic that reached a transport into what the client gets:
// through the executor's recover function and error presenter, as gqlgen does
// for a panic in a resolver.
func presentPanic(ctx context.Context, exec graphql.GraphExecutor, logger *slog.Logger, value any) (presented *gqlerror.Error) {
	presented = codedError(string(fault.Internal), "internal error")
	defer func() {
		// The presenter may have been what panicked in the first place.
		if again := recover(); again != nil {
			logPanic(ctx, logger, again)
		}
	}()
	if p, ok := exec.(interface {
		PresentRecoveredError(ctx context.Context, err any) error
	}); ok {
		if err, ok := errors.AsType[*gqlerror.Error](p.PresentRecoveredError(ctx, value)); ok && err != nil {
			presented = err
		}
	}
	return presented
}

// recoverFunc is the recover function used when the caller has none.
func recoverFunc(logger *slog.Logger) graphql.RecoverFunc {
	return func(ctx context.Context, value any) error {
		logPanic(ctx, logger, value)
		return fault.New(fault.Internal, "internal error")
	}
}

// logPanic logs where a panic came from. Its value is logged only when the
// runtime made it: ours could quote somebody's message.
func logPanic(ctx context.Context, logger *slog.Logger, value any) {
	what := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	logger.ErrorContext(ctx, "panic", "value", what, "stack", string(debug.Stack()))
}
