package handoff

import (
	"context"

	"handoff/internal/fault"
)

// The built-in desk: Operators answer through our own API. These use cases serve
// every desk that declares ReadsLog.

// Claim takes a Handoff out of the queue for an Operator, so that two do not
// answer at once. Claiming it again as the same Operator changes nothing.
func (s *Service) Claim(ctx context.Context, handoffID, operator string) (Handoff, error) {
	// The queue begins and ends where the User may choose to keep waiting.
	return s.operate(ctx, handoffID, operator, KeptWaiting, func(t *turn) error {
		_, err := Next(t.handoff.State, KeptWaiting)
		return err
	})
}

// Reply sends the Operator's message to the User. An unclaimed Handoff is claimed by it.
func (s *Service) Reply(ctx context.Context, handoffID, operator string, d Draft) (Posted, error) {
	if err := d.validate(); err != nil {
		return Posted{}, err
	}
	operator, err := validName("operator", operator)
	if err != nil {
		return Posted{}, err
	}
	h, err := s.store.Handoff(ctx, handoffID)
	if err != nil {
		return Posted{}, err
	}
	if !h.DeskReadsLog {
		return Posted{}, refusedHere(&h)
	}
	key := eventKey("operator", d.IdempotencyKey)
	done, _, err := s.onHandoff(ctx, sessionOf(&h), key, func(t *turn) error {
		if err := claim(t, operator); err != nil {
			return err
		}
		return t.operatorWrote(&DeskEvent{OperatorName: operator, Text: d.Text, Attachments: d.Attachments}, key)
	}, OperatorWrote)
	posted, err := s.posted(done, err, AuthorOperator)
	if err != nil || done.Duplicate {
		return posted, err
	}
	for _, e := range done.Events { // the first message may follow "connected"
		if e.Author == AuthorOperator {
			posted.Event = e
			break
		}
	}
	return posted, nil
}

// EndByOperator ends the session for the Operator.
func (s *Service) EndByOperator(ctx context.Context, handoffID, operator string) (Handoff, error) {
	return s.operate(ctx, handoffID, operator, OperatorEnded, func(t *turn) error { return t.apply(OperatorEnded) })
}

// operate runs a decision of an Operator who holds, or takes, the claim.
func (s *Service) operate(ctx context.Context, handoffID, operator string, on Input, decide func(*turn) error) (Handoff, error) {
	operator, err := validName("operator", operator)
	if err != nil {
		return Handoff{}, err
	}
	h, err := s.store.Handoff(ctx, handoffID)
	if err != nil {
		return Handoff{}, err
	}
	if !h.DeskReadsLog {
		return Handoff{}, refusedHere(&h)
	}
	if _, _, err := s.onHandoff(ctx, sessionOf(&h), "", func(t *turn) error {
		if err := claim(t, operator); err != nil {
			return err
		}
		return decide(t)
	}, on); err != nil {
		return Handoff{}, err
	}
	return s.store.Handoff(ctx, handoffID)
}

func claim(t *turn, operator string) error {
	h := t.handoff
	switch h.ClaimedBy {
	case operator:
		return nil
	case "":
		h.ClaimedBy, h.Operator, t.touched = operator, operator, true
		return nil
	}
	return &fault.Fault{Kind: fault.NotAllowedInState, State: string(h.State), Field: "operator", Public: "another operator has claimed this handoff"}
}

// AddNote stores a private note of an Operator. It is not part of the log and can
// never reach the User.
func (s *Service) AddNote(ctx context.Context, handoffID, operator, text string) (OperatorNote, error) {
	operator, err := validName("operator", operator)
	if err != nil {
		return OperatorNote{}, err
	}
	if text == "" {
		return OperatorNote{}, fault.Invalid("text", "must not be empty")
	}
	if err := validText("text", text, MaxTextRunes); err != nil {
		return OperatorNote{}, err
	}
	h, err := s.store.Handoff(ctx, handoffID)
	if err != nil {
		return OperatorNote{}, err
	}
	if !h.DeskReadsLog {
		return OperatorNote{}, refusedHere(&h)
	}
	n := OperatorNote{ID: NewID(NotePrefix), HandoffID: handoffID, Operator: operator, Text: text, At: s.now()}
	if err := s.store.AddNote(ctx, n); err != nil {
		return OperatorNote{}, err
	}
	s.feed.HandoffChanged(h) // consoles read the notes again
	return n, nil
}

// Notes lists the private notes of a Handoff, oldest first.
func (s *Service) Notes(ctx context.Context, handoffID string) ([]OperatorNote, error) {
	return s.store.Notes(ctx, handoffID)
}
