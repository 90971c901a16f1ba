package desk

import (
	"context"
	"sync/atomic"

	"handoff/internal/handoff"
)

// stub is a desk whose every answer is err, and which counts the calls.
type stub struct {
	err   func() error
	calls atomic.Int32
}

func (s *stub) answer() error {
	s.calls.Add(1)
	if s.err == nil {
		return nil
	}
	return s.err()
}

func (s *stub) Verify(context.Context) error { return s.answer() }
func (s *stub) Open(context.Context, OpenRequest) (Opened, error) {
	return Opened{Ref: "ref"}, s.answer()
}
func (s *stub) Send(context.Context, SendRequest) (Sent, error) { return Sent{ID: "id"}, s.answer() }
func (s *stub) Close(context.Context, CloseRequest) error       { return s.answer() }
func (s *stub) Receive(context.Context, Inbound) ([]handoff.DeskEvent, error) {
	return []handoff.DeskEvent{{ID: "event"}}, s.answer()
}

// typist is a stub that wants to know when the User types.
type typist struct {
	stub
	typed func(ctx context.Context, ref string) error
}

func (t *typist) SendTyping(ctx context.Context, ref string) error { return t.typed(ctx, ref) }
