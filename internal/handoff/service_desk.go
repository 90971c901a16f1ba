package handoff

import (
	"context"
	"errors"
	"sync"

	"handoff/internal/fault"
)

// FromDesk takes what a desk told us about one of its sessions. Every event is
// its own commit, so a repeat of the whole request is harmless. The fault is
// NotFound for an unknown session and NotAllowedInState for a message to one that
// has ended.
func (s *Service) FromDesk(ctx context.Context, connection Connection, events []DeskEvent) error {
	for i := range events {
		if err := s.fromDesk(ctx, connection, &events[i]); err != nil {
			return err
		}
	}
	return nil
}

// KnownElsewhere reports whether any connection has a session of this id at its desk.
func (s *Service) KnownElsewhere(ctx context.Context, deskRef string) (bool, error) {
	_, err := s.store.HandoffByRef(ctx, "", deskRef)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// sessionAt finds the session of a desk's id. Which Handoff it is does not change
// before it ends, so the answer is kept in memory; how it stands is read with every
// decision. remembered says that the answer comes from there.
func (s *Service) sessionAt(ctx context.Context, connectionID, ref string) (found session, remembered bool, err error) {
	key := connectionID + "/" + ref
	s.sessions.mu.Lock()
	found, remembered = s.sessions.items[key]
	s.sessions.mu.Unlock()
	if remembered {
		return found, true, nil
	}
	h, err := s.store.HandoffByRef(ctx, connectionID, ref)
	if err != nil {
		return session{}, false, err
	}
	found = sessionOf(&h)
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if len(s.sessions.items) >= sessionCacheSize {
		clear(s.sessions.items)
	}
	s.sessions.items[key] = found
	return found, false, nil
}

func (s *Service) forgetSessionAt(connectionID, ref string) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	delete(s.sessions.items, connectionID+"/"+ref)
}

// sessionCacheSize bounds the memory of sessions by their id at the desk; about 10 MB.
const sessionCacheSize = 50_000

type sessionCache struct {
	mu    sync.Mutex
	items map[string]session
}

// session is what of a Handoff never changes.
type session struct{ handoffID, conversationID, agentID string }

func sessionOf(h *Handoff) session {
	return session{handoffID: h.ID, conversationID: h.ConversationID, agentID: h.AgentID}
}

func (s *Service) fromDesk(ctx context.Context, connection Connection, e *DeskEvent) error {
	if taken, err := s.fromMessenger(ctx, &connection, e); taken {
		return err
	}
	at, remembered, err := s.sessionAt(ctx, connection.ID, e.Ref)
	if err != nil {
		return err
	}
	switch e.Kind {
	case DeskTyping:
		s.feed.Signalled(Signal{ConversationID: at.conversationID, Author: AuthorOperator, Kind: SignalTyping, At: s.now()})
		return nil
	case DeskRead:
		s.feed.Signalled(Signal{ConversationID: at.conversationID, Author: AuthorOperator, Kind: SignalRead, At: s.now()})
		return nil
	case DeskQueued:
		s.feed.Signalled(Signal{ConversationID: at.conversationID, Author: AuthorOperator, Kind: SignalQueued, At: s.now(), QueuePlace: e.QueuePlace})
		return nil
	case DeskMessage, DeskEnded, DeskJoined, DeskUserWrote:
	}
	key := ""
	if e.Kind == DeskMessage {
		key = connection.eventKey(e)
	}
	done, ended, err := s.onHandoff(ctx, at, key, func(t *turn) error {
		switch e.Kind {
		case DeskMessage:
			return t.operatorWrote(e, key)
		case DeskEnded:
			if t.conv.InMessenger() && t.handoff.requestedAfter(e) {
				return nil
			}
			return t.apply(OperatorEnded)
		case DeskJoined:
			t.answeredBy(e.OperatorName)
		case DeskTyping, DeskRead, DeskQueued, DeskUserWrote:
		}
		return nil
	}, map[DeskEventKind]Input{DeskMessage: OperatorWrote, DeskEnded: OperatorEnded}[e.Kind])
	if ended && remembered {
		// The desk may have begun another session under this id.
		s.forgetSessionAt(connection.ID, e.Ref)
		return s.fromDesk(ctx, connection, e)
	}
	if err == nil && e.Kind == DeskMessage && !done.Duplicate {
		s.counters.MessageAccepted(AuthorOperator)
	}
	return err
}

// onHandoff decides on one particular Handoff. When it has ended, which is told, the
// lifecycle of CLOSED answers: an end is a quiet no-op, a message is refused.
func (s *Service) onHandoff(ctx context.Context, at session, key string, decide func(*turn) error, on Input) (done Committed, ended bool, err error) {
	agent, err := s.agent(ctx, at.agentID)
	if err != nil {
		return Committed{}, false, err
	}
	done, err = s.changeWith(ctx, at.conversationID, key, &agent.Settings, func(t *turn) error {
		ended = t.handoff == nil || t.handoff.ID != at.handoffID
		switch {
		case !ended:
			return decide(t)
		case on == "":
			return nil
		}
		_, err := Next(StateClosed, on)
		return err
	})
	return done, ended && !done.Duplicate, err
}

// ErrSessionTaken says, inside a Conflict fault of the [Store], that another open
// Handoff of the connection has the session at the desk.
var ErrSessionTaken = errors.New("another open handoff has this session at the desk")

