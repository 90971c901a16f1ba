package livechat

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// externalDesk is a connection in the mode EXTERNAL_TO_DESK: we are the customer.
type externalDesk struct {
	*client
	fetch  *fetcher
	memory desk.Memory

	organizationID string
	clientID       string
	redirectURI    string
	secret         string // "" = webhooks are hints
	groups         []int  // where chats go; empty = LiveChat's routing decides
	failOffline    bool

	account string // see accountOf
	names   names
	bots    bots
}

var (
	_ desk.Desk       = (*externalDesk)(nil)
	_ desk.Reconciler = (*externalDesk)(nil)
	_ desk.Rememberer = (*externalDesk)(nil)
	_ desk.ReadSender = (*externalDesk)(nil)
)

func newExternalDesk(c *client, fetch *fetcher, s *desk.Settings) *externalDesk {
	d := &externalDesk{
		client: c, fetch: fetch, memory: s.Memory,
		organizationID: strings.ToLower(s.Fields[fieldOrganizationID]),
		clientID:       s.Fields[fieldClientID],
		redirectURI:    s.Fields[fieldRedirectURI],
		secret:         s.Fields[fieldWebhookSecret],
		failOffline:    s.Fields[fieldWhenOffline] == offlineFail,
	}
	d.account = accountOf(d.organizationID, d.clientID)
	if group, err := strconv.Atoi(s.Fields[fieldGroupID]); err == nil {
		d.groups = []int{group}
	}
	return d
}

// probeKey names a customer that exists only to verify the connection.
func (d *externalDesk) probeKey() string { return "probe:" + d.account }

// Verify asks for a token, as a customer that is made once, and whether the account
// is in use. The memory refuses what a connection wants to keep before it is stored;
// the check then makes a customer that is not met again.
func (d *externalDesk) Verify(ctx context.Context) error {
	probe, err := d.load(ctx, d.probeKey())
	if err != nil {
		probe = &record{key: d.probeKey()}
	}
	fresh := probe.identity
	if err := d.grant(ctx, &fresh); err != nil {
		return d.explain(err)
	}
	probe.identity = fresh
	_ = d.save(ctx, probe) // another check may have written meanwhile: either customer will do

	var c dynamicConfiguration
	_, err = d.call(ctx, request{
		method: http.MethodGet, about: desk.AboutDesk,
		url: d.api + "/v" + apiVersion + "/customer/action/get_dynamic_configuration?organization_id=" + d.organizationID,
	}, &c)
	switch {
	case err != nil:
		return d.explain(err)
	case c.OrganizationID == "":
		return unreadable()
	case !c.Active:
		return &fault.Fault{
			Kind: fault.DeskRejected, Sent: fault.Sent,
			Public: "LiveChat is not active for this organization: check the organization id and the subscription",
		}
	}
	return nil
}

// explain adds the redirect URI to the refusals that are about it.
func (d *externalDesk) explain(err error) error {
	if !refusedAs(err, "redirect_uri_not_set", "invalid_redirect_uri", "unauthorized_client") {
		return err
	}
	f := *fault.As(err)
	f.Public += " (" + d.redirectURI + ")"
	return &f
}

// Open starts the chat of a customer that stands for the User, or its next thread.
func (d *externalDesk) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	customer, err := d.claim(ctx, &r)
	if err != nil {
		return desk.Opened{}, d.explain(err)
	}
	ref, err := d.open(ctx, customer, &r)
	if refusedAs(err, errAnonymized) {
		// The chat was wiped, and with it the customer.
		if _, err = d.change(ctx, customer, func(i *identity) bool {
			*i = identity{Holder: i.Holder, ClaimedAt: i.ClaimedAt, Once: i.Once}
			return true
		}); err == nil {
			ref, err = d.open(ctx, customer, &r)
		}
	}
	if f := fault.As(err); f != nil {
		if f.Sent != fault.MaybeSent && !f.Retryable() {
			_ = d.release(ctx, customer, r.HandoffID, "") // else the claim runs out
		}
		return desk.Opened{}, d.explain(err)
	}
	return desk.Opened{Ref: ref}, nil
}

func (d *externalDesk) open(ctx context.Context, customer *record, r *desk.OpenRequest) (string, error) {
	known := customer.EntityID != ""
	if d.failOffline {
		if err := d.checkOnline(ctx, customer); err != nil {
			return "", err
		}
	}
	if err := d.introduce(ctx, customer, r); err != nil {
		return "", err
	}
	events, err := d.firstEvents(ctx, customer, r)
	if err != nil {
		return "", err
	}
	var last summary
	if known {
		if last, err = d.lastChat(ctx, customer); err != nil {
			return "", err
		}
	}
	if last.ID == "" {
		made, err := d.start(ctx, customer, "start_chat", "", events)
		if !refusedAs(err, errValidation, errLimitReached) {
			return d.opened(ctx, customer, r, made, err)
		}
		// Perhaps because the customer has a chat already.
		refused := err
		if last, err = d.lastChat(ctx, customer); err != nil {
			return "", err
		}
		if last.ID == "" {
			return "", refused
		}
	}
	if last.Active {
		// No session of ours uses it, or the identity could not have been claimed.
		if err := d.deactivate(ctx, customer, last.ID); err != nil && !fault.Is(err, fault.DeskGone) {
			return "", err
		}
	}
	made, err := d.start(ctx, customer, "resume_chat", last.ID, events)
	return d.opened(ctx, customer, r, made, err)
}

