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

	appended int // index in change.Events of the User's message for the desk; -1 = none
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
	if e.Kind == EventMessage {
		t.noteAuthor(e.Author)
	}
	return e.Seq
}

// say appends a standard text in the User's language.
func (t *turn) say(n Notice) {
	t.sayText(n, t.settings.Text(n, t.conv.Language), "")
}

// sayText appends a standard text, worded by the caller. In a desk's messenger the
// Agent speaks it, unless a human does so there anyway.
func (t *turn) sayText(n Notice, text, key string) {
	if t.conv.InMessenger() && n.seenNatively() {
		return
	}
	t.add(Event{Kind: EventMessage, Author: AuthorSystem, Notice: n, Text: text, Key: key})
	t.speak()
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

// open starts a Handoff with the input that begins it.
func (t *turn) open(h Handoff, on Input) error {
	t.handoff = &h
	t.change.NewHandoff = true
	t.conv.OpenHandoffID = h.ID
	return t.apply(on)
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
	if rule.From == StateNone {
		t.setControl(ControlHandoff) // first: from here on the Agent is silent
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
	case StateNone, StateCollectingEmail, StateRequesting:
	}
	seq := t.add(Event{Kind: EventHandoffChanged, State: h.State, Reason: h.Reason, OperatorName: h.Operator})
	if rule.To == StateActive && t.conv.InMessenger() {
		t.conv.HumanSeq = seq
	}
}

func (t *turn) perform(effect Effect) error {
	h := t.handoff
	switch effect {
	case AskEmail:
		t.askEmail()
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
		t.dropUnsent()
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

// dropUnsent takes back what the Handoff has still to deliver.
func (t *turn) dropUnsent() {
	t.change.Drop = &Drop{Lane: t.lane(), HandoffID: t.handoff.ID}
}

// lane is where the deliveries of the moment go.
func (t *turn) lane() string {
	if t.conv.InMessenger() {
		return MessengerLane(t.conv.ID)
	}
	return LaneOf(t.handoff.ID)
}

// queue adds a delivery of the Handoff to its lane.
func (t *turn) queue(d Delivery, eventIndex int) {
	d.ConnectionID, d.HandoffID = t.handoff.ConnectionID, t.handoff.ID
	t.enqueue(d, eventIndex)
}

// enqueue adds a delivery to the lane.
func (t *turn) enqueue(d Delivery, eventIndex int) {
	t.touched = true
	d.ID = NewID(DeliveryPrefix)
	d.Lane = t.lane()
	d.AgentID, d.ConversationID = t.conv.AgentID, t.conv.ID
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

// relayToUser appends the Operator's message.
func (t *turn) relayToUser() {
	t.addFromDesk(&t.message, Event{Author: AuthorOperator, Key: t.key, OperatorName: t.handoff.Operator})
}

// addFromDesk appends a message that the desk told us. A text beyond the limit of
// one message becomes several, in one commit, so that nothing is lost or cut off.
func (t *turn) addFromDesk(m *DeskEvent, e Event) {
	e.Kind = EventMessage
	parts := SplitText(m.Text, MaxTextRunes)
	for i, part := range parts {
		e.Text = part
		if i == len(parts)-1 {
			e.Attachments = m.Attachments
		}
		t.add(e)
		e.Key = "" // of the first part alone
	}
}
