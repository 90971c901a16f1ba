// Package model holds the types of the GraphQL API: those that gqlgen generates
// from the schema, and views of the log's events. They stay at the edge; package
// handoff never sees them.
package model

import (
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

// Optional is nil for a zero value, which package handoff uses for what is not
// there, and a pointer to the value otherwise.
func Optional[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// Schedule gives the service hours of an Agent. Building them costs something,
// so it is left to the fields that ask.
type Schedule func() (*hours.Schedule, error)

// Connections gives the links of an Agent to desks, read once for all fields that ask.
type Connections func() ([]handoff.Connection, error)

// Siblings is what the Handoffs of one page look up together.
type Siblings struct {
	Conversations *Lookup[handoff.Conversation]
	Connections   *Lookup[handoff.Connection]
}
