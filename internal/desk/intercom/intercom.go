package intercom

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Kind is the stable key of this desk.
const Kind = "intercom"

// The fields of a connection.
const (
	fieldAccessToken  = "access_token"
	fieldClientSecret = "client_secret"
	fieldRegion       = "region"
	fieldAdminID      = "admin_id"
)

const (
	// catchUp is in the middle of what Intercom's patience with webhooks suggests: it
	// repeats a lost one once, after a minute.
	catchUp = 45 * time.Second
	// requestsPerSecond leaves a quarter of the smallest rate limit that apps were seen to
	// have, 167 calls in 10 s, for what is read after webhooks. Most apps have ten times as
	// much: https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting.
	requestsPerSecond = 12
)

// Driver is the Intercom desk.
type Driver struct {
	// Hosts replaces the addresses of Intercom's regions, by "US", "EU" and "AU", for
	// use with a simulator. A region that is left out does not exist. nil = the real ones.
	Hosts map[string]string
}

var _ desk.Driver = Driver{}

// At is the desk at an address that stands in for all regions, such as that of a
// simulator; "" = at Intercom's own.
func At(address string) Driver {
	if address == "" {
		return Driver{}
	}
	return Driver{Hosts: map[string]string{regionUS: address, regionEU: address, regionAU: address}}
}

// Describe declares what Intercom can do.
func (Driver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind:  Kind,
		Title: "Intercom",
		Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Fields: []handoff.CredentialField{
			{
				Name: fieldAccessToken, Label: "Access token", Required: true, Secret: true,
				Hint: "Developer Hub → your app → Authentication → Access token.",
			},
			{
				Name: fieldClientSecret, Label: "Client secret", Secret: true,
				Hint: "Developer Hub → your app → Basic information → Client secret. With it, webhooks are checked by their signature, and forged ones cost nothing.",
			},
			{
				Name: fieldRegion, Label: "Region", Default: regionAuto, Options: []string{regionAuto, regionUS, regionEU, regionAU},
				Hint: "Where Intercom hosts the workspace. auto asks Intercom.",
			},
			{
				Name: fieldAdminID, Label: "Teammate id", Pattern: `^[0-9]{1,20}$`, MaxRunes: 20,
				Hint: "The number of the teammate in whose name context notes are written and sessions are closed. Empty = the teammate who created the app.",
			},
		},
		Steps: []string{
			"Create an app for your workspace in Intercom's Developer Hub (developers.intercom.com), and copy its access token into the form.",
			"Copy the client secret from Basic information into the form as well.",
			"Under Configure → Webhooks, enter the message receiving address and subscribe to conversation.admin.replied, conversation.admin.closed, conversation.admin.assigned, conversation.admin.snoozed and conversation.read.",
			"Switch off Settings → Email → Email notifications, or users with an e-mail address also get the answers by e-mail.",
			"Exclude these conversations from Fin and from workflows that answer, so that only humans do.",
		},
		Receive:      []handoff.ReceiveAddress{{Label: "Webhook endpoint URL", Path: "/hooks/{token}"}},
		MaxTextRunes: maxBody,
		Attachments:  handoff.AttachmentSupport{ToDesk: true, FromDesk: true},
		History:      true,
		Notes:        true,
		EndsByDesk:   true,
		Unknown:      handoff.OutcomeReadBack,
		CatchUp:      catchUp,

		RequestsPerSecond: requestsPerSecond,
		Retry: map[handoff.DeliveryKind]handoff.RetryPolicy{
			// The User waits for the answer; a repeat finds what an earlier attempt left.
			handoff.DeliverOpen: {Attempts: 4, Base: time.Second, Max: 8 * time.Second},
		},
	}
}

// Connect makes the desk of one connection.
func (d Driver) Connect(s desk.Settings) (desk.Desk, error) {
	if s.Fields[fieldAccessToken] == "" {
		return nil, fault.Invalid("fields."+fieldAccessToken, "Access token is required")
	}
	at := hosts
	if d.Hosts != nil {
		at = maps.Clone(d.Hosts)
	}
	return &intercomDesk{
		token:  s.Fields[fieldAccessToken],
		secret: []byte(s.Fields[fieldClientSecret]),
		region: s.Fields[fieldRegion],
		admin:  s.Fields[fieldAdminID],
		hosts:  at,
		http:   s.HTTP,
		now:    s.Now,
		pause:  pause,
	}, nil
}

