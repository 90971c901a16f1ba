package handoff

import (
	"strings"
	"time"

	"handoff/internal/fault"
)

// turn builds the Change of one decision from one Snapshot. It is where the
// effects of the lifecycle get their meaning, and it is pure.
type turn struct {
	now      time.Time
	settings *Settings // of the Agent, for the texts

	before  Snapshot
	conv    Conversation
	handoff *Handoff // a copy that may be modified; nil = none is open
	change  Change
	touched bool // something is to be committed

	// What the input carries, for the effects that need it.
	text    string    // USER_WROTE
	message DeskEvent // OPERATOR_WROTE
	key     string    // idempotency key of the event that the input appends

	appended int // index in change.Events of the User's message; -1 = none
}

func newTurn(now time.Time, settings *Settings, snap Snapshot) *turn {
	t := &turn{now: now, settings: settings, before: snap, conv: snap.Conversation, appended: -1}
	if snap.Handoff != nil {
		h := *snap.Handoff
		h.HeldSeqs = append([]int64(nil), snap.Handoff.HeldSeqs...)
		t.handoff = &h
	}
	return t
}

// result is the change to commit, nil when nothing happened.
func (t *turn) result() *Change {
	if !t.touched {
		return nil
	}
	t.conv.UpdatedAt = t.now
	t.change.Conversation = &t.conv
	if t.handoff != nil {
		t.handoff.UpdatedAt = t.now
		t.change.Handoff = t.handoff
	}
	return &t.change
}

// add appends an event and gives its number.
func (t *turn) add(e Event) int64 {
	t.touched = true
	e.ConversationID = t.conv.ID
	e.At = t.now
	e.Seq = t.before.Conversation.LastSeq + int64(len(t.change.Events)) + 1
	if e.HandoffID == "" && t.handoff != nil {
		e.HandoffID = t.handoff.ID
	}
	t.change.Events = append(t.change.Events, e)
	return e.Seq
}

// say appends a standard text in the User's language.
func (t *turn) say(n Notice) {
	t.add(Event{Kind: EventMessage, Author: AuthorSystem, Notice: n, Text: t.settings.Text(n, t.conv.Language)})
}

// setControl moves control and raises the epoch; from here on whatever was
// written under the old epoch is refused.
func (t *turn) setControl(c Control) {
	if t.conv.Control == c {
		return
	}
	t.conv.Control = c
	t.conv.Epoch++
	t.add(Event{Kind: EventControlChanged, Control: c, Epoch: t.conv.Epoch})
}

// open starts a Handoff in its first state.
func (t *turn) open(h Handoff) {
	t.handoff = &h
	t.change.NewHandoff = true
	t.conv.OpenHandoffID = h.ID
	t.add(Event{Kind: EventHandoffChanged, State: h.State})
	t.setControl(ControlHandoff)
	switch h.State {
	case StateCollectingEmail:
		t.askEmail()
	case StateRequesting:
		t.openAtDesk()
	case StateWaiting, StateWaitExpired, StateActive, StateClosed: // nothing starts there
	}
}

func (t *turn) askEmail() {
	notice := NoticeEmailAsk
	if t.handoff.EmailPolicy == EmailOptional {
		notice = NoticeEmailOptional
	}
	t.say(notice)
	t.arm(DeadlineEmail, t.settings.EmailTimeout)
}

// apply runs the lifecycle for an input on the open Handoff and performs the effects.
func (t *turn) apply(on Input) error {
	if t.handoff == nil {
		return &fault.Fault{Kind: fault.NotAllowedInState, State: string(StateClosed), Public: "no handoff is open"}
	}
	rule, err := Next(t.handoff.State, on)
	if err != nil {
		return err
	}
	if rule.Quiet() {
		return nil
	}
	t.touched = true
	if rule.To != rule.From {
		t.enter(rule)
	}
	for _, effect := range rule.Effects {
		if err := t.perform(effect); err != nil {
			return err
		}
	}
	if rule.To == StateClosed {
		t.setControl(ControlAgent) // last: the Agent starts when everything else is said
		t.handoff.EndSeq = t.change.Events[len(t.change.Events)-1].Seq
	}
	return nil
}

func (t *turn) enter(rule Rule) {
	h := t.handoff
	h.State = rule.To
	h.Reason = rule.Reason
	switch rule.To {
	case StateWaiting, StateWaitExpired:
		if h.AcceptedAt.IsZero() {
			h.AcceptedAt = t.now
		}
		if h.WaitingSince.IsZero() {
			h.WaitingSince = t.now
		}
	case StateActive:
		if h.AcceptedAt.IsZero() {
			h.AcceptedAt = t.now
		}
		h.ConnectedAt = t.now
		h.WaitingSince = time.Time{}
	case StateClosed:
		h.ClosedAt = t.now
		h.WaitingSince = time.Time{}
		t.conv.OpenHandoffID = ""
	case StateCollectingEmail, StateRequesting:
	}
	t.add(Event{Kind: EventHandoffChanged, State: h.State, Reason: h.Reason, OperatorName: h.Operator})
}

