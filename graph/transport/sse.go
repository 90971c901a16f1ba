package transport

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
)

// SSEConfig sets up an [SSE]. The zero value of a field means the default given
// with it.
type SSEConfig struct {
	KeepAlive    time.Duration // 15 s: between comments that keep proxies from closing an idle stream
	WriteTimeout time.Duration // 5 s: for any one write; a client that is slower is cut off
	BodyLimit    int64         // DefaultBodyLimit
	MaxStreams   int           // 10,000 at a time; more are answered 503

	OperationStarted func(kind ast.Operation) // for metrics; nil = skipped
	OperationEnded   func(kind ast.Operation)

	Logger *slog.Logger // slog.Default(); no payload is ever logged
}

func (c SSEConfig) withDefaults() SSEConfig {
	orDefault(&c.KeepAlive, 15*time.Second)
	orDefault(&c.WriteTimeout, 5*time.Second)
	orDefault(&c.BodyLimit, DefaultBodyLimit)
	orDefault(&c.MaxStreams, 10_000)
	if c.OperationStarted == nil {
		c.OperationStarted = func(ast.Operation) {}
	}
	if c.OperationEnded == nil {
		c.OperationEnded = func(ast.Operation) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// SSE is the GraphQL over Server-Sent Events transport in its "distinct
// connections mode": one request, one stream
// (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md). Make it
// with [NewSSE].
//
// gqlgen's own is not used: its keep-alive goroutine may flush a response after
// the handler has returned, which ends the process, and nothing bounds its
// writes. Here all writing is done by the handler's goroutine.
//
// A stream ends with a `complete` event when its operation ends. It ends without
// one when the server stops, upon which clients subscribe again, and when the
// context of the request ends: middleware that authenticates can bound a stream
// by a deadline.
type SSE struct {
	cfg  SSEConfig
	stop chan struct{} // closed by Shutdown

	mu       sync.Mutex
	open     int
	stopping bool
	running  sync.WaitGroup
}

var _ graphql.Transport = (*SSE)(nil)

// NewSSE makes the transport. Call Shutdown to end it.
func NewSSE(cfg SSEConfig) *SSE {
	return &SSE{cfg: cfg.withDefaults(), stop: make(chan struct{})}
}

// Supports reports whether the client prefers an event stream to a JSON answer.
// Some (urql) list both with every request and mean JSON where it will do.
func (t *SSE) Supports(r *http.Request) bool {
	stream := accepts(r, mediaEventStream)
	return stream.specificity == 3 && stream.over(accepts(r, mediaJSON)) && stream.over(accepts(r, mediaGraphQLResponse))
}

// Len is the number of streams that are open.
func (t *SSE) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// Shutdown refuses new streams (503), ends the open ones, and waits for them
// until ctx ends. It must come before http.Server.Shutdown, which would wait for
// them for ever.
func (t *SSE) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	if !t.stopping {
		t.stopping = true
		close(t.stop)
	}
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		t.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *SSE) admit() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping || t.open >= t.cfg.MaxStreams {
		return false
	}
	t.open++
	t.running.Add(1)
	return true
}

func (t *SSE) leave() {
	t.mu.Lock()
	t.open--
	t.mu.Unlock()
	t.running.Done()
}

// Do streams the responses of one operation. What is wrong with the request
// below GraphQL (method, media type, JSON) is answered with a status; errors of
// the operation, syntax and validation too, come as a `next` event, because the
// protocol wants them where EventSource can see them.
func (t *SSE) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !t.admit() {
		w.Header().Set("Retry-After", "1")
		writeHTTPError(w, http.StatusServiceUnavailable,
			codedError(string(fault.Overloaded), "no more streams are accepted now"))
		return
	}
	defer t.leave()
	params, refused := readRequest(w, r, t.cfg.BodyLimit)
	if refused != nil {
		refused.write(w, mediaJSON)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	op := &sseOperation{t: t, exec: exec, events: make(chan []byte)}
	ctx = withFailure(ctx, &op.failure)
	oc, errs := op.create(ctx, params)
	if len(errs) == 0 {
		if refused := checkMethod(r, oc.Operation.Operation); refused != nil {
			refused.write(w, mediaJSON)
			return
		}
	}
	stream := &eventStream{w: w, control: http.NewResponseController(w), timeout: t.cfg.WriteTimeout}
	if err := stream.setDeadline(); err != nil {
		t.cfg.Logger.ErrorContext(ctx, "event stream impossible behind this response writer", "error", err)
		writeHTTPError(w, http.StatusInternalServerError, codedError(string(fault.Internal), "internal error"))
		return
	}
	if err := stream.begin(r); err != nil {
		return
	}
	if len(errs) > 0 {
		_ = stream.write(op.errorEvent(errs), completeEvent)
		return
	}
	go op.run(ctx, oc)
	t.forward(ctx, stream, op.events)
	cancel()
	for range op.events {
		// The handler returns only after the operation has ended.
	}
}

