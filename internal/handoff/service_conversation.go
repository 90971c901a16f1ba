package handoff

import (
	"context"

	"handoff/internal/fault"
)

// StartConversation begins a dialogue. Control is with the Agent, epoch 1.
func (s *Service) StartConversation(ctx context.Context, in StartConversation) (Conversation, error) {
	if err := in.validate(); err != nil {
		return Conversation{}, err
	}
	if _, err := s.agent(ctx, in.AgentID); err != nil {
		return Conversation{}, err
	}
	once, made, err := s.once(ctx, in.AgentID+"/startConversation", in.IdempotencyKey)
	if err != nil {
		return Conversation{}, err
	}
	if made != "" {
		return s.store.Conversation(ctx, made)
	}
	now := s.now()
	c := Conversation{
		ID: NewID(ConversationPrefix), AgentID: in.AgentID, Channel: in.Channel, User: in.User,
		Language: in.Language, CustomFields: in.CustomFields,
		Control: ControlAgent, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}
	if once != nil {
		once.Result = c.ID
	}
	return s.store.CreateConversation(ctx, c, once)
}

// Conversation reads one.
func (s *Service) Conversation(ctx context.Context, id string) (Conversation, error) {
	return s.store.Conversation(ctx, id)
}

// Conversations lists those of an Agent: newest first, or those that await it.
func (s *Service) Conversations(ctx context.Context, f ConversationFilter, p Page) (List[Conversation], error) {
	return s.store.Conversations(ctx, f, p)
}

// Events reads the log in order, after a seq.
func (s *Service) Events(ctx context.Context, conversationID string, after int64, limit int) ([]Event, error) {
	if after < 0 {
		return nil, fault.Invalid("after", "must not be negative")
	}
	if limit < 1 || limit > MaxPageSize {
		return nil, fault.Invalid("first", "is %d, must be from 1 to %d", limit, MaxPageSize)
	}
	return s.store.Events(ctx, conversationID, after, limit)
}

// Posted is the answer to an appended message.
type Posted struct {
	Event        Event
	Conversation Conversation
	Handoff      *Handoff // the open one, nil = none
	Duplicate    bool     // the idempotency key was used before; Event is the one from then
}

// PostUserMessage appends what the User wrote. While a Handoff is open it goes to
// the desk, or answers the e-mail question; otherwise it is the Agent's. A User in a
// desk's messenger writes there: Unsupported.
func (s *Service) PostUserMessage(ctx context.Context, conversationID string, d Draft) (Posted, error) {
	if err := d.validate(); err != nil {
		return Posted{}, err
	}
	done, err := s.change(ctx, conversationID, eventKey("user", d.IdempotencyKey), func(t *turn) error {
		if t.conv.InMessenger() {
			return fault.New(fault.Unsupported, "the user of this conversation writes in the desk's own messenger, not through this API")
		}
		t.add(Event{
			Kind: EventMessage, Author: AuthorUser, Text: d.Text, Attachments: d.Attachments,
			Key: eventKey("user", d.IdempotencyKey),
		})
		if t.handoff == nil {
			return nil
		}
		t.appended, t.text = 0, d.Text
		return t.apply(UserWrote)
	})
	return s.posted(done, err, AuthorUser)
}

// PostAgentMessage appends what the Agent wrote under an epoch. It is refused with
// StaleControl, and shown to nobody, when control is not the Agent's or the epoch
// has passed: the Agent must drop the message.
func (s *Service) PostAgentMessage(ctx context.Context, conversationID string, epoch int64, d Draft) (Posted, error) {
	if err := d.validate(); err != nil {
		return Posted{}, err
	}
	done, err := s.change(ctx, conversationID, eventKey("agent", d.IdempotencyKey), func(t *turn) error {
		if err := holdsControl(&t.conv, epoch); err != nil {
			return err
		}
		t.add(Event{
			Kind: EventMessage, Author: AuthorAgent, Text: d.Text, Attachments: d.Attachments, Epoch: epoch,
			Key: eventKey("agent", d.IdempotencyKey),
		})
		t.speak()
		return nil
	})
	return s.posted(done, err, AuthorAgent)
}

// holdsControl refuses whatever the Agent does under an epoch that has passed.
func holdsControl(c *Conversation, epoch int64) error {
	if c.Control == ControlAgent && c.Epoch == epoch {
		return nil
	}
	return &fault.Fault{
		Kind: fault.StaleControl, State: string(c.Control), Field: "epoch",
		Public: "the message was written under a control that has passed; drop it",
	}
}

func (s *Service) posted(done Committed, err error, author Author) (Posted, error) {
	if err != nil {
		return Posted{}, err
	}
	if !done.Duplicate {
		s.counters.MessageAccepted(author)
	}
	return Posted{Event: done.Events[0], Conversation: done.Conversation, Handoff: done.Handoff, Duplicate: done.Duplicate}, nil
}

// eventKey keeps the keys of different writers apart.
func eventKey(writer, key string) string {
	if key == "" {
		return ""
	}
	return writer + ":" + key
}

// SetEmail stores the User's address. It answers the e-mail question when that is open.
func (s *Service) SetEmail(ctx context.Context, conversationID, address string) (Conversation, *Handoff, error) {
	address, err := ParseEmail("email", address)
	if err != nil {
		return Conversation{}, nil, err
	}
	done, err := s.change(ctx, conversationID, "", func(t *turn) error {
		if t.conv.User.Email != address {
			t.conv.User.Email = address
			t.touched = true
		}
		if t.handoff == nil || t.handoff.State != StateCollectingEmail {
			return nil
		}
		t.handoff.Email = address
		return t.apply(EmailSettled)
	})
	if err != nil {
		return Conversation{}, nil, err
	}
	return done.Conversation, done.Handoff, nil
}

// SendSignal passes a sign of life on: the User's to the desk and to subscribers,
// the Operator's to subscribers. Nothing is stored.
func (s *Service) SendSignal(ctx context.Context, conversationID string, author Author, kind SignalKind) error {
	if kind == SignalQueued {
		return fault.Invalid("kind", "QUEUED is told by desks only")
	}
	c, err := s.store.Conversation(ctx, conversationID)
	if err != nil {
		return err
	}
	signal := Signal{ConversationID: conversationID, Author: author, Kind: kind, At: s.now()}
	s.feed.Signalled(signal)
	if author != AuthorUser || c.OpenHandoffID == "" || c.InMessenger() {
		return nil
	}
	h, err := s.store.Handoff(ctx, c.OpenHandoffID)
	if err != nil {
		return err
	}
	if h.State != StateWaiting && h.State != StateWaitExpired && h.State != StateActive {
		return nil
	}
	if d, ok := s.desks.Describe(h.DeskKind); !ok || d.ReadsLog || (!d.Typing && !d.ReadReceipts) {
		return nil
	}
	connection, err := s.store.Connection(ctx, h.ConnectionID)
	if err != nil {
		return err
	}
	s.desks.Signal(ctx, connection, h, signal)
	return nil
}