// DeskAccepted records that the desk opened the session under ref, and ends the
// delivery that asked it to. A session that another open Handoff has is none: two
// Users must not meet in it. It is not closed, because the other one goes on.
func (s *Service) DeskAccepted(ctx context.Context, d Delivery, finish FinishDelivery, ref string) error {
	err := s.onDelivered(ctx, d, finish, func(t *turn) error {
		// In a desk's messenger the session is the one that the User is in.
		if ref != "" && !t.conv.InMessenger() {
			t.handoff.DeskRef = ref
		}
		t.handoff.DeskBegun = false
		return t.apply(DeskAccepted)
	})
	if !errors.Is(err, ErrSessionTaken) {
		return err
	}
	s.log.WarnContext(ctx, "the desk gave a session that another open handoff has; the transfer has failed",
		"handoff_id", d.HandoffID, "connection_id", d.ConnectionID, "desk_ref", ref)
	return s.DeskRefused(ctx, d, finish, false)
}

// DeskBegan records that an attempt to open the session failed after it had made
// ref at the desk, so that the next attempt goes on there, and "close" goes there
// if there is none.
func (s *Service) DeskBegan(ctx context.Context, d Delivery, ref string) error {
	err := s.onSessionOf(ctx, d, func(t *turn) error {
		h := t.handoff
		if h.AcceptedAt.IsZero() && (!h.DeskBegun || h.DeskRef != ref) {
			h.DeskRef, h.DeskBegun, t.touched = ref, true, true
		}
		return nil
	})
	if !errors.Is(err, ErrSessionTaken) {
		return err
	}
	s.log.WarnContext(ctx, "the desk began in a session that another open handoff has",
		"handoff_id", d.HandoffID, "connection_id", d.ConnectionID, "desk_ref", ref)
	return nil
}

// DeskRefused records that the desk did not open the session. With maybeOpened
// the outcome is unknown: the desk is told to close what it may have opened, as it
// is when an attempt has begun something there.
func (s *Service) DeskRefused(ctx context.Context, d Delivery, finish FinishDelivery, maybeOpened bool) error {
	return s.onDelivered(ctx, d, finish, func(t *turn) error {
		// Settled: the desk has ended it, or an Operator has written, so that it has the
		// session whatever it answered.
		settled := t.handoff.DeskClosed || !t.handoff.AcceptedAt.IsZero()
		if err := t.apply(DeskRefused); err != nil || settled {
			return err
		}
		t.dropUnsent()
		t.handoff.DeskClosed = true
		if maybeOpened || t.handoff.DeskBegun {
			t.queue(Delivery{Kind: DeliverClose}, -1)
		}
		return nil
	})
}

// DeskLost records that the desk fails for good in the middle of a session.
// finish.Dead keeps the delivery that showed it, for a replay.
func (s *Service) DeskLost(ctx context.Context, d Delivery, finish FinishDelivery) error {
	return s.onDelivered(ctx, d, finish, func(t *turn) error { return t.apply(DeskLost) })
}

// DeskHasEnded records that the desk no longer has the session: the Operator
// ended it and the news did not reach us.
func (s *Service) DeskHasEnded(ctx context.Context, d Delivery, finish FinishDelivery) error {
	return s.onDelivered(ctx, d, finish, func(t *turn) error {
		t.dropUnsent()
		return t.apply(OperatorEnded)
	})
}

// MessageNotDelivered records that a message was given up, tells the User, and
// lets the lane go on.
func (s *Service) MessageNotDelivered(ctx context.Context, d Delivery, finish FinishDelivery) error {
	return s.onDelivered(ctx, d, finish, func(t *turn) error {
		t.add(Event{Kind: EventDeliveryFailed, FailedSeq: d.EventSeq})
		if t.handoff.Open() {
			t.say(NoticeNotDelivered)
		}
		return nil
	})
}

// errChangedMeanwhile makes onDelivered look again; it never leaves this file.
var errChangedMeanwhile = errors.New("the handoff changed meanwhile")

// onDelivered decides on the Handoff of a delivery, which may have ended, and
// records the outcome of the delivery in the same commit.
func (s *Service) onDelivered(ctx context.Context, d Delivery, finish FinishDelivery, decide func(*turn) error) error {
	return s.onSessionOf(ctx, d, func(t *turn) error {
		t.touched = true
		t.change.Finish = &finish
		return decide(t)
	})
}

// onSessionOf decides on the Handoff of a delivery, which may have ended.
func (s *Service) onSessionOf(ctx context.Context, d Delivery, decide func(*turn) error) error {
	agent, err := s.store.Agent(ctx, d.AgentID)
	if err != nil {
		return err
	}
	for {
		closed, err := s.store.Handoff(ctx, d.HandoffID)
		if err != nil {
			return err
		}
		_, err = s.changeWith(ctx, d.ConversationID, "", &agent.Settings, func(t *turn) error {
			if t.handoff == nil || t.handoff.ID != d.HandoffID {
				if closed.Open() {
					return errChangedMeanwhile // ended between the two reads
				}
				h := closed
				t.handoff = &h
			}
			return decide(t)
		})
		if !errors.Is(err, errChangedMeanwhile) {
			return err
		}
	}
}

// FireDeadline applies a deadline that has come, if the Handoff still has it.
func (s *Service) FireDeadline(ctx context.Context, due Handoff) error {
	_, _, err := s.onHandoff(ctx, sessionOf(&due), "", func(t *turn) error {
		if t.handoff.DeadlineKind == DeadlineNone || t.now.Before(t.handoff.DeadlineAt) {
			return nil // moved or cleared since it was found
		}
		return t.apply(t.handoff.deadlineInput())
	}, "")
	return err
}

// refusedHere says that a Handoff is answered at its desk and not through our API.
func refusedHere(h *Handoff) error {
	return fault.New(fault.Unsupported, "this handoff is answered at its desk (%s), not through this API", h.DeskKind)
}
