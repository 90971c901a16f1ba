package intercom

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// messengerDesk is the desk in DESK_TO_DESK: Users write in Intercom's messenger, the
// Agent answers there as a teammate, and a handoff assigns the conversation to humans.
type messengerDesk struct {
	*intercomDesk
	team       string // that gets the conversations; "" = human does
	human      string
	unassigned bool // the Agent answers where nobody is assigned
	emails     bool // the Agent answers e-mails
}

var (
	_ desk.Speaker           = (*messengerDesk)(nil)
	_ desk.SpeakerReconciler = (*messengerDesk)(nil)
	_ desk.Reconciler        = (*messengerDesk)(nil)
	_ desk.Rememberer        = (*messengerDesk)(nil)
)

// messengerTopics are those of DESK_TO_DESK.
var messengerTopics = map[string]bool{
	topicUserCreated: true, topicUserReplied: true,
	topicReplied: true, topicAssigned: true, topicClosed: true, topicDeleted: true,
}

func connectMessenger(d *intercomDesk, fields map[string]string) (*messengerDesk, error) {
	m := &messengerDesk{
		intercomDesk: d, team: fields[fieldTeamID], human: fields[fieldHumanID],
		unassigned: fields[fieldUnassigned] == yes, emails: fields[fieldEmails] == yes,
	}
	switch {
	case m.team == "" && m.human == "":
		return nil, fault.Invalid("fields."+fieldTeamID, "a team of humans or a human teammate is needed, to give conversations to")
	case m.team != "" && m.human != "":
		return nil, fault.Invalid("fields."+fieldHumanID, "give a team of humans or a human teammate, not both")
	case m.human != "" && m.human == d.admin:
		return nil, fault.Invalid("fields."+fieldHumanID, "is the teammate that the Agent is")
	}
	d.topics, d.translate = messengerTopics, m.events
	return m, nil
}

// Verify asks who the token is, and whether the Agent's teammate and the humans exist.
func (m *messengerDesk) Verify(ctx context.Context) error {
	who, err := m.askWho(ctx)
	if err != nil {
		return err
	}
	var admins adminList
	if err := m.list(ctx, who, "/admins", &admins, &admins.Type); err != nil {
		return err
	}
	var known []string
	missing := map[string]bool{who.admin: true, m.human: m.human != ""}
	for _, a := range admins.Admins {
		if string(a.ID) == who.admin && a.HasSeat != nil && !*a.HasSeat {
			return wrongField(fieldAdminID, "the teammate that the Agent is has no inbox seat; give it one in Intercom's settings")
		}
		delete(missing, string(a.ID))
		known = append(known, string(a.ID))
	}
	switch {
	case missing[who.admin]:
		return wrongField(fieldAdminID, "the workspace has no teammate %s; it has %s", who.admin, some(known))
	case m.human == who.admin:
		return wrongField(fieldHumanID, "is the teammate that the Agent is")
	case missing[m.human]:
		return wrongField(fieldHumanID, "the workspace has no teammate %s; it has %s", m.human, some(known))
	case m.team == "":
		return nil
	}
	var teams teamList
	if err := m.list(ctx, who, "/teams", &teams, &teams.Type); err != nil {
		return err
	}
	known = nil
	for _, t := range teams.Teams {
		if string(t.ID) == m.team {
			return nil
		}
		known = append(known, string(t.ID))
	}
	return wrongField(fieldTeamID, "the workspace has no team %s; it has %s", m.team, some(known))
}

// list reads a list, whose member type tells it from somebody else's answer.
func (m *messengerDesk) list(ctx context.Context, who identity, path string, into any, kind *string) error {
	err := m.call(ctx, request{base: who.base, method: http.MethodGet, path: path, about: desk.AboutDesk}, into)
	if err == nil && *kind == "" {
		err = unreadable()
	}
	return err
}

func wrongField(name, format string, args ...any) *fault.Fault {
	f := fault.New(fault.DeskRejected, format, args...)
	f.Field, f.Sent = "fields."+name, fault.Sent
	return f
}

