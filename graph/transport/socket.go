package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"golang.org/x/time/rate"

	"handoff/internal/fault"
)

// Reasons of our close frames, in the words of the protocol's reference
// implementation where it has some.
const (
	reasonSubprotocol  = "Subprotocol not acceptable"
	reasonInitTimeout  = "Connection initialisation timeout"
	reasonUnauthorized = "Unauthorized"
	reasonForbidden    = "Forbidden"
	reasonTooManyInits = "Too many initialisation requests"
	reasonBadMessage   = "Invalid message received"
	reasonExpired      = "Token expired"
	reasonRestart      = "Service restart"
	reasonSilent       = "No message received"
	reasonTooFast      = "Too many messages"
	reasonInvalidUTF8  = "Invalid UTF-8"
	reasonInternal     = "Internal server error"
)

// socket is one open connection.
//
// One goroutine reads. Whoever has something to send writes itself, holding mu,
// with a write deadline: a client that stops reading blocks only its own
// goroutines, and those no longer than the deadline, because a failed write
// cuts the connection.
type socket struct {
	t    *Websocket
	conn *websocket.Conn
	exec graphql.GraphExecutor

	// ctx ends with the socket, always after a close frame was sent or found
	// unsendable. Operations run under opCtx, which OnInit derives from it.
	ctx    context.Context
	cancel context.CancelFunc
	opCtx  context.Context

	request   *http.Request // until OnInit was called
	limiter   *rate.Limiter
	timer     *time.Timer  // runs tick
	expiresAt atomic.Int64 // Unix nanoseconds; 0 = never

	closing atomic.Bool  // whoever sets it ends the socket
	code    atomic.Int32 // for metrics

	mu      sync.Mutex
	ops     map[string]*operation // what the client considers running, by id
	running int                   // operations whose goroutine has not ended
}

type socketKey struct{}

func newSocket(t *Websocket, exec graphql.GraphExecutor, conn *websocket.Conn, r *http.Request) *socket {
	s := &socket{
		t:       t,
		conn:    conn,
		exec:    exec,
		request: r,
		limiter: rate.NewLimiter(rate.Limit(t.cfg.MessagesPerSecond), t.burst),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithValue(t.ctx, socketKey{}, s))
	conn.SetReadLimit(t.cfg.ReadLimit)
	conn.SetPingHandler(s.onControlPing)
	conn.SetPongHandler(s.onControlPong)
	// Started in two steps so that tick never sees a nil timer.
	s.timer = time.AfterFunc(time.Hour, s.tick)
	s.timer.Reset(t.cfg.PingInterval)
	return s
}

// serve takes the socket through its initialisation. Reading on is left to a
// fresh goroutine: OnInit may have needed a deep stack (it asks a database), and
// a goroutine's stack shrinks late, at some later garbage collection.
func (s *socket) serve() {
	if s.conn.Subprotocol() != Subprotocol {
		s.close(CloseSubprotocol, reasonSubprotocol)
		s.end(errClosing)
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(s.t.cfg.InitTimeout))
	for s.opCtx == nil {
		if err := s.readOne(s.greet); err != nil {
			s.end(err)
			return
		}
	}
	go s.readLoop()
}

// readLoop handles messages until the socket ends.
func (s *socket) readLoop() {
	for {
		s.extendReadDeadline()
		if err := s.readOne(s.handle); err != nil {
			s.end(err)
			return
		}
	}
}

// readOne waits for one message and handles it. The error is a *CloseError when
// the client broke a rule, errClosing when the socket is being closed, and else
// what the connection failed with.
//
// The goroutine spends its life in NextReader. What lies below it on the stack
// is kept small, and parsing out of it, because it decides whether the stack
// takes 4 or 8 kB.
func (s *socket) readOne(handle func(message) error) error {
	kind, r, err := s.conn.NextReader()
	if err != nil {
		return err
	}
	return s.receive(kind, r, handle)
}

// receive reads, checks and handles the message that has begun to arrive.
func (s *socket) receive(kind int, r io.Reader, handle func(message) error) error {
	b := getBuffer()
	defer putBuffer(b)
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	switch {
	case s.closing.Load():
		return errClosing
	case !s.limiter.AllowN(s.t.cfg.Now(), 1):
		return &CloseError{ClosePolicyViolation, reasonTooFast}
	case kind != websocket.TextMessage:
		return &CloseError{CloseBadRequest, reasonBadMessage}
	case !utf8.Valid(b.Bytes()):
		return &CloseError{CloseInvalidUTF8, reasonInvalidUTF8}
	}
	if string(b.Bytes()) == plainPong {
		return handle(message{kind: msgPong})
	}
	m, err := parseMessage(b.Bytes())
	if err != nil {
		s.t.cfg.Logger.Debug("invalid websocket message", "reason", err)
		return &CloseError{CloseBadRequest, reasonBadMessage}
	}
	return handle(m)
}

// plainPong is how clients answer our pings. It is all that most sockets ever
// send, and spared the parser, whose deep stack would stay with the idle socket
// until the next garbage collection.
const plainPong = `{"type":"pong"}`

