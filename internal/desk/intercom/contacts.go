package intercom

import (
	"context"
	"sync"

	"handoff/internal/fault"
)

// maxContacts bounds how many conversations' contacts are remembered; about 1 MB.
const maxContacts = 10_000

// contacts remembers whose a conversation is, so that a message costs one call.
type contacts struct {
	mu    sync.Mutex
	known map[string]string // by conversation
}

func (c *contacts) get(ref string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[ref]
}

func (c *contacts) set(ref, contact string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxContacts {
		c.known = make(map[string]string)
	}
	c.known[ref] = contact
}

func (c *contacts) forget(ref string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, ref)
}

// contactOf finds the contact of a conversation; remembered says that Intercom was not asked.
func (d *intercomDesk) contactOf(ctx context.Context, who identity, ref string) (id string, remembered bool, err error) {
	if known := d.contacts.get(ref); known != "" {
		return known, true, nil
	}
	c, err := d.read(ctx, who, ref)
	if err != nil {
		return "", false, err
	}
	if id, err = c.contact(); err == nil {
		d.contacts.set(ref, id)
	}
	return id, false, err
}

// contact is the id of the conversation's contact.
func (c *conversation) contact() (string, error) {
	if len(c.Contacts.Contacts) == 0 || c.Contacts.Contacts[0].ID == "" {
		return "", &fault.Fault{
			Kind: fault.DeskGone, Sent: fault.Sent, Public: "the desk no longer has the contact of this session",
		}
	}
	return c.Contacts.Contacts[0].ID, nil
}
