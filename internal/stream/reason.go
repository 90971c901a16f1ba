package stream

import (
	"errors"

	"handoff/internal/fault"
)

// Resync is the kind of fault with which the hub ends a subscription that the
// subscriber did not end: subscribe again, for a Conversation after the last seq
// received. Nothing is lost.
const Resync = fault.Resync

var (
	errStopping = resync(errors.New("the hub is stopping"))
	// errTooFarBehind ends a console that reads nothing while more than maxPending
	// handoffs change.
	errTooFarBehind = resync(errors.New("the console is too far behind"))
)

func resync(cause error) error {
	return fault.Wrap(Resync, cause, "the stream ended early: subscribe again after what was received last")
}