var errClosing = errors.New("the socket is being closed")

// greet handles a message before the acknowledgement.
func (s *socket) greet(m message) error {
	switch m.kind {
	case msgConnectionInit:
		return s.init(m.payload)
	case msgSubscribe:
		return &CloseError{CloseUnauthorized, reasonUnauthorized}
	default:
		return s.handle(m)
	}
}

// init asks OnInit and acknowledges.
func (s *socket) init(payload json.RawMessage) error {
	ctx, expiresAt, err := s.askOnInit(payload)
	if err != nil {
		if closeErr := (*CloseError)(nil); errors.As(err, &closeErr) {
			return closeErr
		}
		return &CloseError{CloseForbidden, reasonForbidden}
	}
	if ctx == nil || ctx.Value(socketKey{}) != s {
		s.t.cfg.Logger.Error("OnInit returned a context that does not derive from the one it was given")
		return &CloseError{CloseInternalError, reasonInternal}
	}
	if !expiresAt.IsZero() {
		left := expiresAt.Sub(s.t.cfg.Now())
		if left <= 0 {
			return &CloseError{CloseForbidden, reasonExpired}
		}
		s.expiresAt.Store(expiresAt.UnixNano())
		if left < s.t.cfg.PingInterval {
			s.timer.Reset(left)
		}
	}
	if ctx.Done() != s.ctx.Done() {
		context.AfterFunc(ctx, func() { s.revoked(ctx) })
	}
	s.opCtx = ctx
	s.ops = map[string]*operation{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write([]byte(`{"type":"connection_ack"}`))
	return nil
}

// askOnInit calls the hook. This goroutine is not net/http's, so that a panic
// would end the process.
func (s *socket) askOnInit(payload json.RawMessage) (ctx context.Context, expiresAt time.Time, err error) {
	defer func() {
		if r := recover(); r != nil {
			logPanic(s.ctx, s.t.cfg.Logger, r)
			err = &CloseError{CloseInternalError, reasonInternal}
		}
	}()
	r := s.request
	s.request = nil
	return s.t.cfg.OnInit(s.ctx, payload, r)
}

// revoked ends the socket because the context that OnInit made was cancelled.
func (s *socket) revoked(ctx context.Context) {
	closeErr := &CloseError{CloseForbidden, reasonForbidden}
	errors.As(context.Cause(ctx), &closeErr)
	s.t.during(s, func() { s.close(closeErr.Code, closeErr.Reason) })
}

// handle acts on a message after the acknowledgement.
func (s *socket) handle(m message) error {
	switch m.kind {
	case msgPing:
		s.pong(m.payload)
	case msgPong:
	case msgSubscribe:
		return s.subscribe(m)
	case msgComplete:
		s.complete(m.id)
	case msgConnectionInit:
		return &CloseError{CloseTooManyInits, reasonTooManyInits}
	}
	return nil
}

// extendReadDeadline allows two ping intervals of silence from now on.
func (s *socket) extendReadDeadline() {
	_ = s.conn.SetReadDeadline(time.Now().Add(2 * s.t.cfg.PingInterval))
	if s.closing.Load() {
		// close, in another goroutine, has set or will set this too.
		_ = s.conn.SetReadDeadline(time.Now().Add(closeGrace))
	}
}

// onControlPing answers a ping of the websocket layer, within the rate limit.
func (s *socket) onControlPing(data string) error {
	if err := s.onControlPong(data); err != nil {
		return err
	}
	err := s.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(s.t.cfg.WriteTimeout))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// onControlPong counts a control frame as a sign of life, and as a message.
func (s *socket) onControlPong(string) error {
	if s.closing.Load() {
		return errClosing
	}
	if !s.limiter.AllowN(s.t.cfg.Now(), 1) {
		return &CloseError{ClosePolicyViolation, reasonTooFast}
	}
	if s.opCtx != nil {
		s.extendReadDeadline()
	}
	return nil
}

// tick runs whenever the timer fires.
func (s *socket) tick() { s.t.during(s, s.pingOrExpire) }

// pingOrExpire closes the socket if its token has expired, and else pings the
// client.
func (s *socket) pingOrExpire() {
	next := s.t.cfg.PingInterval
	if at := s.expiresAt.Load(); at != 0 {
		left := time.Unix(0, at).Sub(s.t.cfg.Now())
		if left <= 0 {
			s.close(CloseForbidden, reasonExpired)
			return
		}
		next = min(next, left)
	}
	// While somebody else writes, the connection is in use or stalled: the ping
	// tries again soon instead of queueing up behind.
	if s.mu.TryLock() {
		s.write([]byte(`{"type":"ping"}`))
		s.mu.Unlock()
	} else {
		next = min(next, time.Second)
	}
	if !s.closing.Load() {
		s.timer.Reset(next)
	}
}

// pong answers a ping of the client with the same payload.
func (s *socket) pong(payload json.RawMessage) {
	b := getBuffer()
	defer putBuffer(b)
	b.WriteString(`{"type":"pong"`)
	if payload != nil {
		b.WriteString(`,"payload":`)
		b.Write(payload)
	}
	b.WriteByte('}')
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(b.Bytes())
}

// subscribe starts an operation.
func (s *socket) subscribe(m message) error {
	op := newOperation(s, m.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ops[m.id] != nil {
		return &CloseError{CloseSubscriberExists, "Subscriber for " + m.id + " already exists"}
	}
	// The second bound is for clients that complete their operations faster
	// than the resolvers notice; a client that replaces all its subscriptions at
	// once stays within it.
	limit := s.t.cfg.MaxSubscriptions
	if len(s.ops) >= limit || s.running >= 2*limit {
		op.write(msgError, gqlerror.List{codedError(string(fault.LimitReached),
			fmt.Sprintf("at most %d operations may run on one connection", limit))})
		return nil
	}
	s.ops[m.id] = op
	s.running++
	op.start(m.params)
	return nil
}

// complete cancels an operation at the client's wish; nothing more is sent for
// its id. Unknown ids are normal: our complete and the client's may cross.
func (s *socket) complete(id string) {
	s.mu.Lock()
	op := s.ops[id]
	delete(s.ops, id)
	s.mu.Unlock()
	if op != nil {
		op.cancel()
	}
}

// write sends one text frame; mu is held. On failure it cuts the connection.
func (s *socket) write(frame []byte) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.t.cfg.WriteTimeout))
	err := s.conn.WriteMessage(websocket.TextMessage, frame)
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		s.abort(closeAbnormal)
	}
}

