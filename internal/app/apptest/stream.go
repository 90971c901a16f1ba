package apptest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Stream is a subscription to a Conversation over a websocket of its own. It checks
// that every event comes once and in order.
type Stream struct {
	*socket
	events journal[Event]
}

// StreamOptions say where a stream begins.
type StreamOptions struct {
	After  int64 // the newest event that is known
	Narrow bool  // little fits into the connection
}

// TrySubscribe opens a stream of a Conversation with a credential. A socket that is
// refused is an [*EndedError].
func (s *Service) TrySubscribe(token, conversationID string, o StreamOptions) (*Stream, error) {
	socket, err := s.subscribe(token, o.Narrow,
		`subscription($c: ID!, $after: Int64!) { conversationUpdates(conversationId: $c, after: $after) { `+updateFields+` } }`,
		Vars{"c": conversationID, "after": o.After})
	if err != nil {
		return nil, err
	}
	r := &Stream{socket: socket}
	go r.read(o.After)
	return r, nil
}

func (r *Stream) read(last int64) {
	r.events.end(r.follow(func(payload json.RawMessage) error {
		e, err := updateOf(payload)
		if err != nil {
			return err
		}
		if e.Typename != "Signal" {
			if e.Seq != last+1 {
				return fmt.Errorf("event %d came after event %d", e.Seq, last)
			}
			last = e.Seq
		}
		r.events.add(e)
		return nil
	}))
}

func updateOf(payload json.RawMessage) (Event, error) {
	var next struct {
		Data   struct{ ConversationUpdates Event }
		Errors json.RawMessage
	}
	err := json.Unmarshal(payload, &next)
	if err == nil && next.Errors != nil {
		err = endOf(frame{Type: "error", Payload: next.Errors})
	}
	return next.Data.ConversationUpdates, err
}

// Subscribe opens a stream of a Conversation that ends with the test.
func (s *Service) Subscribe(t testing.TB, token, conversationID string, o StreamOptions) *Stream {
	t.Helper()
	r, err := s.TrySubscribe(token, conversationID, o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// Await waits for the first event after a number that fits.
func (r *Stream) Await(t testing.TB, after int64, what string, fits Match) Event {
	t.Helper()
	return r.events.find(t, what, func(e Event) bool { return e.Seq > after && fits(e) })
}

// AwaitSignal waits for a sign of life.
func (r *Stream) AwaitSignal(t testing.TB) Event {
	t.Helper()
	return r.events.find(t, "a signal", func(e Event) bool { return e.Typename == "Signal" })
}

// AwaitEnd waits until the stream has ended, and says how.
func (r *Stream) AwaitEnd(t testing.TB) *EndedError {
	t.Helper()
	r.AwaitOrEnd(t, func(Event) bool { return false })
	_, ended, _ := r.events.state()
	var how *EndedError
	require.ErrorAs(t, ended, &how)
	return how
}

// AwaitOrEnd waits for an event that fits; false = the stream has ended without.
func (r *Stream) AwaitOrEnd(t testing.TB, fits Match) bool {
	t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for seen := 0; ; {
		events, ended, changed := r.events.state()
		for ; seen < len(events); seen++ {
			if fits(events[seen]) {
				return true
			}
		}
		if ended != nil {
			return false
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("neither the event nor the end of the stream was seen\n%s", listing(events))
		}
	}
}

// Events are those received so far, without signals.
func (r *Stream) Events() []Event {
	var events []Event
	for _, e := range r.events.all() {
		if e.Typename != "Signal" {
			events = append(events, e)
		}
	}
	return events
}