// forward writes events until there are no more, the client is gone or too slow,
// or the server stops.
func (t *SSE) forward(ctx context.Context, stream *eventStream, events <-chan []byte) {
	keepAlive := time.NewTicker(t.cfg.KeepAlive)
	defer keepAlive.Stop()
	for {
		var err error
		select {
		case event, ok := <-events:
			if !ok {
				if ctx.Err() == nil {
					_ = stream.write(completeEvent)
				}
				return
			}
			err = stream.write(event)
		case <-keepAlive.C:
			err = stream.write(emptyComment)
		case <-t.stop:
			// Not `complete`: clients that see a stream end without it, and
			// EventSource always, connect again.
			_ = stream.write([]byte(": service restart\n\n"))
			return
		case <-ctx.Done():
			return
		}
		if err != nil {
			t.cfg.Logger.DebugContext(ctx, "event stream cut", "error", err)
			return
		}
	}
}

// sseOperation runs one operation and encodes its responses as events.
type sseOperation struct {
	t       *SSE
	exec    graphql.GraphExecutor
	failure failure
	events  chan []byte // closed when the operation has ended
}

// create parses and validates. The errors it returns have been presented.
func (op *sseOperation) create(ctx context.Context, params *graphql.RawParams) (oc *graphql.OperationContext, errs gqlerror.List) {
	defer func() {
		if value := recover(); value != nil {
			errs = gqlerror.List{presentPanic(ctx, op.exec, op.t.cfg.Logger, value)}
		}
	}()
	oc, errs = op.exec.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		errs = dispatchError(ctx, op.exec, oc, errs)
	}
	return oc, errs
}

// run executes the operation. Events wait until they are taken or ctx ends.
func (op *sseOperation) run(ctx context.Context, oc *graphql.OperationContext) {
	defer close(op.events)
	op.t.cfg.OperationStarted(oc.Operation.Operation)
	defer op.t.cfg.OperationEnded(oc.Operation.Operation)
	defer func() {
		if value := recover(); value != nil {
			op.emit(ctx, op.errorEvent(gqlerror.List{presentPanic(ctx, op.exec, op.t.cfg.Logger, value)}))
		}
	}()
	responses, ctx := op.exec.DispatchOperation(ctx, oc)
	for {
		response := responses(ctx)
		if response == nil {
			break
		}
		if !op.emit(ctx, op.responseEvent(response)) {
			return
		}
	}
	if errs := op.failure.list(); len(errs) > 0 {
		op.emit(ctx, op.errorEvent(dispatchError(ctx, op.exec, oc, errs)))
	}
}

func (op *sseOperation) emit(ctx context.Context, event []byte) bool {
	select {
	case op.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

func (op *sseOperation) responseEvent(response *graphql.Response) []byte {
	var b bytes.Buffer
	if err := writeResponse(&b, response); err != nil {
		op.t.cfg.Logger.Error("response cannot be encoded", "error", err)
		return op.errorEvent(gqlerror.List{codedError(string(fault.Internal), "internal error")})
	}
	return nextEvent(b.Bytes())
}

func (op *sseOperation) errorEvent(errs gqlerror.List) []byte {
	var b bytes.Buffer
	if err := writeRequestErrors(&b, errs); err != nil {
		// Only extensions that a presenter added can be at fault.
		op.t.cfg.Logger.Error("errors cannot be encoded", "error", err)
		return nextEvent([]byte(`{"errors":[{"message":"internal error"}]}`))
	}
	return nextEvent(b.Bytes())
}

var (
	completeEvent = []byte("event: complete\ndata:\n\n")
	emptyComment  = []byte(":\n\n")
)

// nextEvent frames a JSON document. A line break in it can only be white space
// between tokens (some scalars write one), and would end the data field early.
func nextEvent(document []byte) []byte {
	event := make([]byte, 0, len(document)+len("event: next\ndata: \n\n"))
	event = append(event, "event: next\ndata: "...)
	for _, c := range document {
		if c == '\n' || c == '\r' {
			c = ' '
		}
		event = append(event, c)
	}
	return append(event, "\n\n"...)
}

// eventStream writes to one response, every write with a deadline of its own.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// setDeadline bounds the next write, whatever http.Server.WriteTimeout says. It
// fails when the writer, or middleware around it, has no deadlines.
func (s *eventStream) setDeadline() error {
	return s.control.SetWriteDeadline(time.Now().Add(s.timeout))
}

// begin sends the head and a first comment, which some browsers wait for before
// they report the stream open.
func (s *eventStream) begin(r *http.Request) error {
	h := s.w.Header()
	h.Set("Content-Type", mediaEventStream+"; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx
	if r.ProtoMajor == 1 {
		// The last write deadline stays with the connection: do not reuse it.
		h.Set("Connection", "close")
	}
	s.w.WriteHeader(http.StatusOK)
	return s.write(emptyComment)
}

func (s *eventStream) write(chunks ...[]byte) error {
	if err := s.setDeadline(); err != nil {
		return err
	}
	for _, chunk := range chunks {
		if _, err := s.w.Write(chunk); err != nil {
			return err
		}
	}
	return s.control.Flush()
}
