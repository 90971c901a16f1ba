package handoff

import (
	"context"
	"errors"
	"time"

	"handoff/internal/fault"
)

// fromMessenger takes those events that only DESK_TO_DESK knows, or takes
// differently; taken is false for the others.
func (s *Service) fromMessenger(ctx context.Context, connection *Connection, e *DeskEvent) (taken bool, err error) {
	switch {
	case e.Kind == DeskUserWrote:
		return true, s.userWrote(ctx, connection, e)
	case e.Kind == DeskMessage && connection.Mode == ModeDeskToDesk:
		return true, s.humanWrote(ctx, connection, e)
	}
	return false, nil
}

// userWrote appends what the User wrote in the desk's messenger. The first message
// of a session begins its Conversation. It is NotFound when the connection does not
// serve the messenger: in the other mode the User is not there, and without an
// active connection the Agent is not.
func (s *Service) userWrote(ctx context.Context, connection *Connection, e *DeskEvent) error {
	if connection.Mode != ModeDeskToDesk || !connection.Active || e.Ref == "" {
		return fault.Missing("conversation")
	}
	if e.Text == "" && len(e.Attachments) == 0 {
		return nil
	}
	agent, err := s.agent(ctx, connection.AgentID)
	if err != nil {
		return err
	}
	c, err := s.conversationAt(ctx, connection, e)
	if err != nil {
		return err
	}
	key := connection.eventKey(e)
	done, err := s.changeWith(ctx, c.ID, key, &agent.Settings, func(t *turn) error { return t.userWrote(e, key) })
	if err == nil && !done.Duplicate {
		s.counters.MessageAccepted(AuthorUser)
	}
	return err
}

// conversationAt finds the Conversation of a session, or begins it.
func (s *Service) conversationAt(ctx context.Context, connection *Connection, e *DeskEvent) (Conversation, error) {
	c, err := s.store.ConversationByRef(ctx, connection.ID, e.Ref)
	if !fault.Is(err, fault.NotFound) {
		return c, err
	}
	d, ok := s.desks.Describe(connection.Kind)
	if !ok {
		return Conversation{}, err
	}
	now := s.now()
	c, err = s.store.CreateConversation(ctx, Conversation{
		ID: NewID(ConversationPrefix), AgentID: connection.AgentID, Channel: d.Channel,
		User: User{}.completedBy(e.User), Language: knownLanguage(e.Language),
		ConnectionID: connection.ID, DeskRef: e.Ref,
		Control: ControlAgent, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}, nil)
	if fault.Is(err, fault.Conflict) { // two first messages at once: the other was faster
		return s.store.ConversationByRef(ctx, connection.ID, e.Ref)
	}
	return c, err
}

// errNoneOpen makes humanWrote look at the session before; it never leaves this file.
var errNoneOpen = errors.New("no handoff is open")

// humanWrote applies a message of an Operator in the desk's messenger. Without an
// open Handoff the Operator has taken the session over, which makes one: also
// outside the service hours and with handoff switched off, because the human is there
// and two must not speak.
func (s *Service) humanWrote(ctx context.Context, connection *Connection, e *DeskEvent) error {
	c, err := s.store.ConversationByRef(ctx, connection.ID, e.Ref)
	if err != nil {
		return err
	}
	agent, err := s.agent(ctx, c.AgentID)
	if err != nil {
		return err
	}
	d, ok := s.desks.Describe(connection.Kind)
	if !ok {
		return fault.Missing("desk")
	}
	key := connection.eventKey(e)
	var before *Handoff // the newest of the session; nil = not looked yet
	for {
		done, err := s.changeWith(ctx, c.ID, key, &agent.Settings, func(t *turn) error {
			switch {
			case t.handoff != nil:
				return t.operatorWrote(e, key)
			case before == nil || before.Open(): // not looked yet, or it has ended since
				return errNoneOpen
			case before.endedAfter(e):
				_, err := Next(StateClosed, OperatorWrote)
				return err
			}
			h := s.newHandoff(t, &agent.Settings, connectionChoice{connection: *connection, description: d}, Request{})
			h.Operator = e.OperatorName
			t.message, t.key = *e, key
			return t.open(h, TookOver)
		})
		if errors.Is(err, errNoneOpen) {
			h, err := s.store.HandoffByRef(ctx, connection.ID, e.Ref)
			if fault.Is(err, fault.NotFound) {
				h, err = Handoff{State: StateClosed}, nil // there was none
			}
			if err != nil {
				return err
			}
			before = &h
			continue
		}
		if err == nil && !done.Duplicate {
			s.counters.MessageAccepted(AuthorOperator)
		}
		return err
	}
}

// endedAfter reports whether an Operator's message is one of this session that
// arrives after the news of its end. Taken for a new one it would silence the Agent.
// Where somebody else than the Operator ended the session, the human is there still.
func (h *Handoff) endedAfter(e *DeskEvent) bool {
	return h.Reason == ReasonOperatorEnded && !e.At.IsZero() && e.At.Before(h.ClosedAt)
}

// requestedAfter reports whether the news of an end is that of an earlier handoff of
// this session, told again or late: it is from before this one was requested. Desks
// tell whole seconds. What a human began by writing was not requested.
func (h *Handoff) requestedAfter(e *DeskEvent) bool {
	tookOver := h.ConnectedAt.Equal(h.RequestedAt)
	return !tookOver && !e.At.IsZero() && e.At.Before(h.RequestedAt.Truncate(time.Second))
}

// eventKey is the idempotency key of a message that a desk told us, with the
// session: many desks number the messages of each one from 1.
func (c *Connection) eventKey(e *DeskEvent) string {
	if e.ID == "" {
		return ""
	}
	return "desk:" + c.ID + ":" + e.Ref + ":" + e.ID
}

// NotSaid records that what was to be said in a desk's messenger was not: the desk
// did not take it, or an Operator had taken the word meanwhile.
func (s *Service) NotSaid(ctx context.Context, d Delivery, finish FinishDelivery) error {
	agent, err := s.store.Agent(ctx, d.AgentID)
	if err != nil {
		return err
	}
	_, err = s.changeWith(ctx, d.ConversationID, "", &agent.Settings, func(t *turn) error {
		t.change.Finish = &finish
		t.add(Event{Kind: EventDeliveryFailed, HandoffID: d.HandoffID, FailedSeq: d.EventSeq})
		return nil
	})
	return err
}
