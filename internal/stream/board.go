package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"handoff/internal/handoff"
)

// ItemUpdate tells a console how an item of its Agent's list stands. All consoles
// share it: none may change it.
type ItemUpdate[I any] struct {
	// Item is the newest state that the hub knows; nil with InitialDone.
	Item *I
	// Initial: it was on the list when the subscription began.
	Initial bool
	// InitialDone follows once, after the last Initial one.
	InitialDone bool
}

// list is a kind of lists that consoles watch, one per Agent: what its items are,
// and how the database tells them.
type list[I any] struct {
	hub    *Hub
	kind   Kind
	boards registry[board[I]] // by Agent

	id        func(*I) string
	agent     func(*I) string
	version   func(*I) int64 // grows with every change
	updatedAt func(*I) time.Time
	// page reads what a console is told first.
	page func(ctx context.Context, agentID, after string) (handoff.List[I], error)
	// one reads an item that another replica has changed; nil = it is nothing to tell.
	one func(ctx context.Context, id string) (*I, error)
	// changed lists the items of these Agents with (updatedAt, id) > (since, afterID),
	// in that order, at most limit; nil = nobody but this process changes them.
	changed func(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]I, error)
}

// board is what the consoles of one Agent have in common.
type board[I any] struct {
	*list[I]
	agentID string

	mu       sync.Mutex
	consoles []*console[I]
	versions versions            // keeps late hints from turning time back
	unread   map[string]struct{} // items that a bus hint named
	reading  bool                // a goroutine reads them
}

func (l *list[I]) init(h *Hub, kind Kind) {
	l.hub, l.kind = h, kind
	l.boards.init()
}

// console watches one list of an Agent. While it is served, a goroutine owns it;
// else the board does.
type console[I any] struct {
	endpoint[*ItemUpdate[I]]
	board   *board[I]
	index   int  // in board.consoles, -1 = gone
	served  bool // changes go to pending, a goroutine sends them
	pending pending[I]
}

// watch registers before it reads, so that no change between the two is missed.
func (l *list[I]) watch(e endpoint[*ItemUpdate[I]], agentID string) error {
	h := l.hub
	if !h.enter() {
		return errStopping
	}
	defer h.running.Done()
	b := l.boards.hold(agentID, func() *board[I] { return &board[I]{list: l, agentID: agentID} })
	c := &console[I]{endpoint: e, board: b, served: true}
	b.mu.Lock()
	c.index = len(b.consoles)
	b.consoles = append(b.consoles, c)
	b.mu.Unlock()
	first, err := read(e.ctx, h, l.pageAfter(agentID, ""))
	if err != nil {
		b.mu.Lock()
		b.drop(c)
		b.mu.Unlock()
		l.boards.release(agentID)
		return err
	}
	c.open(c.left)
	h.running.Go(func() { c.begin(first) })
	return nil
}

func (l *list[I]) pageAfter(agentID, after string) func(context.Context) (handoff.List[I], error) {
	return func(ctx context.Context) (handoff.List[I], error) { return l.page(ctx, agentID, after) }
}

// begin sends what is on the list, then what changed meanwhile.
func (c *console[I]) begin(list handoff.List[I]) {
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
		list, err = insist(c.ctx, c.hub, c.board.pageAfter(c.board.agentID, list.Cursors[n-1]))
		if err != nil {
			c.fail(err)
			return
		}
	}
	c.send(&ItemUpdate[I]{InitialDone: true})
	c.drain()
}

// listed makes the update for an item that was read from the list. A hint that
// is older than what was read must not be delivered after it, neither one that
// has come nor one that is still to come.
func (c *console[I]) listed(item *I) *ItemUpdate[I] {
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	id, version := c.board.id(item), c.board.version(item)
	c.pending.settle(id, version)
	c.board.versions.sawListed(id, version, c.board.hub.now())
	return &ItemUpdate[I]{Item: item, Initial: true}
}

// catchUp is drain in a goroutine for which the hub has been entered.
func (c *console[I]) catchUp() {
	defer c.hub.running.Done()
	c.drain()
}

