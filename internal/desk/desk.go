// Package desk is the contract between Handoff and the customer-service systems
// that it hands chats to, the explicit list of them, and what they share: the
// HTTP client that refuses private networks, and the wrapper that keeps the
// service status and breaks the circuit.
//
// A desk system lives in its own package below this one and offers a [Driver].
// A driver declares what the system can do and makes a [Desk] for one configured
// connection. A Desk only speaks the system's protocol: the relay retries, keeps
// the order, and decides by the declaration, never by the name.
package desk

import (
	"context"
	"errors"
	"net/http"
	"time"

	"handoff/internal/handoff"
)

// Driver is one desk system.
type Driver interface {
	// Describe is the declaration; always the same value.
	Describe() handoff.DeskDescription
	// Connect makes the Desk of one connection. It calls nobody; fields have been
	// checked against the declaration. Its fault names a field ("fields.url").
	Connect(Settings) (Desk, error)
}

// Settings are what a driver gets for one connection.
type Settings struct {
	ConnectionID string
	Mode         handoff.Mode
	Fields       map[string]string // plain and secret ones, defaults filled in
	HTTP         *http.Client      // guarded; see [NewHTTPClient]
	Memory       Memory            // what the desk keeps of this connection
	Now          func() time.Time
}

// ErrMemoryChanged says that somebody else, perhaps another replica, has written
// the key since it was read: read again and decide again.
var ErrMemoryChanged = errors.New("desk: the memory has changed meanwhile")

// Memory is a small store of a connection for what its desk must not forget and no
// field holds: identities that the desk gave to Users, tokens that were renewed. It
// is shared by all replicas, outlives a change of the connection's fields, and is
// removed with the connection. What depends on an account has the account in its key.
//
// Values are encrypted, keys are not: a key names a thing by our own ids and holds
// nothing of a person. A connection has at most [handoff.MaxDeskMemory] keys. When
// there are more, those written longest ago are forgotten, if that is at least
// [handoff.DeskMemoryKept] ago; so a desk can make again whatever it keeps here, or
// writes it again now and then.
type Memory interface {
	// Get gives the value of a key with its version; version 0 = there is none.
	Get(ctx context.Context, key string) (value []byte, version int64, err error)
	// Put writes the value if the key still has the version that was read (0 = none
	// yet), and gives the new version; else [ErrMemoryChanged]. A nil value removes it.
	// A key has at most 200 bytes, a value at most 8 KiB.
	Put(ctx context.Context, key string, value []byte, version int64) (int64, error)
}

// Desk is one configured connection to a desk system. Implementations are safe
// for concurrent use and keep no state that a second replica would miss.
//
// Errors are *fault.Fault with a Desk… kind, the stage that the request reached,
// and the wait that the desk asked for. They contain no secret and no text of a
// person. A cancelled context gives fault.Canceled with the stage.
type Desk interface {
	// Verify makes a live check that changes nothing at the desk: is it there, and
	// does it accept the credentials?
	Verify(ctx context.Context) error
	// Open opens a session with the context. The desk has accepted when it returns nil.
	// A desk that fails after something was made there gives its Ref beside the error:
	// the next attempt gets it as Begun, and without a next one it is closed. A Ref that
	// another open session of the connection has is a refusal. In DESK_TO_DESK the User is already in the session
	// ProposedRef: Open brings the context and gives the session to the Operators.
	Open(ctx context.Context, r OpenRequest) (Opened, error)
	// Send brings one message of the User. A session that the desk no longer has
	// gives fault.DeskGone.
	Send(ctx context.Context, r SendRequest) (Sent, error)
	// Close tells the desk that the session ended on our side. A session that has
	// already ended there is not an error. In DESK_TO_DESK it takes the session back
	// from the Operators; the User stays in the messenger.
	Close(ctx context.Context, r CloseRequest) error
	// Receive authenticates one incoming request over its exact bytes and
	// translates it. Unknown kinds of events give no event and no error; a bad
	// signature gives fault.Unauthenticated; garbage gives fault.InvalidInput.
	Receive(ctx context.Context, r Inbound) ([]handoff.DeskEvent, error)
}

