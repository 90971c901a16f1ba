package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"handoff/internal/handoff"
)

const (
	// pageSize is how many events are read at once, and so how many a slow reader
	// may hold besides its buffer.
	pageSize = 64
	// readTimeout ends a read that the database does not answer.
	readTimeout = 10 * time.Second
	// readTries is how often a read is tried before the subscription is given up,
	// with pauses of 50 ms, 100 ms and so on: 6 s, enough for a short restart.
	readTries  = 8
	firstPause = 50 * time.Millisecond
)

// errNothing says that the log does not have what a hint promised.
var errNothing = errors.New("the log has no event where one was announced")

// read runs one read of the database in its turn, until ctx or the hub ends.
func read[R any](ctx context.Context, h *Hub, f func(context.Context) (R, error)) (R, error) {
	var none R
	select {
	case h.reads <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-h.ctx.Done():
		return none, errStopping
	}
	defer func() { <-h.reads }()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	return f(ctx)
}

// insist is read, repeated for a while when it fails. It must not be called by
// somebody who holds a mutex or whom a caller waits for.
func insist[R any](ctx context.Context, h *Hub, f func(context.Context) (R, error)) (R, error) {
	pause := firstPause
	for try := 1; ; try++ {
		result, err := read(ctx, h, f)
		if err == nil || try == readTries || ctx.Err() != nil || h.stopping() {
			return result, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-h.ctx.Done():
		}
		timer.Stop()
		pause *= 2
	}
}

// page is a piece of a Conversation's log.
type page struct {
	events []handoff.Event
	last   bool // the log had nothing more
}

// events reads the page after a seq and checks that nothing is missing in it. An
// empty page is an error when the event known is after it.
func (h *Hub) events(conversationID string, after, known int64, limit int) func(context.Context) (page, error) {
	return func(ctx context.Context) (page, error) {
		events, err := h.log.Events(ctx, conversationID, after, limit)
		if err != nil {
			return page{}, err
		}
		for i := range events {
			if want := after + 1 + int64(i); events[i].Seq != want {
				return page{}, fmt.Errorf("event %d of the log is %d", want, events[i].Seq)
			}
		}
		if len(events) == 0 && known > after {
			return page{}, errNothing
		}
		return page{events: events, last: len(events) < limit}, nil
	}
}
