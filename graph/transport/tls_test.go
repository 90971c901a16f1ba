package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"handoff/graph/transport/internal/testschema"
)

// startTLS serves over TLS, by HTTP/2 where the client can.
func startTLS(t *testing.T) *service {
	t.Helper()
	root := newRoot()
	started, ended := make(chan string, 1), make(chan string, 1)
	root.Subscribed = func(_ context.Context, topic string) { started <- topic }
	root.Unsubscribed = func(_ context.Context, topic string) { ended <- topic }
	h := NewHandler(testschema.New(root), quiet(Config{}))
	s := &service{Server: httptest.NewUnstartedServer(h), handler: h, root: root, started: started, ended: ended}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() {
		require.NoError(t, h.Shutdown(context.Background()))
		s.Close()
	})
	return s
}

func TestWebsocketOverTLS(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	tls := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	tls.NextProtos = []string{"http/1.1"}
	c, _, err := dial(t, s.URL, websocket.Dialer{Subprotocols: []string{Subprotocol}, TLSClientConfig: tls}, nil)
	require.NoError(t, err)
	c.greet()
	c.ticks("1", "x")
	awaitTopic(t, s.started, "x")
	s.root.Publish("x", "one")
	c.expectTick("1", 1, "one")
	c.send(`{}`)
	c.expectClose(4400, "Invalid message received")
}

func TestStreamOverHTTP2(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	e := s.stream(t, ticks)
	awaitTopic(t, s.started, "x")
	s.root.Publish("x", "one")
	require.JSONEq(t, `{"data":{"ticks":{"n":1,"text":"one"}}}`, e.next())
	e.close()
	awaitTopic(t, s.ended, "x")
	got := s.do(t, http.MethodPost, "/", `{"query":"{ hello }"}`, "Content-Type", "application/json")
	require.JSONEq(t, `{"data":{"hello":"hello"}}`, got.body)

	e = s.stream(t, ticks)
	awaitTopic(t, s.started, "x")
	require.NoError(t, s.handler.Shutdown(t.Context()))
	require.Equal(t, ": service restart", e.block())
	require.Empty(t, e.block())
}
