package desk

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"handoff/internal/handoff"
)

// Takeable moves the addresses of attachments that this service does not take, and
// of those beyond its limit, into the text, so that no file of an Operator is lost.
func Takeable(text string, list []handoff.Attachment) (string, []handoff.Attachment) {
	var taken []handoff.Attachment
	for _, a := range list {
		if len(taken) < handoff.MaxAttachments && handoff.ValidAttachments("attachments", []handoff.Attachment{a}) == nil {
			taken = append(taken, a)
		} else if u := Line(a.URL, 2*handoff.MaxAttachmentURLBytes); u != "" {
			text = strings.TrimSpace(text + "\n" + u)
		}
	}
	return text, taken
}

// Line makes one line of at most limit characters of a name that a desk tells.
func Line(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if s = strings.TrimSpace(s); utf8.RuneCountInString(s) > limit {
		s = strings.TrimSpace(string([]rune(s)[:limit]))
	}
	return s
}
