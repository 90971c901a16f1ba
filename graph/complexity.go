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
// Four rows count as one where full pages are the normal thing. In the lists of a
// console (those of an Agent, and the operators' queue) they are, so that 100
// handoffs with their conversations and connections fit; these lists cannot be
// nested in each other. In the log they are, and the sum is too high anyway: an
// event has one of four types, but what is selected of all of them is added up.
const (
	queryCost = 3 // a field that asks the database for each object
	cheapRows = 4 // so many rows of a console's list, or of the log, cost as one
)

// Sizes of lists that have no pages, as they usually are.
const (
	usualKeys        = 10
	usualConnections = 4
	usualNotes       = 10
	usualTranscript  = 100
	usualUnanswered  = 10
)

// returnPackageCost is what reading the human part costs, whatever is selected of it.
const returnPackageCost = 50

// rows is the cost of a page.
func rows(first, child int) int { return queryCost + min(max(first, 1), handoff.MaxPageSize)*child }

// cheapPage is the cost of a page where full pages are the normal thing.
func cheapPage(first, child int) int { return queryCost + rows(first, child)/cheapRows }

// unpaged is the cost function of a list without pages, at a price besides its items.
func unpaged(price, usual int) func(int) int {
	return func(child int) int { return price + usual*child }
}

// one is the cost function of a field with a query of its own.
func one(child int) int { return queryCost + child }

// costs prices the fields that do not simply cost one and their children.
func costs() ComplexityRoot {
	var c ComplexityRoot

	c.Query.Agents = func(child, first int, _ *string) int { return rows(first, child) }
	c.Query.OperatorQueue = func(child int, _ string, _ *string, first int, _ *string) int { return cheapPage(first, child) }

	c.Agent.Ready = one
	c.Agent.ServiceStatus = one
	c.Agent.Keys = unpaged(queryCost, usualKeys)
	c.Agent.DeskConnections = unpaged(queryCost, usualConnections)
	c.Agent.Handoffs = func(child int, _ *model.HandoffFilter, first int, _ *string) int { return cheapPage(first, child) }
	c.Agent.Conversations = func(child int, _ *model.ConversationFilter, first int, _ *string) int { return cheapPage(first, child) }
	c.Agent.Deliveries = func(child int, _ *model.DeliveryFilter, first int, _ *string) int { return cheapPage(first, child) }
	c.ServiceHours.IsOpen = func(child int, _ *time.Time) int { return queryCost + child }
	c.ServiceHours.Windows = func(child int, _ hours.Date) int { return queryCost + child }
	c.ServiceHours.NextOpening = func(child int, _ *time.Time) int { return queryCost + child }

	c.DeskConnection.Deliveries = func(child int, _ *model.DeliveryStatus, first int, _ *string) int { return rows(first, child) }

	c.Conversation.OpenHandoff = one
	c.Conversation.Events = func(child int, _ int64, first int) int { return cheapPage(first, child) }
	c.Conversation.Handoffs = func(child, first int, _ *string) int { return rows(first, child) }

	c.Handoff.Conversation = one
	c.Handoff.DeskConnection = one
	c.Handoff.OperatorNotes = unpaged(queryCost, usualNotes)
	c.Handoff.ReturnPackage = func(child int) int { return returnPackageCost + child }
	c.ReturnPackage.Transcript = unpaged(1, usualTranscript)
	c.ReturnPackage.Unanswered = unpaged(1, usualUnanswered)
	c.Handoff.Deliveries = func(child int, _ *model.DeliveryStatus, first int, _ *string) int { return rows(first, child) }
	return c
}
