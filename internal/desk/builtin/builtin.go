// Package builtin is the desk that needs no other system: Operators see the queue
// and answer through this service's own GraphQL API.
//
// They read the Conversation's log where it is, so nothing has to be delivered to
// them: opening and closing a session always succeeds, and sending is never needed.
package builtin

import (
	"context"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Kind is the stable key of this desk.
const Kind = "builtin"

// Driver is the built-in desk.
type Driver struct{}

var _ desk.Driver = Driver{}

// Describe declares what the built-in desk can do.
func (Driver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind:  Kind,
		Title: "Built-in desk",
		Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Steps: []string{
			"Nothing to set up elsewhere: operators take handoffs from the queue of this service, in its console or through its API.",
		},
		Attachments: handoff.AttachmentSupport{ToDesk: true, FromDesk: true},
		History:     true,
		Notes:       true,
		EndsByDesk:  true,
		ReadsLog:    true,
		// A repeat of something that does nothing changes nothing.
		Unknown: handoff.OutcomeIdempotent,
	}
}

// Connect makes the desk of one connection; it cannot fail.
func (Driver) Connect(desk.Settings) (desk.Desk, error) { return builtinDesk{}, nil }

type builtinDesk struct{}

func (builtinDesk) Verify(context.Context) error { return nil }

// Open accepts under the proposed id.
func (builtinDesk) Open(_ context.Context, r desk.OpenRequest) (desk.Opened, error) {
	return desk.Opened{Ref: r.ProposedRef}, nil
}

func (builtinDesk) Send(context.Context, desk.SendRequest) (desk.Sent, error) {
	return desk.Sent{}, nil
}

func (builtinDesk) Close(context.Context, desk.CloseRequest) error { return nil }

// Receive refuses: no other system speaks for the built-in desk.
func (builtinDesk) Receive(context.Context, desk.Inbound) ([]handoff.DeskEvent, error) {
	return nil, fault.New(fault.Unsupported, "the built-in desk has no message receiving address; its operators use the API of this service")
}
