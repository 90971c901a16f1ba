package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/graph/transport/internal/testschema"
)

// post sends a query and gives status and body.
func (s *service) post(t *testing.T, query string) (int, string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query})
	require.NoError(t, err)
	response := s.do(t, http.MethodPost, "/", string(body), "Content-Type", "application/json")
	return response.status, response.body
}

// code gives the code of the first error.
func code(t *testing.T, body string) string {
	t.Helper()
	var response struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &response), body)
	require.NotEmpty(t, response.Errors, body)
	return response.Errors[0].Extensions.Code
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := start(t, Config{DepthLimit: 4, ComplexityLimit: 10, TokenLimit: 400, Introspection: true})
	for name, test := range map[string]struct{ query, code string }{
		"at the depth limit":     {`{ node { child { child { name } } } }`, ""},
		"over the depth limit":   {`{ node { child { child { child { name } } } } }`, "DEPTH_LIMIT_EXCEEDED"},
		"fragments count":        {`{ node { ...a } } fragment a on Node { child { ...b } } fragment b on Node { child { child { name } } }`, "DEPTH_LIMIT_EXCEEDED"},
		"fragments add no depth": {`{ ... on Query { ...a } } fragment a on Query { node { child { ... { child { ... on Node { name } } } } } }`, ""},
		"at the complexity":      {`{ a:hello b:hello c:hello d:hello e:hello f:hello g:hello h:hello i:hello j:hello }`, ""},
		"over the complexity":    {`{ a:hello b:hello c:hello d:hello e:hello f:hello g:hello h:hello i:hello j:hello k:hello }`, "COMPLEXITY_LIMIT_EXCEEDED"},
		"too many tokens":        {`{ ` + strings.Repeat("hello ", 400) + `}`, "GRAPHQL_PARSE_FAILED"},
		"defer":                  {`{ ... @defer { hello } }`, "GRAPHQL_VALIDATION_FAILED"},
		"defer on a spread":      {`{ ...a @defer } fragment a on Query { hello }`, "GRAPHQL_VALIDATION_FAILED"},
		"fragment cycle":         {`{ ...a } fragment a on Query { ...a }`, "GRAPHQL_VALIDATION_FAILED"},
		"introspection is free":  {`{ __schema { types { name kind description fields { name type { name kind ofType { name kind ofType { name } } } } } } }`, ""},
		"introspection of types": {`{ __type(name: "Node") { name fields { name args { name } type { name ofType { name } } } } }`, ""},
		"introspection and data": {`{ hello __type(name: "Node") { fields { type { ofType { ofType { name } } } } } }`, "DEPTH_LIMIT_EXCEEDED"},
		"introspection too deep": {`{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }`, "GRAPHQL_VALIDATION_FAILED"},
		"introspection repeated": {`{ ...s } fragment s on Query { ` + aliases(`__schema { types { name } }`, 37) + `}`, "COMPLEXITY_LIMIT_EXCEEDED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := s.post(t, test.query)
			require.Equal(t, http.StatusOK, status)
			if test.code == "" {
				require.NotContains(t, body, `"errors"`)
				return
			}
			require.Equal(t, test.code, code(t, body), body)
		})
	}
}

func aliases(selection string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d:%s ", i, selection)
	}
	return b.String()
}

