package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"

	"handoff/graph/transport/internal/testschema"
)

func TestMessagesThatCloseTheSocket(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	const init = `{"type":"connection_init"}`
	for name, test := range map[string]struct {
		acknowledged bool
		send         []string
		code         int
		reason       string
	}{
		"not JSON":                    {true, []string{`{"type":`}, 4400, "Invalid message received"},
		"not an object":               {true, []string{`"ping"`}, 4400, "Invalid message received"},
		"a list":                      {true, []string{`[{"type":"ping"}]`}, 4400, "Invalid message received"},
		"null":                        {true, []string{`null`}, 4400, "Invalid message received"},
		"empty":                       {true, []string{``}, 4400, "Invalid message received"},
		"two documents":               {true, []string{`{"type":"ping"}{"type":"ping"}`}, 4400, "Invalid message received"},
		"no type":                     {true, []string{`{"id":"1"}`}, 4400, "Invalid message received"},
		"type in the wrong case":      {true, []string{`{"Type":"ping"}`}, 4400, "Invalid message received"},
		"type is a number":            {true, []string{`{"type":1}`}, 4400, "Invalid message received"},
		"unknown type":                {true, []string{`{"type":"start","id":"1","payload":{}}`}, 4400, "Invalid message received"},
		"a server's type":             {true, []string{`{"type":"next","id":"1","payload":{}}`}, 4400, "Invalid message received"},
		"payload is a list":           {true, []string{`{"type":"ping","payload":[]}`}, 4400, "Invalid message received"},
		"subscribe without id":        {true, []string{`{"type":"subscribe","payload":{"query":"{hello}"}}`}, 4400, "Invalid message received"},
		"subscribe with empty id":     {true, []string{`{"type":"subscribe","id":"","payload":{"query":"{hello}"}}`}, 4400, "Invalid message received"},
		"subscribe with numeric id":   {true, []string{`{"type":"subscribe","id":1,"payload":{"query":"{hello}"}}`}, 4400, "Invalid message received"},
		"subscribe without payload":   {true, []string{`{"type":"subscribe","id":"1"}`}, 4400, "Invalid message received"},
		"subscribe without query":     {true, []string{`{"type":"subscribe","id":"1","payload":{}}`}, 4400, "Invalid message received"},
		"subscribe, query a number":   {true, []string{`{"type":"subscribe","id":"1","payload":{"query":1}}`}, 4400, "Invalid message received"},
		"subscribe, variables a list": {true, []string{`{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":[]}}`}, 4400, "Invalid message received"},
		"complete without id":         {true, []string{`{"type":"complete"}`}, 4400, "Invalid message received"},
		"invalid before the init":     {false, []string{`{}`}, 4400, "Invalid message received"},
		"subscribe before the init":   {false, []string{`{"type":"subscribe","id":"1","payload":{"query":"{hello}"}}`}, 4401, "Unauthorized"},
		"second init":                 {true, []string{init}, 4429, "Too many initialisation requests"},
		"same id twice": {true, []string{
			`{"type":"subscribe","id":"7","payload":{"query":"subscription{ticks(topic:\"twice\"){n}}"}}`,
			`{"type":"subscribe","id":"7","payload":{"query":"subscription{ticks(topic:\"twice\"){n}}"}}`,
		}, 4409, "Subscriber for 7 already exists"},
		"same very long id twice": {true, []string{
			`{"type":"subscribe","id":"` + strings.Repeat("é", 200) + `","payload":{"query":"subscription{ticks(topic:\"twice\"){n}}"}}`,
			`{"type":"subscribe","id":"` + strings.Repeat("é", 200) + `","payload":{"query":"subscription{ticks(topic:\"twice\"){n}}"}}`,
		}, 4409, "Subscriber for " + strings.Repeat("é", 54)},
		"not UTF-8": {true, []string{"{\"type\":\"ping\",\"payload\":{\"a\":\"\xff\"}}"}, 1007, "Invalid UTF-8"},
		"too big":   {true, []string{`{"type":"ping","payload":{"a":"` + strings.Repeat("x", 64<<10) + `"}}`}, 1009, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.connect(t)
			if test.acknowledged {
				c.greet()
			}
			for _, text := range test.send {
				c.send(text)
			}
			// More of it on the way must not turn the close frame into a reset.
			for range 20 {
				_ = c.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`))
			}
			c.expectClose(test.code, test.reason)
		})
	}
}

// TestCloseOverConnectionsThatCannotBeHalfClosed: hanging up with messages unread
// would reset the connection.
func TestCloseOverConnectionsThatCannotBeHalfClosed(t *testing.T) {
	t.Parallel()
	h := NewHandler(testschema.New(newRoot()), quiet(Config{}))
	s := &service{Server: httptest.NewUnstartedServer(h), handler: h}
	s.Listener = plainListener{s.Listener}
	s.Start()
	t.Cleanup(s.Close)
	c := s.init(t)
	c.send(`{}`)
	for range 20 {
		c.send(`{"type":"ping"}`)
	}
	c.expectClose(4400, "Invalid message received")
	_, err := io.ReadAll(c.NetConn())
	require.NoError(t, err)
}

// plainListener accepts connections that have the methods of net.Conn only.
type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

func TestBinaryMessageClosesTheSocket(t *testing.T) {
	t.Parallel()
	c := startWS(t, WebsocketConfig{}).init(t)
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)))
	c.expectClose(4400, "Invalid message received")
}

func TestBrokenFramingClosesTheSocket(t *testing.T) {
	t.Parallel()
	c := startWS(t, WebsocketConfig{}).init(t)
	_, err := c.NetConn().Write([]byte{0x81, 0x02, 'h', 'i'}) // not masked
	require.NoError(t, err)
	c.expectClose(1002, "bad MASK")
}

func TestSubprotocol(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	for name, offered := range map[string][]string{"none": nil, "legacy": {"graphql-ws"}, "unknown": {"mqtt"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, err := dial(t, s.URL, websocket.Dialer{Subprotocols: offered}, nil)
			require.NoError(t, err)
			require.Empty(t, c.Subprotocol())
			c.expectClose(4406, "Subprotocol not acceptable")
		})
	}
	t.Run("among others", func(t *testing.T) {
		t.Parallel()
		c, _, err := dial(t, s.URL, websocket.Dialer{Subprotocols: []string{"graphql-ws", Subprotocol}}, nil)
		require.NoError(t, err)
		require.Equal(t, Subprotocol, c.Subprotocol())
		c.greet()
	})
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allowed []string
		origin  string
		refused bool
	}{
		"no origin":          {nil, "", false},
		"same host":          {nil, "same", false},
		"foreign":            {nil, "https://evil.example", true},
		"null":               {nil, "null", true},
		"listed":             {[]string{"https://console.example/"}, "https://Console.example", false},
		"other scheme":       {[]string{"https://console.example"}, "http://console.example", true},
		"prefix of listed":   {[]string{"https://console.example"}, "https://console.example.evil.example", true},
		"anything goes":      {[]string{"*"}, "https://evil.example", false},
		"suffix of the host": {nil, "suffix", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startWS(t, WebsocketConfig{AllowedOrigins: test.allowed})
			header := http.Header{}
			switch test.origin {
			case "same":
				test.origin = s.URL
			case "suffix":
				test.origin = strings.Replace(s.URL, "http://", "http://evil", 1)
			}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			c, response, err := dial(t, s.URL, websocket.Dialer{Subprotocols: []string{Subprotocol}}, header)
			if test.refused {
				require.ErrorIs(t, err, websocket.ErrBadHandshake)
				require.Equal(t, http.StatusForbidden, response.StatusCode)
				return
			}
			require.NoError(t, err)
			c.greet()
		})
	}
}

// TestOriginWithoutHost is HTTP/1.0, whose requests need not name a host.
func TestOriginWithoutHost(t *testing.T) {
	t.Parallel()
	r := &http.Request{Header: http.Header{"Origin": {"null"}}}
	require.False(t, originCheck(nil)(r))
}

func TestInit(t *testing.T) {
	t.Parallel()
	type userKey struct{}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		onInit func(context.Context, json.RawMessage, *http.Request) (context.Context, time.Time, error)
		code   int
		reason string
	}{
		"accepted": {func(ctx context.Context, p json.RawMessage, r *http.Request) (context.Context, time.Time, error) {
			if string(p) != `{"authorization":"Bearer x"}` || r.Header.Get("X-Test") != "yes" || r.URL.Path != "/graphql" {
				return nil, time.Time{}, fmt.Errorf("got %s", p)
			}
			return context.WithValue(ctx, userKey{}, "u"), now.Add(time.Hour), nil
		}, 0, ""},
		"refused": {func(context.Context, json.RawMessage, *http.Request) (context.Context, time.Time, error) {
			return nil, time.Time{}, errors.New("secret detail")
		}, 4403, "Forbidden"},
		"refused with a code": {func(context.Context, json.RawMessage, *http.Request) (context.Context, time.Time, error) {
			return nil, time.Time{}, fmt.Errorf("wrapped: %w", &CloseError{4401, "No such key"})
		}, 4401, "No such key"},
		"refused with a code that may not be sent": {func(context.Context, json.RawMessage, *http.Request) (context.Context, time.Time, error) {
			return nil, time.Time{}, &CloseError{1005, "x"}
		}, 1011, "Internal server error"},
		"expired already": {func(ctx context.Context, _ json.RawMessage, _ *http.Request) (context.Context, time.Time, error) {
			return ctx, now, nil
		}, 4403, "Token expired"},
		"panic": {func(context.Context, json.RawMessage, *http.Request) (context.Context, time.Time, error) {
			panic("hook")
		}, 1011, "Internal server error"},
		"foreign context": {func(context.Context, json.RawMessage, *http.Request) (context.Context, time.Time, error) {
			return context.Background(), time.Time{}, nil
		}, 1011, "Internal server error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startWS(t, WebsocketConfig{OnInit: test.onInit, Now: func() time.Time { return now }})
			c, _, err := dial(t, s.URL+"/graphql", websocket.Dialer{Subprotocols: []string{Subprotocol}}, http.Header{"X-Test": {"yes"}})
			require.NoError(t, err)
			c.send(`{"type":"connection_init","payload":{"authorization":"Bearer x"}}`)
			if test.code != 0 {
				c.expectClose(test.code, test.reason)
				return
			}
			c.expect(`{"type":"connection_ack"}`)
		})
	}
}

func TestRevokedContextClosesTheSocket(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cause  error
		code   int
		reason string
	}{
		"without a cause": {nil, 4403, "Forbidden"},
		"with a code":     {&CloseError{4401, "Key revoked"}, 4401, "Key revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			revoke := make(chan context.CancelCauseFunc, 1)
			s := startWS(t, WebsocketConfig{OnInit: func(ctx context.Context, _ json.RawMessage, _ *http.Request) (context.Context, time.Time, error) {
				ctx, cancel := context.WithCancelCause(ctx)
				revoke <- cancel
				return ctx, time.Time{}, nil
			}})
			c := s.init(t)
			for n := range 30 {
				c.ticks(fmt.Sprint(n), "revoked")
				awaitTopic(t, s.started, "revoked")
			}
			(<-revoke)(test.cause)
			c.expectClose(test.code, test.reason) // and no complete before it
		})
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	for name, test := range map[string]struct {
		payload string
		frames  []string
	}{
		"query": {`{"query":"query($n: String) { hello(name: $n) }","variables":{"n":"you"}}`, []string{
			`{"id":"1","type":"next","payload":{"data":{"hello":"hello you"}}}`, `{"id":"1","type":"complete"}`}},
		"one of several": {`{"query":"query A { hello } query B { b: hello }","operationName":"B","extensions":{"x":1}}`, []string{
			`{"id":"1","type":"next","payload":{"data":{"b":"hello"}}}`, `{"id":"1","type":"complete"}`}},
		"mutation": {`{"query":"mutation { publish(topic: \"nobody\", text: \"\") }","variables":null,"operationName":null}`, []string{
			`{"id":"1","type":"next","payload":{"data":{"publish":0}}}`, `{"id":"1","type":"complete"}`}},
		"resolver error": {`{"query":"{ fail }"}`, []string{
			`{"id":"1","type":"next","payload":{"errors":[{"message":"it failed","path":["fail"],"locations":[{"line":1,"column":3}]}],"data":{"fail":null}}}`,
			`{"id":"1","type":"complete"}`}},
		"resolver panic": {`{"query":"{ boom }"}`, []string{
			`{"id":"1","type":"next","payload":{"errors":[{"message":"INTERNAL: internal error","path":["boom"]}],"data":{"boom":null}}}`,
			`{"id":"1","type":"complete"}`}},
		"subscription refused": {`{"query":"subscription { refused { n } }"}`, []string{
			`{"id":"1","type":"next","payload":{"errors":[{"message":"no ticks for you","path":["refused"],"locations":[{"line":1,"column":16}]}],"data":null}}`,
			`{"id":"1","type":"complete"}`}},
		"subscription panic": {`{"query":"subscription { boom { n } }"}`, []string{
			`{"id":"1","type":"next","payload":{"errors":[{"message":"INTERNAL: internal error","path":["boom"]}],"data":null}}`,
			`{"id":"1","type":"complete"}`}},
		"syntax error": {`{"query":"{"}`, []string{
			`{"id":"1","type":"error","payload":[{"message":"Expected Name, found <EOF>","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`}},
		"empty query": {`{"query":""}`, []string{
			`{"id":"1","type":"error","payload":[{"message":"no operation provided","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`}},
		"validation error": {`{"query":"{ nothing }"}`, []string{
			`{"id":"1","type":"error","payload":[{"message":"Cannot query field \"nothing\" on type \"Query\".","locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`}},
		"unknown persisted query": {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, []string{
			`{"id":"1","type":"error","payload":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.init(t)
			// The second round shows that the connection lives and the id is free,
			// and that nothing follows the last frame.
			for range 2 {
				c.send(`{"id":"1","type":"subscribe","payload":` + test.payload + `}`)
				for _, frame := range test.frames {
					c.expect(frame)
				}
			}
		})
	}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	c := s.init(t)
	c.ticks("a", "sub")
	awaitTopic(t, s.started, "sub")
	require.Equal(t, 1, s.root.Publish("sub", "one"))
	c.expectTick("a", 1, "one")
	require.Equal(t, 1, s.root.Publish("sub", "not \xff UTF-8\n\"<&>\""))
	c.expectTick("a", 2, "not \uFFFD UTF-8\n\"<&>\"")
	require.Equal(t, 1, s.root.Finish("sub", nil))
	c.expect(`{"id":"a","type":"complete"}`)
}

func TestEventFieldPanicLeavesTheStreamAlive(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	c := s.init(t)
	c.subscribe("a", `subscription { ticks(topic: "panicky") { n boom } }`)
	awaitTopic(t, s.started, "panicky")
	for n := range 2 {
		require.Equal(t, 1, s.root.Publish("panicky", ""))
		c.expect(fmt.Sprintf(`{"id":"a","type":"next","payload":{"errors":[{"message":"INTERNAL: internal error","path":["boom"]}],"data":{"ticks":{"n":%d,"boom":null}}}}`, n+1))
	}
}

func TestSourceFailureIsAnErrorWithoutComplete(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	c := s.init(t)
	c.ticks("a", "failing")
	awaitTopic(t, s.started, "failing")
	s.root.Publish("failing", "one")
	c.expectTick("a", 1, "one")
	s.root.Finish("failing", errors.New("fell behind"))
	c.expect(`{"id":"a","type":"error","payload":[{"message":"fell behind","path":["ticks"]}]}`)
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`) // no complete in between
}

func TestAddSubscriptionErrorOutsideASubscription(t *testing.T) {
	t.Parallel()
	AddSubscriptionError(t.Context(), errors.New("nobody listens")) // must not panic
}

func TestClientCompletes(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	c := s.init(t)
	for range 3 { // the id is free each time
		c.ticks("a", "left")
		awaitTopic(t, s.started, "left")
		c.send(`{"id":"a","type":"complete"}`)
		awaitTopic(t, s.ended, "left") // the resolver's context ended
	}
	c.send(`{"id":"a","type":"complete"}`) // crossing completes are no error
	c.send(`{"type":"ping","payload":{"n":1}}`)
	c.expect(`{"type":"pong","payload":{"n":1}}`) // nothing was sent for the id
}

func TestClientCompletesARunningQuery(t *testing.T) {
	t.Parallel()
	c := startWS(t, WebsocketConfig{}).init(t)
	c.subscribe("a", `{ wait }`)
	c.send(`{"id":"a","type":"complete"}`)
	c.subscribe("a", `{ hello }`)
	c.expect(`{"id":"a","type":"next","payload":{"data":{"hello":"hello"}}}`)
	c.expect(`{"id":"a","type":"complete"}`)
}

func TestPingBeforeInit(t *testing.T) {
	t.Parallel()
	c := startWS(t, WebsocketConfig{}).connect(t)
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
	c.send(`{"type":"pong"}`)
	c.send(`{"type":"complete","id":"x"}`)
	c.greet()
}

func TestMaxSubscriptions(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{MaxSubscriptions: 2})
	c := s.init(t)
	c.ticks("1", "cap")
	c.ticks("2", "cap")
	c.ticks("3", "cap")
	c.expect(`{"id":"3","type":"error","payload":[{"message":"at most 2 operations may run on one connection","extensions":{"code":"LIMIT_REACHED"}}]}`)
	c.send(`{"id":"1","type":"complete"}`)
	c.ticks("3", "cap after")
	awaitTopic(t, s.started, "cap after")
}

func TestOperationsThatIgnoreCancellationCount(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	root := newRoot()
	root.Subscribed = func(context.Context, string) { <-release }
	h := NewHandler(testschema.New(root), quiet(Config{Websocket: WebsocketConfig{MaxSubscriptions: 2}}))
	s := serve(t, h)
	c := s.init(t)
	for i := range 4 {
		id := fmt.Sprint(i)
		c.ticks(id, "stubborn")
		c.send(`{"id":"` + id + `","type":"complete"}`)
	}
	c.ticks("5", "stubborn")
	require.Contains(t, c.receive(), `LIMIT_REACHED`)
	close(release)
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	closed := make(chan int, 1)
	s := startWS(t, WebsocketConfig{MaxConnections: 1, ConnectionClosed: func(code int) { closed <- code }})
	first := s.init(t)
	_, response, err := dial(t, s.URL, websocket.Dialer{Subprotocols: []string{Subprotocol}}, nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, "1", response.Header.Get("Retry-After"))
	require.NoError(t, first.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye")))
	first.expectClose(1000, "")
	require.Equal(t, 1000, <-closed)
	require.Eventually(t, func() bool { return s.handler.websocket.Len() == 0 }, patience, time.Millisecond)
	s.init(t)
}

func TestFailedHandshakesAreNotCounted(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{MaxConnections: 1})
	for range 3 {
		request, err := http.NewRequest(http.MethodGet, s.URL, nil)
		require.NoError(t, err)
		request.Header.Set("Connection", "Upgrade")
		request.Header.Set("Upgrade", "websocket")
		response, err := s.Client().Do(request) // no key, no version
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
	}
	s.init(t)
}

func TestMessageRate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// Burst: 3 + 2*1 messages, one of which is the init.
	cfg := WebsocketConfig{MessagesPerSecond: 3, MaxSubscriptions: 1, Now: func() time.Time { return now }}
	t.Run("messages", func(t *testing.T) {
		t.Parallel()
		c := startWS(t, cfg).init(t)
		for range 4 {
			c.send(`{"type":"ping"}`)
			c.expect(`{"type":"pong"}`)
		}
		c.send(`{"type":"ping"}`)
		c.expectClose(1008, "Too many messages")
	})
	t.Run("control frames", func(t *testing.T) {
		t.Parallel()
		c := startWS(t, cfg).init(t)
		for range 5 {
			require.NoError(t, c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)))
		}
		c.expectClose(1008, "Too many messages")
	})
}

func TestFragmentedMessage(t *testing.T) {
	t.Parallel()
	c := startWS(t, WebsocketConfig{}).init(t)
	w, err := c.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	// gorilla's client sends a frame whenever its 4 KiB buffer is full.
	_, err = fmt.Fprintf(w, `{"type":"ping","payload":{"a":"%s`, strings.Repeat("é", 5000))
	require.NoError(t, err)
	require.NoError(t, c.WriteControl(websocket.PingMessage, []byte("between"), time.Now().Add(patience)))
	_, err = w.Write([]byte(`"}}`))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	pong := make(chan string, 1)
	c.SetPongHandler(func(data string) error { pong <- data; return nil })
	c.expect(`{"type":"pong","payload":{"a":"` + strings.Repeat("é", 5000) + `"}}`)
	require.Equal(t, "between", <-pong)
}

func TestOversizeByFragments(t *testing.T) {
	t.Parallel()
	c := startWS(t, WebsocketConfig{ReadLimit: 10_000}).init(t)
	w, err := c.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	_, _ = fmt.Fprintf(w, `{"type":"ping","payload":{"a":"%s"}}`, strings.Repeat("x", 20_000))
	_ = w.Close()
	c.expectClose(1009, "")
}

// TestClientThatWillNotGo keeps pinging after our close frame, and never answers
// it. It gets its closeGrace and no more.
func TestClientThatWillNotGo(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{MessagesPerSecond: 1e6})
	c := s.init(t)
	c.SetCloseHandler(func(int, string) error { return nil })
	stopped := make(chan error, 1)
	go func() { stopped <- s.handler.Shutdown(context.Background()) }()
	c.expectClose(1012, "Service restart")
	pings := time.NewTicker(10 * time.Millisecond)
	defer pings.Stop()
	patient := time.After(patience)
	for {
		select {
		case err := <-stopped:
			require.NoError(t, err)
			return
		case <-pings.C:
			_ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
		case <-patient:
			require.FailNow(t, "the socket is still open")
		}
	}
}

func TestPeerCloseAndLoss(t *testing.T) {
	t.Parallel()
	closed := make(chan int, 1)
	s := startWS(t, WebsocketConfig{ConnectionClosed: func(code int) { closed <- code }})
	t.Run("close handshake", func(t *testing.T) {
		c := s.init(t)
		c.ticks("1", "going")
		awaitTopic(t, s.started, "going")
		require.NoError(t, c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4999, "")))
		c.expectClose(4999, "")
		require.Equal(t, 4999, <-closed)
		awaitTopic(t, s.ended, "going")
	})
	t.Run("without a word", func(t *testing.T) {
		c := s.init(t)
		c.ticks("1", "gone")
		awaitTopic(t, s.started, "gone")
		require.NoError(t, c.NetConn().Close())
		require.Equal(t, 1006, <-closed)
		awaitTopic(t, s.ended, "gone")
	})
}

