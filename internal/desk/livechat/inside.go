package livechat

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// insideDesk is a connection in the mode DESK_TO_DESK: the Agent has the seat of a
// LiveChat agent, and the User is a customer in LiveChat's own messenger.
type insideDesk struct {
	*client
	fetch  *fetcher
	memory desk.Memory

	account       string // see accountOf
	seat          string // the e-mail address that is the agent's id
	authorization string
	secret        string
	group         int // the people who take over
	failOffline   bool

	names names
}

var (
	_ desk.Desk              = (*insideDesk)(nil)
	_ desk.Reconciler        = (*insideDesk)(nil)
	_ desk.Speaker           = (*insideDesk)(nil)
	_ desk.SpeakerReconciler = (*insideDesk)(nil)
	_ desk.Rememberer        = (*insideDesk)(nil)
	_ desk.ReadSender        = (*insideDesk)(nil)
)

func newInsideDesk(c *client, fetch *fetcher, s *desk.Settings) *insideDesk {
	group, _ := strconv.Atoi(s.Fields[fieldHumanGroupID]) // its form was checked
	credentials := s.Fields[fieldAccountID] + ":" + s.Fields[fieldToken]
	return &insideDesk{
		client: c, fetch: fetch, memory: s.Memory,
		account:       accountOf(s.Fields[fieldAccountID], strings.ToLower(s.Fields[fieldAgentEmail])),
		seat:          s.Fields[fieldAgentEmail],
		authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)),
		secret:        s.Fields[fieldSecretKey],
		group:         group,
		failOffline:   s.Fields[fieldWhenOffline] == offlineFail,
	}
}

// act makes a call of the agents' interface, or of the configuration's.
func (d *insideDesk) act(ctx context.Context, interfaceOf, action string, c request, out any) error {
	c.method = http.MethodPost
	c.url = d.api + "/v" + apiVersion + "/" + interfaceOf + "/action/" + action
	c.authorization = d.authorization
	if c.in == nil && c.body == nil {
		c.in = struct{}{}
	}
	_, err := d.call(ctx, c, out)
	return err
}

// The interfaces.
const (
	ofAgents        = "agent"
	ofConfiguration = "configuration"
)

// Verify looks whether the token counts, and whether the group of people is there and
// has somebody besides the Agent.
func (d *insideDesk) Verify(ctx context.Context) error {
	var groups []struct {
		ID *int `json:"id"`
	}
	if err := d.act(ctx, ofConfiguration, "list_groups", request{about: desk.AboutDesk}, &groups); err != nil {
		return err
	}
	if !slices.ContainsFunc(groups, func(g struct {
		ID *int `json:"id"`
	}) bool {
		return g.ID != nil && *g.ID == d.group
	}) {
		return wrong("LiveChat has no group " + strconv.Itoa(d.group) + ": correct the human group id")
	}
	var members []struct {
		AgentID string `json:"agent_id"`
	}
	if err := d.act(ctx, ofAgents, "list_routing_statuses", request{
		in: object{"filters": object{"group_ids": []int{d.group}}}, about: desk.AboutDesk,
	}, &members); err != nil {
		return err
	}
	for _, m := range members {
		if d.isSeat(m.AgentID) {
			return wrong("the AI agent's seat is in the group of people who take over, so that a handoff could come back to it: take it out of the group")
		}
	}
	if len(members) == 0 {
		return wrong("there is nobody in the group of people who take over: add somebody in LiveChat")
	}
	return nil
}

func wrong(text string) error {
	return &fault.Fault{Kind: fault.DeskRejected, Sent: fault.Sent, Public: text}
}

func (d *insideDesk) isSeat(id string) bool { return strings.EqualFold(id, d.seat) }

// seated reports whether the Agent is in the chat.
func (d *insideDesk) seated(c *chat) bool {
	return slices.ContainsFunc(c.Users, func(u user) bool { return u.Present && d.isSeat(u.ID) })
}

// read gets a thread of a chat; the newest when threadID is empty.
func (d *insideDesk) read(ctx context.Context, chatID, threadID string) (chat, error) {
	in := object{"chat_id": chatID}
	if threadID != "" {
		in["thread_id"] = threadID
	}
	var c chat
	err := d.act(ctx, ofAgents, "get_chat", request{in: in, about: desk.AboutSession, limit: maxThread}, &c)
	if err == nil && (c.ID != chatID || !idPattern.MatchString(c.Thread.ID) || threadID != "" && c.Thread.ID != threadID) {
		err = unreadable()
	}
	return c, err
}

