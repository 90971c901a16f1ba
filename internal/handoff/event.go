package handoff

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"handoff/internal/fault"
)

// EventKind says what an Event records.
type EventKind string

// The kinds of Events. Everything in the log may be shown to the User; what the
// User must not see (private notes, the note for the Operator, credentials) is
// never written to the log, so no filter can forget to hide it.
const (
	EventMessage        EventKind = "MESSAGE"         // somebody wrote
	EventHandoffChanged EventKind = "HANDOFF_CHANGED" // a Handoff entered a state
	EventControlChanged EventKind = "CONTROL_CHANGED" // who may speak changed, with the new epoch
	EventDeliveryFailed EventKind = "DELIVERY_FAILED" // a message did not reach the other side
)

// Author says who wrote a Message.
type Author string

// The authors.
const (
	AuthorUser     Author = "USER"
	AuthorAgent    Author = "AGENT"
	AuthorOperator Author = "OPERATOR"
	AuthorSystem   Author = "SYSTEM"
)

// Event is one entry of a Conversation's log. Which fields are set depends on Kind.
type Event struct {
	ConversationID string
	Seq            int64 // 1, 2, 3 … without gaps per Conversation
	Kind           EventKind
	At             time.Time
	HandoffID      string // the Handoff it belongs to, "" = none
	Key            string // unique per Conversation where set: the second try with the same key is recognised

	// MESSAGE
	Author       Author
	Text         string
	Attachments  []Attachment
	Notice       Notice // which standard text, for SYSTEM messages
	OperatorName string // for OPERATOR messages, where the desk tells it

	// HANDOFF_CHANGED
	State  State
	Reason CloseReason // with CLOSED

	// CONTROL_CHANGED; on AGENT messages the epoch they were written under
	Control Control
	Epoch   int64

	// DELIVERY_FAILED: the seq of the message that did not arrive
	FailedSeq int64
}

// ID is the opaque public id of the event.
func (e *Event) ID() string {
	return fmt.Sprintf("evt_%s_%d", strings.TrimPrefix(e.ConversationID, ConversationPrefix), e.Seq)
}

// Attachment is a file that a Message points to. We never fetch or store it.
type Attachment struct {
	URL         string `json:"url"`
	Name        string `json:"name,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	SizeBytes   int64  `json:"sizeBytes,omitempty"` // 0 = unknown
}

// Limits of a Message.
const (
	MaxTextRunes            = 16_000
	MaxAttachments          = 10
	MaxAttachmentURLBytes   = 2_048
	MaxAttachmentNameRunes  = 255
	MaxContentTypeRunes     = 127
	MaxIdempotencyKeyLength = 128
)

// Draft is a message before it is accepted.
type Draft struct {
	Text           string
	Attachments    []Attachment
	IdempotencyKey string
}

func (d *Draft) validate() error {
	if strings.TrimSpace(d.Text) == "" && len(d.Attachments) == 0 {
		return fault.Invalid("text", "must not be empty when there is no attachment")
	}
	if err := validText("text", d.Text, MaxTextRunes); err != nil {
		return err
	}
	if err := ValidAttachments("attachments", d.Attachments); err != nil {
		return err
	}
	return validKey(d.IdempotencyKey)
}

// ValidAttachments checks number, addresses and names of attachments.
func ValidAttachments(field string, list []Attachment) error {
	if len(list) > MaxAttachments {
		return fault.Invalid(field, "has %d entries, at most %d are allowed", len(list), MaxAttachments)
	}
	for i, a := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		if len(a.URL) > MaxAttachmentURLBytes {
			return fault.Invalid(at+".url", "has %d bytes, at most %d are allowed", len(a.URL), MaxAttachmentURLBytes)
		}
		u, err := url.Parse(a.URL)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			return fault.Invalid(at+".url", "must be an absolute http or https address")
		}
		if err := validText(at+".name", a.Name, MaxAttachmentNameRunes); err != nil {
			return err
		}
		if err := validText(at+".contentType", a.ContentType, MaxContentTypeRunes); err != nil {
			return err
		}
		if a.SizeBytes < 0 {
			return fault.Invalid(at+".sizeBytes", "must not be negative")
		}
	}
	return nil
}
