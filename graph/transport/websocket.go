package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/ast"

	"handoff/internal/fault"
)

// Subprotocol is the only one spoken. The older graphql-ws (of the archived npm
// package subscriptions-transport-ws) is refused with 4406: it has no close
// codes that a client could act on.
const Subprotocol = "graphql-transport-ws"

// Buffer sizes of a socket. The read buffer lives as long as the socket and is
// small because an idle client sends a pong now and then; a larger message is
// read past it. Write buffers come from a pool and are held for one write.
const (
	readBufferSize  = 512
	writeBufferSize = 2 << 10
)

// closeGrace bounds how long a close may take: writing the close frame, and
// then waiting for the client to hang up.
const closeGrace = time.Second

// WebsocketConfig sets up a [Websocket]. The zero value of a field means the
// default given with it.
type WebsocketConfig struct {
	InitTimeout  time.Duration // 5 s: to send connection_init, else 4408
	PingInterval time.Duration // 25 s: between our pings; nothing read for two intervals closes the socket
	WriteTimeout time.Duration // 5 s: for any one write; a client that is slower is cut off

	ReadLimit         int64   // 64 KiB: bytes of one message, else 1009
	MaxConnections    int     // 10,000 sockets at a time; more are answered 503 before the upgrade
	MaxSubscriptions  int     // 32 operations at a time per socket; more get an error with code LIMIT_REACHED
	MessagesPerSecond float64 // 50 per socket, with a burst on top that lets a client resubscribe everything; else 1008

	// AllowedOrigins are the origins ("https://console.example.com") whose pages
	// may connect besides those of our own host; "*" allows all. Clients that
	// send no Origin (no browsers) always may.
	AllowedOrigins []string

	// OnInit decides about a connection_init. The payload is its JSON object, nil
	// if there was none; r is the request that was upgraded, whose headers and
	// address (not its body and context) may be read during the call only. The
	// returned context must derive from ctx; all operations of the socket run
	// under it. At expiresAt (zero: never) the socket is closed with 4403, upon
	// which clients connect again with fresh connectionParams; so it is when the
	// returned context is cancelled, with another code if the cause is a
	// *CloseError.
	//
	// An error refuses the client with 4403 "Forbidden", or with the code and
	// reason of a *CloseError. Mind how graphql-ws reacts: 4403 is tried again,
	// 4401 is fatal for it.
	OnInit func(ctx context.Context, payload json.RawMessage, r *http.Request) (_ context.Context, expiresAt time.Time, _ error)

	// Hooks for metrics; nil ones are skipped. They must return at once. The code
	// of a closed connection is 1006 if it ended without a close frame. An
	// operation counts from the moment it passed validation.
	ConnectionOpened func()
	ConnectionClosed func(code int)
	OperationStarted func(kind ast.Operation)
	OperationEnded   func(kind ast.Operation)

	Logger *slog.Logger     // slog.Default(); no payload is ever logged
	Now    func() time.Time // time.Now; measures token expiry and the message rate
}

