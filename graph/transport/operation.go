package transport

import (
	"bytes"
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"handoff/internal/fault"
)

// operation is one query, mutation or subscription of a socket.
type operation struct {
	s       *socket
	id      string
	cancel  context.CancelFunc
	kind    ast.Operation // empty until the operation passed validation
	failure failure
}

func newOperation(s *socket, id string) *operation {
	return &operation{s: s, id: id}
}

// start runs the operation in its own goroutine. The caller holds the socket's
// mutex and has entered the operation in its books.
func (op *operation) start(params *graphql.RawParams) {
	ctx, cancel := context.WithCancel(op.s.opCtx)
	op.cancel = cancel
	op.s.t.running.Add(1)
	go op.run(ctx, params)
}

// run prepares the operation and streams its responses. A subscription goes on
// in a fresh goroutine, because it may wait there for hours: parsing,
// validating and the resolver's first queries needed a deep stack, and stacks
// shrink late.
func (op *operation) run(ctx context.Context, params *graphql.RawParams) {
	responses, ctx := op.prepare(withFailure(ctx, &op.failure), params)
	switch {
	case responses == nil:
		op.finish()
	case op.kind == ast.Subscription:
		go op.stream(ctx, responses)
	default:
		op.stream(ctx, responses)
	}
}

// prepare takes the operation to where it yields responses. When it cannot, it
// has told the client so and returns no handler.
func (op *operation) prepare(ctx context.Context, params *graphql.RawParams) (_ graphql.ResponseHandler, opCtx context.Context) {
	opCtx = graphql.StartOperationTrace(ctx)
	defer func() {
		if r := recover(); r != nil {
			op.fail(gqlerror.List{presentPanic(opCtx, op.s.exec, op.s.t.cfg.Logger, r)})
		}
	}()
	params.ReadTime.Start = graphql.GetStartTime(opCtx)
	params.ReadTime.End = params.ReadTime.Start
	oc, errs := op.s.exec.CreateOperationContext(opCtx, params)
	if len(errs) > 0 {
		op.fail(dispatchError(opCtx, op.s.exec, oc, errs))
		return nil, opCtx
	}
	op.kind = oc.Operation.Operation
	op.s.t.cfg.OperationStarted(op.kind)
	return op.s.exec.DispatchOperation(graphql.WithOperationContext(opCtx, oc), oc)
}

// stream sends responses until there are no more.
func (op *operation) stream(ctx context.Context, responses graphql.ResponseHandler) {
	defer op.finish()
	defer func() {
		if r := recover(); r != nil {
			op.fail(gqlerror.List{presentPanic(ctx, op.s.exec, op.s.t.cfg.Logger, r)})
		}
	}()
	for {
		response := responses(ctx)
		if response == nil {
			break
		}
		if !op.next(response) {
			return
		}
	}
	if errs := op.failure.list(); len(errs) > 0 {
		op.fail(op.s.exec.DispatchError(ctx, errs).Errors)
		return
	}
	op.end(msgComplete, nil)
}

// next sends one response and reports whether the client still wants more.
func (op *operation) next(response *graphql.Response) bool {
	frame := getBuffer()
	defer putBuffer(frame)
	op.beginFrame(frame, msgNext)
	frame.WriteString(`,"payload":`)
	if err := writeResponse(frame, response); err != nil {
		op.s.t.cfg.Logger.Error("response cannot be encoded", "error", err)
		op.fail(gqlerror.List{codedError(string(fault.Internal), "internal error")})
		return false
	}
	frame.WriteByte('}')
	op.s.mu.Lock()
	defer op.s.mu.Unlock()
	if !op.wanted() {
		return false
	}
	op.s.write(frame.Bytes())
	return true
}

// fail ends the operation for the client with an `error` message.
func (op *operation) fail(errs gqlerror.List) { op.end(msgError, errs) }

// end takes the id out of the books and sends the message that tells the client
// so, in one step: once the client has read it, the id is free.
func (op *operation) end(kind string, errs gqlerror.List) {
	op.s.mu.Lock()
	defer op.s.mu.Unlock()
	if op.wanted() {
		delete(op.s.ops, op.id)
		op.write(kind, errs)
	}
}

// wanted reports whether the client may hear of the operation: it has not
// completed it, and its end is not merely a consequence of the socket's own,
// which the client must not take for the end of a stream. The socket's mutex is
// held.
func (op *operation) wanted() bool {
	return op.s.ops[op.id] == op && op.s.opCtx.Err() == nil
}

// write sends an error or complete message; the socket's mutex is held.
func (op *operation) write(kind string, errs gqlerror.List) {
	frame := getBuffer()
	defer putBuffer(frame)
	op.beginFrame(frame, kind)
	if kind == msgError {
		frame.WriteString(`,"payload":`)
		if err := writeErrors(frame, errs); err != nil {
			// Only extensions that a presenter added can be at fault.
			op.s.t.cfg.Logger.Error("errors cannot be encoded", "error", err)
			frame.WriteString(`[{"message":"internal error"}]`)
		}
	}
	frame.WriteByte('}')
	op.s.write(frame.Bytes())
}

func (op *operation) beginFrame(b *bytes.Buffer, kind string) {
	b.WriteString(`{"id":`)
	writeString(b, op.id)
	b.WriteString(`,"type":"`)
	b.WriteString(kind)
	b.WriteByte('"')
}

// finish ends the operation's goroutine.
func (op *operation) finish() {
	op.cancel()
	op.s.mu.Lock()
	op.s.running--
	op.s.mu.Unlock()
	if op.kind != "" {
		op.s.t.cfg.OperationEnded(op.kind)
	}
	op.s.t.running.Done()
}