// readRef is read for a session.
func (d *insideDesk) readRef(ctx context.Context, ref string) (chat, error) {
	chatID, threadID, ok := splitRef(ref)
	if !ok {
		return chat{}, gone()
	}
	return d.read(ctx, chatID, threadID)
}

// sessionKey names what remembers that a session is the Agent's.
func (d *insideDesk) sessionKey(ref string) string { return "session:" + d.account + ":" + ref }

// isKnown reports whether the Agent was in the chat before.
func (d *insideDesk) isKnown(ctx context.Context, ref string) (bool, error) {
	_, version, err := d.memory.Get(ctx, d.sessionKey(ref))
	return version > 0, memoryFault(err)
}

// remember notes that a session is the Agent's, so that it is told what people do
// with the chat once they have it. The next event tries again if it fails.
func (d *insideDesk) remember(ctx context.Context, ref string) {
	if known, err := d.isKnown(ctx, ref); err == nil && !known {
		_, _ = d.memory.Put(ctx, d.sessionKey(ref), []byte("1"), 0)
	}
}

// forget removes the note of a session that has ended.
func (d *insideDesk) forget(ctx context.Context, ref string) {
	if _, version, err := d.memory.Get(ctx, d.sessionKey(ref)); err == nil && version > 0 {
		_, _ = d.memory.Put(ctx, d.sessionKey(ref), nil, version)
	}
}

// Open writes the context where only agents see it, and transfers the chat to the
// people. The Operators read the dialogue itself where it took place. A chat that
// somebody has taken from the Agent already is in their hands.
func (d *insideDesk) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	c, err := d.readRef(ctx, r.ProposedRef)
	if err != nil {
		return desk.Opened{}, err
	}
	if !c.Thread.Active {
		return desk.Opened{}, gone()
	}
	d.remember(ctx, r.ProposedRef)
	if d.seated(&c) {
		if err := d.giveAway(ctx, &c, &r); err != nil {
			return desk.Opened{}, err
		}
	}
	return desk.Opened{Ref: r.ProposedRef}, nil
}

func (d *insideDesk) giveAway(ctx context.Context, c *chat, r *desk.OpenRequest) error {
	for i, page := range pages(append(preface(r), details(r)...)) {
		id := customID(r.DeliveryID, i+1)
		if hasEvent(c.Thread.Events, id) {
			continue
		}
		if _, err := d.sendEvent(ctx, c.ID, event{Type: eventMessage, Text: page, Visibility: toAgents, CustomID: id}); err != nil {
			return err
		}
	}
	return d.transfer(ctx, c.ID, "group", d.group, !d.failOffline)
}

// transfer gives the chat to a group or an agent. With anyway nobody has to be there.
func (d *insideDesk) transfer(ctx context.Context, chatID, kind string, id any, anyway bool) error {
	return d.act(ctx, ofAgents, "transfer_chat", request{about: desk.AboutSession, in: object{
		"id": chatID, "target": object{"type": kind, "ids": []any{id}},
		"ignore_agents_availability": anyway, "ignore_requester_presence": true,
	}}, nil)
}

func (d *insideDesk) sendEvent(ctx context.Context, chatID string, e event) (string, error) {
	var sent eventSent
	err := d.act(ctx, ofAgents, "send_event", request{in: object{"chat_id": chatID, "event": e}, about: desk.AboutSession}, &sent)
	if err == nil && sent.EventID == "" {
		err = unreadable()
	}
	if refusedAs(err, errAccess) {
		f := *fault.As(err)
		f.Kind, f.Public = fault.DeskRejected, "the AI agent's seat is not in this chat now, so LiveChat lets it say nothing"
		err = &f
	}
	return sent.EventID, err
}

// FindOpened looks whether the chat is in people's hands already.
func (d *insideDesk) FindOpened(ctx context.Context, r desk.OpenRequest) (desk.Opened, bool, error) {
	c, err := d.readRef(ctx, r.ProposedRef)
	if err != nil || !c.Thread.Active || d.seated(&c) {
		return desk.Opened{}, false, err
	}
	return desk.Opened{Ref: r.ProposedRef}, true, nil
}

// Send has nothing to do: the User writes in LiveChat.
func (d *insideDesk) Send(context.Context, desk.SendRequest) (desk.Sent, error) {
	return desk.Sent{}, nil
}

// FindSent finds everything for the same reason.
func (d *insideDesk) FindSent(context.Context, desk.SendRequest) (desk.Sent, bool, error) {
	return desk.Sent{}, true, nil
}

// SendRead has nothing to do: LiveChat's messenger knows what the User has read.
func (d *insideDesk) SendRead(context.Context, string) error { return nil }