func (c WebsocketConfig) withDefaults() WebsocketConfig {
	orDefault(&c.InitTimeout, 5*time.Second)
	orDefault(&c.PingInterval, 25*time.Second)
	orDefault(&c.WriteTimeout, 5*time.Second)
	orDefault(&c.ReadLimit, 64<<10)
	orDefault(&c.MaxConnections, 10_000)
	orDefault(&c.MaxSubscriptions, 32)
	orDefault(&c.MessagesPerSecond, 50)
	if c.OnInit == nil {
		c.OnInit = func(ctx context.Context, _ json.RawMessage, _ *http.Request) (context.Context, time.Time, error) {
			return ctx, time.Time{}, nil
		}
	}
	if c.ConnectionOpened == nil {
		c.ConnectionOpened = func() {}
	}
	if c.ConnectionClosed == nil {
		c.ConnectionClosed = func(int) {}
	}
	if c.OperationStarted == nil {
		c.OperationStarted = func(ast.Operation) {}
	}
	if c.OperationEnded == nil {
		c.OperationEnded = func(ast.Operation) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Websocket is the graphql-transport-ws transport. It is a [graphql.Transport]
// and safe for concurrent use. Make it with [NewWebsocket].
type Websocket struct {
	cfg      WebsocketConfig
	burst    int
	upgrader websocket.Upgrader
	pool     sync.Pool

	// ctx lives as long as the transport, unlike a request's context, which
	// net/http cancels when the handler returns: right after the upgrade.
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	sockets   map[*socket]struct{}
	upgrading int // handshakes under way; they count towards MaxConnections
	stopping  bool

	// running counts every goroutine of every socket. It is added to only for a
	// handshake or a socket that is counted already, never once Shutdown waits
	// for it to fall to zero.
	running sync.WaitGroup
}

var _ graphql.Transport = (*Websocket)(nil)

// NewWebsocket makes the transport. Call Shutdown to end it.
func NewWebsocket(cfg WebsocketConfig) *Websocket {
	cfg = cfg.withDefaults()
	t := &Websocket{
		cfg:     cfg,
		burst:   int(cfg.MessagesPerSecond) + 2*cfg.MaxSubscriptions,
		sockets: map[*socket]struct{}{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.upgrader = websocket.Upgrader{
		HandshakeTimeout: cfg.WriteTimeout,
		ReadBufferSize:   readBufferSize,
		WriteBufferSize:  writeBufferSize,
		WriteBufferPool:  &t.pool,
		Subprotocols:     []string{Subprotocol},
		CheckOrigin:      originCheck(cfg.AllowedOrigins),
		Error:            refuseUpgrade,
		// No compression: it halves the throughput, costs 5 kB a socket, and
		// gorilla's read limit counts compressed bytes, so that a few kilobytes
		// could unpack to any size.
		EnableCompression: false,
	}
	return t
}

// Supports reports whether the request asks for a websocket.
func (t *Websocket) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do upgrades the request and returns at once; the socket lives on in a
// goroutine of its own, so that the memory of the HTTP request is freed.
func (t *Websocket) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !t.admit() {
		w.Header().Set("Retry-After", "1")
		writeHTTPError(w, http.StatusServiceUnavailable,
			codedError(string(fault.Overloaded), "no more connections are accepted now"))
		return
	}
	conn, err := t.upgrader.Upgrade(hijackable{w}, r, nil)
	if err != nil {
		t.cfg.Logger.DebugContext(r.Context(), "websocket upgrade refused", "error", err)
		t.dismiss()
		return
	}
	s := newSocket(t, exec, conn, r)
	stopping := t.add(s)
	t.cfg.ConnectionOpened()
	go s.serve()
	if stopping {
		s.close(CloseServiceRestart, reasonRestart)
	}
}

// Len is the number of sockets that are open.
func (t *Websocket) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sockets)
}

// Shutdown stops accepting sockets (503), closes all that are open with 1012,
// which makes clients reconnect, and only then cancels their operations; then
// it waits for all goroutines. When ctx ends first it cuts what is left off and
// returns the context's error.
func (t *Websocket) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	t.stopping = true
	open := make([]*socket, 0, len(t.sockets))
	for s := range t.sockets {
		open = append(open, s)
	}
	t.mu.Unlock()

	// One goroutine each: a client that does not read holds up its own close
	// for closeGrace, and must not hold up another's.
	for _, s := range open {
		go t.during(s, func() { s.close(CloseServiceRestart, reasonRestart) })
	}
	done := make(chan struct{})
	go func() {
		t.running.Wait()
		close(done)
	}()
	defer t.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		for _, s := range open {
			s.abort(CloseServiceRestart)
		}
		return ctx.Err()
	}
}

// admit counts a handshake, unless we are stopping or full.
func (t *Websocket) admit() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping || len(t.sockets)+t.upgrading >= t.cfg.MaxConnections {
		return false
	}
	t.upgrading++
	t.running.Add(1)
	return true
}

// dismiss ends a handshake that failed.
func (t *Websocket) dismiss() {
	t.mu.Lock()
	t.upgrading--
	t.mu.Unlock()
	t.running.Done()
}

// add turns a handshake into a socket and reports whether Shutdown was called
// in between and so did not see the socket.
func (t *Websocket) add(s *socket) (stopping bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.upgrading--
	t.sockets[s] = struct{}{}
	return t.stopping
}

// remove ends a socket.
func (t *Websocket) remove(s *socket) {
	t.mu.Lock()
	delete(t.sockets, s)
	t.mu.Unlock()
	t.running.Done()
}

// during runs f, from a goroutine that is not counted, and has Shutdown wait for
// it; it does nothing if the socket has ended.
func (t *Websocket) during(s *socket, f func()) {
	t.mu.Lock()
	_, open := t.sockets[s]
	if open {
		t.running.Add(1)
	}
	t.mu.Unlock()
	if open {
		defer t.running.Done()
		f()
	}
}

// refuseUpgrade answers a handshake that is not acceptable.
func refuseUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Sec-WebSocket-Version", "13")
	switch {
	case status == http.StatusForbidden:
		writeHTTPError(w, status, codedError(string(fault.Forbidden), "this origin may not connect"))
	case status >= http.StatusInternalServerError:
		writeHTTPError(w, status, codedError(string(fault.Internal), "internal error"))
	default:
		writeHTTPError(w, status, codedError(string(fault.InvalidInput), reason.Error()))
	}
}

// hijackable finds the http.Hijacker behind middleware that wraps the writer
// and offers Unwrap, as http.ResponseController does; gorilla looks at the
// outermost writer only.
type hijackable struct{ http.ResponseWriter }

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}
