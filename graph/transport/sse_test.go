package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"

	"handoff/graph/transport/internal/testschema"
)

// events reads an event stream block by block.
type events struct {
	t      *testing.T
	header http.Header
	lines  *bufio.Reader
	close  func()
}

// stream opens an event stream and reads the comment it begins with.
func (s *service) stream(t *testing.T, query string) *events {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query})
	require.NoError(t, err)
	e := openEvents(t, s.Client(), s.URL, string(body))
	require.Equal(t, ":", e.block())
	return e
}

func openEvents(t *testing.T, c *http.Client, url, body string) *events {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := c.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	require.Equal(t, http.StatusOK, response.StatusCode)
	return &events{t, response.Header, bufio.NewReader(response.Body), cancel}
}

// block gives the lines up to the next empty one, "" at the end of the stream.
func (e *events) block() string {
	e.t.Helper()
	var block strings.Builder
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil {
			return ""
		}
		if line == "\n" {
			return strings.TrimSuffix(block.String(), "\n")
		}
		block.WriteString(line)
	}
}

// next gives the data of the next event, which must be a next.
func (e *events) next() string {
	e.t.Helper()
	data, ok := strings.CutPrefix(e.block(), "event: next\ndata: ")
	require.True(e.t, ok)
	require.True(e.t, utf8.ValidString(data))
	return data
}

const ticks = `subscription { ticks(topic: "x") { n text } }`

func TestStream(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	e := s.stream(t, ticks)
	require.Equal(t, "text/event-stream; charset=utf-8", e.header.Get("Content-Type"))
	require.Equal(t, "no-cache, no-store", e.header.Get("Cache-Control"))
	awaitTopic(t, s.started, "x")
	s.root.Publish("x", "one\nline\r\nand \xff another")
	require.JSONEq(t, `{"data":{"ticks":{"n":1,"text":"one\nline\r\nand `+"\uFFFD"+` another"}}}`, e.next())
	s.root.Finish("x", nil)
	require.Equal(t, "event: complete\ndata:", e.block())
	require.Empty(t, e.block())
}

