package intercom

import (
	"cmp"
	"slices"
	"time"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// holder says whom a conversation of the messenger is with.
type holder int

const (
	withOthers holder = iota // with humans whom the Agent did not ask, or with nobody
	withAgent
	withHumans // whom the Agent asked, or who took the word from it
)

// holder reads it from what happened: who was assigned, who spoke, who closed. It is
// more than the assignee, because a conversation that the humans closed goes back to
// the Agent while Intercom still has it with them.
func (m *messengerDesk) holder(who identity, c *conversation) holder {
	const unknown holder = -1
	h := unknown
	for i := range c.Parts.Parts {
		p := &c.Parts.Parts[i]
		to := string(p.AssignedTo.ID)
		switch {
		case p.Type == partAssignment && to == who.admin:
			h = withAgent
		case p.Type == partAssignment && to != "" && to != nobody && p.by(who):
			h = withHumans
		case p.Type == partAssignment && to != "" && to != nobody && h != withHumans:
			h = withOthers
		case p.by(who):
			if h == unknown && p.Type == partComment {
				h = withAgent
			}
		case p.Type == partClose && h == withHumans:
			h = withAgent
		case (h == withAgent || h == withOthers && m.spoke(who, c.Parts.Parts[:i])) && p.byHuman() && public[p.Type] && p.Body != "":
			h = withHumans
		}
	}
	if h != unknown {
		return h
	}
	switch assignee := string(c.AdminAssignee); {
	case assignee == who.admin, m.unassigned && noOne(c.AdminAssignee) && noOne(c.TeamAssignee):
		return withAgent
	}
	return withOthers
}

// spoke reports whether the Agent has said something.
func (m *messengerDesk) spoke(who identity, parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.by(who) && p.Type == partComment })
}

// by reports whether the Agent's teammate made the part.
func (p *part) by(who identity) bool {
	return p.Author.Type == authorAdmin && string(p.Author.ID) == who.admin
}

func noOne(i id) bool { return i == "" || i == nobody }

// events translates what happened in a conversation of the messenger since a moment.
// What the contact wrote is for the Agent while the conversation is with it, and told
// while it is with the humans who have it from the Agent. Of the others' conversations
// only what humans do is told, which means nothing where the Agent never spoke.
func (m *messengerDesk) events(who identity, c *conversation, since, at time.Time) []handoff.DeskEvent {
	slices.SortStableFunc(c.Parts.Parts, func(a, b part) int { return before(&a, &b) })
	var (
		list    []handoff.DeskEvent
		with    = m.holder(who, c)
		listens = with != withOthers && (m.emails || c.Source.Type != "email")
		end     = c.end()
		newest  = newestAssignment(c.Parts.Parts)
		unheard = since.Unix()
	)
	if with == withAgent {
		// Nobody looks at these without a webhook, so this one brings whatever the Agent has
		// not answered.
		unheard = min(unheard, c.newestWord(who))
	}
	if source := c.source(); listens && source.CreatedAt >= unheard {
		list = append(list, m.userWrote(c, source, at)...)
	}
	for i := range c.Parts.Parts {
		p := &c.Parts.Parts[i]
		byContact := p.Author.isContact()
		switch {
		case !partID.MatchString(string(p.ID)), p.by(who):
			continue
		case byContact && p.CreatedAt < unheard, !byContact && p.CreatedAt < since.Unix() && i != end:
			continue
		}
		e := handoff.DeskEvent{Ref: string(c.ID), At: partTime(p, at)}
		switch {
		case byContact:
			if listens && !present(p.AppPackageCode) {
				list = append(list, m.userWrote(c, p, at)...)
			}
			continue
		case i == newest && p.Type == partAssignment && string(p.AssignedTo.ID) == who.admin && !m.spokeSince(c.Parts.Parts[i+1:]):
			list = append(list, messages(e, p)...)
			e.Kind, e.ID = handoff.DeskEnded, string(p.ID)+":ended"
			list = append(list, e)
			continue
		case i == newest && p.assigns():
			list = append(list, joined(e, p))
		}
		list = append(list, messages(e, p)...)
		if i == end {
			e.Kind, e.ID = handoff.DeskEnded, string(p.ID)+":ended"
			list = append(list, e)
		}
	}
	return list
}

// newestWord is when the Agent said something last, in unix seconds; 0 = never.
func (c *conversation) newestWord(who identity) int64 {
	for i := len(c.Parts.Parts) - 1; i >= 0; i-- {
		if p := &c.Parts.Parts[i]; p.by(who) && p.Type == partComment {
			return p.CreatedAt
		}
	}
	return 0
}

// newestAssignment is the index of the newest part that gives the conversation to
// somebody, -1 = none does. Older ones are no news.
func newestAssignment(parts []part) int {
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].Type == partAssignment && !noOne(parts[i].AssignedTo.ID) {
			return i
		}
	}
	return -1
}

// spokeSince reports whether a human said something.
func (m *messengerDesk) spokeSince(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.byHuman() && public[p.Type] && p.Body != "" })
}

// source is the first message, which is not among the parts, as one.
func (c *conversation) source() *part {
	return &part{
		ID: "source", Type: partComment, Body: c.Source.Body, CreatedAt: c.CreatedAt, Author: c.Source.Author,
		Attachments: c.Source.Attachments, Redacted: c.Source.Redacted,
	}
}

// said are the types of parts in which a contact says something: "open" is what
// opened a closed conversation again.
var said = map[string]bool{partComment: true, "open": true, "quick_reply": true}

// userWrote is what a contact said.
func (m *messengerDesk) userWrote(c *conversation, p *part, at time.Time) []handoff.DeskEvent {
	if !p.Author.isContact() || !said[p.Type] || p.Redacted {
		return nil
	}
	user := handoff.User{
		AnonymousID: desk.Line(string(p.Author.ID), handoff.MaxIdentityRunes),
		Name:        desk.Line(p.Author.Name, handoff.MaxIdentityRunes), Email: desk.Line(p.Author.Email, handoff.MaxIdentityRunes),
	}
	for _, known := range c.Contacts.Contacts {
		if known.ID == string(p.Author.ID) {
			user.ID = desk.Line(known.ExternalID, handoff.MaxIdentityRunes)
		}
	}
	return texts(handoff.DeskEvent{
		Kind: handoff.DeskUserWrote, Ref: string(c.ID), ID: cmp.Or(string(p.ID), "source"), At: partTime(p, at), User: user,
	}, p.Body, p.Attachments)
}