// TestFragmentBombs sends documents whose fragments, written out, have more
// fields than there are atoms. What walks them naively never answers.
func TestFragmentBombs(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Introspection: true})
	bomb := func(root, on, body, leaf string) string {
		var b strings.Builder
		b.WriteString(root)
		const n = 120
		for i := range n {
			fmt.Fprintf(&b, " fragment f%d on %s { %s }", i, on, strings.ReplaceAll(body, "@", fmt.Sprintf("...f%d", i+1)))
		}
		fmt.Fprintf(&b, " fragment f%d on %s { %s }", n, on, leaf)
		return b.String()
	}
	for name, query := range map[string]string{
		"at the top":       bomb(`{ ...f0 }`, "Query", "@ @", "hello"),
		"at two places":    bomb(`{ ...f0 }`, "Query", "@ ... { @ }", "hello"),
		"nested":           bomb(`{ node { ...f0 } }`, "Node", "a: child { @ } b: child { @ }", "name"),
		"nested, merged":   bomb(`{ node { ...f0 } }`, "Node", "child { @ } child { @ }", "name"),
		"introspection":    bomb(`{ __schema { ...f0 } }`, "__Schema", "@ @", "description"),
		"nested types":     bomb(`{ __type(name: "Node") { ...f0 } }`, "__Type", "a: ofType { @ } b: ofType { @ }", "name"),
		"in subscriptions": bomb(`subscription { ticks(topic: "x") { ...f0 } }`, "Tick", "@ @", "n"),
		"same alias":       `{ ` + strings.Repeat("a:hello ", 400) + `}`,
		"conflicts":        `{ ` + strings.Repeat("a:hello a:fail ", 200) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				body, _ := json.Marshal(map[string]any{"query": query})
				s.do(t, http.MethodPost, "/", string(body), "Content-Type", "application/json")
			}()
			<-answered // the deadline of go test is the limit
		})
	}
}

func TestValidationErrorsAreBounded(t *testing.T) {
	t.Parallel()
	_, body := start(t, Config{}).post(t, `{ `+strings.Repeat("a:hello a:fail ", 200)+`}`)
	var response struct{ Errors []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(body), &response))
	require.Len(t, response.Errors, maxValidationErrors)
}

func TestIntrospectionQueryOfGraphiQL(t *testing.T) {
	t.Parallel()
	query, err := os.ReadFile("testdata/introspection.graphql")
	require.NoError(t, err)
	t.Run("on", func(t *testing.T) {
		t.Parallel()
		_, body := start(t, Config{Introspection: true}).post(t, string(query))
		require.NotContains(t, body, `"errors"`)
		require.Contains(t, body, `"subscriptionType":{"name":"Subscription"`)
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		s := start(t, Config{DepthLimit: 100, ComplexityLimit: 10_000})
		_, body := s.post(t, string(query))
		require.Contains(t, body, "introspection disabled")
		require.NotContains(t, body, "Subscription")
		_, body = s.post(t, `{ hell }`)
		require.NotContains(t, body, "hello", "suggestions tell the schema")
	})
}

