package app

import (
	"context"
	"sync"
	"time"

	"handoff/graph/transport"
	"handoff/internal/auth"
	"handoff/internal/fault"
)

// revocationInterval is how long a websocket or stream may outlive the Agent key
// that opened it.
const revocationInterval = 5 * time.Second

// agentStreams are the open websockets and streams of Agent keys. A key is checked
// when a stream opens; whether it still works is looked up now and then, once per
// key, however many streams it has.
type agentStreams struct {
	mu    sync.Mutex
	byKey map[agentKey]map[*openStream]struct{}
}

type agentKey struct{ agentID, keyID string }

type openStream struct{ end context.CancelCauseFunc }

// follow gives a context that ends when the caller's key is revoked. It must end
// by itself at the latest with the stream.
func (a *agentStreams) follow(ctx context.Context, caller auth.Caller) context.Context {
	if caller.Role != auth.AgentKey {
		return ctx
	}
	key := agentKey{caller.AgentID, caller.KeyID}
	ctx, end := context.WithCancelCause(ctx)
	s := &openStream{end: end}
	a.mu.Lock()
	if a.byKey == nil {
		a.byKey = map[agentKey]map[*openStream]struct{}{}
	}
	if a.byKey[key] == nil {
		a.byKey[key] = map[*openStream]struct{}{}
	}
	a.byKey[key][s] = struct{}{}
	a.mu.Unlock()
	context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if delete(a.byKey[key], s); len(a.byKey[key]) == 0 {
			delete(a.byKey, key)
		}
	})
	return ctx
}

func (a *agentStreams) keys() []agentKey {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := make([]agentKey, 0, len(a.byKey))
	for key := range a.byKey {
		keys = append(keys, key)
	}
	return keys
}

func (a *agentStreams) end(key agentKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range a.byKey[key] {
		s.end(&transport.CloseError{Code: transport.CloseForbidden, Reason: "Forbidden"})
	}
}

// endRevoked ends the streams of keys that were revoked, until ctx ends.
func (a *App) endRevoked(ctx context.Context) {
	ticker := time.NewTicker(revocationInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, key := range a.streams.keys() {
				if a.revoked(ctx, key) {
					a.streams.end(key)
				}
			}
		}
	}
}

// revoked reports whether a key no longer works. A database that does not answer
// ends nobody's stream.
func (a *App) revoked(ctx context.Context, key agentKey) bool {
	if _, err := a.service.Agent(ctx, key.agentID); err != nil {
		return fault.Is(err, fault.NotFound)
	}
	keys, err := a.service.Keys(ctx, key.agentID)
	if err != nil {
		return false
	}
	for _, k := range keys {
		if k.ID == key.keyID {
			return k.RevokedAt != nil
		}
	}
	return true
}
