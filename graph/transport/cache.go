package transport

import (
	"container/list"
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
)

// textCache keeps the values of the most recently used texts. It is bounded by
// the texts' bytes, not by their number: a client chooses how long its queries
// are, and a parsed query grows with its text.
type textCache[T any] struct {
	budget int

	mu    sync.Mutex
	size  int
	byKey map[string]*list.Element
	order *list.List // of *cached[T], most recently used first
}

type cached[T any] struct {
	key   string
	value T
	size  int
}

// newTextCache makes a cache for texts of at most budget bytes together.
func newTextCache[T any](budget int) *textCache[T] {
	return &textCache[T]{budget: budget, byKey: map[string]*list.Element{}, order: list.New()}
}

var _ graphql.Cache[string] = (*textCache[string])(nil)

// Get finds a value and makes it the most recently used.
func (c *textCache[T]) Get(_ context.Context, key string) (value T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(element)
	return element.Value.(*cached[T]).value, true
}

// Add stores a value, at the cost of those least recently used. A text that
// would take more than a quarter of the budget is not stored.
func (c *textCache[T]) Add(_ context.Context, key string, value T) {
	size := len(key)
	if text, ok := any(value).(string); ok {
		size += len(text)
	}
	if size > c.budget/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byKey[key]; ok {
		c.remove(element)
	}
	c.byKey[key] = c.order.PushFront(&cached[T]{key, value, size})
	c.size += size
	for c.size > c.budget {
		c.remove(c.order.Back())
	}
}

func (c *textCache[T]) remove(element *list.Element) {
	old := c.order.Remove(element).(*cached[T])
	delete(c.byKey, old.key)
	c.size -= old.size
}
