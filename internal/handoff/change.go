package handoff

import "time"

// Snapshot is what a decision sees: one Conversation and its open Handoff, as of one moment.
type Snapshot struct {
	Conversation Conversation
	Handoff      *Handoff // the open one; nil = none
}

// Change is what a decision wants committed, all of it or nothing.
type Change struct {
	// Conversation and Handoff are the new values; nil = unchanged. The store
	// raises their versions and the Conversation's LastSeq by itself.
	Conversation *Conversation
	Handoff      *Handoff
	NewHandoff   bool // Handoff is inserted instead of updated

	// Events are appended in order; the store numbers them from LastSeq+1.
	Events []Event
	// Deliveries are queued in order, each at the end of its lane. With EventIndex
	// a delivery refers to an event of this very change.
	Deliveries []QueuedDelivery
	// Drop removes what a Handoff has still to deliver, before Deliveries are queued.
	// One that is under way is removed too: its worker keeps the lease, and finishing
	// a row that is gone is not an error.
	Drop *Drop
	// Finish records the outcome of the delivery that caused this change. The lane
	// stays leased, even when it is empty now: the worker goes on with its head.
	Finish *FinishDelivery
	// Lease asks for the lane of Deliveries, if it is idle, for the worker who is to
	// deliver at once; nil = whoever claims it first delivers. Not with Finish or
	// Drop, and only when all deliveries are of one lane.
	Lease *Lease
	// Once remembers the answer under an idempotency key of a mutation.
	Once *OnceKey
}

// Drop names the deliveries of one Handoff in its lane that are neither dead nor
// SAY: what is said in a desk's messenger is owed to the User, not to the Handoff.
type Drop struct {
	Lane      string
	HandoffID string
}

// QueuedDelivery is a delivery to queue.
type QueuedDelivery struct {
	Delivery
	// EventIndex ≥ 0: EventSeq is the number that Events[EventIndex] gets. -1: EventSeq counts as it is.
	EventIndex int
}

// FinishDelivery ends a delivery under the lease of the worker: the row is removed,
// or kept as dead.
type FinishDelivery struct {
	Lane    string
	LaneSeq int64
	Owner   string
	// Dead keeps the row as DEAD with these Attempts and Last… fields; nil = it
	// arrived, or is no longer wanted, and the row is removed.
	Dead *Delivery
}

// OnceKey makes a mutation with an idempotency key happen once.
type OnceKey struct {
	Scope  string // who and what, e.g. "agt_…/requestHandoff"
	Key    string
	Result string // the id of what was made
	At     time.Time
}

// Decide turns a snapshot into a change. It must be pure: it may run more than
// once. A nil change commits nothing and is not an error.
type Decide func(Snapshot) (*Change, error)

// Committed is what a successful [Store.Change] made.
type Committed struct {
	Conversation Conversation
	Handoff      *Handoff // as written by the change, else the open one of the snapshot
	Events       []Event  // with their numbers
	// Duplicate: an event with the key exists; nothing was decided. Events holds it.
	Duplicate bool
	// Lanes that have something to deliver now.
	Lanes []string
	// Leased is the first delivery of the lane that Change.Lease asked for; nil = it
	// asked for none, or the lane was not idle.
	Leased *Delivery
	// Changed is false when the decision returned nil.
	Changed bool
}