func TestPersistedQueries(t *testing.T) {
	t.Parallel()
	s := start(t, Config{PersistedQueryBytes: 4096})
	ask := func(query, hash string) string {
		t.Helper()
		request := map[string]any{"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}}
		if query != "" {
			request["query"] = query
		}
		body, err := json.Marshal(request)
		require.NoError(t, err)
		return s.do(t, http.MethodPost, "/", string(body), "Content-Type", "application/json").body
	}
	hashOf := func(query string) string {
		sum := sha256.Sum256([]byte(query))
		return hex.EncodeToString(sum[:])
	}
	const query = `{ hello }`
	require.Equal(t, "PERSISTED_QUERY_NOT_FOUND", code(t, ask("", hashOf(query))))
	require.JSONEq(t, `{"data":{"hello":"hello"}}`, ask(query, hashOf(query)))
	require.JSONEq(t, `{"data":{"hello":"hello"}}`, ask("", hashOf(query)))
	require.Contains(t, ask(`{ fail }`, hashOf(query)), "does not match")
	for i := range 20 { // crowd it out
		other := fmt.Sprintf("{ hello } # %d %s", i, strings.Repeat("x", 500))
		require.JSONEq(t, `{"data":{"hello":"hello"}}`, ask(other, hashOf(other)))
	}
	require.Equal(t, "PERSISTED_QUERY_NOT_FOUND", code(t, ask("", hashOf(query))))
}

func TestPresenterAndMiddleware(t *testing.T) {
	t.Parallel()
	type key struct{}
	s := start(t, Config{
		ErrorPresenter: func(_ context.Context, err error) *gqlerror.Error {
			return &gqlerror.Error{Message: "presented", Extensions: map[string]any{"code": "X"}}
		},
		AroundOperations: []graphql.OperationMiddleware{
			func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
				return next(context.WithValue(ctx, key{}, "outer"))
			},
			func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
				if ctx.Value(key{}) != "outer" {
					return graphql.OneShot(graphql.ErrorResponse(ctx, "wrong order"))
				}
				if graphql.GetOperationContext(ctx).Operation.Name == "Refused" {
					return graphql.OneShot(graphql.ErrorResponse(ctx, "refused"))
				}
				return next(ctx)
			},
		},
		AroundResponses: []graphql.ResponseMiddleware{func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
			graphql.RegisterExtension(ctx, "seen", true)
			return next(ctx)
		}},
	})
	for query, want := range map[string]string{
		`{ hello }`:               `{"data":{"hello":"hello"},"extensions":{"seen":true}}`,
		`{ fail }`:                `{"errors":[{"message":"presented","extensions":{"code":"X"}}],"data":{"fail":null},"extensions":{"seen":true}}`,
		`{ boom }`:                `{"errors":[{"message":"presented","extensions":{"code":"X"}}],"data":{"boom":null},"extensions":{"seen":true}}`,
		`{ nothing }`:             `{"errors":[{"message":"presented","extensions":{"code":"X"}}]}`,
		`query Refused { hello }`: `{"errors":[{"message":"refused"}],"data":null}`,
	} {
		_, body := s.post(t, query)
		require.JSONEq(t, want, body, query)
	}
	c := s.init(t)
	c.subscribe("1", `subscription Refused { ticks(topic: "x") { n } }`)
	c.expect(`{"id":"1","type":"next","payload":{"errors":[{"message":"refused"}],"data":null}}`)
	c.expect(`{"id":"1","type":"complete"}`)
}

// TestPanicsOutsideResolvers has middleware panic, where gqlgen's generated code
// does not recover, on every transport.
func TestPanicsOutsideResolvers(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"operation middleware": {AroundOperations: []graphql.OperationMiddleware{
			func(context.Context, graphql.OperationHandler) graphql.ResponseHandler { panic("secret") }}},
		"response middleware": {AroundResponses: []graphql.ResponseMiddleware{
			func(context.Context, graphql.ResponseHandler) *graphql.Response { panic("secret") }}},
		"presenter too": {
			ErrorPresenter: func(context.Context, error) *gqlerror.Error { panic("secret") },
			AroundOperations: []graphql.OperationMiddleware{
				func(context.Context, graphql.OperationHandler) graphql.ResponseHandler { panic("secret") }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			s := start(t, cfg)
			status, body := s.post(t, `{ hello }`)
			require.Equal(t, http.StatusInternalServerError, status)
			require.Contains(t, body, "internal error")

			c := s.init(t)
			c.ticks("1", "x")
			require.Contains(t, c.receive(), "internal error")
			c.send(`{"type":"ping"}`)
			c.expect(`{"type":"pong"}`)

			events := s.stream(t, `subscription { ticks(topic: "x") { n } }`)
			require.Contains(t, events.next(), "internal error")

			require.NoError(t, s.handler.Shutdown(t.Context()))
			require.Contains(t, log.String(), "panic")
			require.NotContains(t, log.String(), "secret")
		})
	}
}

func TestShutdownTwice(t *testing.T) {
	t.Parallel()
	h := NewHandler(testschema.New(newRoot()), quiet(Config{}))
	require.NoError(t, h.Shutdown(t.Context()))
	require.NoError(t, h.Shutdown(t.Context()))
	sockets, streams := h.Connections()
	require.Zero(t, sockets+streams)
}
