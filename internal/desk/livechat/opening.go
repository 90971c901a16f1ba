package livechat

import (
	"context"
	"maps"
	"slices"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// maxHistoryBytes bounds the whole history that is transferred; the newest stay.
const maxHistoryBytes = 128 << 10

// firstEvents are what a thread begins with: the context, as a customer cannot write
// notes, and then the newest question.
func (d *externalDesk) firstEvents(ctx context.Context, customer *record, r *desk.OpenRequest) ([]event, error) {
	var pieces []piece
	for _, page := range pages(append(preface(r), rest(r)...)) {
		pieces = append(pieces, piece{text: page})
	}
	pieces = append(pieces, newPieces(&r.Question)...)
	list := make([]event, 0, len(pieces))
	for i := range pieces {
		e, err := d.fetch.event(ctx, &pieces[i], customID(r.DeliveryID, i+1), d.uploader(customer))
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// preface is what the Operator has to know first: note and summary.
func preface(r *desk.OpenRequest) []string {
	var list []string
	if r.Note != "" {
		list = append(list, labelled("Note", r.Note)...)
	}
	if r.Summary != "" {
		list = append(list, labelled("Summary", r.Summary)...)
	}
	return list
}

// rest is the remaining context: the history and the details.
func rest(r *desk.OpenRequest) []string {
	var list []string
	if h := history(r); len(h) > 0 {
		list = append(append(list, "[Conversation history]"), h...)
	}
	return append(list, details(r)...)
}

// details always has something to say.
func details(r *desk.OpenRequest) []string {
	list := []string{"[Details]"}
	detail := func(label, value string) {
		if value != "" {
			list = append(list, labelled(label, value)...)
		}
	}
	detail("Handoff", r.HandoffID)
	detail("Channel", string(r.Channel))
	detail("Language", r.Language)
	detail("Phone", r.User.Phone)
	if !r.EmailGiven {
		detail("E-mail (not the user's own)", r.User.Email)
	}
	for _, name := range slices.Sorted(maps.Keys(r.CustomFields)) {
		detail(name, r.CustomFields[name])
	}
	return list
}

// history renders the transferred rounds, oldest first.
func history(r *desk.OpenRequest) []string {
	var list []string
	said := func(by string, t *desk.Text) {
		if t.Empty() {
			return
		}
		if !t.At.IsZero() {
			by += ", " + t.At.UTC().Format("2006-01-02 15:04") + " UTC"
		}
		list = append(list, labelled(by, t.Plain())...)
	}
	for i := range r.Rounds {
		said("User", &r.Rounds[i].Question)
		said("Answer", &r.Rounds[i].Answer)
	}
	said("Answer to the newest question", &r.Answer)
	size := 0
	for i := len(list) - 1; i >= 0; i-- {
		if size += len(list[i]); size > maxHistoryBytes {
			return append([]string{"(Earlier messages were left out.)"}, list[i+1:]...)
		}
	}
	return list
}

// maxLabelRunes is more than any label needs.
const maxLabelRunes = 128

// labelled renders a text with what it is, cut where it is too long for one event.
func labelled(label, text string) []string {
	var list []string
	for i, s := range handoff.SplitText(text, maxTextRunes-maxLabelRunes) {
		if i == 1 {
			label += ", continued"
		}
		list = append(list, label+": "+s)
	}
	return list
}

// pages fills events with lines.
func pages(lines []string) []string {
	var list []string
	for _, l := range lines {
		if last := len(list) - 1; last >= 0 && len(list[last])+1+len(l) <= maxEventBytes {
			list[last] += "\n" + l
		} else {
			list = append(list, l)
		}
	}
	return list
}
