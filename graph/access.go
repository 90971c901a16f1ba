package graph

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"handoff/graph/model"
	"handoff/internal/auth"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Who may do what is decided here and nowhere else. The directive @access looks
// at the role of the caller; the functions below it look at whose the thing is.
// What is not the caller's is answered like what does not exist, with the same
// words, so that ids of others cannot be guessed.

// access implements the directive @access.
func access(ctx context.Context, _ any, next graphql.Resolver, roles []model.Role) (any, error) {
	role := roleOf(auth.From(ctx))
	switch {
	case role == nil:
		return nil, fault.New(fault.Unauthenticated, "a credential is needed: send it as Authorization: Bearer")
	case !slices.Contains(roles, *role):
		return nil, fault.New(fault.Forbidden, "callers of the role %s may not do this", *role)
	}
	return next(ctx)
}

// roleOf is the role of a caller; nil = nobody.
func roleOf(c auth.Caller) *model.Role {
	switch c.Role {
	case auth.Administrator:
		return new(model.RoleAdministrator)
	case auth.AgentKey:
		return new(model.RoleAgent)
	case auth.User:
		return new(model.RoleUser)
	case auth.Anonymous:
	}
	return nil
}

// isUser reports whether a User asks, who sees less.
func isUser(ctx context.Context) bool { return auth.From(ctx).Role == auth.User }

// owns reports whether what belongs to the Agent is the caller's, Users left aside.
func owns(ctx context.Context, agentID string) bool {
	c := auth.From(ctx)
	return c.Role == auth.Administrator || c.Role == auth.AgentKey && c.AgentID == agentID
}

// ownAgent reads an Agent of the caller.
func (r *Resolver) ownAgent(ctx context.Context, id string) (handoff.Agent, error) {
	if !owns(ctx, id) {
		return handoff.Agent{}, fault.Missing("agent")
	}
	a, err := r.service.Agent(ctx, id)
	return a, missing(err, "agent")
}

// ownConversation gives the Agent of a Conversation of the caller. It rarely costs
// a query.
func (r *Resolver) ownConversation(ctx context.Context, id string) (agentID string, err error) {
	const what = "conversation"
	if isUser(ctx) && auth.From(ctx).ConversationID != id {
		return "", fault.Missing(what)
	}
	if agentID, err = r.service.AgentOf(ctx, id); err != nil {
		return "", missing(err, what)
	}
	return agentID, r.own(ctx, isUser(ctx) || owns(ctx, agentID), agentID, what)
}

// ownHandoff reads a Handoff of the caller.
func (r *Resolver) ownHandoff(ctx context.Context, id string) (handoff.Handoff, error) {
	const what = "handoff"
	h, err := r.service.Handoff(ctx, id)
	if err != nil {
		return handoff.Handoff{}, missing(err, what)
	}
	mine := owns(ctx, h.AgentID) || isUser(ctx) && auth.From(ctx).ConversationID == h.ConversationID
	return h, r.own(ctx, mine, h.AgentID, what)
}

// ownConnection reads a desk connection of the caller.
func (r *Resolver) ownConnection(ctx context.Context, id string) (handoff.Connection, error) {
	const what = "desk connection"
	c, err := r.service.Connection(ctx, id)
	if err != nil {
		return handoff.Connection{}, missing(err, what)
	}
	return c, r.own(ctx, owns(ctx, c.AgentID), c.AgentID, what)
}

// ownDelivery reads a delivery of the caller.
func (r *Resolver) ownDelivery(ctx context.Context, id string) (handoff.Delivery, error) {
	const what = "delivery"
	d, err := r.service.Delivery(ctx, id)
	if err != nil {
		return handoff.Delivery{}, missing(err, what)
	}
	return d, r.own(ctx, owns(ctx, d.AgentID), d.AgentID, what)
}

// own is the last step: the thing is the caller's, and its Agent was not deleted.
func (r *Resolver) own(ctx context.Context, mine bool, agentID, what string) error {
	if !mine {
		return fault.Missing(what)
	}
	return missing(r.service.Reachable(ctx, agentID), what)
}

// missing gives what does not exist the words of what is not the caller's.
func missing(err error, what string) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Missing(what)
	}
	return err
}
