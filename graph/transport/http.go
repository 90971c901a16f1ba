package transport

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
)

// DefaultBodyLimit is the most bytes a POST's body may have unless configured.
const DefaultBodyLimit = 1 << 20

// HTTP is the transport for queries and mutations by GET and POST, after the
// GraphQL over HTTP specification. gqlgen's own pair is not used: it reads
// bodies without a limit, repeats them in its errors, and misses a good part of
// the specification (405, 406, 415, the types of the parameters).
//
// It supports every request, so it must be the last transport of a server.
type HTTP struct {
	BodyLimit int64        // bytes of a POST's body; 0 = DefaultBodyLimit
	Logger    *slog.Logger // nil = slog.Default()
}

var _ graphql.Transport = HTTP{}

// Supports is true for every request; those that are not GraphQL get an answer
// that says why.
func (t HTTP) Supports(*http.Request) bool { return true }

// Do answers one request with one response.
//
//	status  when
//	200     the operation ran, whatever its errors; or it was refused and the
//	        client wants application/json
//	400     not a GraphQL request; or it was refused (syntax, validation,
//	        limits) and the client wants application/graphql-response+json
//	405     neither GET nor POST, or a mutation by GET
//	406     no acceptable media type, or a subscription (use SSE or websocket)
//	413     the body is over the limit
//	415     the body is not application/json
func (t HTTP) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	mediaType, ok := responseType(r)
	w.Header().Add("Vary", "Accept")
	defer func() {
		if value := recover(); value != nil {
			err := presentPanic(r.Context(), exec, t.logger(), value)
			(&httpError{status: http.StatusInternalServerError, err: err}).write(w, mediaType)
		}
	}()
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !ok {
		refuse(http.StatusNotAcceptable, fault.Unsupported, "the answer can be %s or %s", mediaJSON, mediaGraphQLResponse).
			write(w, mediaType)
		return
	}
	params, refused := readRequest(w, r, t.limit())
	if refused != nil {
		refused.write(w, mediaType)
		return
	}
	ctx := r.Context()
	oc, errs := exec.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		t.writeRefused(w, mediaType, dispatchError(ctx, exec, oc, errs))
		return
	}
	if refused := checkMethod(r, oc.Operation.Operation); refused != nil {
		refused.write(w, mediaType)
		return
	}
	if oc.Operation.Operation == ast.Subscription {
		refuse(http.StatusNotAcceptable, fault.Unsupported, "a subscription needs Accept: %s or a websocket", mediaEventStream).
			write(w, mediaType)
		return
	}
	responses, ctx := exec.DispatchOperation(ctx, oc)
	response := responses(ctx)
	if response == nil {
		// Only a cancelled request yields no response: nobody reads this.
		refuse(http.StatusServiceUnavailable, fault.Canceled, "the request was cancelled").write(w, mediaType)
		return
	}
	b := getBuffer()
	defer putBuffer(b)
	if err := writeResponse(b, response); err != nil {
		t.logger().ErrorContext(ctx, "response cannot be encoded", "error", err)
		refuse(http.StatusInternalServerError, fault.Internal, "internal error").write(w, mediaType)
		return
	}
	writeHTTP(w, http.StatusOK, mediaType, b.Bytes())
}

// writeRefused answers a request whose operation was never executed.
func (t HTTP) writeRefused(w http.ResponseWriter, mediaType string, errs gqlerror.List) {
	status := http.StatusOK
	if mediaType == mediaGraphQLResponse {
		status = http.StatusBadRequest
	}
	b := getBuffer()
	defer putBuffer(b)
	if err := writeRequestErrors(b, errs); err != nil {
		t.logger().Error("errors cannot be encoded", "error", err)
		refuse(http.StatusInternalServerError, fault.Internal, "internal error").write(w, mediaType)
		return
	}
	writeHTTP(w, status, mediaType, b.Bytes())
}

// dispatchError presents the errors of an operation that was refused.
func dispatchError(ctx context.Context, exec graphql.GraphExecutor, oc *graphql.OperationContext, errs gqlerror.List) gqlerror.List {
	if oc != nil {
		ctx = graphql.WithOperationContext(ctx, oc)
	}
	if response := exec.DispatchError(ctx, errs); response != nil && len(response.Errors) > 0 {
		return response.Errors
	}
	// A presenter may drop what it will not show; the refusal itself remains.
	return gqlerror.List{codedError(string(fault.Internal), "internal error")}
}

func (t HTTP) limit() int64 {
	if t.BodyLimit <= 0 {
		return DefaultBodyLimit
	}
	return t.BodyLimit
}

func (t HTTP) logger() *slog.Logger {
	if t.Logger == nil {
		return slog.Default()
	}
	return t.Logger
}