// start starts or resumes a chat with its first events. It waits in the queue when
// nobody is there, and does not end because the customer is on no website.
func (d *externalDesk) start(ctx context.Context, customer *record, action, chatID string, events []event) (begun, error) {
	c := object{"thread": object{
		"properties": object{"routing": object{"ignore_bots": true}},
		"events":     events,
	}}
	if len(d.groups) > 0 {
		c["access"] = object{"group_ids": d.groups}
	}
	if chatID != "" {
		c["id"] = chatID
	}
	var made begun
	err := d.as(ctx, customer, action, request{in: object{"chat": c, "active": true, "continuous": true}, about: desk.AboutDesk}, &made)
	if err != nil {
		return begun{}, err
	}
	if chatID != "" {
		made.ChatID = chatID
	}
	if !idPattern.MatchString(made.ChatID) || !idPattern.MatchString(made.ThreadID) {
		return begun{}, unreadable()
	}
	return made, nil
}

// opened notes the thread that was made. When that fails nobody could write into it,
// so it ends again, unless another session has the customer by now.
func (d *externalDesk) opened(ctx context.Context, customer *record, r *desk.OpenRequest, made begun, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if err := d.attach(ctx, customer, r.HandoffID, made.ChatID, made.ThreadID); err != nil {
		if customer.Holder == r.HandoffID {
			_ = d.deactivate(ctx, customer, made.ChatID)
		}
		return "", unclear(err)
	}
	return newRef(made.ChatID, made.ThreadID), nil
}

// introduce tells LiveChat who the customer is.
func (d *externalDesk) introduce(ctx context.Context, customer *record, r *desk.OpenRequest) error {
	in := object{"session_fields": []object{{"channel": strings.ToLower(string(r.Channel))}, {"handoff_id": r.HandoffID}}}
	if r.User.Name != "" {
		in["name"] = r.User.Name
	}
	if r.EmailGiven {
		in["email"] = r.User.Email
	}
	err := d.as(ctx, customer, "update_customer", request{in: in, about: desk.AboutDesk}, nil)
	if refusedAs(err, errValidation) && in["email"] != nil {
		// Most likely an address that LiveChat does not take.
		delete(in, "email")
		err = d.as(ctx, customer, "update_customer", request{in: in, about: desk.AboutDesk}, nil)
	}
	return err
}

// checkOnline refuses when nobody takes chats.
func (d *externalDesk) checkOnline(ctx context.Context, customer *record) error {
	in := object{"all": true}
	if len(d.groups) > 0 {
		in = object{"group_ids": d.groups}
	}
	var list groupStatuses
	if err := d.as(ctx, customer, "list_group_statuses", request{in: in, about: desk.AboutDesk}, &list); err != nil {
		return err
	}
	if list.Statuses == nil {
		return unreadable()
	}
	for _, status := range list.Statuses {
		if status != groupOffline {
			return nil
		}
	}
	return &fault.Fault{Kind: fault.DeskRejected, Sent: fault.Sent, Public: "nobody is online in LiveChat"}
}

// lastChat gives the customer's chat; zero = it has none.
func (d *externalDesk) lastChat(ctx context.Context, customer *record) (summary, error) {
	var list chatList
	if err := d.as(ctx, customer, "list_chats", request{in: object{"limit": 1}, about: desk.AboutDesk}, &list); err != nil {
		return summary{}, err
	}
	if len(list.Summaries) == 0 {
		if list.Total == nil {
			return summary{}, unreadable()
		}
		return summary{}, nil
	}
	last := list.Summaries[0]
	if !idPattern.MatchString(last.ID) {
		return summary{}, unreadable()
	}
	return last, nil
}

func (d *externalDesk) deactivate(ctx context.Context, customer *record, chatID string) error {
	return d.as(ctx, customer, "deactivate_chat", request{in: object{"id": chatID}, about: desk.AboutSession}, nil)
}

// thread reads one thread of a chat with the people in it.
func (d *externalDesk) thread(ctx context.Context, customer *record, chatID, threadID string) (chat, error) {
	var c chat
	err := d.as(ctx, customer, "get_chat", request{
		in: object{"chat_id": chatID, "thread_id": threadID}, about: desk.AboutSession, limit: maxThread,
	}, &c)
	if err == nil && (c.ID != chatID || c.Thread.ID != threadID) {
		err = unreadable()
	}
	return c, err
}

