package intercom

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// The topics that mean something here. conversation.read is not among them: it is
// the contact who has read, not the Operator.
const (
	topicReplied   = "conversation.admin.replied"
	topicAssigned  = "conversation.admin.assigned"
	topicClosed    = "conversation.admin.closed"
	topicOpened    = "conversation.admin.opened"
	topicSnoozed   = "conversation.admin.snoozed"
	topicUnsnoozed = "conversation.admin.unsnoozed"
	topicDeleted   = "conversation.deleted"

	topicUserCreated = "conversation.user.created"
	topicUserReplied = "conversation.user.replied"
)

// sessionTopics are those of EXTERNAL_TO_DESK.
var sessionTopics = map[string]bool{
	topicReplied: true, topicAssigned: true, topicClosed: true, topicOpened: true, topicSnoozed: true, topicUnsnoozed: true,
	topicDeleted: true,
}

// translator gives the events of a conversation that happened since a moment, in the
// order in which they did. at is the time of the look.
type translator func(who identity, c *conversation, since, at time.Time) []handoff.DeskEvent

// Webhooks come late, in any order, and not at all. Intercom repeats one after a
// minute, so whatever was made in lookBack may still be missing.
const (
	lookBack    = 2 * time.Minute
	lookTimeout = 3 * time.Second // Intercom waits 5 s for the answer of a webhook
)

// lookWaits are the waits before a look that failed is repeated, within lookTimeout.
var lookWaits = []time.Duration{300 * time.Millisecond, time.Second}

// conversationID is the form of a conversation's id, which becomes part of an address.
var conversationID = regexp.MustCompile(`^[0-9]{1,20}$`)

// partID is the form of a part's id, which identifies its events. All known ones
// are numbers.
var partID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// Receive takes a webhook as the news that something happened in a conversation,
// and asks Intercom what: so what is told comes in the order in which it was made,
// with what earlier webhooks should have brought, and all of it before the end.
// Where Intercom does not answer, a signed webhook is believed by itself, except for
// the end, which is final. Notifications of other workspaces, which the same app may
// have, give no event.
func (d *intercomDesk) Receive(ctx context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	signed := len(d.secret) > 0
	if signed {
		if err := verify(d.secret, r.Header, r.Body); err != nil {
			return nil, err
		}
	}
	var n notification
	if json.Unmarshal(r.Body, &n) != nil || n.Type != "notification_event" {
		return nil, fault.New(fault.InvalidInput, "the request must be a notification of Intercom")
	}
	if !d.topics[n.Topic] {
		return nil, nil
	}
	var told conversation
	if json.Unmarshal(n.Data.Item, &told) != nil {
		return nil, fault.Invalid("data.item", "must be a conversation of Intercom")
	}
	told.ID = cmp.Or(told.ConversationID, told.ID)
	ref := string(told.ID)
	if !conversationID.MatchString(ref) {
		return nil, fault.Invalid("data.item.id", "must be the id of a conversation, of digits")
	}
	who, err := d.identify(ctx)
	if err != nil {
		return nil, again(err)
	}
	if n.AppID != who.app && who.app != "" {
		return nil, nil
	}
	if signed && n.Topic == topicDeleted {
		return deleted(ref, r.ReceivedAt), nil
	}
	since := told.since(r.ReceivedAt.Add(-lookBack))
	if n.Topic == topicUserCreated {
		since = time.Unix(0, 0)
	}
	events, err := d.look(ctx, who, ref, since, r.ReceivedAt)
	if err != nil && signed && n.Topic != topicClosed {
		return d.translate(who, &told, time.Time{}, r.ReceivedAt), nil
	}
	return events, again(err)
}

// again has Intercom send a webhook again. Told that we are called too often, which
// is what it told us, it would hold back all of them for up to two hours.
func again(err error) error {
	if !fault.Is(err, fault.DeskRateLimited) {
		return err
	}
	f := *fault.As(err)
	f.Kind = fault.DeskUnavailable
	return &f
}

// look asks Intercom what happened for as long as there is time.
func (d *intercomDesk) look(ctx context.Context, who identity, ref string, since, at time.Time) ([]handoff.DeskEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	events, err := d.happened(ctx, who, ref, since, at)
	for _, wait := range lookWaits {
		f := fault.As(err)
		if f == nil || !f.Retryable() || !d.pause(ctx, max(wait, f.After)) {
			break
		}
		events, err = d.happened(ctx, who, ref, since, at)
	}
	return events, err
}

// since is the moment, or that of the oldest part if it is earlier.
func (c *conversation) since(moment time.Time) time.Time {
	for i := range c.Parts.Parts {
		if made := time.Unix(c.Parts.Parts[i].CreatedAt, 0); made.Unix() > 0 && made.Before(moment) {
			moment = made
		}
	}
	return moment
}

// Missed reads what happened since a moment. A conversation that is closed has
// ended, whenever that was, unless this service closed it.
func (d *intercomDesk) Missed(ctx context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	who, err := d.identify(ctx)
	if err != nil {
		return nil, err
	}
	return d.happened(ctx, who, ref, since.Add(-clockSkew), d.now())
}

