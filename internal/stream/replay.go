package stream

import (
	"errors"

	"handoff/internal/handoff"
)

// catchUp is replay in a goroutine for which the hub has been entered.
func (s *subscriber) catchUp() {
	defer s.hub.running.Done()
	s.replay(page{})
}

// replay brings a subscriber from the log to where the topic is, then makes it
// live. It begins with the page that was read already, if any.
func (s *subscriber) replay(p page) {
	for {
		for i := range p.events {
			if !s.send(Update{Event: &p.events[i]}) {
				reason, _ := s.over()
				s.close(reason)
				return
			}
			s.last = p.events[i].Seq
		}
		known := int64(0)
		if p.last {
			live, seq := s.topic.join(s)
			if live {
				return
			}
			known = seq
		}
		if reason, over := s.over(); over {
			s.close(reason)
			return
		}
		var err error
		p, err = insist(s.ctx, s.hub, s.hub.events(s.topic.id, s.last, known, pageSize))
		if err != nil {
			reason, over := s.over()
			if !over {
				reason = s.hub.unreadable(s.topic.id, err)
			}
			s.close(reason)
			return
		}
	}
}

// join makes a subscriber live that has got all of the log, unless it is over
// or the topic is ahead of it. It gives where the topic is.
func (t *topic) join(s *subscriber) (live bool, seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Looking here, under the mutex, leaves no gap: what ends the subscriber from now
	// on finds it live.
	if _, over := s.over(); over || s.last < t.seq {
		return false, t.seq
	}
	if len(t.live) == 0 {
		t.seq = s.last
	}
	s.index = len(t.live)
	t.live = append(t.live, s)
	t.want(s.last) // the others need what s has read, and s what the topic has heard of
	return true, t.seq
}

// fill reads what the topic has heard of but did not get, once for all its live
// subscribers.
func (t *topic) fill() {
	t.hub.metrics.Replayed(CauseGap)
	var events []handoff.Event
	for {
		t.mu.Lock()
		t.advance(events)
		after, wanted := t.seq, t.wanted
		if wanted <= after || len(t.live) == 0 {
			t.filling = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()

		p, err := insist(t.hub.ctx, t.hub, t.hub.events(t.id, after, wanted, pageSize))
		if err != nil {
			t.giveUp(err, wanted)
			return
		}
		events = p.events
	}
}

// giveUp ends a fill that cannot read. A hint that promised what is not there is
// forgotten; any other trouble ends the live subscribers.
func (t *topic) giveUp(err error, wanted int64) {
	if t.hub.stopping() {
		return // Stop ends them
	}
	reason := t.hub.unreadable(t.id, err)
	bogus := errors.Is(err, errNothing)
	t.mu.Lock()
	t.filling = false
	if bogus {
		if t.wanted == wanted {
			t.wanted = t.seq
		}
		t.want(0) // something else may have been announced
	}
	t.mu.Unlock()
	if !bogus {
		t.end(reason)
	}
}

// unreadable logs that a log cannot be read and makes the reason with which to
// end its subscribers.
func (h *Hub) unreadable(conversationID string, err error) error {
	h.logger.Error("event log cannot be read", "conversation_id", conversationID, "error", err)
	return resync(err)
}