// customID identifies the n-th event of a delivery, from 1, through all its repeats.
func customID(deliveryID string, n int) string { return fmt.Sprintf("%s.%d", deliveryID, n) }

// FindOpened looks for the thread that an earlier attempt has started: its first
// events carry the delivery's id. They come with the thread or not at all.
func (d *externalDesk) FindOpened(ctx context.Context, r desk.OpenRequest) (desk.Opened, bool, error) {
	for n := 1; n <= maxIdentities; n++ {
		key, _ := d.identityKey(&r, n)
		customer, err := d.load(ctx, key)
		if err != nil || customer.version == 0 {
			return desk.Opened{}, false, err
		}
		if customer.Holder != r.HandoffID || customer.EntityID == "" {
			continue
		}
		last, err := d.lastChat(ctx, customer)
		if err != nil {
			return desk.Opened{}, false, err
		}
		if last.ID == "" || !idPattern.MatchString(last.LastThreadID) {
			continue
		}
		c, err := d.thread(ctx, customer, last.ID, last.LastThreadID)
		if err != nil {
			return desk.Opened{}, false, err
		}
		if !hasEvent(c.Thread.Events, customID(r.DeliveryID, 1)) {
			continue
		}
		if err := d.attach(ctx, customer, r.HandoffID, last.ID, last.LastThreadID); err != nil {
			return desk.Opened{}, false, unclear(err)
		}
		return desk.Opened{Ref: newRef(last.ID, last.LastThreadID)}, true, nil
	}
	return desk.Opened{}, false, nil
}

func hasEvent(list []event, customID string) bool {
	_, found := findEvent(list, customID)
	return found
}

func findEvent(list []event, customID string) (desk.Sent, bool) {
	i := slices.IndexFunc(list, func(e event) bool { return e.CustomID == customID })
	if i < 0 {
		return desk.Sent{}, false
	}
	return desk.Sent{ID: list[i].ID}, true
}

// Send says the message as the customer. A repeat says what is missing of it.
func (d *externalDesk) Send(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
	customer, err := d.session(ctx, r.Ref)
	if err != nil {
		return desk.Sent{}, err
	}
	var there []event
	if r.Repeat {
		c, err := d.thread(ctx, customer, customer.Chat, customer.Thread)
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
		e, err := d.fetch.event(ctx, &p, id, d.uploader(customer))
		if err == nil {
			sent.ID, err = d.sendEvent(ctx, customer, e)
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

// FindSent looks whether the whole message has arrived.
func (d *externalDesk) FindSent(ctx context.Context, r desk.SendRequest) (desk.Sent, bool, error) {
	customer, err := d.session(ctx, r.Ref)
	if err != nil {
		return desk.Sent{}, false, err
	}
	c, err := d.thread(ctx, customer, customer.Chat, customer.Thread)
	if err != nil {
		return desk.Sent{}, false, err
	}
	sent, found := findEvent(c.Thread.Events, customID(r.DeliveryID, len(newPieces(&r.Text))))
	return sent, found, nil
}

func (d *externalDesk) sendEvent(ctx context.Context, customer *record, e event) (string, error) {
	var sent eventSent
	err := d.as(ctx, customer, "send_event", request{
		in: object{"chat_id": customer.Chat, "event": e, "attach_to_last_thread": false}, about: desk.AboutSession,
	}, &sent)
	if err == nil && sent.EventID == "" {
		err = unreadable()
	}
	return sent.EventID, err
}

// uploader brings files to LiveChat as the customer.
func (d *externalDesk) uploader(customer *record) uploader {
	return func(ctx context.Context, body []byte, contentType string) (up uploaded, err error) {
		err = d.as(ctx, customer, "upload_file", request{body: body, contentType: contentType, about: desk.AboutDesk}, &up)
		return up, err
	}
}

// Close ends the thread. One that has ended already is what we wanted, and a chat
// that is in its next thread belongs to another session.
func (d *externalDesk) Close(ctx context.Context, r desk.CloseRequest) error {
	customer, err := d.session(ctx, r.Ref)
	if fault.Is(err, fault.DeskGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.deactivate(ctx, customer, customer.Chat); err != nil && !fault.Is(err, fault.DeskGone) {
		return err
	}
	return d.release(ctx, customer, customer.Holder, customer.Thread)
}

// SendRead tells that the User has read all that the Operator wrote so far.
func (d *externalDesk) SendRead(ctx context.Context, ref string) error {
	customer, err := d.session(ctx, ref)
	if err != nil {
		return err
	}
	return d.as(ctx, customer, "mark_events_as_seen", request{
		in: object{"chat_id": customer.Chat, "seen_up_to": d.now().UTC().Format(timeFormat)}, about: desk.AboutSession,
	}, nil)
}

// timeFormat is how LiveChat writes times.
const timeFormat = "2006-01-02T15:04:05.000000Z"