func (t *turn) perform(effect Effect) error {
	h := t.handoff
	switch effect {
	case CheckEmail:
		return t.checkEmail()
	case OpenAtDesk:
		t.openAtDesk()
	case SendToDesk:
		t.sendToDesk()
	case CloseAtDesk:
		t.queue(Delivery{Kind: DeliverClose}, -1)
	case DropUnsent:
		h.DeskClosed = true
		t.change.DropLane = LaneOf(h.ID)
	case RelayToUser:
		t.relayToUser()
	case StartWait:
		t.arm(DeadlineWait, h.WaitTimeout)
	case AskKeepWaiting:
		t.say(NoticeKeepWaiting)
		t.arm(DeadlineAnswer, h.WaitTimeout)
	case StartSession:
		t.arm(DeadlineSession, h.SessionTimeout)
	case StopDeadline:
		h.DeadlineKind, h.DeadlineAt = DeadlineNone, time.Time{}
	case SayConnecting:
		t.say(NoticeConnecting)
	case SayConnected:
		t.say(NoticeConnected)
	case SayEnded:
		t.say(endNotice(h))
	}
	return nil
}

func endNotice(h *Handoff) Notice {
	switch h.Reason {
	case ReasonUserEnded, ReasonUserCancelled:
		return NoticeEndedByUser
	case ReasonOperatorEnded:
		return NoticeEndedByOperator
	case ReasonWaitTimeout, ReasonSessionTimeout:
		return NoticeEndedByTimeout
	case ReasonTransferFailed:
		if h.AcceptedAt.IsZero() {
			return NoticeBusy
		}
		return NoticeEnded
	case ReasonEmailNotGiven:
		return NoticeEmailNotGiven
	case ReasonHandoffDisabled, ReasonAdminEnded, ReasonNone:
	}
	return NoticeEnded
}

func (t *turn) arm(kind DeadlineKind, after Seconds) {
	t.handoff.DeadlineKind = kind
	t.handoff.DeadlineAt = t.now.Add(after.Duration())
}

// queue adds a delivery to the lane of the Handoff.
func (t *turn) queue(d Delivery, eventIndex int) {
	h := t.handoff
	t.touched = true
	d.ID = NewID(DeliveryPrefix)
	d.Lane = LaneOf(h.ID)
	d.AgentID, d.ConnectionID = h.AgentID, h.ConnectionID
	d.ConversationID, d.HandoffID = h.ConversationID, h.ID
	d.Status = DeliveryPending
	d.CreatedAt = t.now
	t.change.Deliveries = append(t.change.Deliveries, QueuedDelivery{Delivery: d, EventIndex: eventIndex})
}

func (t *turn) openAtDesk() {
	t.queue(Delivery{Kind: DeliverOpen}, -1)
	if t.handoff.DeskReadsLog {
		return
	}
	for _, seq := range t.handoff.HeldSeqs {
		t.queue(Delivery{Kind: DeliverMessage, EventSeq: seq}, -1)
	}
}

func (t *turn) sendToDesk() {
	if t.handoff.DeskReadsLog || t.appended < 0 {
		return
	}
	t.queue(Delivery{Kind: DeliverMessage}, t.appended)
}

// checkEmail looks for an address in what the User typed during the e-mail step.
func (t *turn) checkEmail() error {
	h := t.handoff
	address := FindEmail(t.text)
	// Whatever else the User sent beside the answer is for the Operator.
	answer := address != "" && strings.TrimSpace(t.text) == address || h.EmailPolicy == EmailOptional && declines(t.text)
	message := t.change.Events[t.appended]
	if !answer || len(message.Attachments) > 0 {
		h.HeldSeqs = append(h.HeldSeqs, message.Seq)
	}
	if address != "" {
		t.conv.User.Email = address
		h.Email = address
		return t.apply(EmailSettled)
	}
	if h.EmailPolicy == EmailOptional {
		return t.apply(EmailSettled)
	}
	h.EmailTries++
	if h.EmailTries >= MaxEmailTries {
		return t.apply(EmailAbandoned)
	}
	t.say(NoticeEmailInvalid)
	t.arm(DeadlineEmail, t.settings.EmailTimeout)
	return nil
}

// declines recognises the answers that the standard texts of EMAIL_OPTIONAL propose.
func declines(text string) bool {
	switch strings.ToLower(strings.Trim(text, " \t\r\n.。!！\"「」“”")) {
	case "skip", "略過", "略过", "跳過", "跳过", "スキップ":
		return true
	}
	return false
}

// answeredBy notes who answers; a desk that does not tell is not contradicted.
func (t *turn) answeredBy(operator string) {
	if operator != "" && t.handoff.Operator != operator {
		t.handoff.Operator, t.touched = operator, true
	}
}

// operatorWrote applies a message of the Operator. key is its idempotency key, "" = none.
func (t *turn) operatorWrote(m *DeskEvent, key string) error {
	t.message, t.key = *m, key
	t.answeredBy(m.OperatorName) // first, so that the change of state names the Operator
	return t.apply(OperatorWrote)
}

// relayToUser appends the Operator's message. A text beyond the limit of one
// message becomes several, in one commit, so that nothing is lost or cut off.
func (t *turn) relayToUser() {
	m := &t.message
	parts := SplitText(m.Text, MaxTextRunes)
	for i, part := range parts {
		e := Event{Kind: EventMessage, Author: AuthorOperator, Text: part, OperatorName: t.handoff.Operator}
		if i == 0 {
			e.Key = t.key
		}
		if i == len(parts)-1 {
			e.Attachments = m.Attachments
		}
		t.add(e)
	}
}
