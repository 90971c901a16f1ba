package handoff

import "time"

// Handoff is one human-service session inside a Conversation, from the request to its end.
//
// What the settings said at the request is copied here: changing the settings
// later never changes a running session.
type Handoff struct {
	ID             string
	ConversationID string
	AgentID        string
	ConnectionID   string
	DeskKind       string
	Mode           Mode

	State  State
	Reason CloseReason // with CLOSED

	// DeskRef is the id of this session at the desk. It starts as a fresh 24-digit
	// hexadecimal id, the shape that GPTBots uses on the wire; a desk that makes
	// ids of its own replaces it when it accepts, or when it has made something.
	DeskRef string
	// DeskBegun: an attempt to open the session failed after it had made DeskRef at
	// the desk. The next attempt goes on there; without one it must be closed.
	DeskBegun bool

	Email   string // the address that the desk gets; "" = none
	Note    string // for the Operator only, at most MaxNoteRunes
	Summary string // for the Operator only, at most MaxNoteRunes

	RequestSeq    int64 // the newest event at the request: the context ends there
	ContextRounds int   // how many rounds before the newest question go to the desk
	EmailPolicy   EmailPolicy
	EmailTries    int     // how often the User answered the e-mail question with something else
	HeldSeqs      []int64 // messages typed during the e-mail step, for the desk once it is opened

	Operator       string // name of the Operator who answers, "" = unknown
	ClaimedBy      string // built-in desk: the Operator who took it from the queue
	WaitTimeout    Seconds
	SessionTimeout Seconds
	AskToWait      bool
	Language       string

	DeadlineKind DeadlineKind
	DeadlineAt   time.Time // zero = none

	// CheckAt is when its desk is asked next for events that did not reach us; zero =
	// never. It is set at the request and then moved by the [CheckStore] only.
	CheckAt time.Time

	RequestedAt  time.Time
	AcceptedAt   time.Time // the desk accepted; zero = not yet
	WaitingSince time.Time // since when the User waits for an Operator; zero = does not wait
	ConnectedAt  time.Time // first message of an Operator; zero = not yet
	ClosedAt     time.Time // zero = open
	EndSeq       int64     // the last event that belongs to it; 0 = open

	// DeskClosed: the desk ended it, or never had it; it must not be told again.
	DeskClosed bool
	// DeskReadsLog: Operators read the log here, so messages need no delivery.
	DeskReadsLog bool
	UpdatedAt    time.Time
	Version      int64 // grows at every change; consoles drop older versions
}

// Limits of a Handoff.
const (
	MaxNoteRunes  = 2_000
	MaxEmailTries = 3
)

// Open reports whether the session has not ended.
func (h *Handoff) Open() bool { return h.State != StateClosed }

// DeadlineKind says what a Handoff's deadline is for.
type DeadlineKind string

// The deadlines. A Handoff has at most one at a time.
const (
	DeadlineNone    DeadlineKind = ""
	DeadlineEmail   DeadlineKind = "EMAIL"   // the User must give an address
	DeadlineWait    DeadlineKind = "WAIT"    // an Operator must write
	DeadlineAnswer  DeadlineKind = "ANSWER"  // the User must say whether to keep waiting
	DeadlineSession DeadlineKind = "SESSION" // the User must write
)

// input is what the lifecycle makes of a deadline that has passed.
func (h *Handoff) deadlineInput() Input {
	switch h.DeadlineKind {
	case DeadlineEmail:
		return EmailAbandoned
	case DeadlineWait:
		if h.AskToWait {
			return WaitElapsed
		}
		return WaitEnded
	case DeadlineAnswer:
		return AnswerElapsed
	case DeadlineSession:
		return SessionElapsed
	case DeadlineNone:
	}
	return ""
}
