package livechat

import (
	"context"
	"slices"
	"time"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// reread asks LiveChat about what a webhook without a secret key hints at. Of the
// webhook only the ids are used, and who its author is: read as a customer, agents
// and bots look the same.
func (d *externalDesk) reread(ctx context.Context, n *notification, p *happened, receivedAt time.Time) ([]handoff.DeskEvent, error) {
	switch n.Action {
	case actionEvent:
		if !isHuman(p.Event.AuthorID) {
			if botID.MatchString(p.Event.AuthorID) && d.isSession(ctx, p) {
				d.learnBot(ctx, p.Event.AuthorID)
			}
			return nil, nil
		}
	case actionDeactivated:
	case actionAdded:
		if !isHuman(p.User.ID) {
			return nil, nil
		}
	default:
		return nil, nil
	}
	ref := newRef(p.ChatID, p.ThreadID)
	customer, err := d.session(ctx, ref)
	if fault.Is(err, fault.DeskGone) {
		return nil, nil // not a session of ours
	}
	if err != nil {
		return nil, err
	}
	e := handoff.DeskEvent{Ref: ref, At: receivedAt.UTC()}
	c, err := d.thread(ctx, customer, p.ChatID, p.ThreadID)
	if fault.Is(err, fault.DeskGone) {
		return ended(e), nil
	}
	if err != nil {
		return nil, err
	}
	people, err := d.people(ctx, &c)
	if err != nil {
		return nil, err
	}
	switch n.Action {
	case actionEvent:
		i := slices.IndexFunc(c.Thread.Events, func(e event) bool { return e.ID == p.Event.ID })
		if i < 0 {
			return nil, nil
		}
		return upTo(e, &c, people, &c.Thread.Events[i]), nil
	case actionDeactivated:
		if !c.Thread.Active {
			defer d.forgetStranger(ctx, ref)
			return append(recent(e, &c, people), ended(e)...), nil
		}
	case actionAdded:
		if slices.ContainsFunc(c.Users, func(u user) bool {
			name, human := people[u.ID]
			return human && u.Present && name == p.User.Name
		}) {
			return joined(e, p.User.Name), nil
		}
	}
	return nil, nil
}

// isSession reports whether a webhook is about a session of ours.
func (d *externalDesk) isSession(ctx context.Context, p *happened) bool {
	_, err := d.session(ctx, newRef(p.ChatID, p.ThreadID))
	return err == nil
}

// fromAgent translates an event as the customer reads it; people are the names of the
// human agents, by the ids that customers see.
func fromAgent(e handoff.DeskEvent, people map[string]string, of *event) []handoff.DeskEvent {
	name, human := people[of.AuthorID]
	if !human || !idPattern.MatchString(of.ID) {
		return nil
	}
	return message(e, of, name)
}

// recentTime is how long LiveChat repeats a webhook, so that a later one can overtake it.
const recentTime = 2 * time.Minute

// upTo gives an event of an agent with what the same agent said shortly before it:
// webhooks may come in another order. What was told already is dropped by its id.
func upTo(e handoff.DeskEvent, c *chat, people map[string]string, last *event) []handoff.DeskEvent {
	until := at(last.CreatedAt, e.At)
	var list []handoff.DeskEvent
	for i := range c.Thread.Events {
		of := &c.Thread.Events[i]
		when := at(of.CreatedAt, e.At)
		if of.AuthorID == last.AuthorID && (of == last || when.Before(until) && when.After(until.Add(-recentTime))) {
			list = append(list, fromAgent(e, people, of)...)
		}
	}
	return inOrder(list)
}

// recent is what agents said at the end of a thread.
func recent(e handoff.DeskEvent, c *chat, people map[string]string) []handoff.DeskEvent {
	var list []handoff.DeskEvent
	for i := range c.Thread.Events {
		list = append(list, fromAgent(e, people, &c.Thread.Events[i])...)
	}
	list = slices.DeleteFunc(list, func(said handoff.DeskEvent) bool { return said.At.Before(e.At.Add(-recentTime)) })
	return inOrder(list)
}

func inOrder(list []handoff.DeskEvent) []handoff.DeskEvent {
	slices.SortStableFunc(list, func(a, b handoff.DeskEvent) int { return a.At.Compare(b.At) })
	return list
}

// lastWords reads what was said before the end of a session of ours that an agent
// ended, in case the end overtook it. What cannot be read holds up no end.
func (d *externalDesk) lastWords(ctx context.Context, e handoff.DeskEvent) []handoff.DeskEvent {
	customer, err := d.session(ctx, e.Ref)
	if err != nil {
		return nil
	}
	c, err := d.thread(ctx, customer, customer.Chat, customer.Thread)
	if err != nil {
		return nil
	}
	people, err := d.people(ctx, &c)
	if err != nil {
		return nil
	}
	return recent(e, &c, people)
}

// overlap is how far LiveChat's clock may be behind ours.
const overlap = 5 * time.Second

// Missed reads the thread of a session. A bot of which no webhook has ever told looks
// like an agent there, but the routing keeps bots out of our threads.
func (d *externalDesk) Missed(ctx context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	e := handoff.DeskEvent{Ref: ref, At: d.now().UTC()}
	customer, err := d.session(ctx, ref)
	if fault.Is(err, fault.DeskGone) {
		return ended(e), nil
	}
	if err != nil {
		return nil, err
	}
	c, err := d.thread(ctx, customer, customer.Chat, customer.Thread)
	if fault.Is(err, fault.DeskGone) {
		return ended(e), nil
	}
	if err != nil {
		return nil, err
	}
	people, err := d.people(ctx, &c)
	if err != nil {
		return nil, err
	}
	var list []handoff.DeskEvent
	for i := range c.Thread.Events {
		list = append(list, fromAgent(e, people, &c.Thread.Events[i])...)
	}
	return missed(list, e, since, c.Thread.Active), nil
}

// missed puts events in order, leaves out those that are too old, and adds the end.
func missed(list []handoff.DeskEvent, e handoff.DeskEvent, since time.Time, active bool) []handoff.DeskEvent {
	list = slices.DeleteFunc(list, func(e handoff.DeskEvent) bool { return e.At.Before(since.Add(-overlap)) })
	list = inOrder(list)
	if !active {
		if n := len(list); n > 0 && list[n-1].At.After(e.At) {
			e.At = list[n-1].At // LiveChat's clock may be ahead of ours
		}
		list = append(list, ended(e)...)
	}
	return list
}
