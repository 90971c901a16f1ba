package model

import (
	"context"
	"sync"
)

// Lookup finds things by id and remembers them, so that the objects of one page
// ask for each thing once. It lives as long as the page, which also bounds it.
type Lookup[T any] struct {
	load func(ctx context.Context, id string) (T, error)

	mu    sync.Mutex
	found map[string]func() (T, error)
}

// NewLookup makes a Lookup that loads what it does not know.
func NewLookup[T any](load func(ctx context.Context, id string) (T, error)) *Lookup[T] {
	return &Lookup[T]{load: load, found: map[string]func() (T, error){}}
}

// Get finds a thing. Those who ask for the same thing at once wait for one load.
func (l *Lookup[T]) Get(ctx context.Context, id string) (T, error) {
	l.mu.Lock()
	get, ok := l.found[id]
	if !ok {
		get = sync.OnceValues(func() (T, error) { return l.load(ctx, id) })
		l.found[id] = get
	}
	l.mu.Unlock()
	return get()
}
