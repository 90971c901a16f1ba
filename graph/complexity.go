package graph

import (
	"time"

	"handoff/graph/model"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

// What an operation costs before it runs, to be compared with a limit of about
// 1,000: one for each value in the answer, counted as if every page were full,
// and queryCost more for a field that asks the database for each of its objects.
//
// The lists of a console (everything below Agent, and the operators' queue) count
// four rows as one, so that a page of 100 handoffs with their conversations and
// connections fits. They cannot be nested in each other, so the discount is given
// once, and an answer has at most four values for each point of the limit.
const (
	queryCost   = 3 // a field that asks the database for each object
	consoleRows = 4 // rows of a console's list that cost one
)

// Sizes of lists that have no pages, as they usually are.
const (
	usualKeys        = 10
	usualConnections = 4
	usualNotes       = 10
	usualTranscript  = 100
)

// rows is the cost of a page.
func rows(first, child int) int { return queryCost + min(max(first, 1), handoff.MaxPageSize)*child }

// consolePage is the cost of a page of a list that a console shows.
func consolePage(first, child int) int { return queryCost + rows(first, child)/consoleRows }

// unpaged is the cost function of a list without pages.
func unpaged(usual int) func(int) int {
	return func(child int) int { return queryCost + usual*child }
}

// one is the cost function of a field with a query of its own.
func one(child int) int { return queryCost + child }

// costs prices the fields that do not simply cost one and their children.
func costs() ComplexityRoot {
	var c ComplexityRoot

	c.Query.Agents = func(child, first int, _ *string) int { return rows(first, child) }
	c.Query.OperatorQueue = func(child int, _ string, _ *string, first int, _ *string) int { return consolePage(first, child) }

	c.Agent.Ready = one
	c.Agent.ServiceStatus = one
	c.Agent.Keys = unpaged(usualKeys)
	c.Agent.DeskConnections = unpaged(usualConnections)
	c.Agent.Handoffs = func(child int, _ *model.HandoffFilter, first int, _ *string) int { return consolePage(first, child) }
	c.Agent.Conversations = func(child, first int, _ *string) int { return consolePage(first, child) }
	c.Agent.Deliveries = func(child int, _ *model.DeliveryFilter, first int, _ *string) int { return consolePage(first, child) }
	c.ServiceHours.IsOpen = func(child int, _ *time.Time) int { return queryCost + child }
	c.ServiceHours.Windows = func(child int, _ hours.Date) int { return queryCost + child }
	c.ServiceHours.NextOpening = func(child int, _ *time.Time) int { return queryCost + child }

	c.DeskConnection.Deliveries = func(child int, _ *model.DeliveryStatus, first int, _ *string) int { return rows(first, child) }

	c.Conversation.OpenHandoff = one
	c.Conversation.Events = func(child int, _ int64, first int) int { return rows(first, child) }
	c.Conversation.Handoffs = func(child, first int, _ *string) int { return rows(first, child) }

	c.Handoff.Conversation = one
	c.Handoff.DeskConnection = one
	c.Handoff.OperatorNotes = unpaged(usualNotes)
	c.Handoff.ReturnPackage = unpaged(usualTranscript)
	c.Handoff.Deliveries = func(child int, _ *model.DeliveryStatus, first int, _ *string) int { return rows(first, child) }
	return c
}
