package handoff

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"handoff/internal/fault"
)

// ServiceStatus says whether a DeskConnection can take a handoff.
type ServiceStatus string

// The statuses, with the meaning that GPTBots gives them.
const (
	StatusNotConfigured ServiceStatus = "NOT_CONFIGURED" // no credentials
	StatusAvailable     ServiceStatus = "AVAILABLE"      // verified, and the newest calls worked
	StatusUnavailable   ServiceStatus = "UNAVAILABLE"    // a call failed, or the credentials became invalid
)

// Connection is a DeskConnection: an Agent's configured, credentialed link to one
// Desk in one mode.
type Connection struct {
	ID           string
	AgentID      string
	Kind         string // which desk, e.g. "webhook"; see [DeskDescription]
	Mode         Mode
	Name         string
	Active       bool              // at most one per Agent and mode
	Fields       map[string]string // the fields that are not secret, as given
	Sealed       string            // the secret fields, encrypted; see package vault
	SetSecrets   []string          // names of the secret fields that have a value
	ReceiveToken string            // the unguessable part of the message receiving address

	Status        ServiceStatus
	CheckedAt     time.Time // newest verification or call that decided the status
	LastError     string    // safe text of the newest failure, "" = none since the last success
	LastErrorKind fault.Kind
	LastErrorAt   time.Time
	NextCheckAt   time.Time // when an unavailable connection is tried again; zero = not planned

	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64
}

// MaxConnectionsPerAgent bounds the list of an Agent.
const MaxConnectionsPerAgent = 20

// DeskDescription is what a desk declares about itself. The core asks it and
// never switches on a desk's name.
type DeskDescription struct {
	Kind  string // stable key, e.g. "webhook"
	Title string // e.g. "Webhook"
	Modes []Mode
	// Channel is the desk's own messenger, served in DESK_TO_DESK only; "" = none.
	Channel Channel
	Fields  []CredentialField
	// Steps are what the administrator does in the desk, in order.
	Steps []string
	// Receive lists the addresses that the desk must call; {token} stands for the
	// connection's ReceiveToken.
	Receive []ReceiveAddress

	MaxTextRunes int // longest message the desk takes; 0 = no limit known
	Attachments  AttachmentSupport
	History      bool // takes the transferred rounds
	Notes        bool // takes the note and summary for the Operator
	Typing       bool // can be told that the User types
	ReadReceipts bool
	EndsByDesk   bool // tells us when the Operator ends
	// ReadsLog: Operators read the Conversation's log here, so messages need no delivery.
	ReadsLog bool
	// LeavesOnOpen: in DESK_TO_DESK the Agent's seat is out of the session from Open to
	// Close, so the standard texts between them are not said in the messenger.
	LeavesOnOpen bool
	Unknown      UnknownOutcome
	Retry        map[DeliveryKind]RetryPolicy
	// CatchUp is how often open sessions are looked at for events that did not reach
	// us; 0 = never.
	CatchUp time.Duration
	// RequestsPerSecond is how many calls of one connection begin in any second at
	// most, in each replica; 0 = no limit of ours.
	RequestsPerSecond int
}

// CredentialField is one input of the connection form.
type CredentialField struct {
	Name     string
	Label    string
	Hint     string
	Required bool
	Secret   bool   // stored encrypted, never given back
	Pattern  string // RE2; "" = anything
	MaxRunes int    // 0 = DefaultFieldRunes
	Default  string
	Options  []string // a closed choice; empty = free text
	Modes    []Mode   // the modes that ask for it; empty = all
}

// AskedIn reports whether the form of the mode has the field.
func (f *CredentialField) AskedIn(mode Mode) bool {
	return len(f.Modes) == 0 || slices.Contains(f.Modes, mode)
}

// DefaultFieldRunes is the longest value of a field that does not say otherwise.
const DefaultFieldRunes = 1_024

// ReceiveAddress is one address to copy into the desk.
type ReceiveAddress struct {
	Label string
	Path  string // below the public URL
}

// AttachmentSupport says what happens to files in each direction.
type AttachmentSupport struct {
	ToDesk   bool // false: the address of the file is sent as text
	FromDesk bool // false: the User reads a text in its place
}

// UnknownOutcome says what a desk does about an attempt whose outcome is unknown.
type UnknownOutcome string

// The ways to treat an unknown outcome.
const (
	// OutcomeIdempotent: the desk drops a repeat by itself.
	OutcomeIdempotent UnknownOutcome = "IDEMPOTENT"
	// OutcomeReadBack: the desk is asked whether it has it before it is repeated.
	OutcomeReadBack UnknownOutcome = "READ_BACK"
	// OutcomeRepeatMarked: it is repeated with the same ids, so that a careful receiver can drop it.
	OutcomeRepeatMarked UnknownOutcome = "REPEAT_MARKED"
)

