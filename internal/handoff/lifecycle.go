package handoff

import (
	"handoff/internal/fault"
)

// State is where a Handoff stands.
type State string

// The states.
const (
	StateNone            State = ""                 // before the first state; never stored
	StateCollectingEmail State = "COLLECTING_EMAIL" // the User is asked for an e-mail address
	StateRequesting      State = "REQUESTING"       // the request is on its way to the desk
	StateWaiting         State = "WAITING"          // the desk accepted; no Operator has written
	StateWaitExpired     State = "WAIT_EXPIRED"     // the User was asked: end, or keep waiting?
	StateActive          State = "ACTIVE"           // an Operator has written
	StateClosed          State = "CLOSED"           // final
)

// States lists every state in the order of a normal life.
var States = []State{StateCollectingEmail, StateRequesting, StateWaiting, StateWaitExpired, StateActive, StateClosed}

// CloseReason says why a Handoff ended.
type CloseReason string

// The close reasons.
const (
	ReasonNone            CloseReason = ""
	ReasonUserEnded       CloseReason = "USER_ENDED"
	ReasonOperatorEnded   CloseReason = "OPERATOR_ENDED"
	ReasonWaitTimeout     CloseReason = "WAIT_TIMEOUT"
	ReasonSessionTimeout  CloseReason = "SESSION_TIMEOUT"
	ReasonTransferFailed  CloseReason = "TRANSFER_FAILED"
	ReasonUserCancelled   CloseReason = "USER_CANCELLED"
	ReasonHandoffDisabled CloseReason = "HANDOFF_DISABLED"
	ReasonAdminEnded      CloseReason = "ADMIN_ENDED"
	ReasonEmailNotGiven   CloseReason = "EMAIL_NOT_GIVEN"
)

// CloseReasons lists every reason.
var CloseReasons = []CloseReason{
	ReasonUserEnded, ReasonOperatorEnded, ReasonWaitTimeout, ReasonSessionTimeout, ReasonTransferFailed,
	ReasonUserCancelled, ReasonHandoffDisabled, ReasonAdminEnded, ReasonEmailNotGiven,
}

// Input is something that happens to a Handoff.
type Input string

// The inputs.
const (
	EmailSettled   Input = "EMAIL_SETTLED"   // an address is known, or the User may and did go without
	EmailAbandoned Input = "EMAIL_ABANDONED" // no address after the last try or in time
	DeskAccepted   Input = "DESK_ACCEPTED"   // the desk took the request
	DeskRefused    Input = "DESK_REFUSED"    // the desk said no, or gave no answer until we gave up
	DeskLost       Input = "DESK_LOST"       // the desk fails for good in the middle of a session
	UserWrote      Input = "USER_WROTE"
	OperatorWrote  Input = "OPERATOR_WROTE" // a human's public message; nothing else counts
	WaitElapsed    Input = "WAIT_ELAPSED"   // wait deadline, and the User can be asked
	WaitEnded      Input = "WAIT_ENDED"     // wait deadline, and the policy or the channel says end
	AnswerElapsed  Input = "ANSWER_ELAPSED" // the User did not say whether to keep waiting
	SessionElapsed Input = "SESSION_ELAPSED"
	KeptWaiting    Input = "KEPT_WAITING"   // the User chose to keep waiting
	UserCancelled  Input = "USER_CANCELLED" // the User withdrew the request before anybody answered
	UserEnded      Input = "USER_ENDED"
	OperatorEnded  Input = "OPERATOR_ENDED"
	AdminEnded     Input = "ADMIN_ENDED"   // the Agent's owner or an administrator ended it
	Disabled       Input = "DISABLED"      // handoff was switched off, or the connection removed
	Requested      Input = "REQUESTED"     // a human is asked for, and nothing is missing
	EmailMissing   Input = "EMAIL_MISSING" // a human is asked for, and an address is needed first
	TookOver       Input = "TOOK_OVER"     // a human wrote in the desk's messenger without being asked
)

// Inputs lists every input.
var Inputs = []Input{
	EmailSettled, EmailAbandoned, DeskAccepted, DeskRefused, DeskLost, UserWrote, OperatorWrote, WaitElapsed,
	WaitEnded, AnswerElapsed, SessionElapsed, KeptWaiting, UserCancelled, UserEnded, OperatorEnded, AdminEnded, Disabled,
	Requested, EmailMissing, TookOver,
}

// Effect is what a transition asks for. Effects are performed by building the
// [Change], never by calling anybody.
type Effect string

