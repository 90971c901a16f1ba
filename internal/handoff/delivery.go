package handoff

import (
	"time"

	"handoff/internal/fault"
)

// DeliveryKind says what a Delivery brings to the other side.
type DeliveryKind string

// The kinds.
const (
	DeliverOpen    DeliveryKind = "OPEN"    // open the session at the desk, with the context
	DeliverMessage DeliveryKind = "MESSAGE" // one message of the User
	DeliverClose   DeliveryKind = "CLOSE"   // the session ended on our side
	DeliverSay     DeliveryKind = "SAY"     // what the Agent or a standard text says in a desk's messenger
)

// DeliveryStatus says how far a Delivery is. A delivery that succeeded is removed.
type DeliveryStatus string

// The statuses.
const (
	DeliveryPending DeliveryStatus = "PENDING" // waiting for its turn, never tried
	DeliveryFailed  DeliveryStatus = "FAILED"  // tried without success, will be tried again
	DeliveryDead    DeliveryStatus = "DEAD"    // given up; can be replayed
)

// Delivery is one outgoing effect that must reach the other side, in order within its lane.
//
// It refers to the log instead of copying it: the message is EventSeq of the
// Conversation, the context of an OPEN is read from the log when it is delivered.
type Delivery struct {
	ID             string // also sent to the desk where it can drop repeats
	Lane           string // deliveries of one lane go out one after the other
	LaneSeq        int64  // 1, 2, 3 … per lane; filled by the store
	AgentID        string
	ConnectionID   string
	ConversationID string
	HandoffID      string // "" with a SAY that belongs to none
	Kind           DeliveryKind
	EventSeq       int64 // with MESSAGE and SAY
	Status         DeliveryStatus
	Attempts       int // attempts whose outcome was recorded
	LastError      string
	LastErrorKind  fault.Kind
	LastErrorAt    time.Time
	CreatedAt      time.Time
}

// LaneOf is the lane of a Handoff at its desk. One lane per Handoff keeps the
// order of one session and lets all others overtake it when its desk is slow.
func LaneOf(handoffID string) string { return "desk:" + handoffID }

// MessengerLane is the one lane of a Conversation in a desk's messenger: what is
// said there and the handoffs between are one dialogue, and keep their order.
func MessengerLane(conversationID string) string { return "messenger:" + conversationID }

// Lease is the right of one worker to deliver a lane until Until.
type Lease struct {
	Lane  string
	Owner string // unique per claim
	Until time.Time
	// Abandoned: the lane was taken over from a worker that never released it, so
	// the outcome of its first delivery is unknown.
	Abandoned bool
}

// DeliveryFilter selects deliveries for a list. Zero fields select everything.
type DeliveryFilter struct {
	AgentID      string
	ConnectionID string
	HandoffID    string
	Status       DeliveryStatus
}
