package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"handoff/graph/transport/internal/testschema"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(idleRole); role != "" {
		playIdleRole(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen; it is never waited
// out by a test that passes.
const patience = 10 * time.Second

// service is a handler behind a real server, with the root of its resolvers.
type service struct {
	*httptest.Server
	handler *Handler
	root    *testschema.Root

	started, ended chan string // topics of subscriptions
}

func newRoot() *testschema.Root { return &testschema.Root{Fail: AddSubscriptionError} }

func quiet(cfg Config) Config {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

func start(t *testing.T, cfg Config) *service {
	t.Helper()
	root := newRoot()
	started, ended := make(chan string, 4096), make(chan string, 4096)
	root.Subscribed = func(_ context.Context, topic string) { started <- topic }
	root.Unsubscribed = func(_ context.Context, topic string) { ended <- topic }
	s := serve(t, NewHandler(testschema.New(root), quiet(cfg)))
	s.root, s.started, s.ended = root, started, ended
	return s
}

// serve runs a handler behind a real server until the test ends.
func serve(t *testing.T, h *Handler, middleware ...func(http.Handler) http.Handler) *service {
	t.Helper()
	var outer http.Handler = h
	for _, wrap := range middleware {
		outer = wrap(outer)
	}
	s := &service{Server: httptest.NewServer(outer), handler: h}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, h.Shutdown(ctx))
		s.Server.Close()
	})
	return s
}

// wrapped is a writer as middleware makes them, with nothing but Unwrap.
type wrapped struct{ w http.ResponseWriter }

func (w wrapped) Header() http.Header         { return w.w.Header() }
func (w wrapped) Write(p []byte) (int, error) { return w.w.Write(p) }
func (w wrapped) WriteHeader(status int)      { w.w.WriteHeader(status) }
func (w wrapped) Unwrap() http.ResponseWriter { return w.w }

func startWS(t *testing.T, cfg WebsocketConfig) *service {
	t.Helper()
	return start(t, Config{Websocket: cfg})
}

// client is a websocket client that speaks the protocol literally.
type client struct {
	*websocket.Conn
	t *testing.T
}

func dial(t *testing.T, url string, dialer websocket.Dialer, header http.Header) (*client, *http.Response, error) {
	t.Helper()
	conn, response, err := dialer.Dial("ws"+strings.TrimPrefix(url, "http"), header)
	if err != nil {
		return nil, response, err
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, t}, response, nil
}

// connect opens a socket and leaves it before connection_init.
func (s *service) connect(t *testing.T) *client {
	t.Helper()
	c, _, err := dial(t, s.URL, websocket.Dialer{Subprotocols: []string{Subprotocol}}, nil)
	require.NoError(t, err)
	return c
}

// init opens a socket and has it acknowledged.
func (s *service) init(t *testing.T) *client {
	t.Helper()
	c := s.connect(t)
	c.greet()
	return c
}

func (c *client) greet() {
	c.t.Helper()
	c.send(`{"type":"connection_init"}`)
	c.expect(`{"type":"connection_ack"}`)
}

func (c *client) send(text string) {
	c.t.Helper()
	require.NoError(c.t, c.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (c *client) subscribe(id, query string) {
	c.t.Helper()
	quoted, err := json.Marshal(query)
	require.NoError(c.t, err)
	c.send(fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%s}}`, id, quoted))
}

func (c *client) ticks(id, topic string) {
	c.t.Helper()
	c.subscribe(id, fmt.Sprintf(`subscription { ticks(topic: %q) { n text } }`, topic))
}

func (c *client) receive() string {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(patience)))
	_, data, err := c.ReadMessage()
	require.NoError(c.t, err)
	require.True(c.t, utf8.Valid(data), "a text frame must be UTF-8")
	return string(data)
}

func (c *client) expect(frame string) {
	c.t.Helper()
	require.JSONEq(c.t, frame, c.receive())
}

// expectTick reads a next of the ticks subscription.
func (c *client) expectTick(id string, n int, text string) {
	c.t.Helper()
	c.expect(fmt.Sprintf(`{"id":%q,"type":"next","payload":{"data":{"ticks":{"n":%d,"text":%q}}}}`, id, n, text))
}

// expectClose reads on, skipping nothing, and wants the close frame next.
func (c *client) expectClose(code int, reason string) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(patience)))
	_, data, err := c.ReadMessage()
	require.Error(c.t, err, "got %s", data)
	var closed *websocket.CloseError
	require.ErrorAs(c.t, err, &closed)
	require.Equal(c.t, code, closed.Code, "%s", closed.Text)
	require.Equal(c.t, reason, closed.Text)
}

// awaitTopic waits until a subscription of the topic has started or ended.
func awaitTopic(t *testing.T, events <-chan string, topic string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-events:
			if got == topic {
				return
			}
		case <-deadline:
			require.FailNow(t, "no such subscription event", topic)
		}
	}
}

// pipeListener hands out in-memory connections, for tests in virtual time. A
// write on such a connection waits until the other side reads it.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	l.conns <- far
	return near, nil
}

// virtual serves a handler inside a synctest bubble and gives a function that
// opens sockets to it. Run the returned stop before the bubble ends.
func virtual(t *testing.T, h http.Handler) (open func() *client, stop func()) {
	l := newPipeListener()
	server := &http.Server{Handler: h}
	go server.Serve(l)
	open = func() *client {
		t.Helper()
		c, _, err := dial(t, "http://handoff.test/", websocket.Dialer{
			NetDialContext: l.dial, Subprotocols: []string{Subprotocol},
		}, nil)
		require.NoError(t, err)
		return c
	}
	return open, func() { require.NoError(t, server.Close()) }
}
