package handoff

import (
	"context"
	"time"
)

// Page asks for a slice of a list, newest first unless the list says otherwise.
type Page struct {
	First int    // 1..MaxPageSize
	After string // opaque cursor of the last item seen; "" = from the start
}

// MaxPageSize and DefaultPageSize bound every list.
const (
	MaxPageSize     = 100
	DefaultPageSize = 20
)

// List is one page.
type List[T any] struct {
	Items   []T
	Cursors []string // one per item
	HasNext bool
}

// Store is the database. Every method is one short transaction. It returns
// NotFound faults for missing rows and Conflict faults for broken unique rules.
type Store interface {
	AgentStore
	ConnectionStore
	ConversationStore
	HandoffStore
	DeliveryStore
	DeskMemoryStore
	CheckStore
}

// AgentStore keeps Agents, their settings and their keys.
type AgentStore interface {
	CreateAgent(ctx context.Context, a Agent, once *OnceKey) (Agent, error) // with a known once: the Agent made before
	Agent(ctx context.Context, id string) (Agent, error)                    // deleted ones are not found
	Agents(ctx context.Context, p Page) (List[Agent], error)
	// UpdateAgent loads, lets change modify name and settings, and saves; it
	// repeats when somebody else was faster.
	UpdateAgent(ctx context.Context, id string, now time.Time, change func(*Agent) error) (Agent, error)
	// DeleteAgent hides the Agent, revokes its keys and removes its connections'
	// credentials. Its conversations are no longer reachable.
	DeleteAgent(ctx context.Context, id string, now time.Time) error

	CreateKey(ctx context.Context, k AgentKey) error // LimitReached beyond MaxKeysPerAgent keys that are not revoked
	Keys(ctx context.Context, agentID string) ([]AgentKey, error)
	RevokeKey(ctx context.Context, agentID, keyID string, now time.Time) (AgentKey, error) // revoking twice keeps the first time
	// FindAgentKey gives id and Agent of a key that is neither revoked nor of a deleted Agent.
	FindAgentKey(ctx context.Context, hash string) (keyID, agentID string, err error)
}

// ConnectionStore keeps DeskConnections.
type ConnectionStore interface {
	CreateConnection(ctx context.Context, c Connection, once *OnceKey) (Connection, error)
	Connection(ctx context.Context, id string) (Connection, error)
	Connections(ctx context.Context, agentID string) ([]Connection, error)
	ConnectionByToken(ctx context.Context, receiveToken string) (Connection, error)
	UpdateConnection(ctx context.Context, id string, now time.Time, change func(*Connection) error) (Connection, error)
	// ActivateConnection makes it the only active one of its Agent and mode.
	ActivateConnection(ctx context.Context, id string, now time.Time) (Connection, error)
	DeleteConnection(ctx context.Context, id string) error // with its deliveries
	// ConnectionsToCheck claims unavailable connections whose NextCheckAt has come,
	// moving it to next so that other replicas leave them alone.
	ConnectionsToCheck(ctx context.Context, now, next time.Time, limit int) ([]Connection, error)
}

// ConversationStore keeps Conversations and their logs.
type ConversationStore interface {
	CreateConversation(ctx context.Context, c Conversation, once *OnceKey) (Conversation, error)
	Conversation(ctx context.Context, id string) (Conversation, error)
	// ConversationByRef finds the one of a session in a desk's messenger.
	ConversationByRef(ctx context.Context, connectionID, deskRef string) (Conversation, error)
	Conversations(ctx context.Context, f ConversationFilter, p Page) (List[Conversation], error)
	// AwaitingConversations lists those that await these Agents in a desk's messenger,
	// with (UpdatedAt, ID) > (since, afterID), in that order, at most limit.
	AwaitingConversations(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]Conversation, error)
	// Change is the one way to change a Conversation, its Handoff and its log; see
	// the package comment. With a key, an event of that key that already exists
	// answers the call (Committed.Duplicate) and decide is not asked.
	Change(ctx context.Context, conversationID, key string, decide Decide) (Committed, error)
	// Events reads the log in order: seq > after, at most limit.
	Events(ctx context.Context, conversationID string, after int64, limit int) ([]Event, error)
	// MessagesBefore reads at most limit messages with seq <= upTo, the newest
	// first.
	MessagesBefore(ctx context.Context, conversationID string, upTo int64, limit int) ([]Event, error)
	// Event reads one event.
	Event(ctx context.Context, conversationID string, seq int64) (Event, error)
	// LastSeqs gives the newest seq of each Conversation that exists.
	LastSeqs(ctx context.Context, conversationIDs []string) (map[string]int64, error)
	// Once looks an idempotency key up; "" = unknown.
	Once(ctx context.Context, scope, key string) (string, error)
}

