package store

import (
	"context"
	"errors"
	"sync"
)

// combiner hands requests to workers, several at a time: what arrives while the
// workers are busy goes together. A request that comes alone is served at once.
type combiner[T any] struct {
	requests chan T // unbuffered: a request that was sent is in the hands of a worker
	quit     chan struct{}
	once     sync.Once
	workers  sync.WaitGroup
}

// errClosed is what callers of a closed Store get.
var errClosed = errors.New("the store is closed")

// newCombiner starts workers that call serve with 1 to most requests.
func newCombiner[T any](workers, most int, serve func([]T)) *combiner[T] {
	c := &combiner[T]{requests: make(chan T), quit: make(chan struct{})}
	for range workers {
		c.workers.Go(func() {
			for {
				select {
				case first := <-c.requests:
					serve(c.gather(first, most))
				case <-c.quit:
					return
				}
			}
		})
	}
	return c
}

// gather takes whoever else is waiting now.
func (c *combiner[T]) gather(first T, most int) []T {
	batch := []T{first}
	for len(batch) < most {
		select {
		case next := <-c.requests:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// submit gives a request to a worker. On an error nobody has it.
func (c *combiner[T]) submit(ctx context.Context, request T) error {
	select {
	case c.requests <- request:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.quit:
		return errClosed
	}
}

// close refuses new requests and waits for the workers.
func (c *combiner[T]) close() {
	c.once.Do(func() { close(c.quit) })
	c.workers.Wait()
}
