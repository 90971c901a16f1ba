package inbound

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"handoff/internal/auth"
	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Business is what the endpoints ask of the use cases.
type Business interface {
	Connections(ctx context.Context, agentID string) ([]handoff.Connection, error)
	ConnectionByToken(ctx context.Context, token string) (handoff.Connection, error)
	FromDesk(ctx context.Context, c handoff.Connection, events []handoff.DeskEvent) error
	// KnownElsewhere reports whether some other Agent has a session of this id.
	KnownElsewhere(ctx context.Context, deskRef string) (bool, error)
}

// Desks gives the desk of a connection.
type Desks interface {
	For(ctx context.Context, c handoff.Connection) (desk.Desk, error)
	Describe(kind string) (handoff.DeskDescription, bool)
}

// Authenticator tells whose credential a request carries.
type Authenticator interface {
	Authenticate(ctx context.Context, authorizationHeader string) (auth.Caller, error)
}

// Options are what the endpoints are built from.
type Options struct {
	Business  Business
	Desks     Desks
	Auth      Authenticator
	Log       *slog.Logger
	Now       func() time.Time
	BodyLimit int64 // bytes of one request
}

// Register puts the endpoints on the mux.
func Register(mux *http.ServeMux, o Options) {
	g := &gptbots{Options: o, connections: newConnectionCache(o.Now)}
	mux.HandleFunc("POST "+ReceivePath, g.receive)
	mux.HandleFunc("POST "+ClosePath, g.receive)
	h := &hooks{Options: o}
	mux.HandleFunc("POST /hooks/{token}", h.receive)
	mux.HandleFunc("POST /hooks/{token}/{path...}", h.receive)
	// Desks look whether an address exists before they accept it, unsigned (Intercom
	// with HEAD, others with GET). GET patterns serve HEAD too.
	mux.HandleFunc("GET /hooks/{token}", h.exists)
	mux.HandleFunc("GET /hooks/{token}/{path...}", h.exists)
}

// errTooLarge is what read gives for a body beyond the limit.
var errTooLarge = errors.New("body too large")

// read takes the exact bytes of a body, at most limit.
func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidInput, err, "the request ended before its body did")
	}
	return body, nil
}
