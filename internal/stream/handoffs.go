package stream

import (
	"context"
	"slices"
	"sync"

	"handoff/internal/handoff"
)

// HandoffUpdate tells a console how a Handoff of its Agent stands. All consoles
// share it: none may change it.
type HandoffUpdate struct {
	// Handoff is the newest state that the hub knows; nil with InitialDone.
	Handoff *handoff.Handoff
	// Initial: it was open when the subscription began.
	Initial bool
	// InitialDone follows once, after the last Initial one.
	InitialDone bool
}

// SubscribeHandoffs delivers the open Handoffs of an Agent, the newest first, then
// every Handoff that changes. A console that reads slowly gets a Handoff's newest
// state instead of each; an older version never follows a newer one, the same
// version may come again (then something beside the Handoff changed, like its
// notes). A Handoff that closes while the subscription begins may appear first as
// a change, although the console never saw it open.
//
// The channel is closed when ctx ends or the hub ends the subscription, which
// out.Ended then explains: because the hub stops, because the open Handoffs cannot
// be read, or because the console reads nothing while thousands of Handoffs
// change. The subscription holds memory until ctx ends.
func SubscribeHandoffs[T any](ctx context.Context, h *Hub, agentID string, out Output[*HandoffUpdate, T]) (<-chan T, error) {
	e, updates := connect(ctx, h, KindHandoffs, out)
	if err := h.watch(e, agentID); err != nil {
		return nil, err
	}
	return updates, nil
}

// HandoffChanged shows a Handoff to the consoles of its Agent. It never waits.
func (h *Hub) HandoffChanged(changed handoff.Handoff) {
	if b := h.boards.get(changed.AgentID); b != nil {
		b.show(changed)
	}
	h.bus.Publish(Hint{AgentID: changed.AgentID, HandoffID: changed.ID, Version: changed.Version})
}

// board is what the consoles of one Agent have in common.
type board struct {
	hub     *Hub
	agentID string

	mu       sync.Mutex
	consoles []*console
	versions versions            // keeps late hints from turning time back
	unread   map[string]struct{} // Handoffs that a bus hint named
	reading  bool                // a goroutine reads them
}

// console watches one Agent's handoffs. While it is served, a goroutine owns it;
// else the board does.
type console struct {
	endpoint[*HandoffUpdate]
	board   *board
	index   int  // in board.consoles, -1 = gone
	served  bool // changes go to pending, a goroutine sends them
	pending pending
}

// watch registers before it reads, so that no change between the two is missed.
func (h *Hub) watch(e endpoint[*HandoffUpdate], agentID string) error {
	if !h.enter() {
		return errStopping
	}
	defer h.running.Done()
	b := h.boards.hold(agentID, func() *board { return &board{hub: h, agentID: agentID} })
	c := &console{endpoint: e, board: b, served: true}
	b.mu.Lock()
	c.index = len(b.consoles)
	b.consoles = append(b.consoles, c)
	b.mu.Unlock()
	first, err := read(e.ctx, h, h.openHandoffs(agentID, ""))
	if err != nil {
		b.mu.Lock()
		b.drop(c)
		b.mu.Unlock()
		h.boards.release(agentID)
		return err
	}
	c.open(c.left)
	h.running.Go(func() { c.begin(first) })
	return nil
}

var openStates = slices.DeleteFunc(slices.Clone(handoff.States), func(s handoff.State) bool {
	return s == handoff.StateClosed
})

func (h *Hub) openHandoffs(agentID, after string) func(context.Context) (handoff.List[handoff.Handoff], error) {
	return func(ctx context.Context) (handoff.List[handoff.Handoff], error) {
		return h.log.Handoffs(ctx,
			handoff.HandoffFilter{AgentID: agentID, States: openStates},
			handoff.Page{First: handoff.MaxPageSize, After: after})
	}
}

// begin sends what is open, then what changed meanwhile.
func (c *console) begin(list handoff.List[handoff.Handoff]) {
	for {
		for i := range list.Items {
			if !c.send(c.listed(&list.Items[i])) {
				c.drain() // ends the subscription
				return
			}
		}
		n := len(list.Items)
		if !list.HasNext || n == 0 {
			break
		}
		var err error
		list, err = insist(c.ctx, c.hub, c.hub.openHandoffs(c.board.agentID, list.Cursors[n-1]))
		if err != nil {
			c.fail(err)
			return
		}
	}
	c.send(&HandoffUpdate{InitialDone: true})
	c.drain()
}

