package graph

import (
	"cmp"
	"context"
	"time"

	"handoff/graph/model"
	"handoff/internal/auth"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// What depends on who is calling, and the few calls that take more than one step.

func viewer(c auth.Caller) *model.Viewer {
	return &model.Viewer{
		Role:           roleOf(c),
		AgentID:        model.Optional(c.AgentID),
		ConversationID: model.Optional(c.ConversationID),
		ExpiresAt:      model.Optional(c.ExpiresAt),
	}
}

// deleteAgent removes an Agent. Its keys stop working here at once.
func (r *Resolver) deleteAgent(ctx context.Context, id string) error {
	keys, err := r.service.Keys(ctx, id)
	if err != nil {
		return err
	}
	if err := r.service.DeleteAgent(ctx, id); err != nil {
		return err
	}
	for _, k := range keys {
		r.auth.Forget(k.Hash)
	}
	return nil
}

func (r *Resolver) mint(agentID, conversationID string, lifetimeSeconds int) (string, time.Time, error) {
	lifetime := time.Duration(lifetimeSeconds) * time.Second
	// Mint takes 0 for its default; here the default is the schema's and 0 is out of range.
	return r.tokens.Mint(agentID, conversationID, cmp.Or(lifetime, -1))
}

func (r *Resolver) conversationStart(ctx context.Context, in model.StartConversationInput) (handoff.StartConversation, error) {
	agentID := given(in.AgentID)
	if agentID == "" {
		if agentID = auth.From(ctx).AgentID; agentID == "" {
			return handoff.StartConversation{}, fault.Invalid("agentId", "is required from an administrator")
		}
	}
	if _, err := r.ownAgent(ctx, agentID); err != nil {
		return handoff.StartConversation{}, err
	}
	customFields, err := fieldMap("customFields", in.CustomFields)
	if err != nil {
		return handoff.StartConversation{}, err
	}
	user := given(in.User)
	return handoff.StartConversation{
		AgentID: agentID,
		Channel: handoff.Channel(in.Channel),
		User: handoff.User{
			ID: given(user.ID), AnonymousID: given(user.AnonymousID), Name: given(user.Name),
			Email: given(user.Email), Phone: given(user.Phone),
		},
		Language:       given(in.Language),
		CustomFields:   customFields,
		IdempotencyKey: given(in.IdempotencyKey),
	}, nil
}

func (r *Resolver) postedByUser(ctx context.Context, p handoff.Posted) *model.PostUserMessagePayload {
	m := &model.PostUserMessagePayload{
		Message: new(model.MessageOf(&p.Event)),
		Control: model.Control(p.Conversation.Control),
		Epoch:   p.Conversation.Epoch,
	}
	if p.Handoff != nil && p.Handoff.Open() { // the message may have closed it
		m.Handoff = r.handoff(ctx, *p.Handoff)
	}
	return m
}

// signalAuthor says for whom a caller may signal.
func signalAuthor(ctx context.Context, author model.Author) (handoff.Author, error) {
	switch {
	case author == model.AuthorUser:
		return handoff.AuthorUser, nil
	case author == model.AuthorOperator && !isUser(ctx):
		return handoff.AuthorOperator, nil
	case isUser(ctx):
		return "", fault.Invalid("author", "must be USER with a user token")
	}
	return "", fault.Invalid("author", "must be USER or OPERATOR")
}

// handoffRequest refuses from a User what only the Agent may say.
func handoffRequest(ctx context.Context, in model.RequestHandoffInput) (handoff.Request, error) {
	if isUser(ctx) {
		for _, f := range []struct {
			name  string
			given bool
		}{
			{"epoch", in.Epoch != nil},
			{"note", in.Note != nil},
			{"summary", in.Summary != nil},
		} {
			if f.given {
				return handoff.Request{}, fault.Invalid(f.name, "is for the agent; leave it out with a user token")
			}
		}
	}
	return handoff.Request{
		ConversationID: in.ConversationID,
		Epoch:          in.Epoch,
		Note:           given(in.Note),
		Summary:        given(in.Summary),
		Email:          given(in.Email),
		IdempotencyKey: given(in.IdempotencyKey),
		Wait:           time.Duration(in.WaitSeconds) * time.Second,
	}, nil
}

// endHandoff ends the open Handoff in the name of the caller, or of the User.
func (r *Resolver) endHandoff(ctx context.Context, conversationID string, asUser bool) (handoff.Handoff, error) {
	switch role := auth.From(ctx).Role; {
	case role == auth.User, role == auth.AgentKey && asUser:
		return r.service.EndByUser(ctx, conversationID)
	case asUser:
		return handoff.Handoff{}, fault.Invalid("asUser", "is for agent keys: an administrator does not speak for users")
	}
	return r.service.EndByAdmin(ctx, conversationID)
}

// orNow is the given time, or the present one.
func (r *Resolver) orNow(t *time.Time) time.Time {
	if t != nil {
		return *t
	}
	return r.now()
}
