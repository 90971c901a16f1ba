package auth

import (
	"context"
	"time"
)

// Role is the kind of a caller.
type Role uint8

// The roles. The zero value is the one that may do least.
const (
	Anonymous     Role = iota // no credential
	Administrator             // all Agents
	AgentKey                  // one Agent
	User                      // one Conversation
)

// String names the role for logs.
func (r Role) String() string {
	switch r {
	case Anonymous:
		return "anonymous"
	case Administrator:
		return "administrator"
	case AgentKey:
		return "agent_key"
	case User:
		return "user"
	}
	return "unknown"
}

// Caller is who calls. The zero Caller is anonymous.
type Caller struct {
	Role           Role
	AgentID        string    // with AgentKey and User
	ConversationID string    // with User
	KeyID          string    // with AgentKey the id of the key, with User the id of the token (jti)
	ExpiresAt      time.Time // with User: from this instant on the token is refused; else zero
}

type contextKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns the caller that With stored, or the anonymous one.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller)
	return c
}
