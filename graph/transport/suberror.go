package transport

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

type failureKey struct{}

// failure collects what AddSubscriptionError says about one operation.
type failure struct {
	mu   sync.Mutex
	errs gqlerror.List
}

func (f *failure) list() gqlerror.List {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.errs
}

func withFailure(ctx context.Context, f *failure) context.Context {
	return context.WithValue(ctx, failureKey{}, f)
}

// AddSubscriptionError tells the client why the running subscription of ctx is
// about to end. Call it with the context the resolver was given, before closing
// the resolver's channel: the client then gets an `error` message (on SSE a
// `next` event with errors) instead of taking the end for a regular one. The
// error passes the error presenter. Safe for concurrent use; nil and a context
// that belongs to no subscription are ignored.
//
// Never call the function of the same name in gqlgen's transport package here:
// it looks for a value that only gqlgen's own websocket transport puts in the
// context, and panics without it.
func AddSubscriptionError(ctx context.Context, err error) {
	f, ok := ctx.Value(failureKey{}).(*failure)
	if !ok || err == nil {
		return
	}
	wrapped := gqlerror.WrapPath(graphql.GetPath(ctx), err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, wrapped)
}
