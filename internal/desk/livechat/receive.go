package livechat

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// The webhooks that mean something here.
const (
	actionChat        = "incoming_chat"
	actionEvent       = "incoming_event"
	actionDeactivated = "chat_deactivated"
	actionAdded       = "user_added_to_chat"
	actionTransferred = "chat_transferred"
	actionSeen        = "events_marked_as_seen"
)

// parse reads a webhook and checks its secret key, which is the only proof there is.
// It gives false for what is to be ignored.
func parse(body []byte, secret string) (n notification, p happened, mine bool, err error) {
	if json.Unmarshal(body, &n) != nil || n.Action == "" && (n.AppEvent == "" || n.ClientID == "") {
		return n, p, false, fault.New(fault.InvalidInput, "the request must be a webhook of LiveChat")
	}
	if n.Action == "" {
		return n, p, false, nil // an app webhook: it proves nothing, and says nothing of a session
	}
	if secret != "" && !equal(n.SecretKey, secret) {
		return n, p, false, fault.New(fault.Unauthenticated, "secret_key does not fit")
	}
	switch n.Action {
	case actionChat, actionEvent, actionDeactivated, actionAdded, actionTransferred, actionSeen:
	default:
		return n, p, false, nil
	}
	if json.Unmarshal(n.Payload, &p) != nil {
		return n, p, false, fault.Invalid("payload", "must be that of %s", n.Action)
	}
	if n.Action == actionChat {
		p.ChatID, p.ThreadID = p.Chat.ID, p.Chat.Thread.ID
	}
	if !idPattern.MatchString(p.ChatID) || p.ThreadID != "" && !idPattern.MatchString(p.ThreadID) {
		return n, p, false, fault.Invalid("payload", "must name a chat and a thread")
	}
	if n.Action == actionEvent && !idPattern.MatchString(p.Event.ID) {
		return n, p, false, fault.Invalid("payload.event.id", "must be the id of an event")
	}
	return n, p, true, nil
}

// equal compares secrets without telling by its time how much of them is right.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Receive reads a webhook. LiveChat tells of all chats of the account; those that are
// not ours name a session that nobody knows. With a secret key the webhook is
// believed, else it is a hint and the chat is read.
func (d *externalDesk) Receive(ctx context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	n, p, mine, err := parse(r.Body, d.secret)
	if err != nil || !mine || !strings.EqualFold(n.OrganizationID, d.organizationID) {
		return nil, err
	}
	if d.secret == "" {
		return d.reread(ctx, &n, &p, r.ReceivedAt)
	}
	if p.ThreadID == "" && (n.Action == actionTransferred || n.Action == actionSeen && isHuman(p.UserID)) {
		if p.ThreadID, err = d.currentThread(ctx, p.ChatID); err != nil {
			return nil, err
		}
	}
	if p.ThreadID == "" {
		return nil, nil
	}
	e := handoff.DeskEvent{Ref: newRef(p.ChatID, p.ThreadID), At: r.ReceivedAt.UTC()}
	switch n.Action {
	case actionEvent:
		if !isHuman(p.Event.AuthorID) {
			d.learnBot(ctx, p.Event.AuthorID)
			return nil, nil
		}
		list := message(e, &p.Event, "")
		for i := range list {
			list[i].OperatorName = desk.Line(d.nameOf(ctx, e.Ref, &p.Event), handoff.MaxIdentityRunes)
		}
		return list, nil
	case actionDeactivated:
		if customerID.MatchString(p.UserID) {
			return nil, nil // it was us
		}
		defer d.forgetStranger(ctx, e.Ref)
		if !isHuman(p.UserID) {
			return ended(e), nil
		}
		return append(d.lastWords(ctx, e), ended(e)...), nil
	case actionAdded:
		if isHuman(p.User.ID) {
			d.names.set(p.User.ID, p.User.Name)
			return joined(e, p.User.Name), nil
		}
	case actionTransferred:
		return transferred(e, &p), nil
	case actionSeen:
		if isHuman(p.UserID) {
			e.Kind = handoff.DeskRead
			return []handoff.DeskEvent{e}, nil
		}
	}
	return nil, nil
}

// currentThread is the thread in which a chat is used; "" = not by us.
func (d *externalDesk) currentThread(ctx context.Context, chatID string) (string, error) {
	key, version, err := d.memory.Get(ctx, d.chatKey(chatID))
	if err != nil || version == 0 {
		return "", memoryFault(err)
	}
	r, err := d.load(ctx, string(key))
	if err != nil || r.Chat != chatID {
		return "", err
	}
	return r.Thread, nil
}

// isHuman reports whether an id of a webhook is a human agent's: an e-mail address.
// Customers have UUIDs and bots 32 hexadecimal digits.
func isHuman(id string) bool { return strings.Contains(id, "@") }

// message gives what the User is to read of an event, cut where it is too long for one
// message; nobody else's ids are shown.
func message(e handoff.DeskEvent, of *event, name string) []handoff.DeskEvent {
	if of.Visibility == toAgents {
		return nil
	}
	text, files := said(of)
	if text == "" && len(files) == 0 {
		return nil
	}
	e.Kind, e.ID, e.At = handoff.DeskMessage, of.ID, at(of.CreatedAt, e.At)
	e.OperatorName = desk.Line(name, handoff.MaxIdentityRunes)
	var list []handoff.DeskEvent
	for i, part := range handoff.SplitText(text, handoff.MaxTextRunes) {
		if e.Text = part; i > 0 {
			e.ID = of.ID + ":" + strconv.Itoa(i+1)
		}
		list = append(list, e)
	}
	list[len(list)-1].Attachments = files
	return list
}

func ended(e handoff.DeskEvent) []handoff.DeskEvent {
	e.Kind, e.ID = handoff.DeskEnded, "ended"
	return []handoff.DeskEvent{e}
}

func joined(e handoff.DeskEvent, name string) []handoff.DeskEvent {
	e.Kind, e.OperatorName = handoff.DeskJoined, desk.Line(name, handoff.MaxIdentityRunes)
	return []handoff.DeskEvent{e}
}

// transferred tells of the place in the queue, or of the agent who got the chat.
func transferred(e handoff.DeskEvent, p *happened) []handoff.DeskEvent {
	if slices.ContainsFunc(p.TransferredTo.AgentIDs, isHuman) {
		return joined(e, "")
	}
	if p.Queue != nil && p.Queue.Position > 0 {
		e.Kind, e.QueuePlace = handoff.DeskQueued, p.Queue.Position
		return []handoff.DeskEvent{e}
	}
	return nil
}

// at is when something happened, if it says something sensible.
func at(created string, receivedAt time.Time) time.Time {
	when, err := time.Parse(time.RFC3339Nano, created)
	if err != nil || when.Unix() <= 0 || when.After(receivedAt.Add(time.Hour)) {
		return receivedAt.UTC()
	}
	return when.UTC()
}