// The effects.
const (
	AskEmail       Effect = "ASK_EMAIL"        // ask for an address, arm its deadline
	CheckEmail     Effect = "CHECK_EMAIL"      // look for an address in what the User typed
	OpenAtDesk     Effect = "OPEN_AT_DESK"     // deliver "open", then the held messages
	SendToDesk     Effect = "SEND_TO_DESK"     // deliver the User's message behind whatever is queued
	CloseAtDesk    Effect = "CLOSE_AT_DESK"    // deliver "close" behind whatever is queued
	DropUnsent     Effect = "DROP_UNSENT"      // the queued messages are the Agent's again
	RelayToUser    Effect = "RELAY_TO_USER"    // append the Operator's message
	StartWait      Effect = "START_WAIT"       // arm the wait deadline
	AskKeepWaiting Effect = "ASK_KEEP_WAITING" // ask the User, arm the answer deadline
	StartSession   Effect = "START_SESSION"    // arm the session deadline
	StopDeadline   Effect = "STOP_DEADLINE"
	SayConnecting  Effect = "SAY_CONNECTING"
	SayConnected   Effect = "SAY_CONNECTED"
	SayEnded       Effect = "SAY_ENDED" // the text fits the reason
)

// Rule is one line of the lifecycle: in From, on On, go To and perform Effects.
// A rule with To == From and no effects is a quiet no-op: late and repeated
// inputs are normal, and answering them with an error would help nobody.
type Rule struct {
	From    State
	On      Input
	To      State
	Reason  CloseReason // with To == CLOSED
	Effects []Effect
}

// A beginning moves control to the Handoff; closing always returns control to the Agent and says so; the effects list what else there is.
var (
	closeHere = []Effect{StopDeadline, SayEnded}              // the desk never heard of it
	closeBoth = []Effect{StopDeadline, CloseAtDesk, SayEnded} // we end it: tell the desk
	deskEnded = []Effect{StopDeadline, DropUnsent, SayEnded}  // the desk ended it: telling it back would be an echo
	connect   = []Effect{StopDeadline, SayConnected, RelayToUser, StartSession}
)

