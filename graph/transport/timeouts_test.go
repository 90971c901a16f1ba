package transport

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"handoff/graph/transport/internal/testschema"
)

// inVirtualTime runs a test in a synctest bubble: connections are pipes in
// memory, and time passes only while everybody waits.
func inVirtualTime(t *testing.T, cfg WebsocketConfig, test func(open func() *client, root *testschema.Root, since func() time.Duration)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := newRoot()
		h := NewHandler(testschema.New(root), quiet(Config{Websocket: cfg}))
		open, stop := virtual(t, h)
		start := time.Now()
		test(open, root, func() time.Duration { return time.Since(start) })
		require.NoError(t, h.Shutdown(t.Context()))
		stop()
	})
}

// closesAt reads until the close frame, answering pings or not, and wants it at
// the given time.
func closesAt(c *client, since func() time.Duration, at time.Duration, code int, reason string) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Time{}))
	for {
		_, data, err := c.ReadMessage()
		if err == nil {
			require.JSONEq(c.t, `{"type":"ping"}`, string(data))
			continue
		}
		require.Equal(c.t, at, since())
		require.EqualError(c.t, err, closeText(code, reason))
		return
	}
}

func closeText(code int, reason string) string {
	return (&websocket.CloseError{Code: code, Text: reason}).Error()
}

func TestInitTimeout(t *testing.T) {
	inVirtualTime(t, WebsocketConfig{}, func(open func() *client, _ *testschema.Root, since func() time.Duration) {
		closesAt(open(), since, 5*time.Second, 4408, "Connection initialisation timeout")
	})
}

func TestInitTimeoutIsNotExtendedByPings(t *testing.T) {
	inVirtualTime(t, WebsocketConfig{InitTimeout: 7 * time.Second}, func(open func() *client, _ *testschema.Root, since func() time.Duration) {
		c := open()
		for range 2 {
			time.Sleep(3 * time.Second)
			c.send(`{"type":"ping"}`)
			c.expect(`{"type":"pong"}`)
		}
		closesAt(c, since, 7*time.Second, 4408, "Connection initialisation timeout")
	})
}

func TestPingsAndSilence(t *testing.T) {
	inVirtualTime(t, WebsocketConfig{}, func(open func() *client, _ *testschema.Root, since func() time.Duration) {
		c := open()
		c.greet()
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		for n := range 10 {
			_, data, err := c.ReadMessage()
			require.NoError(t, err)
			require.JSONEq(t, `{"type":"ping"}`, string(data))
			require.Equal(t, time.Duration(n+1)*25*time.Second, since())
			c.send(`{"type":"pong"}`)
		}
		// It answers no more.
		closesAt(c, since, 300*time.Second, 1001, "No message received")
	})
}

func TestTokenExpiry(t *testing.T) {
	for name, life := range map[string]time.Duration{
		"before the first ping": 10 * time.Second,
		"between pings":         60 * time.Second,
		"at a ping":             75 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := WebsocketConfig{OnInit: func(ctx context.Context, _ json.RawMessage, _ *http.Request) (context.Context, time.Time, error) {
				return ctx, time.Now().Add(life), nil
			}}
			inVirtualTime(t, cfg, func(open func() *client, root *testschema.Root, since func() time.Duration) {
				c := open()
				c.greet()
				c.ticks("1", "expiring")
				for {
					require.NoError(t, c.SetReadDeadline(time.Time{}))
					_, data, err := c.ReadMessage()
					if err != nil {
						require.EqualError(t, err, closeText(4403, "Token expired"))
						break
					}
					require.JSONEq(t, `{"type":"ping"}`, string(data)) // no complete
					c.send(`{"type":"pong"}`)
				}
				require.Equal(t, life, since())
			})
		})
	}
}

func TestWriteTimeout(t *testing.T) {
	inVirtualTime(t, WebsocketConfig{}, func(open func() *client, root *testschema.Root, since func() time.Duration) {
		ended := make(chan time.Duration, 1)
		root.Unsubscribed = func(context.Context, string) { ended <- since() }
		c := open()
		c.greet()
		c.ticks("1", "slow")
		synctest.Wait()
		require.Equal(t, 1, root.Publish("slow", "nobody reads this"))
		require.Equal(t, 5*time.Second, <-ended)
	})
}

// TestShutdownOfAStalledClient closes a client that does not read while a write
// to it is under way: Shutdown takes no longer than the grace of the close.
func TestShutdownOfAStalledClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := newRoot()
		h := NewHandler(testschema.New(root), quiet(Config{}))
		open, stop := virtual(t, h)
		c := open()
		c.greet()
		c.ticks("1", "slow")
		synctest.Wait()
		require.Equal(t, 1, root.Publish("slow", "nobody reads this"))
		synctest.Wait()
		start := time.Now()
		require.NoError(t, h.Shutdown(t.Context()))
		require.LessOrEqual(t, time.Since(start), 2*closeGrace)
		stop()
	})
}