// Say writes to the User from the Agent's seat. A repeat says what is missing.
func (d *insideDesk) Say(ctx context.Context, r desk.SayRequest) (desk.Sent, error) {
	chatID, _, ok := splitRef(r.Ref)
	if !ok {
		return desk.Sent{}, gone()
	}
	var there []event
	if r.Repeat {
		c, err := d.readRef(ctx, r.Ref)
		if err != nil {
			return desk.Sent{}, err
		}
		there = c.Thread.Events
	}
	var sent desk.Sent
	for i, p := range newPieces(&r.Text) {
		id := customID(r.DeliveryID, i+1)
		if hasEvent(there, id) {
			continue
		}
		e, err := d.fetch.event(ctx, &p, id, d.upload)
		if err == nil {
			e.Visibility = toAll
			sent.ID, err = d.sendEvent(ctx, chatID, e)
		}
		if err != nil {
			if i > 0 {
				err = unclear(err)
			}
			return desk.Sent{}, err
		}
	}
	return sent, nil
}

func (d *insideDesk) upload(ctx context.Context, body []byte, contentType string) (up uploaded, err error) {
	err = d.act(ctx, ofAgents, "upload_file", request{body: body, contentType: contentType, about: desk.AboutDesk}, &up)
	return up, err
}

// FindSaid looks whether the whole message has arrived.
func (d *insideDesk) FindSaid(ctx context.Context, r desk.SayRequest) (desk.Sent, bool, error) {
	c, err := d.readRef(ctx, r.Ref)
	if err != nil {
		return desk.Sent{}, false, err
	}
	sent, found := findEvent(c.Thread.Events, customID(r.DeliveryID, len(newPieces(&r.Text))))
	return sent, found, nil
}

// Close takes the chat back to the Agent's seat. The User stays in the messenger. A
// chat that has ended, or that came back already, is what we wanted.
func (d *insideDesk) Close(ctx context.Context, r desk.CloseRequest) error {
	c, err := d.readRef(ctx, r.Ref)
	if err == nil && c.Thread.Active && !d.seated(&c) {
		err = d.transfer(ctx, c.ID, "agent", d.seat, true)
	}
	if fault.Is(err, fault.DeskGone) {
		return nil
	}
	return err
}

// Receive reads a webhook. LiveChat tells of all chats of the account: only those
// count in which the Agent sits, or did.
func (d *insideDesk) Receive(ctx context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	n, p, mine, err := parse(r.Body, d.secret)
	if err != nil || !mine {
		return nil, err
	}
	back := n.Action == actionTransferred && slices.ContainsFunc(p.TransferredTo.AgentIDs, d.isSeat)
	if p.ThreadID == "" {
		if !back {
			return nil, nil
		}
		c, err := d.read(ctx, p.ChatID, "")
		if err != nil {
			return nil, err
		}
		p.ThreadID = c.Thread.ID
	}
	e := handoff.DeskEvent{Ref: newRef(p.ChatID, p.ThreadID), At: r.ReceivedAt.UTC()}
	switch n.Action {
	case actionDeactivated:
		d.forget(ctx, e.Ref)
		return ended(e), nil
	case actionTransferred:
		if back {
			return ended(e), nil
		}
		return transferred(e, &p), nil
	case actionChat:
		if !d.seated(&p.Chat) {
			return nil, nil
		}
		d.remember(ctx, e.Ref)
		var list []handoff.DeskEvent
		for i := range p.Chat.Thread.Events {
			if of := &p.Chat.Thread.Events[i]; customerID.MatchString(of.AuthorID) {
				list = append(list, wrote(e, of, p.Chat.Users)...)
			}
		}
		return list, nil
	case actionEvent, actionAdded:
		ours, err := d.isOurs(ctx, &n, e.Ref)
		if err != nil || !ours {
			return nil, err
		}
		if n.Action == actionEvent && customerID.MatchString(p.Event.AuthorID) {
			return d.unanswered(ctx, e, &p.Event), nil
		}
		if n.Action == actionEvent {
			list := d.spoken(e, &p.Event, nil)
			for i := range list {
				if list[i].Kind == handoff.DeskMessage {
					list[i].OperatorName = desk.Line(d.nameOf(ctx, e.Ref, p.Event.AuthorID), handoff.MaxIdentityRunes)
				}
			}
			return list, nil
		}
		if isHuman(p.User.ID) && !d.isSeat(p.User.ID) {
			d.names.set(p.User.ID, p.User.Name)
			return joined(e, p.User.Name), nil
		}
	}
	return nil, nil
}

