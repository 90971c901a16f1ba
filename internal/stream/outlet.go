package stream

import "context"

// Output says what a subscriber's channel carries.
type Output[U, T any] struct {
	// Convert turns an update into what the channel carries; false = leave this
	// update out. It is called with a mutex held that publishers need: it must be
	// quick and must not call the hub.
	Convert func(U) (T, bool)
	// Ended, unless nil, learns why the hub ends the subscription, a [Resync] fault,
	// just before the channel is closed. It is not called when ctx ended it.
	Ended func(reason error)
}

// outlet is a subscriber's channel, whatever it carries. Only the owner of the
// subscription uses it; see the package comment.
type outlet[U any] interface {
	// offer sends without waiting; false = the buffer is full.
	offer(u U) bool
	// send waits for room; false = one of the contexts ended.
	send(u U, reader, hub context.Context) bool
	// roomy reports whether less than half of the buffer is taken.
	roomy() bool
	close()
}

type channel[U, T any] struct {
	c       chan T
	convert func(U) (T, bool)
}

func (o *channel[U, T]) offer(u U) bool {
	if len(o.c) == cap(o.c) {
		return false
	}
	if v, ok := o.convert(u); ok {
		o.c <- v // does not wait: there is room, and nobody else sends
	}
	return true
}

func (o *channel[U, T]) send(u U, reader, hub context.Context) bool {
	v, ok := o.convert(u)
	if !ok {
		return true
	}
	select {
	case o.c <- v:
		return true
	case <-reader.Done():
		return false
	case <-hub.Done():
		return false
	}
}

func (o *channel[U, T]) roomy() bool { return len(o.c) < (cap(o.c)+1)/2 }

func (o *channel[U, T]) close() { close(o.c) }

// endpoint is what all kinds of subscribers have in common.
type endpoint[U any] struct {
	hub     *Hub
	kind    Kind
	ctx     context.Context // the subscriber's: kept because it ends the subscription
	release func() bool     // stops watching ctx
	out     outlet[U]
	ended   func(error)
}

// connect makes an endpoint and the channel that its subscriber reads.
func connect[U, T any](ctx context.Context, h *Hub, kind Kind, o Output[U, T]) (endpoint[U], <-chan T) {
	c := make(chan T, h.buffer)
	return endpoint[U]{
		hub: h, kind: kind, ctx: ctx, ended: o.Ended,
		out: &channel[U, T]{c: c, convert: o.Convert},
	}, c
}

// open begins to watch ctx: left is called once it has ended.
func (e *endpoint[U]) open(left func()) {
	e.hub.metrics.Subscriptions(e.kind, 1)
	e.release = context.AfterFunc(e.ctx, left)
}

// close ends the subscription; only its owner calls it. reason nil = the
// subscriber left.
func (e *endpoint[U]) close(reason error) {
	e.release()
	e.hub.metrics.Subscriptions(e.kind, -1)
	if reason != nil && e.ended != nil {
		e.ended(reason)
	}
	e.out.close()
}

// send waits for the reader; false = the subscription is over.
func (e *endpoint[U]) send(u U) bool { return e.out.send(u, e.ctx, e.hub.ctx) }

// over reports whether the subscriber or the hub wants to end, and the reason
// for [endpoint.close].
func (e *endpoint[U]) over() (reason error, over bool) {
	switch {
	case e.ctx.Err() != nil:
		return nil, true
	case e.hub.stopping():
		return errStopping, true
	}
	return nil, false
}