func TestStreamOfOtherOperations(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for query, want := range map[string]string{
		`{ hello }`: `{"data":{"hello":"hello"}}`,
		`mutation { publish(topic: "nobody", text: "") }`: `{"data":{"publish":0}}`,
		`{ fail }`:                 `{"errors":[{"message":"it failed","path":["fail"],"locations":[{"line":1,"column":3}]}],"data":{"fail":null}}`,
		`subscription { refused }`: `{"errors":[{"message":"Field \"refused\" of type \"Tick\" must have a selection of subfields. Did you mean \"refused { ... }\"?"}]}`,
		`{ nothing }`:              `{"errors":[{"message":"Cannot query field \"nothing\" on type \"Query\".","locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`,
		`{`:                        `{"errors":[{"message":"Expected Name, found <EOF>","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
	} {
		e := s.stream(t, query)
		if strings.Contains(query, "refused") {
			require.Contains(t, e.next(), "must have a selection of subfields")
		} else {
			require.JSONEq(t, want, e.next(), query)
		}
		require.Equal(t, "event: complete\ndata:", e.block())
		require.Empty(t, e.block())
	}
}

func TestStreamThatFails(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	e := s.stream(t, ticks)
	awaitTopic(t, s.started, "x")
	s.root.Finish("x", errors.New("fell behind"))
	require.JSONEq(t, `{"errors":[{"message":"fell behind","path":["ticks"]}]}`, e.next())
	require.Equal(t, "event: complete\ndata:", e.block())
}

func TestStreamByGet(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	got := s.do(t, http.MethodGet, "/?query="+url.QueryEscape("{ hello }"), "", "Accept", "text/event-stream")
	require.Equal(t, ":\n\nevent: next\ndata: {\"data\":{\"hello\":\"hello\"}}\n\nevent: complete\ndata:\n\n", got.body)
}

func TestWhoWantsAStream(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"text/event-stream":                             true,
		"text/event-stream, */*":                        true,
		"text/event-stream, application/json;q=0.9":     true,
		"text/event-stream, multipart/mixed":            true,
		"application/json, text/event-stream":           false,
		"application/json;q=0.5, text/event-stream;q=0": false,
		"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed": false,
		"*/*":    false,
		"text/*": false,
		"":       false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Accept", accept)
		require.Equal(t, want, NewSSE(SSEConfig{}).Supports(r), accept)
	}
}

func TestRequestsThatAreNoStream(t *testing.T) {
	t.Parallel()
	s := start(t, Config{BodyLimit: 100})
	mutation := "/?query=" + url.QueryEscape(`mutation { publish(topic: "x", text: "") }`)
	for name, test := range map[string]struct {
		method, path, body, contentType string
		status                          int
	}{
		"mutation by GET": {http.MethodGet, mutation, "", "", 405},
		"PUT":             {http.MethodPut, "/", "{}", "application/json", 405}, // single connection mode
		"form":            {http.MethodPost, "/", "query=x", "application/x-www-form-urlencoded", 415},
		"not JSON":        {http.MethodPost, "/", "{", "application/json", 400},
		"no query":        {http.MethodPost, "/", "{}", "application/json", 400},
		"too large":       {http.MethodPost, "/", strings.Repeat(" ", 101), "application/json", 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.do(t, test.method, test.path, test.body, "Accept", "text/event-stream", "Content-Type", test.contentType)
			require.Equal(t, test.status, got.status, got.body)
			require.Equal(t, "application/json; charset=utf-8", got.header.Get("Content-Type"))
			require.NotEmpty(t, code(t, got.body))
		})
	}
}

func TestStreamEndsWithItsClient(t *testing.T) {
	t.Parallel()
	kinds := make(chan ast.Operation, 2)
	s := start(t, Config{SSE: SSEConfig{
		OperationStarted: func(kind ast.Operation) { kinds <- kind },
		OperationEnded:   func(kind ast.Operation) { kinds <- kind },
	}})
	e := s.stream(t, ticks)
	awaitTopic(t, s.started, "x")
	require.Equal(t, ast.Subscription, <-kinds)
	e.close()
	awaitTopic(t, s.ended, "x")
	require.Equal(t, ast.Subscription, <-kinds)
	require.Eventually(t, func() bool { return s.handler.sse.Len() == 0 }, patience, time.Millisecond)
}

func TestStreamOfASlowClient(t *testing.T) {
	t.Parallel()
	s := start(t, Config{SSE: SSEConfig{WriteTimeout: 200 * time.Millisecond}})
	s.stream(t, ticks) // and never reads again
	awaitTopic(t, s.started, "x")
	text := strings.Repeat("x", 1<<20)
	for s.root.Publish("x", text) > 0 {
	}
	awaitTopic(t, s.ended, "x")
}

func TestStreamsEndAtShutdown(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	e := s.stream(t, ticks)
	awaitTopic(t, s.started, "x")
	require.NoError(t, s.handler.Shutdown(t.Context()))
	require.Equal(t, ": service restart", e.block())
	require.Empty(t, e.block(), "no complete: the client shall come again")
	got := s.do(t, http.MethodGet, "/?query={hello}", "", "Accept", "text/event-stream")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
}

func TestMaxStreams(t *testing.T) {
	t.Parallel()
	s := start(t, Config{SSE: SSEConfig{MaxStreams: 1}})
	s.stream(t, ticks)
	got := s.do(t, http.MethodGet, "/?query={hello}", "", "Accept", "text/event-stream")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "OVERLOADED", code(t, got.body))
}

// TestStreamBoundByADeadline ends as middleware that knows when a token expires
// wants it: without complete.
func TestStreamBoundByADeadline(t *testing.T) {
	t.Parallel()
	expire := make(chan context.CancelFunc, 1)
	s := serve(t, NewHandler(testschema.New(newRoot()), quiet(Config{})), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			expire <- cancel
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	})
	e := s.stream(t, ticks)
	(<-expire)()
	require.Empty(t, e.block())
}

// TestNoCompleteAfterTheContextEnded covers the instant in which the operation has
// ended because its context did, and the stream has not noticed yet.
func TestNoCompleteAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan []byte)
	close(ended)
	for range 50 { // either is seen first
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		stream := &eventStream{w: w, control: http.NewResponseController(w), timeout: patience}
		NewSSE(SSEConfig{}).forward(ctx, stream, ended)
		require.Empty(t, w.Body.String())
	}
}

type deadlineRecorder struct{ *httptest.ResponseRecorder }

func (deadlineRecorder) SetWriteDeadline(time.Time) error { return nil }

func TestEventsAreOneLineOfData(t *testing.T) {
	t.Parallel()
	require.Equal(t, "event: next\ndata: {\"a\":  1, \"b\": \"\\n\"}\n\n", string(nextEvent([]byte("{\"a\":\n\r1,\n\"b\":\n\"\\n\"}"))))
}

func TestStreamNeedsDeadlines(t *testing.T) {
	t.Parallel()
	s := serve(t, NewHandler(testschema.New(newRoot()), quiet(Config{})), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	})
	got := s.do(t, http.MethodGet, "/?query={hello}", "", "Accept", "text/event-stream")
	require.Equal(t, http.StatusInternalServerError, got.status)
}

// TestKeepAliveAndServerTimeouts runs a stream longer than the server's own
// time-outs, in virtual time.
func TestKeepAliveAndServerTimeouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler(testschema.New(newRoot()), quiet(Config{}))
		l := newPipeListener()
		server := &http.Server{Handler: h, ReadTimeout: 7 * time.Second, WriteTimeout: 7 * time.Second}
		go server.Serve(l)
		httpClient := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return l.dial(ctx, network, addr)
		}}}
		begin := time.Now()
		e := openEvents(t, httpClient, "http://handoff.test/", `{"query":"subscription { ticks(topic: \"x\") { n } }"}`)
		require.Equal(t, ":", e.block())
		for n := range 5 {
			require.Equal(t, ":", e.block())
			require.Equal(t, time.Duration(n+1)*15*time.Second, time.Since(begin))
		}
		stopped := make(chan error, 1)
		go func() { stopped <- h.Shutdown(t.Context()) }()
		require.Equal(t, ": service restart", e.block())
		require.Empty(t, e.block())
		require.NoError(t, <-stopped)
		e.close()
		httpClient.CloseIdleConnections()
		require.NoError(t, server.Close())
	})
}
