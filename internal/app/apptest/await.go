package apptest

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen. A test that passes never
// waits that long.
const Patience = time.Minute

// pollEvery is how often [Eventually] looks.
const pollEvery = 15 * time.Millisecond

// Eventually waits until done reports true, for what gives no signal of its own:
// the figures of a process, or the end of a write to its log.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("not seen: %s", what)
		case <-ticker.C:
		}
	}
}

// journal is a growing list that many may wait on.
type journal[T any] struct {
	mu      sync.Mutex
	items   []T
	ended   error         // why nothing more comes; nil = not ended
	changed chan struct{} // closed at the next change
}

func (j *journal[T]) update(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

func (j *journal[T]) add(item T) { j.update(func() { j.items = append(j.items, item) }) }

func (j *journal[T]) end(why error) { j.update(func() { j.ended = why }) }

// all is a copy of what there is.
func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]T(nil), j.items...)
}

// state gives the items, why they ended, and a channel that tells of the next change.
func (j *journal[T]) state() ([]T, error, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.items[:len(j.items):len(j.items)], j.ended, j.changed
}

// find waits for the first item that fits.
func (j *journal[T]) find(t testing.TB, what string, fits func(T) bool) T {
	t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for seen := 0; ; {
		items, ended, changed := j.state()
		for ; seen < len(items); seen++ {
			if fits(items[seen]) {
				return items[seen]
			}
		}
		if ended != nil {
			t.Fatalf("not seen before the end (%v): %s\n%s", ended, what, listing(items))
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("not seen: %s\n%s", what, listing(items))
		}
	}
}
