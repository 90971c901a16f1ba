package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
)

// httpError is an answer below GraphQL: the request never became an operation.
type httpError struct {
	status int
	allow  string // of a 405
	err    *gqlerror.Error
}

func refuse(status int, kind fault.Kind, format string, args ...any) *httpError {
	return &httpError{status: status, err: codedError(string(kind), fmt.Sprintf(format, args...))}
}

// readRequest reads the parameters of a GraphQL request from a GET's query or a
// POST's body, of at most limit bytes.
func readRequest(w http.ResponseWriter, r *http.Request, limit int64) (*graphql.RawParams, *httpError) {
	var (
		params *graphql.RawParams
		err    error
		start  = graphql.Now()
	)
	switch r.Method {
	case http.MethodGet:
		params, err = queryParams(r.URL)
	case http.MethodPost:
		if !isJSON(r) {
			return nil, refuse(http.StatusUnsupportedMediaType, fault.Unsupported,
				"a POST needs Content-Type: %s", mediaJSON)
		}
		var body []byte
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, refuse(http.StatusRequestEntityTooLarge, fault.LimitReached,
				"the body is over the limit of %d bytes", limit)
		}
		if err != nil {
			return nil, refuse(http.StatusBadRequest, fault.InvalidInput, "the body could not be read")
		}
		params, err = decodeParams(body)
	default:
		refused := refuse(http.StatusMethodNotAllowed, fault.Unsupported, "use GET or POST")
		refused.allow = "GET, POST"
		return nil, refused
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, fault.InvalidInput, "%s", err)
	}
	params.Headers = r.Header
	params.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}
	return params, nil
}

// queryParams reads the parameters from a URL: variables and extensions are JSON.
func queryParams(u *url.URL) (*graphql.RawParams, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the query of the URL is malformed")
	}
	params := &graphql.RawParams{Query: values.Get("query"), OperationName: values.Get("operationName")}
	if params.Variables, err = decodeMap("variables", json.RawMessage(values.Get("variables"))); err != nil {
		return nil, err
	}
	if params.Extensions, err = decodeMap("extensions", json.RawMessage(values.Get("extensions"))); err != nil {
		return nil, err
	}
	if !values.Has("query") && params.Extensions["persistedQuery"] == nil {
		return nil, errors.New("query is missing")
	}
	return params, nil
}

// checkMethod keeps a GET, which any page may cause, from having effects.
func checkMethod(r *http.Request, kind ast.Operation) *httpError {
	if kind == ast.Mutation && r.Method != http.MethodPost {
		refused := refuse(http.StatusMethodNotAllowed, fault.Unsupported, "a mutation needs POST")
		refused.allow = "POST"
		return refused
	}
	return nil
}

func (e *httpError) write(w http.ResponseWriter, mediaType string) {
	if e.allow != "" {
		w.Header().Set("Allow", e.allow)
	}
	b := getBuffer()
	defer putBuffer(b)
	_ = writeRequestErrors(b, gqlerror.List{e.err}) // a text and a code always encode
	writeHTTP(w, e.status, mediaType, b.Bytes())
}

// writeHTTPError answers with one error as plain JSON.
func writeHTTPError(w http.ResponseWriter, status int, err *gqlerror.Error) {
	(&httpError{status: status, err: err}).write(w, mediaJSON)
}

func writeHTTP(w http.ResponseWriter, status int, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType+"; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails; nobody is left to tell
}
