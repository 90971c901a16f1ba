package stream

import (
	"hash/maphash"
	"sync"
)

// shardCount spreads keys over mutexes, so that those who look up different keys
// rarely meet.
const shardCount = 64

// registry keeps one *T per key for as long as somebody holds it.
type registry[T any] struct {
	seed   maphash.Seed
	shards [shardCount]shard[T]
}

type shard[T any] struct {
	mu    sync.Mutex
	items map[string]*held[T]
}

type held[T any] struct {
	value   *T
	holders int
}

func (r *registry[T]) init() {
	r.seed = maphash.MakeSeed()
	for i := range r.shards {
		r.shards[i].items = make(map[string]*held[T])
	}
}

func (r *registry[T]) shard(key string) *shard[T] {
	return &r.shards[maphash.String(r.seed, key)%shardCount]
}

// get gives the value of the key, nil = nobody holds one.
func (r *registry[T]) get(key string) *T {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.items[key]; i != nil {
		return i.value
	}
	return nil
}

// hold gives the value of the key, made if there is none. Each hold needs one
// [registry.release].
func (r *registry[T]) hold(key string, create func() *T) *T {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.items[key]
	if i == nil {
		i = &held[T]{value: create()}
		s.items[key] = i
	}
	i.holders++
	return i.value
}

func (r *registry[T]) release(key string) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.items[key]
	if i.holders--; i.holders == 0 {
		delete(s.items, key)
	}
}

// keys appends every key that somebody holds.
func (r *registry[T]) keys(to []string) []string {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key := range s.items {
			to = append(to, key)
		}
		s.mu.Unlock()
	}
	return to
}

// each calls f with every value, with no mutex held.
func (r *registry[T]) each(f func(*T)) {
	for _, key := range r.keys(nil) {
		if v := r.get(key); v != nil {
			f(v)
		}
	}
}
