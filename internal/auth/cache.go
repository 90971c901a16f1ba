package auth

import (
	"container/list"
	"time"
)

// expiringCache remembers values for a fixed time, at most a fixed number of
// them; the oldest goes first. It is not safe for concurrent use.
type expiringCache[V any] struct {
	ttl     time.Duration
	size    int
	entries map[string]*list.Element // of cacheEntry[V]
	order   *list.List               // the oldest in front, which also expires first
}

type cacheEntry[V any] struct {
	key   string
	value V
	until time.Time
}

func newExpiringCache[V any](ttl time.Duration, size int) *expiringCache[V] {
	return &expiringCache[V]{ttl: ttl, size: size, entries: map[string]*list.Element{}, order: list.New()}
}

// get returns the value that was known less than ttl before now.
func (c *expiringCache[V]) get(key string, now time.Time) (value V, ok bool) {
	element, ok := c.entries[key]
	if !ok {
		return value, false
	}
	entry := element.Value.(cacheEntry[V])
	if !now.Before(entry.until) {
		return value, false
	}
	return entry.value, true
}

// put remembers a value as known at the instant since.
func (c *expiringCache[V]) put(key string, value V, since time.Time) {
	c.drop(c.entries[key])
	c.entries[key] = c.order.PushBack(cacheEntry[V]{key: key, value: value, until: since.Add(c.ttl)})
	if len(c.entries) > c.size {
		c.drop(c.order.Front())
	}
}

// forget drops a value.
func (c *expiringCache[V]) forget(key string) {
	c.drop(c.entries[key])
}

func (c *expiringCache[V]) drop(element *list.Element) {
	if element != nil {
		delete(c.entries, c.order.Remove(element).(cacheEntry[V]).key)
	}
}
