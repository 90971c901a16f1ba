package livechat

import (
	"context"
	"slices"
	"sync"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// maxNames bounds how many agents' names are remembered; about 1 MB.
const maxNames = 10_000

// names remembers what agents are called. Webhooks tell who wrote by the e-mail
// address only, which Users must not see. Every replica finds the names out for itself.
type names struct {
	mu    sync.Mutex
	known map[string]string // by e-mail address
}

func (n *names) get(agent string) (name string, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, known = n.known[agent]
	return name, known
}

func (n *names) set(agent, name string) {
	if name = desk.Line(name, handoff.MaxIdentityRunes); name == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= maxNames {
		n.known = make(map[string]string)
	}
	n.known[agent] = name
}

// nameOf gives the name of who said something in a session of ours, reading the
// thread the first time. A name that cannot be had holds up no message.
func (d *externalDesk) nameOf(ctx context.Context, ref string, of *event) string {
	if name, known := d.names.get(of.AuthorID); known {
		return name
	}
	customer, err := d.session(ctx, ref)
	if err != nil {
		return ""
	}
	c, err := d.thread(ctx, customer, customer.Chat, customer.Thread)
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(c.Thread.Events, func(e event) bool { return e.ID == of.ID })
	if i < 0 {
		return ""
	}
	author := c.Thread.Events[i].AuthorID // as customers see it
	if j := slices.IndexFunc(c.Users, func(u user) bool { return u.ID == author && u.Type == userAgent }); j >= 0 {
		d.names.set(of.AuthorID, c.Users[j].Name)
		return c.Users[j].Name
	}
	return ""
}
