package graph

import (
	"context"
	"maps"
	"slices"

	"handoff/graph/model"
	"handoff/internal/handoff"
)

// conversation leaves ids at the desk and the custom fields out for its User: the
// Agent's owner may have put things there that are for Operators.
func conversation(ctx context.Context, c handoff.Conversation) *model.Conversation {
	m := &model.Conversation{
		ID:      c.ID,
		AgentID: c.AgentID,
		Channel: model.Channel(c.Channel),
		User: &model.User{
			ID:          model.Optional(c.User.ID),
			AnonymousID: model.Optional(c.User.AnonymousID),
			Name:        model.Optional(c.User.Name),
			Email:       model.Optional(c.User.Email),
			Phone:       model.Optional(c.User.Phone),
		},
		Language:      model.Optional(c.Language),
		CustomFields:  make([]model.FieldValue, 0, len(c.CustomFields)),
		Control:       model.Control(c.Control),
		Epoch:         c.Epoch,
		LastSeq:       c.LastSeq,
		AwaitsAgent:   c.AwaitsAgent(),
		OpenHandoffID: c.OpenHandoffID,
		CreatedAt:     c.CreatedAt,
		UpdatedAt:     c.UpdatedAt,
	}
	if isUser(ctx) {
		return m
	}
	m.DeskConnectionID, m.DeskRef = model.Optional(c.ConnectionID), model.Optional(c.DeskRef)
	for _, name := range slices.Sorted(maps.Keys(c.CustomFields)) {
		m.CustomFields = append(m.CustomFields, model.FieldValue{Name: name, Value: c.CustomFields[name]})
	}
	return m
}

// events views a part of the log.
func events(list []handoff.Event) []model.Event {
	nodes := make([]model.Event, 0, len(list))
	for i := range list {
		if entry, ok := model.EntryOf(&list[i]); ok {
			nodes = append(nodes, entry)
		}
	}
	return nodes
}

// messages views events that are all messages.
func messages(list []handoff.Event) []model.Message {
	nodes := make([]model.Message, len(list))
	for i := range list {
		nodes[i] = model.MessageOf(&list[i])
	}
	return nodes
}