// listed makes the update for a Handoff that was read from the list. A hint that
// is older than what was read must not be delivered after it, neither one that
// has come nor one that is still to come.
func (c *console) listed(h *handoff.Handoff) *HandoffUpdate {
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	c.pending.settle(h)
	c.board.versions.sawListed(h.ID, h.Version, c.hub.now())
	return &HandoffUpdate{Handoff: h, Initial: true}
}

// catchUp is drain in a goroutine for which the hub has been entered.
func (c *console) catchUp() {
	defer c.hub.running.Done()
	c.drain()
}

// drain sends what is pending at the reader's pace and then gives the console
// back to the board.
func (c *console) drain() {
	for {
		u, reason, over := c.next()
		switch {
		case over:
			c.close(reason)
			return
		case u == nil:
			return
		}
		c.send(u)
	}
}

// next takes what is to be sent next. When there is nothing the board owns the
// console again; when the subscription is over, the caller does alone.
func (c *console) next() (u *HandoffUpdate, reason error, over bool) {
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	reason, over = c.over()
	if !over && c.pending.lost {
		reason, over = errTooFarBehind, true
	}
	if over {
		c.board.drop(c)
		return nil, reason, true
	}
	u = c.pending.take()
	c.served = u != nil
	return u, nil, false
}

// fail ends the subscription of a console that cannot be told what is open.
func (c *console) fail(err error) {
	reason, over := c.over()
	if !over {
		c.hub.logger.Error("open handoffs cannot be read", "agent_id", c.board.agentID, "error", err)
		reason = resync(err)
	}
	c.board.mu.Lock()
	c.board.drop(c)
	c.board.mu.Unlock()
	c.close(reason)
}

// left is called when the console's context has ended. A goroutine that serves
// the console notices by itself.
func (c *console) left() {
	c.board.mu.Lock()
	ours := !c.served && c.index >= 0
	if ours {
		c.board.drop(c)
	}
	c.board.mu.Unlock()
	if ours {
		c.close(nil)
	}
}

func (c *console) close(reason error) {
	c.hub.boards.release(c.board.agentID)
	c.endpoint.close(reason)
}

// tell sends an update, or keeps it for the goroutine that serves the console. The
// board's mutex is held.
func (c *console) tell(u *HandoffUpdate) {
	switch {
	case c.served:
		c.pending.put(u)
	case c.out.offer(u):
	case c.hub.enter():
		c.pending.put(u)
		c.served = true
		go c.catchUp()
	}
}

// show tells the consoles of a change, unless a newer one is known.
func (b *board) show(h handoff.Handoff) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.Version >= b.versions.of(h.ID).seen {
		b.tell(&h)
	}
}

// polled is show for what the poll found: it sees the same version many times.
func (b *board) polled(h handoff.Handoff) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.versions.of(h.ID); h.Version > known.told && h.Version >= known.seen {
		b.tell(&h)
	}
}

func (b *board) tell(h *handoff.Handoff) {
	b.versions.sawTold(h.ID, h.Version, b.hub.now())
	u := &HandoffUpdate{Handoff: h}
	for _, c := range b.consoles {
		c.tell(u)
	}
}

// announced has a Handoff read that another replica has changed.
func (b *board) announced(handoffID string, version int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if version < b.versions.of(handoffID).seen || len(b.unread) == maxPending {
		return // old news, or left to the poll
	}
	if b.unread == nil {
		b.unread = make(map[string]struct{})
	}
	b.unread[handoffID] = struct{}{}
	if !b.reading {
		b.reading = b.hub.spawn(b.read)
	}
}

func (b *board) read() {
	for {
		id, ok := b.nextUnread()
		if !ok {
			return
		}
		h, err := read(b.hub.ctx, b.hub, func(ctx context.Context) (handoff.Handoff, error) {
			return b.hub.log.Handoff(ctx, id)
		})
		if err != nil {
			b.hub.pollFailed(err)
			continue
		}
		b.show(h)
	}
}

func (b *board) nextUnread() (id string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.unread {
		delete(b.unread, id)
		return id, true
	}
	b.reading, b.unread = false, nil
	return "", false
}

// drop takes a console off the board: the caller owns it alone now. The mutex is held.
func (b *board) drop(c *console) {
	n := len(b.consoles) - 1
	moved := b.consoles[n]
	b.consoles[c.index], moved.index = moved, c.index
	b.consoles[n] = nil
	b.consoles = b.consoles[:n]
	c.index = -1
}

// end ends the consoles that no goroutine serves; the others end themselves.
func (b *board) end(reason error) {
	b.mu.Lock()
	var ours []*console
	for _, c := range slices.Clone(b.consoles) {
		if !c.served {
			b.drop(c)
			ours = append(ours, c)
		}
	}
	b.mu.Unlock()
	for _, c := range ours {
		c.close(reason)
	}
}
