package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
)

type requestIDKey struct{}

// WithRequestID gives a context whose errors carry the id of the request, by
// which the log is found.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// internalText is all that a client learns of a failure of ours.
const internalText = "internal error"

// ErrorPresenter makes the one function through which every error leaves the API.
//
// An error that contains a [fault.Fault] shows its public text, its Kind as
// extensions.code, and, where they are set, field, state, control (with
// STALE_CONTROL) and retryAfterSeconds. Any other error becomes INTERNAL with a
// fixed text, and its own goes to the log. What GraphQL itself has to say
// (syntax, validation, limits) keeps its text and code. requestId is added to all.
//
// count, unless nil, is told every code.
func ErrorPresenter(log *slog.Logger, count func(code string)) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		if err == nil {
			return nil
		}
		presented, level := present(ctx, err)
		code := presented.Extensions["code"].(string)
		attrs := []slog.Attr{slog.String("code", code), slog.String("path", presented.Path.String())}
		if id, _ := ctx.Value(requestIDKey{}).(string); id != "" {
			presented.Extensions["requestId"] = id
			attrs = append(attrs, slog.String("request_id", id))
		}
		if cause := causeOf(err); cause != nil {
			attrs = append(attrs, slog.Any("error", cause))
		}
		log.LogAttrs(ctx, level, "graphql error", attrs...)
		if count != nil {
			count(code)
		}
		return presented
	}
}

// present gives an error of its own, since err may be shared with others.
func present(ctx context.Context, err error) (*gqlerror.Error, slog.Level) {
	g := wrapped(ctx, err)
	presented := &gqlerror.Error{Message: g.Message, Path: g.Path, Locations: g.Locations, Extensions: map[string]any{}}
	if code, ok := g.Extensions["code"].(string); ok && g.Err == nil {
		presented.Extensions["code"] = code
		return presented, slog.LevelDebug
	}
	f := classified(ctx, g)
	presented.Message = f.Public
	presented.Extensions["code"] = string(f.Kind)
	if f.Kind == fault.Internal {
		presented.Message = internalText
	}
	if f.Field != "" {
		presented.Extensions["field"] = f.Field
	}
	switch {
	case f.State == "":
	case f.Kind == fault.StaleControl:
		presented.Extensions["control"] = f.State
	default:
		presented.Extensions["state"] = f.State
	}
	if f.After > 0 {
		presented.Extensions["retryAfterSeconds"] = int(math.Ceil(f.After.Seconds()))
	}
	return presented, f.Kind.LogLevel()
}

func wrapped(ctx context.Context, err error) *gqlerror.Error {
	if g, ok := errors.AsType[*gqlerror.Error](err); ok {
		return g
	}
	return gqlerror.WrapPath(graphql.GetPath(ctx), err)
}

// classified finds the fault in an error. What a scalar or an enum says about an
// argument is bad input, whatever its type.
func classified(ctx context.Context, g *gqlerror.Error) fault.Fault {
	field, ofArgument := argument(ctx, g.Path)
	f := *fault.As(g)
	if ofArgument && f.Kind == fault.Internal && g.Err != nil {
		f = fault.Fault{Kind: fault.InvalidInput, Public: g.Err.Error()}
	}
	if ofArgument && f.Field == "" {
		f.Field = field
	}
	return f
}

// argument names the argument that an error is about: the part of its path below
// the field, in the form of the other field names, e.g. "hours[3].start".
func argument(ctx context.Context, path ast.Path) (name string, ok bool) {
	fc := graphql.GetFieldContext(ctx)
	if fc == nil {
		return "", false
	}
	rest := path[min(len(fc.Path()), len(path)):]
	if len(rest) == 0 {
		return "", false
	}
	if len(rest) > 1 && rest[0] == ast.PathName("input") {
		rest = rest[1:]
	}
	var b strings.Builder
	for _, element := range rest {
		switch element := element.(type) {
		case ast.PathIndex:
			fmt.Fprintf(&b, "[%d]", int(element))
		case ast.PathName:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(string(element))
		}
	}
	return b.String(), true
}

// causeOf is what only the log may show.
func causeOf(err error) error {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Cause
	}
	if g, ok := errors.AsType[*gqlerror.Error](err); ok {
		if g.Err == nil && g.Extensions["code"] == nil {
			return errors.New(g.Message)
		}
		return g.Err
	}
	return err
}

// renamed gives a fault that names a field by a word of the business the word of
// the API: from "rules[3].start" to "hours[3].start".
func renamed(err error, from, to string) error {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		return err
	}
	rest, ok := strings.CutPrefix(f.Field, from)
	if !ok || rest != "" && rest[0] != '[' && rest[0] != '.' {
		return err
	}
	other := *f
	other.Field = to + rest
	return &other
}
