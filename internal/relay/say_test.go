package relay

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// saying is a lane with one SAY, its Conversation, and the desk that is to say it.
type saying struct {
	leaves bool
	text   handoff.Event // of the delivery; zero = the Agent's
	Store
	Business
	Desks
	conversation handoff.Conversation
	mute         bool  // the desk is no Speaker
	removed      bool  // the connection is gone
	found        *bool // nil = the desk cannot be asked
	answer       error

	delivery *handoff.Delivery // nil = gone
	said     []desk.SayRequest
	notSaid  []handoff.FinishDelivery
}

func (s *saying) Head(context.Context, string) (handoff.Delivery, bool, error) {
	if s.delivery == nil {
		return handoff.Delivery{}, false, nil
	}
	return *s.delivery, true, nil
}

func (s *saying) Conversation(context.Context, string) (handoff.Conversation, error) {
	return s.conversation, nil
}

func (s *saying) Connection(context.Context, string) (handoff.Connection, error) {
	if s.removed {
		return handoff.Connection{}, fault.Missing("desk connection")
	}
	return handoff.Connection{ID: "con", Kind: "messenger"}, nil
}

func (s *saying) Event(_ context.Context, _ string, seq int64) (handoff.Event, error) {
	if s.text.Seq == seq {
		return s.text, nil
	}
	return handoff.Event{Seq: seq, Author: handoff.AuthorAgent, Text: "hello"}, nil
}

func (s *saying) FinishDelivery(context.Context, handoff.FinishDelivery, time.Time) (handoff.Delivery, bool, error) {
	s.delivery = nil
	return handoff.Delivery{}, false, nil
}

func (s *saying) ReleaseLane(context.Context, string, string, time.Time) error { return nil }

func (s *saying) NotSaid(_ context.Context, _ handoff.Delivery, f handoff.FinishDelivery) error {
	s.delivery = nil
	s.notSaid = append(s.notSaid, f)
	return nil
}

func (s *saying) Describe(string) (handoff.DeskDescription, bool) {
	return handoff.DeskDescription{LeavesOnOpen: s.leaves, Retry: map[handoff.DeliveryKind]handoff.RetryPolicy{handoff.DeliverSay: {Attempts: 1}}}, true
}

func (s *saying) For(context.Context, handoff.Connection) (desk.Desk, error) {
	switch {
	case s.mute:
		return muteDesk{}, nil
	case s.found == nil:
		return speakingDesk{saying: s}, nil
	}
	return findingDesk{speakingDesk{saying: s}}, nil
}

func (s *saying) Delivered(string, handoff.DeliveryKind, string, time.Duration) {}
func (s *saying) DeadlineFired(time.Duration)                                   {}

type muteDesk struct{ desk.Desk }

type speakingDesk struct {
	desk.Desk
	saying *saying
}

func (d speakingDesk) Say(_ context.Context, r desk.SayRequest) (desk.Sent, error) {
	d.saying.said = append(d.saying.said, r)
	return desk.Sent{}, d.saying.answer
}

type findingDesk struct{ speakingDesk }

func (d findingDesk) FindSaid(context.Context, desk.SayRequest) (desk.Sent, bool, error) {
	return desk.Sent{}, *d.saying.found, nil
}

func TestSay(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		saying
		abandoned bool // the worker before died
		said      int
		notSaid   bool
		dead      bool
	}{
		"said":                                {said: 1},
		"after a human, who has gone":         {saying: saying{conversation: handoff.Conversation{HumanSeq: 6}}, said: 1},
		"a human has taken the word":          {saying: saying{conversation: handoff.Conversation{HumanSeq: 8}}, notSaid: true},
		"perhaps said before":                 {abandoned: true, said: 1},
		"perhaps said before, not found":      {saying: saying{found: &no}, abandoned: true, said: 1},
		"said before":                         {saying: saying{found: &yes}, abandoned: true},
		"said before, a human has come since": {saying: saying{found: &yes, conversation: handoff.Conversation{HumanSeq: 8}}, abandoned: true},
		"never said, a human has come since":  {saying: saying{found: &no, conversation: handoff.Conversation{HumanSeq: 8}}, abandoned: true, notSaid: true},
		"the desk refuses":                    {saying: saying{answer: fault.New(fault.DeskRejected, "no")}, said: 1, notSaid: true, dead: true},
		"the session is gone":                 {saying: saying{answer: fault.New(fault.DeskGone, "gone")}, said: 1, notSaid: true, dead: true},
		"the connection was removed":          {saying: saying{removed: true}, notSaid: true},
		"the desk cannot speak":               {saying: saying{mute: true}, notSaid: true, dead: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &c.saying
			s.conversation.DeskRef = "ref"
			s.delivery = &handoff.Delivery{ID: "dlv", Lane: "l", Kind: handoff.DeliverSay, EventSeq: 7, ConversationID: "cnv", ConnectionID: "con"}
			r := New(Options{
				Store: s, Business: s, Desks: s, Bell: NewBell(), Observer: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Workers: 1,
			})
			r.runLane(t.Context(), t.Context(), handoff.Lease{Lane: "l", Until: time.Now().Add(time.Hour), Abandoned: c.abandoned}, nil)
			require.Nil(t, s.delivery, "the lane goes on")
			require.Len(t, s.said, c.said)
			if c.said > 0 {
				require.Equal(t, "ref", s.said[0].Ref)
				require.Equal(t, "dlv", s.said[0].DeliveryID)
				require.Equal(t, c.abandoned, s.said[0].Repeat)
				require.Equal(t, handoff.AuthorAgent, s.said[0].Author)
			}
			require.Equal(t, c.notSaid, len(s.notSaid) == 1)
			if c.notSaid {
				require.Equal(t, c.dead, s.notSaid[0].Dead != nil)
			}
		})
	}
}

// A desk where our seat leaves the session with the handover tells the User itself.
func TestNoticeWhileTheSeatIsAway(t *testing.T) {
	t.Parallel()
	notice := handoff.Event{Seq: 7, Author: handoff.AuthorSystem, HandoffID: "hof"}
	for name, c := range map[string]struct {
		saying
		said int
	}{
		"the humans have it": {saying{leaves: true, text: notice, conversation: handoff.Conversation{OpenHandoffID: "hof"}}, 0},
		"it is back":         {saying{leaves: true, text: notice}, 1},
		"the seat stays":     {saying{text: notice, conversation: handoff.Conversation{OpenHandoffID: "hof"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &c.saying
			s.delivery = &handoff.Delivery{ID: "dlv", Lane: "l", Kind: handoff.DeliverSay, EventSeq: 7, ConversationID: "cnv", ConnectionID: "con"}
			r := New(Options{
				Store: s, Business: s, Desks: s, Bell: NewBell(), Observer: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Workers: 1,
			})
			r.runLane(t.Context(), t.Context(), handoff.Lease{Lane: "l", Until: time.Now().Add(time.Hour)}, nil)
			require.Nil(t, s.delivery)
			require.Len(t, s.said, c.said)
			require.Empty(t, s.notSaid)
		})
	}
}