// nameOf gives the name of an agent in a chat, reading it the first time. A name that
// cannot be had holds up no message.
func (d *insideDesk) nameOf(ctx context.Context, ref, agent string) string {
	if name, known := d.names.get(agent); known {
		return name
	}
	c, err := d.readRef(ctx, ref)
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(c.Users, func(u user) bool { return u.ID == agent })
	if i < 0 {
		return ""
	}
	d.names.set(agent, c.Users[i].Name)
	return c.Users[i].Name
}

// isOurs reports whether the Agent sits in the chat, or did before.
func (d *insideDesk) isOurs(ctx context.Context, n *notification, ref string) (bool, error) {
	if slices.ContainsFunc(n.Additional.Present, d.isSeat) {
		d.remember(ctx, ref)
		return true, nil
	}
	known, err := d.isKnown(ctx, ref)
	if err != nil || known || len(n.Additional.Present) > 0 {
		return known, err
	}
	c, err := d.readRef(ctx, ref) // the webhook was made without the list
	if fault.Is(err, fault.DeskGone) {
		return false, nil
	}
	if err != nil || !d.seated(&c) {
		return false, err
	}
	d.remember(ctx, ref)
	return true, nil
}

// spoken translates what the User, or a person at the desk, said. Neither the Agent's
// own words nor a bot's are among it.
func (d *insideDesk) spoken(e handoff.DeskEvent, of *event, users []user) []handoff.DeskEvent {
	switch {
	case !idPattern.MatchString(of.ID):
		return nil
	case customerID.MatchString(of.AuthorID):
		return wrote(e, of, users)
	case isHuman(of.AuthorID) && !d.isSeat(of.AuthorID):
		name := ""
		if i := slices.IndexFunc(users, func(u user) bool { return u.ID == of.AuthorID }); i >= 0 {
			name = users[i].Name
		}
		return message(e, of, name)
	}
	return nil
}

// unanswered is what the User wrote, after whatever the Agent has not answered before
// it: nobody looks at chats of the Agent without a webhook, and an earlier one may be
// lost or overtaken. What cannot be read holds up no message.
func (d *insideDesk) unanswered(ctx context.Context, e handoff.DeskEvent, of *event) []handoff.DeskEvent {
	c, err := d.readRef(ctx, e.Ref)
	if err != nil {
		return wrote(e, of, nil)
	}
	newest := slices.IndexFunc(c.Thread.Events, func(x event) bool { return x.ID == of.ID })
	if newest < 0 || !d.seated(&c) {
		return wrote(e, of, c.Users)
	}
	var list []handoff.DeskEvent
	for i := range c.Thread.Events[:newest+1] {
		one := &c.Thread.Events[i]
		switch {
		case d.isSeat(one.AuthorID) && one.Visibility != toAgents:
			list = nil
		case customerID.MatchString(one.AuthorID):
			list = append(list, d.spoken(e, one, c.Users)...)
		}
	}
	return list
}

// wrote is what the User wrote in the messenger.
func wrote(e handoff.DeskEvent, of *event, users []user) []handoff.DeskEvent {
	list := message(e, of, "")
	for i := range list {
		list[i].Kind = handoff.DeskUserWrote
		list[i].User = handoff.User{AnonymousID: of.AuthorID}
		if j := slices.IndexFunc(users, func(u user) bool { return u.ID == of.AuthorID }); j >= 0 {
			list[i].User = whoIs(&users[j])
		}
	}
	return list
}

// whoIs is the User that a customer is. A website that knows its visitors sets the
// session variable user_id in the messenger.
func whoIs(u *user) handoff.User {
	found := handoff.User{AnonymousID: u.ID, Name: desk.Line(u.Name, handoff.MaxIdentityRunes)}
	if email, err := handoff.ParseEmail("email", u.Email); err == nil {
		found.Email = email
	}
	for _, field := range u.SessionFields {
		if id, ok := field["user_id"].(string); ok {
			found.ID = desk.Line(id, handoff.MaxIdentityRunes)
		}
	}
	return found
}

// Missed reads the thread of a session that people have. It has ended when the chat
// has, and when the Agent sits in it alone again.
func (d *insideDesk) Missed(ctx context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	e := handoff.DeskEvent{Ref: ref, At: d.now().UTC()}
	c, err := d.readRef(ctx, ref)
	if fault.Is(err, fault.DeskGone) {
		return ended(e), nil
	}
	if err != nil {
		return nil, err
	}
	var list []handoff.DeskEvent
	for i := range c.Thread.Events {
		list = append(list, d.spoken(e, &c.Thread.Events[i], c.Users)...)
	}
	alone := d.seated(&c) && !slices.ContainsFunc(c.Users, func(u user) bool {
		return u.Present && isHuman(u.ID) && !d.isSeat(u.ID)
	})
	return missed(list, e, since, c.Thread.Active && !alone), nil
}
