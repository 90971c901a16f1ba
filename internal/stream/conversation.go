package stream

import (
	"context"
	"sync"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Update is one piece of a Conversation's stream: exactly one field is set.
// Subscribers share what it points to and must not change it.
type Update struct {
	Event  *handoff.Event
	Signal *handoff.Signal // not stored: dropped rather than delivered late
}

// SubscribeConversation delivers every event of a Conversation with a seq greater
// than after, once and in order, then live, and between them the signals of the
// moment. It returns after one look at the log.
//
// The channel is closed when ctx ends or the hub ends the subscription, which
// out.Ended then explains: because the hub stops, or because the log cannot be
// read. What is still in the channel then may be read. The subscription holds
// memory until ctx ends, so end it also when done early.
//
// An after that no event has yet is an InvalidInput fault of the field "after".
// Whether the Conversation exists, and whose it is, is for the caller to check.
func SubscribeConversation[T any](ctx context.Context, h *Hub, conversationID string, after int64, out Output[Update, T]) (<-chan T, error) {
	e, updates := connect(ctx, h, KindConversation, out)
	if err := h.subscribe(e, conversationID, after); err != nil {
		return nil, err
	}
	return updates, nil
}

// Committed hands committed events to the subscribers of the Conversation. It
// never waits. The events must follow each other and must not change afterwards.
func (h *Hub) Committed(_, conversationID string, events []handoff.Event) {
	if len(events) == 0 {
		return
	}
	if t := h.topics.get(conversationID); t != nil {
		t.committed(events)
	}
	h.bus.Publish(Hint{ConversationID: conversationID, Seq: events[len(events)-1].Seq})
}

// Signalled hands a signal to those subscribers of the Conversation that keep up.
// It never waits.
func (h *Hub) Signalled(s handoff.Signal) {
	h.signal(&s)
	h.bus.Publish(Hint{ConversationID: s.ConversationID, Signal: &s})
}

func (h *Hub) signal(s *handoff.Signal) {
	if t := h.topics.get(s.ConversationID); t != nil {
		t.signal(s)
	}
}

// topic is a Conversation that somebody watches.
type topic struct {
	hub *Hub
	id  string

	mu sync.Mutex
	// live are the subscribers that are served here; each has got every event up to
	// seq, or is ahead of it. Without them seq is the newest event that was handed
	// in, which is what a subscriber must have reached to become live.
	live []*subscriber
	seq  int64
	// wanted is the newest event that the topic has heard of. If it is after seq
	// and somebody is live, a goroutine is filling the gap.
	wanted  int64
	filling bool
}

// subscriber watches one Conversation. While it is live the topic owns it, else
// the goroutine that runs replay.
type subscriber struct {
	endpoint[Update]
	topic *topic
	last  int64 // what the channel has got; the owner's
	index int   // in topic.live, -1 = not live; guarded by topic.mu
}

// subscribe registers before it reads, so that no hint of what the read does not
// see can be missed.
func (h *Hub) subscribe(e endpoint[Update], conversationID string, after int64) error {
	if after < 0 {
		return fault.Invalid("after", "is %d, must not be negative", after)
	}
	if !h.enter() {
		return errStopping
	}
	defer h.running.Done()
	t := h.topics.hold(conversationID, func() *topic { return &topic{hub: h, id: conversationID} })
	first, err := h.firstPage(e.ctx, conversationID, after)
	if err != nil {
		h.topics.release(conversationID)
		return err
	}
	h.metrics.Replayed(CauseSubscribed)
	s := &subscriber{endpoint: e, topic: t, last: after, index: -1}
	s.open(s.left)
	h.running.Go(func() { s.replay(first) })
	return nil
}

// firstPage reads the page after a seq, and with it the event of that seq, which
// proves that the seq was not made up.
func (h *Hub) firstPage(ctx context.Context, conversationID string, after int64) (page, error) {
	if after == 0 {
		return read(ctx, h, h.events(conversationID, 0, 0, pageSize))
	}
	p, err := read(ctx, h, h.events(conversationID, after-1, 0, pageSize+1))
	if err != nil {
		return page{}, err
	}
	if len(p.events) == 0 {
		return page{}, fault.Invalid("after", "is %d, the conversation has no event of that seq yet", after)
	}
	p.events = p.events[1:]
	return p, nil
}

// left is called when the subscriber's context has ended. If a goroutine owns the
// subscriber, that goroutine notices by itself.
func (s *subscriber) left() {
	s.topic.mu.Lock()
	live := s.index >= 0
	if live {
		s.topic.drop(s)
	}
	s.topic.mu.Unlock()
	if live {
		s.close(nil)
	}
}

func (s *subscriber) close(reason error) {
	s.hub.topics.release(s.topic.id)
	s.endpoint.close(reason)
}

// committed delivers what comes next and has the rest read.
func (t *topic) committed(events []handoff.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	newest := events[len(events)-1].Seq
	if len(t.live) == 0 {
		t.seq = max(t.seq, newest)
		return
	}
	t.advance(events)
	t.want(newest)
}

// advance delivers those of the events that come next. The mutex is held.
func (t *topic) advance(events []handoff.Event) {
	for i := range events {
		e := &events[i]
		if e.Seq != t.seq+1 {
			continue
		}
		t.seq = e.Seq
		t.hub.metrics.Relayed(max(0, t.hub.now().Sub(e.At))) // replicas' clocks differ
		t.deliver(Update{Event: e})
	}
}

// deliver sends the event t.seq to every live subscriber that does not have it. A
// subscriber whose buffer is full goes on from the log. The mutex is held.
func (t *topic) deliver(u Update) {
	// Backwards, because drop moves the last subscriber to the place it makes free.
	for i := len(t.live) - 1; i >= 0; i-- {
		s := t.live[i]
		if s.last != t.seq-1 {
			continue
		}
		if s.out.offer(u) {
			s.last = t.seq
			continue
		}
		if !t.hub.enter() {
			continue // s stays here for Stop to end, and gets nothing more
		}
		t.drop(s)
		t.hub.metrics.Replayed(CauseSlow)
		go s.catchUp()
	}
}

// drop ends a subscriber's being live: the caller owns it now. The mutex is held.
func (t *topic) drop(s *subscriber) {
	n := len(t.live) - 1
	moved := t.live[n]
	t.live[s.index], moved.index = moved, s.index
	t.live[n] = nil
	t.live = t.live[:n]
	s.index = -1
}

// want notes that the log reaches at least up to seq, and has the gap read, if
// there is one. The mutex is held.
func (t *topic) want(seq int64) {
	t.wanted = max(t.wanted, seq)
	if t.wanted > t.seq && len(t.live) > 0 && !t.filling {
		t.filling = t.hub.spawn(t.fill)
	}
}

// announced is want for callers that do not hold the mutex.
func (t *topic) announced(seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.want(seq)
}

// signal leaves half of each buffer to events: a storm of signals must not make a
// reader slow.
func (t *topic) signal(sig *handoff.Signal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.live {
		if s.out.roomy() {
			s.out.offer(Update{Signal: sig})
		}
	}
}

// end ends the live subscribers.
func (t *topic) end(reason error) {
	t.mu.Lock()
	live := t.live
	t.live = nil
	for _, s := range live {
		s.index = -1
	}
	t.mu.Unlock()
	for _, s := range live {
		s.close(reason)
	}
}
