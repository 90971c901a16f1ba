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
	// of DESK_TO_DESK
	fieldTeamID     = "human_team_id"
	fieldHumanID    = "human_admin_id"
	fieldUnassigned = "answer_unassigned"
	fieldEmails     = "answer_emails"
)

// The choices of a field that is a question.
const (
	yes = "yes"
	no  = "no"
)

// deskToDesk are the modes of fields that only the messenger needs.
var deskToDesk = []handoff.Mode{handoff.ModeDeskToDesk}

const (
	// catchUp is in the middle of what Intercom's patience with webhooks suggests: it
	// repeats a lost one once, after a minute.
	catchUp = 45 * time.Second
	// requestsPerSecond is half of what an app may call, 10,000 in a minute, so that two
	// replicas keep below it. Apps with a smaller limit are told by Intercom to wait:
	// https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting.
	requestsPerSecond = 80
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
		Modes: []handoff.Mode{handoff.ModeExternalToDesk, handoff.ModeDeskToDesk},

		Channel: handoff.ChannelIntercom,
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
				Hint: "The number of the teammate in whose name context notes are written and sessions are closed; in DESK_TO_DESK, the teammate that the Agent is. Empty = the teammate who created the app.",
			},
			{
				Name: fieldTeamID, Label: "Team of humans", Modes: deskToDesk, Pattern: `^[1-9][0-9]{0,19}$`, MaxRunes: 20,
				Hint: "The number of the team that gets the conversations when a human is needed. It stands in the address of the team's inbox.",
			},
			{
				Name: fieldHumanID, Label: "Human teammate", Modes: deskToDesk, Pattern: `^[1-9][0-9]{0,19}$`, MaxRunes: 20,
				Hint: "In place of a team: the number of one teammate.",
			},
			{
				Name: fieldUnassigned, Label: "Answer unassigned conversations", Modes: deskToDesk, Default: no, Options: []string{no, yes},
				Hint: "no = the Agent answers only in conversations that are assigned to it. yes = also in those that are assigned to nobody.",
			},
			{
				Name: fieldEmails, Label: "Answer e-mails", Modes: deskToDesk, Default: no, Options: []string{no, yes},
				Hint: "Whether the Agent also answers conversations that began as an e-mail. Intercom may keep such answers to itself.",
			},
		},
		Steps: []string{
			"Create an app for your workspace in Intercom's Developer Hub (developers.intercom.com), and copy its access token into the form.",
			"Copy the client secret from Basic information into the form as well.",
			"Under Configure → Webhooks, enter the message receiving address and subscribe to conversation.admin.replied, conversation.admin.closed, conversation.admin.assigned, conversation.admin.snoozed and conversation.read.",
			"Switch off Settings → Email → Email notifications, or users with an e-mail address also get the answers by e-mail.",
			"Exclude these conversations from Fin and from workflows that answer, so that nobody else does.",
			"For DESK_TO_DESK, where users write in Intercom's messenger: give the Agent a teammate of its own with an inbox seat and make it the default assignee of new conversations; make a team of the humans; and subscribe to conversation.user.created and conversation.user.replied as well.",
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
	made := &intercomDesk{
		token:  s.Fields[fieldAccessToken],
		secret: []byte(s.Fields[fieldClientSecret]),
		region: s.Fields[fieldRegion],
		admin:  s.Fields[fieldAdminID],
		hosts:  at,
		http:   s.HTTP,
		now:    s.Now,
		pause:  pause,
		topics: sessionTopics,
	}
	made.translate = made.sessionEvents
	if s.Mode == handoff.ModeDeskToDesk {
		return connectMessenger(made, s.Fields)
	}
	return made, nil
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

	topics    map[string]bool // of webhooks that mean something in the mode
	translate translator

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
	o := newOpening(&r)
	if r.Begun != "" {
		return d.resume(ctx, who, r.Begun, &o)
	}
	p, err := d.ensureContact(ctx, who, &r)
	if err != nil {
		return desk.Opened{}, err
	}
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

// resume adds what is missing to a conversation that an earlier attempt made.
func (d *intercomDesk) resume(ctx context.Context, who identity, ref string, o *opening) (desk.Opened, error) {
	c, err := d.read(ctx, who, ref)
	if err == nil {
		var contactID string
		if contactID, err = c.contact(); err == nil {
			d.contacts.set(ref, contactID)
			err = d.complete(ctx, who, ref, contactID, o, &c)
		}
	}
	if err != nil {
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
		n, _ := arrived(&c, pieces, r.At, byContact)
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
	if err := d.closeAs(ctx, who, r.Ref, text); err != nil {
		return err
	}
	d.contacts.forget(r.Ref)
	return nil
}

// closeAs closes a conversation; the contact reads the text, if there is one.
func (d *intercomDesk) closeAs(ctx context.Context, who identity, ref, text string) error {
	_, err := d.post(ctx, who, conversationPath(ref)+"/parts", adminAction{MessageType: partClose, Type: authorAdmin, AdminID: who.admin, Body: text})
	switch {
	case fault.Is(err, fault.DeskGone):
		return nil
	case fault.Is(err, fault.DeskRejected):
		if c, readErr := d.read(ctx, who, ref); readErr == nil && c.State == stateClosed {
			return nil
		}
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
	after, err := d.post(ctx, who, conversationPath(ref)+"/reply", in)
	return after.newest(), err
}

// post changes a conversation and gives how it is then, with the new part alone.
func (d *intercomDesk) post(ctx context.Context, who identity, path string, in any) (conversation, error) {
	var after conversation
	err := d.call(ctx, request{base: who.base, method: http.MethodPost, path: path, about: desk.AboutSession, in: in}, &after)
	if err == nil && after.ID == "" {
		err = unreadable()
	}
	return after, err
}

// newest is the id of the newest part, "" = there is none.
func (c *conversation) newest() string {
	if n := len(c.Parts.Parts); n > 0 {
		return string(c.Parts.Parts[n-1].ID)
	}
	return ""
}