type intercomDesk struct {
	token  string
	secret []byte // empty = webhooks are hints
	region string
	admin  string // "" = the token's
	hosts  map[string]string
	http   *http.Client
	now    func() time.Time
	pause  func(ctx context.Context, wait time.Duration) bool // false = there is no time for it

	identities identities
	contacts   contacts
}

var (
	_ desk.Reconciler = (*intercomDesk)(nil)
	_ desk.Rememberer = (*intercomDesk)(nil)
)

// Verify asks who the token is.
func (d *intercomDesk) Verify(ctx context.Context) error {
	_, err := d.askWho(ctx)
	return err
}

// Open makes a conversation of the contact, with the newest question, and adds the
// context.
func (d *intercomDesk) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	who, err := d.identify(ctx)
	if err != nil {
		return desk.Opened{}, err
	}
	p, err := d.ensureContact(ctx, who, &r)
	if err != nil {
		return desk.Opened{}, err
	}
	o := newOpening(&r)
	ref, err := d.create(ctx, who, p, &o)
	if err != nil {
		return desk.Opened{}, err
	}
	d.contacts.set(ref, p.id)
	if err := d.complete(ctx, who, ref, p.id, &o, nil); err != nil {
		return desk.Opened{Ref: ref}, begun(err)
	}
	return desk.Opened{Ref: ref}, nil
}

// Send says the message as the contact.
func (d *intercomDesk) Send(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
	who, err := d.identify(ctx)
	if err != nil {
		return desk.Sent{}, err
	}
	pieces := newPieces(&r.Text)
	var sent desk.Sent
	if r.Repeat && len(pieces) > 1 {
		// The beginning may have arrived.
		c, err := d.read(ctx, who, r.Ref)
		if err != nil {
			return desk.Sent{}, err
		}
		n, _ := arrived(&c, pieces, r.At)
		pieces = pieces[n:]
	}
	for i := range pieces {
		if sent.ID, err = d.say(ctx, who, r.Ref, &pieces[i]); err != nil {
			if i > 0 {
				err = begun(err)
			}
			return desk.Sent{}, err
		}
	}
	return sent, nil
}

// begun marks a failure behind something that did arrive.
func begun(err error) error {
	f := *fault.As(err)
	f.Sent = fault.MaybeSent
	return &f
}

// closing is what the conversation says about our end of it.
var closing = map[handoff.CloseReason]string{
	handoff.ReasonUserEnded:       "The user ended the chat.",
	handoff.ReasonUserCancelled:   "The user no longer wants to talk to a human.",
	handoff.ReasonWaitTimeout:     "Nobody answered in time. The chat went back to the AI agent.",
	handoff.ReasonSessionTimeout:  "The user did not answer in time. The chat went back to the AI agent.",
	handoff.ReasonTransferFailed:  "The transfer failed. The chat went back to the AI agent.",
	handoff.ReasonHandoffDisabled: "Human service was switched off. The chat went back to the AI agent.",
	handoff.ReasonAdminEnded:      "An administrator ended the chat.",
}

// Close closes the conversation. One that is gone or closed already is what we wanted.
func (d *intercomDesk) Close(ctx context.Context, r desk.CloseRequest) error {
	who, err := d.identify(ctx)
	if err != nil {
		return err
	}
	text := closing[r.Reason]
	if text == "" {
		text = "The chat has ended."
	}
	var after conversation
	err = d.call(ctx, request{
		base: who.base, method: http.MethodPost, path: conversationPath(r.Ref) + "/parts", about: desk.AboutSession,
		in: adminAction{MessageType: partClose, Type: authorAdmin, AdminID: who.admin, Body: text},
	}, &after)
	switch {
	case err == nil && after.ID == "":
		return unreadable()
	case fault.Is(err, fault.DeskGone):
		d.contacts.forget(r.Ref)
		return nil
	case fault.Is(err, fault.DeskRejected):
		if c, readErr := d.read(ctx, who, r.Ref); readErr == nil && c.State == stateClosed {
			d.contacts.forget(r.Ref)
			return nil
		}
	case err == nil:
		d.contacts.forget(r.Ref)
	}
	return err
}

