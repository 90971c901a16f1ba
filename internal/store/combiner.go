package store

import (
	"context"
	"errors"
	"sync"
)

// combiner serves requests several at a time: what arrives while others are being
// served goes together. There are no workers. A caller that finds a free slot
// serves its own request, at once and in its own goroutine, together with those of
// whoever waits at that moment.
type combiner[T any] struct {
	slots    chan struct{} // holds a token per batch under way
	requests chan T        // unbuffered: what was sent is in the hands of a caller that serves
	most     int           // in one batch
	serve    func([]T)
	quit     chan struct{}
	once     sync.Once
}

// errClosed is what callers of a closed Store get.
var errClosed = errors.New("the store is closed")

// newCombiner serves at most so many batches at a time, of at most so many requests.
func newCombiner[T any](batches, most int, serve func([]T)) *combiner[T] {
	return &combiner[T]{
		slots: make(chan struct{}, batches), requests: make(chan T), most: most, serve: serve, quit: make(chan struct{}),
	}
}

// submit returns nil when the request was served or is being served by another
// caller. On an error nobody has it.
func (c *combiner[T]) submit(ctx context.Context, request T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		c.serve(c.gather(request))
		return nil
	case c.requests <- request:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.quit:
		return errClosed
	}
}

// gather takes whoever else is waiting now.
func (c *combiner[T]) gather(own T) []T {
	batch := []T{own}
	for len(batch) < c.most {
		select {
		case other := <-c.requests:
			batch = append(batch, other)
		default:
			return batch
		}
	}
	return batch
}

// close refuses new requests and waits for those under way.
func (c *combiner[T]) close() {
	c.once.Do(func() {
		close(c.quit)
		for range cap(c.slots) {
			c.slots <- struct{}{} // never given back
		}
	})
}
