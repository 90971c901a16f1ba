package desk

import (
	"strings"

	"handoff/internal/handoff"
)

// BuildContext cuts the last rounds and the newest question out of the newest
// messages of a Conversation, given oldest first.
//
// A round is what the User wrote until somebody answered, and the answer. The
// newest round is the newest question with what the Agent has answered to it
// already: mostly nothing or "I will get you a colleague", but a User who asks for
// a human by a button has read an answer that the Operator must know of. Standard
// texts of this service are not part of the dialogue. Operators of earlier sessions
// count as answers, so that the next Operator knows what was said.
func BuildContext(messages []handoff.Event, rounds int) (before []Round, newest Round) {
	var all []Round
	answered := true // so that the first message opens a round
	for i := range messages {
		m := &messages[i]
		if m.Kind != handoff.EventMessage || m.Author == handoff.AuthorSystem {
			continue
		}
		if m.Author == handoff.AuthorUser {
			if answered {
				all = append(all, Round{})
				answered = false
			}
			add(&all[len(all)-1].Question, m)
			continue
		}
		if len(all) == 0 {
			all = append(all, Round{})
		}
		add(&all[len(all)-1].Answer, m)
		answered = true
	}
	if last := len(all) - 1; last >= 0 && !all[last].Question.Empty() {
		all, newest = all[:last], all[last]
	}
	if rounds = max(rounds, 0); len(all) > rounds {
		all = all[len(all)-rounds:]
	}
	return all, newest
}

func add(t *Text, m *handoff.Event) {
	if m.Text != "" {
		if t.Body != "" {
			t.Body += "\n"
		}
		t.Body += m.Text
	}
	t.Attachments = append(t.Attachments, m.Attachments...)
	if t.At.IsZero() {
		t.At = m.At
	}
}

// Plain renders a text with the addresses of its files below it, one a line, for
// desks that take text only.
func (t *Text) Plain() string {
	lines := make([]string, 0, 1+len(t.Attachments))
	if t.Body != "" {
		lines = append(lines, t.Body)
	}
	for _, a := range t.Attachments {
		lines = append(lines, a.URL)
	}
	return strings.Join(lines, "\n")
}