var lifecycle = []Rule{
	{StateNone, EmailMissing, StateCollectingEmail, "", []Effect{AskEmail}},
	{StateNone, Requested, StateRequesting, "", []Effect{OpenAtDesk}},
	// The desk evidently has the session: nothing is opened there.
	{StateNone, TookOver, StateActive, "", connect},

	{StateCollectingEmail, EmailSettled, StateRequesting, "", []Effect{StopDeadline, OpenAtDesk}},
	{StateCollectingEmail, EmailAbandoned, StateClosed, ReasonEmailNotGiven, closeHere},
	{StateCollectingEmail, UserWrote, StateCollectingEmail, "", []Effect{CheckEmail}},
	{StateCollectingEmail, UserCancelled, StateClosed, ReasonUserCancelled, closeHere},
	{StateCollectingEmail, UserEnded, StateClosed, ReasonUserCancelled, closeHere},
	{StateCollectingEmail, AdminEnded, StateClosed, ReasonAdminEnded, closeHere},
	{StateCollectingEmail, Disabled, StateClosed, ReasonHandoffDisabled, closeHere},
	{StateCollectingEmail, DeskLost, StateClosed, ReasonTransferFailed, closeHere},

	{StateRequesting, DeskAccepted, StateWaiting, "", []Effect{SayConnecting, StartWait}},
	{StateRequesting, DeskRefused, StateClosed, ReasonTransferFailed, deskEnded},
	{StateRequesting, DeskLost, StateClosed, ReasonTransferFailed, deskEnded},
	{StateRequesting, UserWrote, StateRequesting, "", []Effect{SendToDesk}},
	// The desk answered the User before it answered us: it has accepted.
	{StateRequesting, OperatorWrote, StateActive, "", connect},
	{StateRequesting, OperatorEnded, StateClosed, ReasonOperatorEnded, deskEnded},
	{StateRequesting, UserCancelled, StateClosed, ReasonUserCancelled, closeBoth},
	{StateRequesting, UserEnded, StateClosed, ReasonUserCancelled, closeBoth},
	{StateRequesting, AdminEnded, StateClosed, ReasonAdminEnded, closeBoth},
	{StateRequesting, Disabled, StateClosed, ReasonHandoffDisabled, closeBoth},
	{StateRequesting, EmailSettled, StateRequesting, "", nil},

	{StateWaiting, OperatorWrote, StateActive, "", connect},
	{StateWaiting, UserWrote, StateWaiting, "", []Effect{SendToDesk}},
	{StateWaiting, WaitElapsed, StateWaitExpired, "", []Effect{AskKeepWaiting}},
	{StateWaiting, WaitEnded, StateClosed, ReasonWaitTimeout, closeBoth},
	{StateWaiting, KeptWaiting, StateWaiting, "", nil},
	{StateWaiting, UserCancelled, StateClosed, ReasonUserCancelled, closeBoth},
	{StateWaiting, UserEnded, StateClosed, ReasonUserEnded, closeBoth},
	{StateWaiting, OperatorEnded, StateClosed, ReasonOperatorEnded, deskEnded},
	{StateWaiting, AdminEnded, StateClosed, ReasonAdminEnded, closeBoth},
	{StateWaiting, Disabled, StateClosed, ReasonHandoffDisabled, closeBoth},
	{StateWaiting, DeskLost, StateClosed, ReasonTransferFailed, deskEnded},
	{StateWaiting, DeskAccepted, StateWaiting, "", nil},
	{StateWaiting, DeskRefused, StateWaiting, "", nil},
	{StateWaiting, EmailSettled, StateWaiting, "", nil},

	{StateWaitExpired, OperatorWrote, StateActive, "", connect},
	{StateWaitExpired, UserWrote, StateWaitExpired, "", []Effect{SendToDesk}},
	{StateWaitExpired, KeptWaiting, StateWaiting, "", []Effect{StartWait}},
	{StateWaitExpired, AnswerElapsed, StateClosed, ReasonWaitTimeout, closeBoth},
	{StateWaitExpired, UserCancelled, StateClosed, ReasonWaitTimeout, closeBoth},
	{StateWaitExpired, UserEnded, StateClosed, ReasonWaitTimeout, closeBoth},
	{StateWaitExpired, OperatorEnded, StateClosed, ReasonOperatorEnded, deskEnded},
	{StateWaitExpired, AdminEnded, StateClosed, ReasonAdminEnded, closeBoth},
	{StateWaitExpired, Disabled, StateClosed, ReasonHandoffDisabled, closeBoth},
	{StateWaitExpired, DeskLost, StateClosed, ReasonTransferFailed, deskEnded},
	{StateWaitExpired, DeskAccepted, StateWaitExpired, "", nil},
	{StateWaitExpired, DeskRefused, StateWaitExpired, "", nil},
	{StateWaitExpired, EmailSettled, StateWaitExpired, "", nil},

	{StateActive, OperatorWrote, StateActive, "", []Effect{RelayToUser, StartSession}},
	{StateActive, UserWrote, StateActive, "", []Effect{StopDeadline, SendToDesk}},
	{StateActive, SessionElapsed, StateClosed, ReasonSessionTimeout, closeBoth},
	{StateActive, UserEnded, StateClosed, ReasonUserEnded, closeBoth},
	{StateActive, OperatorEnded, StateClosed, ReasonOperatorEnded, deskEnded},
	{StateActive, AdminEnded, StateClosed, ReasonAdminEnded, closeBoth},
	{StateActive, Disabled, StateClosed, ReasonHandoffDisabled, closeBoth},
	{StateActive, DeskLost, StateClosed, ReasonTransferFailed, deskEnded},
	// Late answers of the desk to "open", and a choice made as the Operator wrote.
	{StateActive, DeskAccepted, StateActive, "", nil},
	{StateActive, DeskRefused, StateActive, "", nil},
	{StateActive, KeptWaiting, StateActive, "", nil},
	{StateActive, EmailSettled, StateActive, "", nil},

	// Both sides at once: whoever comes second finds it done.
	{StateClosed, UserEnded, StateClosed, "", nil},
	{StateClosed, UserCancelled, StateClosed, "", nil},
	{StateClosed, OperatorEnded, StateClosed, "", nil},
	{StateClosed, AdminEnded, StateClosed, "", nil},
	{StateClosed, Disabled, StateClosed, "", nil},
	{StateClosed, DeskAccepted, StateClosed, "", nil},
	{StateClosed, DeskRefused, StateClosed, "", nil},
	{StateClosed, DeskLost, StateClosed, "", nil},
}

// Lifecycle is a copy of the table, for documentation and tests.
func Lifecycle() []Rule { return append([]Rule(nil), lifecycle...) }

type ruleKey struct {
	from State
	on   Input
}

var lifecycleIndex = func() map[ruleKey]*Rule {
	index := make(map[ruleKey]*Rule, len(lifecycle))
	for i := range lifecycle {
		index[ruleKey{lifecycle[i].From, lifecycle[i].On}] = &lifecycle[i]
	}
	return index
}()

// Next is the rule for an input in a state, or a NotAllowedInState fault that
// names the state. It is pure.
func Next(from State, on Input) (Rule, error) {
	rule, ok := lifecycleIndex[ruleKey{from, on}]
	if !ok {
		return Rule{}, &fault.Fault{
			Kind:   fault.NotAllowedInState,
			State:  string(from),
			Public: "not possible while the handoff is " + string(from),
		}
	}
	return *rule, nil
}

// Quiet reports whether the rule changes nothing.
func (r *Rule) Quiet() bool { return r.From == r.To && len(r.Effects) == 0 }
