package handoff

import (
	"context"
	"time"
)

// Check is an open Handoff whose desk is to be asked for events that did not reach us.
type Check struct {
	HandoffID    string
	ConnectionID string
	DeskRef      string
	RequestedAt  time.Time
	CaughtUpAt   time.Time // nothing before it is missing; zero = never checked
}

// CheckStore keeps when the desks of open Handoffs are asked. Only Handoffs whose
// CheckAt was set at the request take part.
type CheckStore interface {
	// ClaimChecks claims Handoffs of a kind of desk that an Operator can have seen
	// (WAITING, WAIT_EXPIRED, ACTIVE) and whose CheckAt has come, the longest due first,
	// moving it to next so that other replicas leave them alone.
	ClaimChecks(ctx context.Context, deskKind string, now, next time.Time, limit int) ([]Check, error)
	// ChecksDone notes that nothing that happened in these Handoffs before the time is
	// missing. One that is just being changed may be left out.
	ChecksDone(ctx context.Context, handoffIDs []string, before time.Time) error
}