// happened asks Intercom what happened in a conversation since a moment.
func (d *intercomDesk) happened(ctx context.Context, who identity, ref string, since, at time.Time) ([]handoff.DeskEvent, error) {
	c, err := d.read(ctx, who, ref)
	if fault.Is(err, fault.DeskGone) {
		return deleted(ref, at), nil
	}
	if err != nil {
		return nil, err
	}
	if string(c.ID) != ref {
		return nil, unreadable()
	}
	events := d.translate(who, &c, since, at)
	if c.State == stateClosed && c.end() < 0 {
		// Closed in a way that leaves no part, as merging may.
		events = append(events, handoff.DeskEvent{Kind: handoff.DeskEnded, Ref: ref, ID: "closed:" + ref, At: at.UTC()})
	}
	return events, nil
}

func deleted(ref string, at time.Time) []handoff.DeskEvent {
	return []handoff.DeskEvent{{Kind: handoff.DeskEnded, Ref: ref, ID: "deleted:" + ref, At: at}}
}

// sessionEvents translates the parts of a conversation that were made since a moment,
// and its end whenever that was.
func (d *intercomDesk) sessionEvents(who identity, c *conversation, since, at time.Time) []handoff.DeskEvent {
	slices.SortStableFunc(c.Parts.Parts, func(a, b part) int { return before(&a, &b) })
	end := c.end()
	var list []handoff.DeskEvent
	for i := range c.Parts.Parts {
		p := &c.Parts.Parts[i]
		ends := i == end
		if !partID.MatchString(string(p.ID)) || p.isOurs(who) || p.CreatedAt < since.Unix() && !ends {
			continue
		}
		e := handoff.DeskEvent{Ref: string(c.ID), At: partTime(p, at)}
		if p.byHuman() && p.assigns() {
			list = append(list, joined(e, p))
		}
		list = append(list, messages(e, p)...)
		if ends {
			e.Kind, e.ID = handoff.DeskEnded, string(p.ID)+":ended"
			list = append(list, e)
		}
	}
	return list
}

// joined is the news that a teammate got the conversation, with the name where it is
// known: that of whoever took it for themselves.
func joined(e handoff.DeskEvent, p *part) handoff.DeskEvent {
	e.Kind, e.ID = handoff.DeskJoined, string(p.ID)+":joined"
	if p.AssignedTo.ID == p.Author.ID {
		e.OperatorName = desk.Line(p.Author.Name, handoff.MaxIdentityRunes)
	}
	return e
}

// end is the index of the part that ended the conversation, -1 = none did. One that
// is open again, or snoozed, has not ended.
func (c *conversation) end() int {
	for i := len(c.Parts.Parts) - 1; i >= 0 && c.State == stateClosed; i-- {
		if c.Parts.Parts[i].Type == partClose {
			return i
		}
	}
	return -1
}

// before orders parts by the time they were made, then by their ids, which grow.
func before(a, b *part) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
}

// partTime is when the part was made, if it says something sensible.
func partTime(p *part, receivedAt time.Time) time.Time {
	if p.CreatedAt <= 0 || p.CreatedAt > receivedAt.Add(time.Hour).Unix() {
		return receivedAt.UTC()
	}
	return time.Unix(p.CreatedAt, 0).UTC()
}

// isOurs reports whether this service made the part: by the API, in the name of
// the teammate that we use. The same teammate may also answer in the inbox, and
// others may use the API.
func (p *part) isOurs(who identity) bool {
	return p.Author.Type == authorAdmin && string(p.Author.ID) == who.admin && present(p.AppPackageCode)
}

// byHuman reports whether a human teammate made the part.
func (p *part) byHuman() bool {
	return p.Author.Type == authorAdmin && !p.Author.FromAIAgent && !p.Author.IsAIAnswer
}

// assigns reports whether the part gives the conversation to a teammate.
func (p *part) assigns() bool {
	return p.Type == partAssignment && p.AssignedTo.Type == authorAdmin && p.AssignedTo.ID != "" && p.AssignedTo.ID != "0"
}

// public are the types of parts whose body the contact sees. Everything else,
// notes and types to come included, stays inside.
var public = map[string]bool{
	partComment: true, "quick_reply": true, partAssignment: true, "assign_and_reopen": true,
	partClose: true, "open": true, "snoozed": true,
}

// messages are what the User is to read of a part. A text that is too long for one
// message is cut.
func messages(e handoff.DeskEvent, p *part) []handoff.DeskEvent {
	if !p.byHuman() || !public[p.Type] || p.Redacted {
		return nil
	}
	e.Kind, e.ID = handoff.DeskMessage, string(p.ID)
	e.OperatorName = desk.Line(p.Author.Name, handoff.MaxIdentityRunes)
	return texts(e, p.Body, p.Attachments)
}

// texts are what was said, in one event or, where the text is too long for one
// message, in several; none where nothing was said.
func texts(e handoff.DeskEvent, body string, uploads []upload) []handoff.DeskEvent {
	text, files := clean(body, uploads)
	if text == "" && len(files) == 0 {
		return nil
	}
	var list []handoff.DeskEvent
	first := e.ID
	for i, s := range handoff.SplitText(text, handoff.MaxTextRunes) {
		if e.Text = s; i > 0 {
			e.ID = first + ":" + strconv.Itoa(i+1)
		}
		list = append(list, e)
	}
	list[len(list)-1].Attachments = files
	return list
}
