package intercom

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// Intercom needs a moment before a new contact can be written for, and before a
// search finds it.
var (
	newContactWaits = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}
	searchWaits     = []time.Duration{2 * time.Second, 5 * time.Second}
)

// person is the contact of a User.
type person struct {
	id    string
	fresh bool // made just now
}

// externalID is our own stable key of a User in Intercom.
func externalID(r *desk.OpenRequest) string {
	who := r.User.ID
	if who == "" {
		who = r.User.AnonymousID
	}
	if who == "" {
		who = r.HandoffID // a stranger every time
	}
	return r.AgentID + ":" + string(r.Channel) + ":" + who
}

// email is the address to give to the contact. A fallback address is none: one
// that many Users share would make them one contact.
func email(r *desk.OpenRequest) string {
	if !r.EmailGiven {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(r.User.Email))
}

// ensureContact finds the contact of the User or makes it. Making it is the proof:
// a search may miss a contact for minutes, but a second one is refused with the id
// of the first.
func (d *intercomDesk) ensureContact(ctx context.Context, who identity, r *desk.OpenRequest) (person, error) {
	want := contactBody{Role: roleUser, ExternalID: externalID(r), Email: email(r), Name: r.User.Name}
	found, err := d.findContact(ctx, who, &want)
	if err != nil || found != "" {
		return person{id: found}, err
	}
	made, err := d.createContact(ctx, who, &want)
	if p, ok := errors.AsType[*problem](err); ok && refusesData(p) && want.Email != "" {
		// Most likely an address that Intercom does not take.
		want.Email = ""
		made, err = d.createContact(ctx, who, &want)
	}
	return made, err
}

// refusesData reports whether Intercom understood the request and did not like a value.
func refusesData(p *problem) bool {
	return p.status == http.StatusBadRequest || p.status == http.StatusUnprocessableEntity
}

// findContact searches by our key, then by address; "" = none found.
func (d *intercomDesk) findContact(ctx context.Context, who identity, want *contactBody) (string, error) {
	list, err := d.searchContacts(ctx, who, filter{Field: "external_id", Operator: "=", Value: want.ExternalID})
	if err != nil {
		return "", err
	}
	if found := pick(list, want.ExternalID); found != nil {
		return found.ID, d.refreshContact(ctx, who, found, want)
	}
	if want.Email == "" {
		return "", nil
	}
	list, err = d.searchContacts(ctx, who, filter{Operator: "AND", Value: []filter{
		{Field: "email", Operator: "=", Value: want.Email},
		{Field: "role", Operator: "=", Value: roleUser},
	}})
	if err != nil {
		return "", err
	}
	// Its key may be somebody else's system's, and is left alone.
	if found := pick(list, want.ExternalID); found != nil {
		return found.ID, nil
	}
	return "", nil
}

func (d *intercomDesk) searchContacts(ctx context.Context, who identity, query filter) ([]contact, error) {
	var list contactList
	err := d.call(ctx, request{
		base: who.base, method: http.MethodPost, path: "/contacts/search", about: desk.AboutDesk,
		in: search{Query: query, Pagination: pagination{PerPage: 10}},
	}, &list)
	if err == nil && list.Type == "" {
		err = unreadable()
	}
	return list.Data, err
}

// pick prefers users, then our key, then the newest.
func pick(list []contact, externalID string) *contact {
	var best *contact
	for i := range list {
		c := &list[i]
		if c.ID != "" && (best == nil || better(c, best, externalID)) {
			best = c
		}
	}
	return best
}

func better(a, b *contact, externalID string) bool {
	if x, y := a.Role == roleUser, b.Role == roleUser; x != y {
		return x
	}
	if x, y := a.ExternalID == externalID, b.ExternalID == externalID; x != y {
		return x
	}
	return a.UpdatedAt > b.UpdatedAt
}

// refreshContact brings name and address up to date. An address that belongs to
// another contact, or that Intercom does not take, is left out.
func (d *intercomDesk) refreshContact(ctx context.Context, who identity, found *contact, want *contactBody) error {
	var change contactBody
	if want.Name != found.Name {
		change.Name = want.Name
	}
	if !strings.EqualFold(want.Email, found.Email) {
		change.Email = want.Email
	}
	err := d.changeContact(ctx, who, found.ID, change)
	if fault.Is(err, fault.DeskRejected) && change.Email != "" {
		change.Email = ""
		err = d.changeContact(ctx, who, found.ID, change)
	}
	if fault.Is(err, fault.DeskRejected) {
		return nil // the contact is good enough as it is
	}
	return err
}

func (d *intercomDesk) changeContact(ctx context.Context, who identity, id string, change contactBody) error {
	if change == (contactBody{}) {
		return nil
	}
	return d.call(ctx, request{
		base: who.base, method: http.MethodPut, path: "/contacts/" + url.PathEscape(id), about: desk.AboutDesk, in: change,
	}, &contact{})
}

// createContact makes the contact, or finds the one that is in the way.
func (d *intercomDesk) createContact(ctx context.Context, who identity, want *contactBody) (person, error) {
	var made contact
	err := d.call(ctx, request{base: who.base, method: http.MethodPost, path: "/contacts", about: desk.AboutDesk, in: want}, &made)
	if err == nil {
		if made.ID == "" {
			return person{}, unreadable()
		}
		return person{id: made.ID, fresh: true}, nil
	}
	p, ok := errors.AsType[*problem](err)
	if !ok || p.status != http.StatusConflict {
		return person{}, err
	}
	if p.contactID == "" {
		return d.awaitContact(ctx, who, want, err)
	}
	if p.archived {
		err := d.call(ctx, request{
			base: who.base, method: http.MethodPost, path: "/contacts/" + p.contactID + "/unarchive", about: desk.AboutDesk,
		}, &contact{})
		if err != nil {
			return person{}, err
		}
	}
	return person{id: p.contactID}, nil
}

// awaitContact searches until it finds the contact whose existence, but not id,
// Intercom has told. conflict is what it told it with.
func (d *intercomDesk) awaitContact(ctx context.Context, who identity, want *contactBody, conflict error) (person, error) {
	for _, wait := range searchWaits {
		if !d.pause(ctx, wait) {
			break
		}
		found, err := d.findContact(ctx, who, want)
		if err != nil || found != "" {
			return person{id: found}, err
		}
	}
	return person{}, conflict
}

// pause waits unless the context ends before the wait does, which it then reports
// at once.
func pause(ctx context.Context, wait time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