// RetryPolicy bounds the attempts of one kind of delivery.
type RetryPolicy struct {
	Attempts int           // at most; at least 1
	Base     time.Duration // wait before the second attempt; doubled or more each time
	Max      time.Duration // longest wait between two attempts
	// OnlyUnsent: repeat only when no byte of the attempt can have arrived.
	OnlyUnsent bool
}

// DefaultRetry is used for kinds that a description does not name: eight attempts in about two minutes.
var DefaultRetry = RetryPolicy{Attempts: 8, Base: time.Second, Max: 30 * time.Second}

// RetryFor is the policy of a kind of delivery.
func (d *DeskDescription) RetryFor(kind DeliveryKind) RetryPolicy {
	if policy, ok := d.Retry[kind]; ok {
		return policy
	}
	return DefaultRetry
}

// Supports reports whether the desk offers the mode.
func (d *DeskDescription) Supports(mode Mode) bool {
	for _, m := range d.Modes {
		if m == mode {
			return true
		}
	}
	return false
}

// Check validates the fields of the connection form of a mode: every required one
// present, none unknown, each within its limits. It returns them trimmed, defaults
// filled in. kept are the names of secrets that are already stored and may be left out.
func (d *DeskDescription) Check(mode Mode, given map[string]string, kept []string) (map[string]string, error) {
	known := make(map[string]bool, len(d.Fields))
	out := make(map[string]string, len(d.Fields))
	for _, f := range d.Fields {
		if !f.AskedIn(mode) {
			continue
		}
		known[f.Name] = true
		value, ok := given[f.Name]
		value = strings.TrimSpace(value)
		if !ok && contains(kept, f.Name) {
			continue
		}
		if value == "" {
			value = f.Default
		}
		at := "fields." + f.Name
		if value == "" {
			if f.Required {
				return nil, fault.Invalid(at, "%s is required", f.Label)
			}
			continue
		}
		limit := f.MaxRunes
		if limit == 0 {
			limit = DefaultFieldRunes
		}
		if n := utf8.RuneCountInString(value); n > limit {
			return nil, fault.Invalid(at, "has %d characters, at most %d are allowed", n, limit)
		}
		if !cleanLine(value) {
			return nil, fault.Invalid(at, "must be one line of valid UTF-8 without control characters")
		}
		if len(f.Options) > 0 && !contains(f.Options, value) {
			return nil, fault.Invalid(at, "must be one of %s", strings.Join(f.Options, ", "))
		}
		if f.Pattern != "" {
			if matched, err := regexp.MatchString(f.Pattern, value); err != nil || !matched {
				return nil, fault.Invalid(at, "does not have the expected form. %s", f.Hint)
			}
		}
		out[f.Name] = value
	}
	for name := range given {
		if !known[name] {
			return nil, fault.Invalid("fields."+name, "%s has no such field", d.Title)
		}
	}
	return out, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// DeskEventKind says what a desk told us.
type DeskEventKind string

// The kinds of events from a desk.
const (
	DeskMessage DeskEventKind = "MESSAGE" // a human's public message, for the User
	DeskJoined  DeskEventKind = "JOINED"  // an Operator took the session, also from another; connects nobody
	DeskEnded   DeskEventKind = "ENDED"   // the Operator ended the session, or gave it back to the Agent
	DeskTyping  DeskEventKind = "TYPING"
	DeskRead    DeskEventKind = "READ" // the Operator has read the messages
	// DeskQueued: the User's place in the queue changed. Not stored.
	DeskQueued DeskEventKind = "QUEUED"
	// DeskUserWrote, in DESK_TO_DESK only: the User wrote in the desk's own messenger.
	DeskUserWrote DeskEventKind = "USER_WROTE"
)

// DeskEvent is one thing that a desk told us, already authenticated and translated.
// Bots, system parts, private notes and our own echoes never become a DeskEvent.
type DeskEvent struct {
	Kind         DeskEventKind
	Ref          string // the session at the desk
	ID           string // the desk's id of this event; "" where it has none
	At           time.Time
	OperatorName string
	Text         string
	Attachments  []Attachment
	QueuePlace   int // with QUEUED: 1 = next; 0 = unknown

	// With USER_WROTE: who wrote, as far as the desk tells it.
	User     User
	Language string // BCP 47 tag, "" = unknown
}
