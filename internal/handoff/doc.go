// Package handoff is the business: the words of the product, the lifecycle of a
// Handoff, the policies around it, and the use cases that callers invoke.
//
// # How a change happens
//
// Everything that changes a Conversation is one [Store.Change]: the store hands
// a consistent [Snapshot] to a pure function that decides, and commits the
// returned [Change] atomically, or calls the function again with a fresher
// snapshot when somebody else was faster. The decision therefore never sees a
// half-written state, never calls a desk, and can be tested without a database.
// After the commit the use case wakes the stream and the relay. Those are hints:
// losing one delays, never loses, because every reader looks at the rows too.
//
// # What the package does not know
//
// It imports no GORM, no gqlgen, no net/http. The small interfaces that it needs
// are in ports.go; package app puts the real things behind them.
package handoff
