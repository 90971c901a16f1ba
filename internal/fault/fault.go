// Package fault holds the one error type that crosses the rooms of the house.
//
// A [Fault] is classified once, where the knowledge is: a desk classifies what
// its vendor answered, the store what the database refused, a use case what the
// caller did wrong. Everybody further out only reads the classification: the
// GraphQL presenter and the REST handlers map [Kind] to a code and a status,
// the relay asks [Fault.Retryable] and [Fault.Sent].
package fault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Kind is the stable class of a failure. Its text is public API: it appears as
// extensions.code in GraphQL answers and must never change its meaning.
type Kind string

// The kinds. The comment says what the caller should do.
const (
	InvalidInput      Kind = "INVALID_INPUT"        // mend the named field
	Unauthenticated   Kind = "UNAUTHENTICATED"      // present a valid credential
	Forbidden         Kind = "FORBIDDEN"            // this kind of caller may never do that
	NotFound          Kind = "NOT_FOUND"            // does not exist, or is not yours
	NotAllowedInState Kind = "NOT_ALLOWED_IN_STATE" // read the state and decide again
	StaleControl      Kind = "STALE_CONTROL"        // the Agent lost control; drop the message
	Conflict          Kind = "CONFLICT"             // the same key was used for something else
	LimitReached      Kind = "LIMIT_REACHED"        // a bound of this service is reached
	RateLimited       Kind = "RATE_LIMITED"         // come back later
	Overloaded        Kind = "OVERLOADED"           // refused early; safe to repeat
	DeskRejected      Kind = "DESK_REJECTED"        // the desk says no to this request
	DeskGone          Kind = "DESK_GONE"            // the desk no longer has this conversation
	DeskUnauthorized  Kind = "DESK_UNAUTHORIZED"    // the desk refuses our credentials
	DeskRateLimited   Kind = "DESK_RATE_LIMITED"    // the desk asks for patience
	DeskUnavailable   Kind = "DESK_UNAVAILABLE"     // the desk is down or unreachable
	Unsupported       Kind = "UNSUPPORTED"          // this desk cannot do that
	Resync            Kind = "RESYNC"               // the stream ended early: subscribe again after what was received last
	Canceled          Kind = "CANCELED"             // the caller went away, or we are stopping
	Internal          Kind = "INTERNAL"             // our fault; see the log by request id
)

// Kinds lists every kind, for tests and documentation.
var Kinds = []Kind{
	InvalidInput, Unauthenticated, Forbidden, NotFound, NotAllowedInState, StaleControl,
	Conflict, LimitReached, RateLimited, Overloaded, DeskRejected, DeskGone, DeskUnauthorized,
	DeskRateLimited, DeskUnavailable, Unsupported, Resync, Canceled, Internal,
}

// Stage says how far an outgoing request got, which decides whether repeating
// it may show the same message twice.
type Stage int

const (
	// NotSent: no byte of the request left this process.
	NotSent Stage = iota
	// MaybeSent: the request may have arrived; its outcome is unknown.
	MaybeSent
	// Sent: the other side answered, and its answer was a refusal.
	Sent
)

// String names the stage for logs.
func (s Stage) String() string {
	switch s {
	case NotSent:
		return "not_sent"
	case MaybeSent:
		return "maybe_sent"
	case Sent:
		return "sent"
	}
	return "unknown"
}

// Fault is a classified failure.
type Fault struct {
	Kind   Kind
	Public string        // safe for any caller; no secret, no personal text
	Field  string        // the input field at fault, if any, e.g. "waitTimeoutSeconds"
	State  string        // the state that forbids it, with NotAllowedInState
	Sent   Stage         // for outgoing calls
	After  time.Duration // wait at least this long before a retry; 0 = no wish
	Cause  error         // for logs only
}

// Error gives kind and public text; the cause is for logs and is not included.
func (f *Fault) Error() string {
	if f.Field != "" {
		return fmt.Sprintf("%s: %s: %s", f.Kind, f.Field, f.Public)
	}
	return fmt.Sprintf("%s: %s", f.Kind, f.Public)
}

// Unwrap gives the cause, so that errors.Is sees through a Fault.
func (f *Fault) Unwrap() error { return f.Cause }

// Retryable reports whether the same request may succeed later.
func (f *Fault) Retryable() bool {
	switch f.Kind {
	case RateLimited, Overloaded, DeskRateLimited, DeskUnavailable, Resync, Canceled, Internal:
		return true
	default:
		return false
	}
}

// New makes a fault with a public text.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Public: fmt.Sprintf(format, args...)}
}

// Invalid makes an InvalidInput fault that names the field and, in the text, the limit.
func Invalid(field, format string, args ...any) *Fault {
	return &Fault{Kind: InvalidInput, Field: field, Public: fmt.Sprintf(format, args...)}
}

// Missing makes the NotFound fault, the same whether the thing does not exist or is not the caller's.
func Missing(what string) *Fault {
	return &Fault{Kind: NotFound, Public: what + " not found"}
}

// Wrap makes a fault of the given kind around a cause that only logs may show.
func Wrap(kind Kind, cause error, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Public: fmt.Sprintf(format, args...), Cause: cause}
}

// As finds the Fault in an error chain. Cancellation becomes Canceled; anything
// unknown becomes Internal with a fixed text, its own text kept as the cause.
// As(nil) is nil.
func As(err error) *Fault {
	if err == nil {
		return nil
	}
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(err, context.Canceled) {
		return &Fault{Kind: Canceled, Public: "the request was cancelled", Cause: err}
	}
	return &Fault{Kind: Internal, Public: "internal error", Cause: err}
}

// KindOf is As(err).Kind, or "" for nil.
func KindOf(err error) Kind {
	if f := As(err); f != nil {
		return f.Kind
	}
	return ""
}

// Is reports whether the error is a fault of the given kind.
func Is(err error, kind Kind) bool { return KindOf(err) == kind }

// HTTPStatus maps a kind to the status of REST answers.
func (k Kind) HTTPStatus() int {
	switch k {
	case InvalidInput, Unsupported:
		return 400
	case Unauthenticated:
		return 401
	case Forbidden:
		return 403
	case NotFound:
		return 404
	case NotAllowedInState, StaleControl, Conflict, LimitReached, DeskGone:
		return 409
	case RateLimited, DeskRateLimited:
		return 429
	case Overloaded, DeskUnavailable, Resync, Canceled:
		return 503
	case DeskRejected, DeskUnauthorized:
		return 502
	case Internal:
		return 500
	}
	return 500
}

// LogLevel says how loud a failure of this kind is for the operator of this service.
func (k Kind) LogLevel() slog.Level {
	switch k {
	case InvalidInput, NotFound, Unauthenticated, Forbidden, Resync, Canceled, Conflict, Unsupported:
		return slog.LevelDebug
	case NotAllowedInState, StaleControl, LimitReached, DeskGone:
		return slog.LevelInfo
	case RateLimited, Overloaded, DeskRejected, DeskRateLimited, DeskUnavailable:
		return slog.LevelWarn
	case DeskUnauthorized, Internal:
		return slog.LevelError
	}
	return slog.LevelError
}