// close ends the socket in an orderly way; only the first call counts. It sends
// the close frame and cancels the operations after it, so that no `complete`
// that their end would cause can make the client believe they are finished.
// Hanging up is left to the reader: see end.
func (s *socket) close(code int, reason string) {
	if !s.closing.CompareAndSwap(false, true) {
		return
	}
	if !sendable(code) {
		s.t.cfg.Logger.Error("close code may not be sent", "code", code)
		code, reason = CloseInternalError, reasonInternal
	}
	s.code.Store(int32(code))
	deadline := time.Now().Add(closeGrace)
	frame := websocket.FormatCloseMessage(code, cutReason(reason))
	err := s.conn.WriteControl(websocket.CloseMessage, frame, deadline)
	s.cancel()
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		_ = s.conn.Close()
		return
	}
	// Half-closing tells the client that nothing follows the close frame, and
	// lets it hang up at once.
	if half, ok := s.conn.NetConn().(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = s.conn.SetReadDeadline(deadline)
}

// abort ends the socket without ceremony, even one that is closing.
func (s *socket) abort(code int) {
	if s.closing.CompareAndSwap(false, true) {
		s.code.Store(int32(code))
	}
	s.cancel()
	_ = s.conn.Close()
}

// end is the last act of the reader: why is what ended it.
func (s *socket) end(why error) {
	peerLeft := s.judge(why)
	if !peerLeft {
		s.drain()
	}
	s.timer.Stop()
	s.cancel()
	_ = s.conn.Close()
	code := int(s.code.Load())
	s.t.cfg.Logger.Debug("websocket closed", "code", code)
	s.t.cfg.ConnectionClosed(code)
	s.t.remove(s)
}

// drain reads until the client hangs up, for closeGrace at most: closing a TCP
// connection with unread bytes resets it, and a reset can destroy the close
// frame on its way.
func (s *socket) drain() {
	_ = s.conn.SetReadDeadline(time.Now().Add(closeGrace))
	var scratch [1 << 10]byte
	for {
		if _, err := s.conn.NetConn().Read(scratch[:]); err != nil {
			return
		}
	}
}

// judge starts the close that the reader's error calls for, unless one is under
// way, and reports whether the client has left, so that there is nothing to
// wait for.
func (s *socket) judge(why error) (peerLeft bool) {
	var (
		broken  *CloseError
		byPeer  *websocket.CloseError
		netErr  net.Error
		opError *net.OpError
	)
	switch {
	case errors.Is(why, errClosing):
		return false
	case errors.As(why, &broken):
		s.close(broken.Code, broken.Reason)
		return false
	case errors.As(why, &byPeer):
		// gorilla has answered the client's close frame.
		s.abort(byPeer.Code)
		return true
	case errors.Is(why, websocket.ErrReadLimit):
		// gorilla has sent the close frame, without a reason.
		s.close(CloseTooBig, "")
		return false
	case errors.As(why, &netErr) && netErr.Timeout():
		if s.closing.Load() {
			return true
		}
		if s.opCtx == nil {
			s.close(CloseInitTimeout, reasonInitTimeout)
		} else {
			s.close(CloseGoingAway, reasonSilent)
		}
		return false
	case errors.Is(why, io.EOF), errors.Is(why, io.ErrUnexpectedEOF), errors.Is(why, net.ErrClosed), errors.As(why, &opError):
		s.abort(closeAbnormal)
		return true
	default:
		// Broken framing; gorilla has sent the close frame and its reason.
		s.close(CloseProtocolError, "")
		return false
	}
}