func conversationPath(ref string) string { return "/conversations/" + url.PathEscape(ref) }

// read gets a conversation with its newest parts, as plain text.
func (d *intercomDesk) read(ctx context.Context, who identity, ref string) (conversation, error) {
	var c conversation
	err := d.call(ctx, request{
		base: who.base, method: http.MethodGet, path: conversationPath(ref) + "?display_as=plaintext",
		about: desk.AboutSession, limit: maxConversation,
	}, &c)
	if err == nil && c.ID == "" {
		err = unreadable()
	}
	return c, err
}

// create makes the conversation. A contact of a moment ago may not be known yet
// where conversations are made.
func (d *intercomDesk) create(ctx context.Context, who identity, p person, o *opening) (string, error) {
	first := &o.said[0]
	in := create{From: from{Type: authorUser, ID: p.id}, Body: first.body, AttachmentURLs: first.images}
	for _, wait := range append(newContactWaits, 0) {
		var made created
		err := d.call(ctx, request{base: who.base, method: http.MethodPost, path: "/conversations", about: desk.AboutDesk, in: in}, &made)
		switch refused, _ := errors.AsType[*problem](err); {
		case err == nil && made.ConversationID == "":
			return "", unreadable()
		case err == nil:
			return string(made.ConversationID), nil
		case refused == nil:
			return "", err
		case refusesData(refused) && len(in.AttachmentURLs) > 0:
			in.Body, in.AttachmentURLs = first.plain, nil
		case refused.status != http.StatusNotFound || !p.fresh:
			return "", err
		case wait == 0 || !d.pause(ctx, wait):
			return "", &fault.Fault{
				Kind: fault.DeskUnavailable, Sent: fault.Sent, Cause: refused,
				Public: "the desk does not know the new contact yet",
			}
		}
	}
	return "", fault.New(fault.Internal, "internal error")
}

// say sends one piece as the contact and gives the id of its part. Images that
// Intercom does not take go as their addresses.
func (d *intercomDesk) say(ctx context.Context, who identity, ref string, p *piece) (string, error) {
	contactID, remembered, err := d.contactOf(ctx, who, ref)
	if err != nil {
		return "", err
	}
	in := userReply{MessageType: partComment, Type: authorUser, IntercomUserID: contactID, Body: p.body, AttachmentURLs: p.images}
	sent, err := d.reply(ctx, who, ref, in)
	if refused, ok := errors.AsType[*problem](err); ok && refusesData(refused) && len(p.images) > 0 {
		in.Body, in.AttachmentURLs = p.plain, nil
		sent, err = d.reply(ctx, who, ref, in)
	}
	if remembered && fault.Is(err, fault.DeskGone) {
		// Perhaps not the conversation is gone, but the contact was merged into another.
		d.contacts.forget(ref)
		again, _, findErr := d.contactOf(ctx, who, ref)
		if findErr != nil {
			return "", findErr
		}
		if again != contactID {
			in.IntercomUserID = again
			return d.reply(ctx, who, ref, in)
		}
	}
	return sent, err
}

// reply posts a reply or a note and gives the id of its part.
func (d *intercomDesk) reply(ctx context.Context, who identity, ref string, in any) (string, error) {
	var after conversation
	err := d.call(ctx, request{
		base: who.base, method: http.MethodPost, path: conversationPath(ref) + "/reply", about: desk.AboutSession, in: in,
	}, &after)
	if err != nil {
		return "", err
	}
	if after.ID == "" {
		return "", unreadable()
	}
	if parts := after.Parts.Parts; len(parts) > 0 {
		return string(parts[len(parts)-1].ID), nil
	}
	return "", nil
}
