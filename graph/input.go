package graph

import (
	"fmt"

	"handoff/graph/model"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// given is the value of an optional input, or the zero value, which package
// handoff takes for what was left out.
func given[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}

// page asks for a page of a list.
func page(first int, after *string) (handoff.Page, error) {
	if first < 1 || first > handoff.MaxPageSize {
		return handoff.Page{}, fault.Invalid("first", "is %d, must be from 1 to %d", first, handoff.MaxPageSize)
	}
	return handoff.Page{First: first, After: given(after)}, nil
}

// fieldMap turns fields with values into a map; field names the input.
func fieldMap(field string, in []model.FieldValueInput) (map[string]string, error) {
	m := make(map[string]string, len(in))
	for i, f := range in {
		if _, twice := m[f.Name]; twice {
			return nil, fault.Invalid(fmt.Sprintf("%s[%d].name", field, i), "this field was given before")
		}
		m[f.Name] = f.Value
	}
	return m, nil
}

func draft(text string, attachments []model.AttachmentInput, idempotencyKey *string) handoff.Draft {
	return handoff.Draft{
		Text: text,
		Attachments: each(attachments, func(a model.AttachmentInput) handoff.Attachment {
			return handoff.Attachment{
				URL: a.URL, Name: given(a.Name), ContentType: given(a.ContentType), SizeBytes: given(a.SizeBytes),
			}
		}),
		IdempotencyKey: given(idempotencyKey),
	}
}

func handoffFilter(agentID string, in *model.HandoffFilter) handoff.HandoffFilter {
	f := given(in)
	return handoff.HandoffFilter{
		AgentID:        agentID,
		ConversationID: given(f.ConversationID),
		ConnectionID:   given(f.DeskConnectionID),
		DeskKind:       given(f.DeskKind),
		States:         each(f.States, func(s model.HandoffState) handoff.State { return handoff.State(s) }),
		Reasons:        each(f.Reasons, func(r model.CloseReason) handoff.CloseReason { return handoff.CloseReason(r) }),
		RequestedFrom:  given(f.RequestedFrom),
		RequestedUntil: given(f.RequestedUntil),
	}
}

func deliveryFilter(agentID string, in *model.DeliveryFilter) handoff.DeliveryFilter {
	f := given(in)
	return handoff.DeliveryFilter{
		AgentID:      agentID,
		ConnectionID: given(f.DeskConnectionID),
		HandoffID:    given(f.HandoffID),
		Status:       handoff.DeliveryStatus(given(f.Status)),
	}
}

// each converts a list; an empty one stays empty, never null.
func each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = convert(a)
	}
	return out
}
