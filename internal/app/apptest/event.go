package apptest

import (
	"fmt"
	"time"
)

// Event is what tests look at of a Conversation's log, or of its stream.
type Event struct {
	Typename     string `json:"__typename"`
	Seq          int64
	At           time.Time
	HandoffID    string
	Author       string
	Text         string
	Attachments  []struct{ URL, Name, ContentType string }
	Notice       string
	StatusCode   int
	OperatorName string
	State        string
	Reason       string
	Control      string
	Epoch        int64
	MessageSeq   int64
}

const (
	eventFields = `__typename
  ... on Message { seq at handoffId author text attachments { url name contentType } notice statusCode operatorName }
  ... on HandoffChanged { seq at handoffId state reason operatorName statusCode }
  ... on ControlChanged { seq at handoffId control epoch }
  ... on DeliveryFailed { seq at handoffId messageSeq }`
	updateFields = eventFields + `
  ... on Signal { signalAuthor: author kind at }`
)

// String shows the event in the message of a failure.
func (e Event) String() string {
	switch e.Typename {
	case "Message":
		return fmt.Sprintf("%4d %s%s: %.100q", e.Seq, e.Author, optional(" ", e.Notice), e.Text)
	case "HandoffChanged":
		return fmt.Sprintf("%4d handoff %s is %s%s", e.Seq, e.HandoffID, e.State, optional(" ", e.Reason))
	case "ControlChanged":
		return fmt.Sprintf("%4d control %s, epoch %d", e.Seq, e.Control, e.Epoch)
	}
	return fmt.Sprintf("%4d %s", e.Seq, e.Typename)
}

func optional(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

// Match tells events apart.
type Match func(Event) bool

// Notice matches a standard text.
func Notice(name string) Match { return func(e Event) bool { return e.Notice == name } }

// Text matches a message by what it says.
func Text(text string) Match {
	return func(e Event) bool { return e.Typename == "Message" && e.Text == text }
}

// State matches a Handoff entering a state.
func State(state string) Match {
	return func(e Event) bool { return e.Typename == "HandoffChanged" && e.State == state }
}

// ClosedFor matches the end of a Handoff for a reason.
func ClosedFor(reason string) Match {
	return func(e Event) bool {
		return e.Typename == "HandoffChanged" && e.State == "CLOSED" && e.Reason == reason
	}
}

// Control matches control passing to somebody.
func Control(control string) Match {
	return func(e Event) bool { return e.Typename == "ControlChanged" && e.Control == control }
}

// Count is how many events match.
func Count(events []Event, match Match) int {
	n := 0
	for _, e := range events {
		if match(e) {
			n++
		}
	}
	return n
}

// TextsBy are the messages of an author, in order.
func TextsBy(events []Event, author string) []string {
	texts := []string{}
	for _, e := range events {
		if e.Typename == "Message" && e.Author == author {
			texts = append(texts, e.Text)
		}
	}
	return texts
}