func TestMetricsHooks(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf(format, args...))
	}
	s := startWS(t, WebsocketConfig{
		ConnectionOpened: func() { note("opened") },
		ConnectionClosed: func(code int) { note("closed %d", code) },
		OperationStarted: func(kind ast.Operation) { note("%s started", kind) },
		OperationEnded:   func(kind ast.Operation) { note("%s ended", kind) },
	})
	c := s.init(t)
	c.subscribe("1", `{ hello }`)
	c.receive()
	c.receive()
	c.subscribe("2", `{ nothing }`)
	c.receive()
	require.NoError(t, s.handler.Shutdown(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"opened", "query started", "query ended", "closed 1012"}, seen)
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	s := startWS(t, WebsocketConfig{})
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = s.init(t)
		clients[i].ticks("1", "down")
		awaitTopic(t, s.started, "down")
	}
	require.NoError(t, s.handler.Shutdown(t.Context()))
	require.Zero(t, s.root.Len("down"))
	for _, c := range clients {
		c.expectClose(1012, "Service restart") // never a complete before it
	}
	_, response, err := dial(t, s.URL, websocket.Dialer{Subprotocols: []string{Subprotocol}}, nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	root := newRoot()
	reached := make(chan struct{})
	root.Subscribed = func(context.Context, string) { close(reached); <-release }
	s := serve(t, NewHandler(testschema.New(root), quiet(Config{})))
	c := s.init(t)
	c.ticks("1", "stuck")
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.handler.Shutdown(ctx), context.Canceled)
	close(release) // the deferred Shutdown sees it end
}