// ConversationFilter selects Conversations of an Agent.
type ConversationFilter struct {
	AgentID string
	// AwaitsAgent: only those in a desk's messenger that await the Agent, the longest
	// waiting first instead of the newest.
	AwaitsAgent bool
}

// HandoffFilter selects Handoffs for a console. Zero fields select everything.
type HandoffFilter struct {
	AgentID        string
	ConversationID string
	ConnectionID   string
	DeskKind       string
	States         []State
	Reasons        []CloseReason
	RequestedFrom  time.Time // inclusive; zero = open
	RequestedUntil time.Time // exclusive; zero = open
	ReadsLog       bool      // only those whose Operators read the log here: the queue of the built-in desk
	ClaimedBy      string    // only those that this Operator has claimed
	// OldestFirst lists by the time of the request, the oldest first, instead of the
	// newest first.
	OldestFirst bool
}

// HandoffStore keeps Handoffs. They are written by [ConversationStore.Change] only.
type HandoffStore interface {
	Handoff(ctx context.Context, id string) (Handoff, error)
	// HandoffByRef finds the newest Handoff of a connection with this id at the desk;
	// of any connection when connectionID is empty.
	HandoffByRef(ctx context.Context, connectionID, deskRef string) (Handoff, error)
	Handoffs(ctx context.Context, f HandoffFilter, p Page) (List[Handoff], error)
	// OpenHandoffIDs lists the open Handoffs of an Agent or a connection, oldest first.
	OpenHandoffIDs(ctx context.Context, agentID, connectionID string, limit int) ([]string, error)
	// CountHandoffs counts by state those that are open.
	CountOpenHandoffs(ctx context.Context) (map[State]int64, error)
	// DueHandoffs lists Handoffs whose deadline is at or before now, the oldest
	// first, and when to ask again: not later than the earliest deadline after that
	// (zero = there is none).
	DueHandoffs(ctx context.Context, now time.Time, limit int) (due []Handoff, next time.Time, err error)

	AddNote(ctx context.Context, n OperatorNote) error
	Notes(ctx context.Context, handoffID string) ([]OperatorNote, error)
}

// OperatorNote is a private note of an Operator at the built-in desk. It is not
// an Event: what the User must not see is not in the log.
type OperatorNote struct {
	ID        string
	HandoffID string
	Operator  string
	Text      string
	At        time.Time
}

