package handoff

import "time"

// Outcome is the answer to a handoff request. Every value is an expected answer,
// never an error.
type Outcome string

// The outcomes.
const (
	OutcomeConnecting     Outcome = "CONNECTING"      // the desk accepted; an Operator will answer
	OutcomeRequesting     Outcome = "REQUESTING"      // on its way; the desk has not answered yet
	OutcomeEmailRequired  Outcome = "EMAIL_REQUIRED"  // the User is being asked for an e-mail address
	OutcomeAlreadyActive  Outcome = "ALREADY_ACTIVE"  // a handoff is open; nothing was changed
	OutcomeOutOfService   Outcome = "OUT_OF_SERVICE"  // outside the service hours
	OutcomeNotReady       Outcome = "NOT_READY"       // disabled, not configured or unavailable
	OutcomeWrongChannel   Outcome = "WRONG_CHANNEL"   // the mode and the User's channel do not fit
	OutcomeTransferFailed Outcome = "TRANSFER_FAILED" // the desk refused or did not answer
	OutcomeEnded          Outcome = "ENDED"           // it ended, for another reason, while the caller waited
)

// Outcomes lists every outcome.
var Outcomes = []Outcome{
	OutcomeConnecting, OutcomeRequesting, OutcomeEmailRequired, OutcomeAlreadyActive, OutcomeOutOfService,
	OutcomeNotReady, OutcomeWrongChannel, OutcomeTransferFailed, OutcomeEnded,
}

// RequestResult is the answer to a request.
type RequestResult struct {
	Outcome Outcome
	Handoff *Handoff // nil when the request was refused
	// Text is what the User has been told, in the User's language; "" = nothing.
	Text string
	// Detail says to the Agent's owner what to do, with NOT_READY and WRONG_CHANNEL.
	Detail      string
	NextOpening time.Time // with OUT_OF_SERVICE; zero = none planned
}
