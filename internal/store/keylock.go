package store

import (
	"context"
	"sync"
)

// keyLocks makes callers of this process that want the same key wait for each
// other, so that only processes compete in the database. It holds nothing for
// keys that nobody wants.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]*keyLock
}

type keyLock struct {
	free   chan struct{} // holds a token while nobody has the lock
	wanted int           // who has it or waits for it
}

// lock waits for the key. On an error the caller does not have it.
func (k *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	l := k.held[key]
	if l == nil {
		if k.held == nil {
			k.held = map[string]*keyLock{}
		}
		l = &keyLock{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		k.held[key] = l
	}
	l.wanted++
	k.mu.Unlock()

	select {
	case <-l.free:
		return func() {
			l.free <- struct{}{}
			k.leave(key, l)
		}, nil
	case <-ctx.Done():
		k.leave(key, l)
		return nil, ctx.Err()
	}
}

func (k *keyLocks) leave(key string, l *keyLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.wanted--; l.wanted == 0 {
		delete(k.held, key)
	}
}
