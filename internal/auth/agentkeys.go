package auth

import (
	"context"
	"sync"
	"time"

	"handoff/internal/fault"
)

// KeyFinder looks up stored Agent keys.
type KeyFinder interface {
	// FindAgentKey finds the valid key with this hash (see HashKey). A key that
	// does not exist or was revoked is a fault of kind NotFound; any other error
	// means that the question could not be answered.
	FindAgentKey(ctx context.Context, hash string) (keyID, agentID string, err error)
}

const (
	// keyTTL is how long an answer of the KeyFinder is believed, and so how long
	// a key that was revoked on another replica may live on here.
	keyTTL = 2 * time.Second
	// keyCacheSize bounds the answers that are kept, in keys.
	keyCacheSize = 4096
)

// keyOwner is whom a key belongs to.
type keyOwner struct{ keyID, agentID string }

// agentKeys is a KeyFinder behind a short memory.
type agentKeys struct {
	finder KeyFinder
	now    func() time.Time

	mu    sync.Mutex
	known *expiringCache[keyOwner]
	// unknown is apart from known, so that a flood of invented keys cannot push
	// out the real ones.
	unknown *expiringCache[struct{}]
	// forgotten counts calls of forget. An answer that was asked for before the
	// latest call may be outdated, and is not kept.
	forgotten uint64
}

func newAgentKeys(finder KeyFinder, now func() time.Time) *agentKeys {
	return &agentKeys{
		finder:  finder,
		now:     now,
		known:   newExpiringCache[keyOwner](keyTTL, keyCacheSize),
		unknown: newExpiringCache[struct{}](keyTTL, keyCacheSize),
	}
}

// find tells whom the key with this hash belongs to, or the fault NotFound.
func (a *agentKeys) find(ctx context.Context, hash string) (keyOwner, error) {
	// Taken before asking: keyTTL counts from a moment at which the answer was
	// certainly true.
	asked := a.now()
	a.mu.Lock()
	owner, isKnown := a.known.get(hash, asked)
	_, isUnknown := a.unknown.get(hash, asked)
	forgotten := a.forgotten
	a.mu.Unlock()
	if isKnown {
		return owner, nil
	}
	if isUnknown {
		return keyOwner{}, fault.Missing("agent key")
	}

	keyID, agentID, err := a.finder.FindAgentKey(ctx, hash)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return keyOwner{}, err
	}
	owner = keyOwner{keyID: keyID, agentID: agentID}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.forgotten != forgotten:
	case err == nil:
		a.known.put(hash, owner, asked)
	default:
		a.unknown.put(hash, struct{}{}, asked)
	}
	return owner, err
}

// forget drops what is remembered about a key.
func (a *agentKeys) forget(hash string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgotten++
	a.known.forget(hash)
	a.unknown.forget(hash)
}