// Speaker is offered by desks that declare DESK_TO_DESK: it writes to the User in
// the desk's own messenger, where the Agent is a teammate.
type Speaker interface {
	Say(ctx context.Context, r SayRequest) (Sent, error)
}

// SpeakerReconciler is offered by Speakers that declare OutcomeReadBack.
type SpeakerReconciler interface {
	FindSaid(ctx context.Context, r SayRequest) (Sent, bool, error)
}

// Rememberer is offered by desks that declare CatchUp, because their requests to us
// can get lost: it reads what happened in an open session.
type Rememberer interface {
	// Missed gives the events of a session since a moment, oldest first, as Receive
	// would have given them, with the same ids. It may repeat what has been told, and
	// should for a while before that moment where the desk shows events late. A session
	// that has ended, or that the desk no longer has, gives an ENDED event, not an
	// error; one that was ended and opened again gives none.
	//
	// Messages, ends and what the User wrote are taken; the rest is skipped, since it
	// may be older than what is known. The User reads messages in the order in which
	// they reach us: one that was lost comes after later ones that were not.
	Missed(ctx context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error)
}

// TypingSender is offered by desks that declare Typing.
type TypingSender interface {
	SendTyping(ctx context.Context, ref string) error
}

// ReadSender is offered by desks that declare ReadReceipts.
type ReadSender interface {
	SendRead(ctx context.Context, ref string) error
}

// Reconciler is offered by desks that declare OutcomeReadBack: it looks whether an
// attempt whose outcome is unknown has arrived.
type Reconciler interface {
	FindOpened(ctx context.Context, r OpenRequest) (Opened, bool, error)
	FindSent(ctx context.Context, r SendRequest) (Sent, bool, error)
}

// Attempt identifies one delivery through all its repeats.
type Attempt struct {
	DeliveryID string // the same in every repeat
	Repeat     bool   // an earlier attempt may have arrived
	// At is when the thing happened (the message was accepted, the session
	// requested or ended), the same in every repeat.
	At time.Time
}

// OpenRequest asks a desk to open a session.
type OpenRequest struct {
	Attempt
	HandoffID    string
	AgentID      string
	ProposedRef  string // 24 hexadecimal digits, unique; for desks without ids of their own
	Begun        string // the Ref that an earlier attempt gave beside its error: go on there; "" = none
	Channel      handoff.Channel
	User         handoff.User // Email is the address to use, fallback included; "" = none
	EmailGiven   bool         // the address is the User's own, not the fallback
	Language     string
	CustomFields map[string]string
	Note         string
	Summary      string
	// Rounds are the last rounds before the newest question, oldest first.
	Rounds []Round
	// Question is the newest question of the User; zero when the User has written nothing.
	Question Text
	// Answer is what the Agent has answered to it already; mostly zero.
	Answer Text
}

// Round is one question of the User with the Agent's answer. Either may be empty.
type Round struct {
	Question Text
	Answer   Text
}

// Text is what somebody wrote, files included.
type Text struct {
	Body        string
	Attachments []handoff.Attachment
	At          time.Time
}

// Empty reports whether there is nothing in it.
func (t *Text) Empty() bool { return t.Body == "" && len(t.Attachments) == 0 }

// Opened is the desk's acceptance.
type Opened struct {
	Ref string // the id of the session at the desk
}

// SendRequest brings a message of the User.
type SendRequest struct {
	Attempt
	Ref  string
	Text Text
}

// SayRequest brings a message of the Agent, or a standard text, to the User.
type SayRequest struct {
	Attempt
	Ref    string
	Author handoff.Author // AGENT or SYSTEM
	Text   Text
}

// Sent is the desk's receipt.
type Sent struct {
	ID string // the desk's id of the message, "" where it has none
}

// CloseRequest tells why the session ended on our side.
type CloseRequest struct {
	Attempt
	Ref    string
	Reason handoff.CloseReason
}

// Inbound is one request that came in for a connection.
type Inbound struct {
	Path       string // below the receiving address, without a leading slash
	Header     http.Header
	Body       []byte // exactly as received
	ReceivedAt time.Time
}