// DeliveryStore keeps what is on its way to a desk.
type DeliveryStore interface {
	// ClaimLanes leases lanes that are ready and free, at most limit. Every call needs
	// an owner of its own, or a worker that lost a lane could finish under a later lease.
	ClaimLanes(ctx context.Context, owner string, now, until time.Time, limit int) ([]Lease, error)
	// NextReady is the earliest time at which a lane becomes ready or a lease ends; zero = never.
	NextReady(ctx context.Context) (time.Time, error)
	// RenewLease prolongs a lease; false when it was lost.
	RenewLease(ctx context.Context, l Lease, until time.Time) (bool, error)
	// Head is the first delivery of a lane that is not dead; false when there is none.
	Head(ctx context.Context, lane string) (Delivery, bool, error)
	// FinishDelivery ends a delivery (see the type), under the owner's lease, and
	// gives the next one of the lane that is not dead. Without a next one the lane is released. It
	// does nothing (false) when the lease was lost.
	FinishDelivery(ctx context.Context, f FinishDelivery, now time.Time) (next Delivery, more bool, err error)
	// PostponeDelivery records a failed attempt and releases the lane until retryAt;
	// what is queued meanwhile waits too. Conflict when the lease was lost.
	PostponeDelivery(ctx context.Context, f FinishDelivery, retryAt time.Time, failed Delivery) error
	// ReleaseLane gives a lane back untouched: no attempt counts. An empty one is not
	// ready again. It does nothing when the lease was lost.
	ReleaseLane(ctx context.Context, lane, owner string, now time.Time) error
	// DropDeliveries removes what a Handoff has still to deliver, under the owner's
	// lease, which stays. Conflict when the lease was lost.
	DropDeliveries(ctx context.Context, d Drop, owner string) error

	Delivery(ctx context.Context, id string) (Delivery, error)
	Deliveries(ctx context.Context, f DeliveryFilter, p Page) (List[Delivery], error)
	// ReplayDelivery makes a dead delivery pending again, with its attempts forgotten.
	// It keeps its place while everything after it is still there and nothing is under
	// way; otherwise it goes to the end of its lane. NotAllowedInState when it is not dead.
	ReplayDelivery(ctx context.Context, id string, now time.Time) (Delivery, error)
	// ReplayConnection does it for every dead delivery of a connection, at most limit; it gives how many.
	ReplayConnection(ctx context.Context, connectionID string, now time.Time, limit int) (int, error)
}

// Desks is what the business asks of the desks outside any transaction.
type Desks interface {
	// Describe gives the declaration of a kind; false = unknown kind.
	Describe(kind string) (DeskDescription, bool)
	// Descriptions lists all kinds in a fixed order.
	Descriptions() []DeskDescription
	// Check looks at the fields of a connection without calling anybody: a bad
	// address or an unusable combination is an InvalidInput fault.
	Check(kind string, mode Mode, fields map[string]string) error
	// Verify makes a live check with the connection's credentials; nil = it works.
	Verify(ctx context.Context, c Connection) error
	// Signal tells the desk that the User types or has read, where it wants to
	// know. Best effort, never waits.
	Signal(ctx context.Context, c Connection, h Handoff, s Signal)
	// Forget drops what is cached of a connection after it changed.
	Forget(connectionID string)
}

// Signal is a sign of life that is not stored.
type Signal struct {
	ConversationID string
	Author         Author // USER or OPERATOR
	Kind           SignalKind
	At             time.Time
	QueuePlace     int // with QUEUED: 1 = next; 0 = unknown
}

// SignalKind says which sign.
type SignalKind string

// The signals.
const (
	SignalTyping SignalKind = "TYPING"
	SignalRead   SignalKind = "READ"
	// SignalQueued: the User's place in the desk's queue changed. Only desks say so.
	SignalQueued SignalKind = "QUEUED"
)

// Feed tells subscribers what was committed. No method waits or fails: each is a
// hint, and whoever missed it finds the rows.
type Feed interface {
	Committed(agentID, conversationID string, events []Event)
	HandoffChanged(h Handoff)
	// ConversationAwaits: its User, in a desk's messenger, has turned to the Agent.
	ConversationAwaits(c Conversation)
	Signalled(s Signal)
	// Follow hands over every event after the given seq in order until ctx ends or
	// the handler returns false.
	Follow(ctx context.Context, conversationID string, after int64, handle func(Event) bool) error
}

// Alarm wakes the workers.
type Alarm interface {
	// Reserve keeps an idle worker ready for what is about to be queued: Owner and
	// Until of the lease that he works under. false = none is idle, or others wait for
	// one. Each reservation ends with either Start or Dismiss.
	Reserve() (Lease, bool)
	Start(l Lease, head Delivery) // deliver the lane, beginning with this
	Dismiss()
	Deliver(lanes ...string) // these lanes have something to deliver
	DeadlineAt(at time.Time) // a deadline was set for this time
}

// Sealer encrypts desk credentials.
type Sealer interface {
	Seal(aad string, plain []byte) (string, error)
	Open(aad, sealed string) ([]byte, error)
}

// Counters counts what operators of the service watch.
type Counters interface {
	HandoffRequested(deskKind string, outcome Outcome)
	HandoffClosed(deskKind string, reason CloseReason)
	MessageAccepted(author Author)
}