// drain sends what is pending at the reader's pace and then gives the console
// back to the board.
func (c *console[I]) drain() {
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
func (c *console[I]) next() (u *ItemUpdate[I], reason error, over bool) {
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
func (c *console[I]) fail(err error) {
	reason, over := c.over()
	if !over {
		c.hub.logger.Error("a list cannot be read", "list", c.kind, "agent_id", c.board.agentID, "error", err)
		reason = resync(err)
	}
	c.board.mu.Lock()
	c.board.drop(c)
	c.board.mu.Unlock()
	c.close(reason)
}

// left is called when the console's context has ended. A goroutine that serves
// the console notices by itself.
func (c *console[I]) left() {
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

func (c *console[I]) close(reason error) {
	c.board.boards.release(c.board.agentID)
	c.endpoint.close(reason)
}

// tell sends an update, or keeps it for the goroutine that serves the console. The
// board's mutex is held.
func (c *console[I]) tell(u *ItemUpdate[I]) {
	switch {
	case c.served:
		c.pending.put(c.board.id(u.Item), c.board.version(u.Item), u)
	case c.out.offer(u):
	case c.hub.enter():
		c.pending.put(c.board.id(u.Item), c.board.version(u.Item), u)
		c.served = true
		go c.catchUp()
	}
}

// show tells the consoles of a change, unless a newer one is known.
func (b *board[I]) show(item *I) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version(item) >= b.versions.of(b.id(item)).seen {
		b.tell(item)
	}
}

// polled is show for what the poll found: it sees the same version many times.
func (b *board[I]) polled(item *I) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, version := b.versions.of(b.id(item)), b.version(item); version > known.told && version >= known.seen {
		b.tell(item)
	}
}

func (b *board[I]) tell(item *I) {
	b.versions.sawTold(b.id(item), b.version(item), b.hub.now())
	u := &ItemUpdate[I]{Item: item}
	for _, c := range b.consoles {
		c.tell(u)
	}
}

// announced has an item read that another replica has changed.
func (b *board[I]) announced(id string, version int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if version < b.versions.of(id).seen || len(b.unread) == maxPending {
		return // old news, or left to the poll
	}
	if b.unread == nil {
		b.unread = make(map[string]struct{})
	}
	b.unread[id] = struct{}{}
	if !b.reading {
		b.reading = b.hub.spawn(b.read)
	}
}

func (b *board[I]) read() {
	for {
		id, ok := b.nextUnread()
		if !ok {
			return
		}
		item, err := read(b.hub.ctx, b.hub, func(ctx context.Context) (*I, error) { return b.one(ctx, id) })
		if err != nil {
			b.hub.pollFailed(err)
			continue
		}
		if item != nil {
			b.show(item)
		}
	}
}

func (b *board[I]) nextUnread() (id string, ok bool) {
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
func (b *board[I]) drop(c *console[I]) {
	n := len(b.consoles) - 1
	moved := b.consoles[n]
	b.consoles[c.index], moved.index = moved, c.index
	b.consoles[n] = nil
	b.consoles = b.consoles[:n]
	c.index = -1
}

// end ends the consoles that no goroutine serves; the others end themselves.
func (b *board[I]) end(reason error) {
	b.mu.Lock()
	var ours []*console[I]
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

// poll shows the consoles what other replicas have changed; false = it could not
// look everywhere.
func (l *list[I]) poll(since time.Time) bool {
	if l.changed == nil {
		return true
	}
	for agentIDs := range slices.Chunk(l.boards.keys(nil), pollBatch) {
		if err := l.pollAgents(agentIDs, since); err != nil {
			l.hub.pollFailed(err)
			return false
		}
	}
	return true
}

func (l *list[I]) pollAgents(agentIDs []string, since time.Time) error {
	for afterID := ""; ; {
		items, err := read(l.hub.ctx, l.hub, func(ctx context.Context) ([]I, error) {
			return l.changed(ctx, agentIDs, since, afterID, pollBatch)
		})
		if err != nil {
			return err
		}
		for i := range items {
			if b := l.boards.get(l.agent(&items[i])); b != nil {
				b.polled(&items[i])
			}
		}
		if len(items) < pollBatch {
			return nil
		}
		last := &items[len(items)-1]
		since, afterID = l.updatedAt(last), l.id(last)
	}
}