// TestStalledReader fills the TCP buffers of a client that does not read. Its
// socket must be cut by the write deadline, and no other may notice.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	closed := make(chan int, 2)
	s := startWS(t, WebsocketConfig{
		WriteTimeout:     200 * time.Millisecond,
		ConnectionClosed: func(code int) { closed <- code },
	})
	stalled, healthy := s.init(t), s.init(t)
	stalled.ticks("1", "flood")
	awaitTopic(t, s.started, "flood")
	healthy.ticks("1", "calm")
	awaitTopic(t, s.started, "calm")

	flooding := make(chan struct{})
	go func() {
		defer close(flooding)
		text := strings.Repeat("x", 1<<20)
		for s.root.Publish("flood", text) > 0 {
		}
	}()
	for n := range 100 {
		s.root.Publish("calm", "still here")
		healthy.expectTick("1", n+1, "still here")
	}
	require.Equal(t, 1006, <-closed)
	awaitTopic(t, s.ended, "flood")
	<-flooding
	s.root.Publish("calm", "still here")
	healthy.expectTick("1", 101, "still here")
}

func TestGoroutinesPerSocket(t *testing.T) {
	s := startWS(t, WebsocketConfig{})
	const sockets = 50
	before := runtime.NumGoroutine()
	for range sockets {
		c := s.init(t)
		c.ticks("1", "idle")
		awaitTopic(t, s.started, "idle")
	}
	// One reads, one waits for events. The goroutines of the upgrades and of the
	// subscriptions' preparation may take a moment to end.
	for deadline := time.Now().Add(patience); runtime.NumGoroutine()-before > 2*sockets; runtime.Gosched() {
		require.True(t, time.Now().Before(deadline), "%d more goroutines than before", runtime.NumGoroutine()-before)
	}
}

// TestWriterBehindMiddleware upgrades through a writer that only offers Unwrap.
func TestWriterBehindMiddleware(t *testing.T) {
	t.Parallel()
	h := NewHandler(testschema.New(newRoot()), quiet(Config{}))
	s := serve(t, h, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrapped{w}, r) })
	})
	s.init(t)
}