// some lists the first few.
func some(list []string) string {
	const most = 10
	switch {
	case len(list) == 0:
		return "none"
	case len(list) > most:
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

// Say writes as the Agent's teammate. An answer of the Agent also takes a
// conversation back that still stands with those who ended their part in it.
func (m *messengerDesk) Say(ctx context.Context, r desk.SayRequest) (desk.Sent, error) {
	who, err := m.identify(ctx)
	if err != nil {
		return desk.Sent{}, err
	}
	pieces := newPieces(&r.Text)
	if r.Repeat && len(pieces) > 1 {
		// The beginning may have arrived.
		c, err := m.read(ctx, who, r.Ref)
		if err != nil {
			return desk.Sent{}, err
		}
		n, _ := arrived(&c, pieces, r.At, who.said)
		pieces = pieces[n:]
	}
	var after conversation
	for i := range pieces {
		if after, err = m.comment(ctx, who, r.Ref, &pieces[i]); err != nil {
			if i > 0 {
				err = begun(err)
			}
			return desk.Sent{}, err
		}
	}
	if r.Author == handoff.AuthorAgent && after.ID != "" && string(after.AdminAssignee) != who.admin {
		m.takeBack(ctx, who, r.Ref)
	}
	return desk.Sent{ID: after.newest()}, nil
}

// said reports whether this service said the part to the contact.
func (who identity) said(p *part) bool { return p.Type == partComment && p.isOurs(who) }

// comment says one piece. Images that Intercom does not take go as their addresses.
func (m *messengerDesk) comment(ctx context.Context, who identity, ref string, p *piece) (conversation, error) {
	in := adminReply{MessageType: partComment, Type: authorAdmin, AdminID: who.admin, Body: p.body, AttachmentURLs: p.images}
	after, err := m.post(ctx, who, conversationPath(ref)+"/reply", in)
	if refused, ok := errors.AsType[*problem](err); ok && refusesData(refused) && len(p.images) > 0 {
		in.Body, in.AttachmentURLs = p.plain, nil
		after, err = m.post(ctx, who, conversationPath(ref)+"/reply", in)
	}
	return after, err
}

// takeBack assigns a conversation to the Agent's teammate that is the Agent's by all
// that happened in it. What was said stands without it, and the next answer tries
// again, so failures are not told.
func (m *messengerDesk) takeBack(ctx context.Context, who identity, ref string) {
	c, err := m.read(ctx, who, ref)
	if err == nil && m.holder(who, &c) == withAgent {
		_, _ = m.assign(ctx, who, ref, authorAdmin, who.admin)
	}
}

// FindSaid looks whether the whole message has arrived.
func (m *messengerDesk) FindSaid(ctx context.Context, r desk.SayRequest) (desk.Sent, bool, error) {
	who, err := m.identify(ctx)
	if err != nil {
		return desk.Sent{}, false, err
	}
	c, err := m.read(ctx, who, r.Ref)
	if err != nil {
		return desk.Sent{}, false, err
	}
	pieces := newPieces(&r.Text)
	n, last := arrived(&c, pieces, r.At, who.said)
	if n < len(pieces) {
		return desk.Sent{}, false, nil
	}
	return desk.Sent{ID: last}, true, nil
}

// Open writes the note for the humans and gives them the conversation. They read in
// it what was said, so the note repeats none of it.
func (m *messengerDesk) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	who, err := m.identify(ctx)
	if err != nil {
		return desk.Opened{}, err
	}
	ref := cmp.Or(r.Begun, r.ProposedRef)
	var found *conversation
	if r.Repeat {
		c, err := m.read(ctx, who, ref)
		if err != nil {
			return desk.Opened{}, err
		}
		found = &c
	}
	return m.bring(ctx, who, ref, handover(&r), found)
}

// handover are the notes of a handoff.
func handover(r *desk.OpenRequest) []note {
	short := *r
	short.Rounds, short.Answer = nil, desk.Text{}
	return newNotes(&short)
}

// bring adds to a conversation what is missing of its handover. found is the
// conversation as it is, nil = nothing was done yet.
func (m *messengerDesk) bring(ctx context.Context, who identity, ref string, notes []note, found *conversation) (desk.Opened, error) {
	var opened desk.Opened
	for i := range notes {
		if found != nil && hasMarker(found, notes[i].marker) {
			continue
		}
		in := adminAction{MessageType: partNote, Type: authorAdmin, AdminID: who.admin, Body: notes[i].html}
		_, err := m.reply(ctx, who, ref, in)
		if refused, ok := errors.AsType[*problem](err); ok && (refusesData(refused) || refused.status == http.StatusForbidden) {
			break // the humans are needed more than the note
		}
		if err != nil {
			return opened, err
		}
		opened.Ref = ref
	}
	after, err := m.giveToHumans(ctx, who, ref, notes, found)
	if err == nil && string(after.AdminAssignee) == who.admin {
		// The team got it beside the Agent's teammate, who leaves.
		if _, err = m.assign(ctx, who, ref, authorAdmin, nobody); err != nil {
			err = begun(err)
		}
	}
	return desk.Opened{Ref: ref}, err
}

// giveToHumans assigns the conversation to the team or teammate, unless that was
// done already.
func (m *messengerDesk) giveToHumans(ctx context.Context, who identity, ref string, notes []note, found *conversation) (conversation, error) {
	switch {
	case found != nil && given(who, found, notes):
		return *found, nil
	case m.team != "":
		return m.assign(ctx, who, ref, authorTeam, m.team)
	}
	return m.assign(ctx, who, ref, authorAdmin, m.human)
}

func (m *messengerDesk) assign(ctx context.Context, who identity, ref, kind, to string) (conversation, error) {
	return m.post(ctx, who, conversationPath(ref)+"/parts",
		assignment{MessageType: partAssignment, Type: kind, AdminID: who.admin, AssigneeID: to})
}

// given reports whether the conversation was given to the humans after the notes.
func given(who identity, c *conversation, notes []note) bool {
	noted := false
	for i := range c.Parts.Parts {
		p := &c.Parts.Parts[i]
		switch {
		case p.Type == partNote && strings.Contains(p.Body, notes[len(notes)-1].marker):
			noted = true
		case noted && p.isOurs(who) && p.Type == partAssignment && !noOne(p.AssignedTo.ID) && string(p.AssignedTo.ID) != who.admin:
			return true
		}
	}
	return false
}

// FindOpened looks whether an earlier attempt has handed the conversation over.
func (m *messengerDesk) FindOpened(ctx context.Context, r desk.OpenRequest) (desk.Opened, bool, error) {
	who, err := m.identify(ctx)
	if err != nil {
		return desk.Opened{}, false, err
	}
	ref := cmp.Or(r.Begun, r.ProposedRef)
	c, err := m.read(ctx, who, ref)
	if err != nil {
		return desk.Opened{}, false, err
	}
	if !given(who, &c, handover(&r)) || string(c.AdminAssignee) == who.admin {
		return desk.Opened{}, false, nil
	}
	return desk.Opened{Ref: ref}, true, nil
}

// Send has nothing to do: Users write in the messenger themselves.
func (m *messengerDesk) Send(context.Context, desk.SendRequest) (desk.Sent, error) {
	return desk.Sent{}, nil
}

// FindSent finds everything for the same reason.
func (m *messengerDesk) FindSent(context.Context, desk.SendRequest) (desk.Sent, bool, error) {
	return desk.Sent{}, true, nil
}

// Close takes the conversation back from the humans. After a silence of the User it
// is closed; else it is assigned to the Agent's teammate. One that is gone is what
// we wanted.
func (m *messengerDesk) Close(ctx context.Context, r desk.CloseRequest) error {
	who, err := m.identify(ctx)
	if err != nil {
		return err
	}
	if r.Reason == handoff.ReasonSessionTimeout {
		return m.closeAs(ctx, who, r.Ref, "") // the Agent says why
	}
	_, err = m.assign(ctx, who, r.Ref, authorAdmin, who.admin)
	if fault.Is(err, fault.DeskGone) {
		return nil
	}
	return err
}
