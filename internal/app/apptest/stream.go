package apptest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// Stream is a subscription to a Conversation over a websocket of its own. It checks
// that every event comes once and in order.
type Stream struct {
	conn   *websocket.Conn
	events journal[Event]
	gate   sync.Mutex // held while the reader must not read

	mu     sync.Mutex
	frames []byte // everything that was received
}

// StreamOptions say where and how a stream begins.
type StreamOptions struct {
	After int64 // the newest event that is known
	Held  bool  // do not read what comes before [Stream.Release]
}

// EndedError is how a stream ended: by the close code of its socket, or by an error
// of the subscription.
type EndedError struct {
	CloseCode int    // of the websocket; 0 = the subscription ended, the socket did not
	ErrorCode string // extensions.code of the subscription's error
	Detail    string
}

// Error gives codes and detail.
func (e *EndedError) Error() string {
	return fmt.Sprintf("stream ended: close code %d, error code %q: %s", e.CloseCode, e.ErrorCode, e.Detail)
}

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// TrySubscribe opens a stream of a Conversation with a credential. A socket that is
// refused is an [*EndedError].
func (s *Service) TrySubscribe(token, conversationID string, o StreamOptions) (*Stream, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: Patience}
	conn, response, err := dialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/graphql", http.Header{})
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	r := &Stream{conn: conn}
	if o.Held {
		r.Hold()
	}
	for _, m := range []any{
		Vars{"type": "connection_init", "payload": Vars{"authorization": "Bearer " + token}},
		Vars{"id": "1", "type": "subscribe", "payload": Vars{
			"query":     `subscription($c: ID!, $after: Int64!) { conversationUpdates(conversationId: $c, after: $after) { ` + updateFields + ` } }`,
			"variables": Vars{"c": conversationID, "after": o.After},
		}},
	} {
		if err := r.send(m); err != nil {
			_ = conn.Close()
			return nil, err
		}
		if o.Held || m.(Vars)["type"] != "connection_init" {
			continue
		}
		if ack, err := r.receive(); err != nil || ack.Type != "connection_ack" {
			_ = conn.Close()
			return nil, err
		}
	}
	go r.read(o.After)
	return r, nil
}

func (r *Stream) send(message any) error {
	_ = r.conn.SetWriteDeadline(time.Now().Add(Patience))
	return r.conn.WriteJSON(message)
}

func (r *Stream) receive() (frame, error) {
	_, raw, err := r.conn.ReadMessage()
	if err != nil {
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return frame{}, &EndedError{CloseCode: closed.Code, Detail: closed.Text}
		}
		return frame{}, &EndedError{CloseCode: websocket.CloseAbnormalClosure, Detail: err.Error()}
	}
	r.mu.Lock()
	r.frames = append(r.frames, raw...)
	r.mu.Unlock()
	var f frame
	return f, json.Unmarshal(raw, &f)
}

func (r *Stream) read(last int64) {
	for {
		r.gate.Lock()
		r.gate.Unlock() //nolint:staticcheck // it is a gate: nothing is guarded
		f, err := r.receive()
		if err != nil {
			r.events.end(err)
			return
		}
		switch f.Type {
		case "next":
			e, err := updateOf(f.Payload)
			if err == nil && e.Typename != "Signal" && e.Seq != last+1 {
				err = fmt.Errorf("event %d came after event %d", e.Seq, last)
			}
			if err != nil {
				r.events.end(err)
				return
			}
			if e.Typename != "Signal" {
				last = e.Seq
			}
			r.events.add(e)
		case "ping":
			_ = r.send(Vars{"type": "pong"}) // the next read tells of a socket that is gone
		case "error", "complete":
			r.events.end(endOf(f))
			return
		}
	}
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

func endOf(f frame) error {
	var list []struct {
		Message    string
		Extensions struct{ Code string }
	}
	ended := &EndedError{Detail: f.Type}
	if f.Type == "error" && json.Unmarshal(f.Payload, &list) == nil && len(list) > 0 {
		ended.ErrorCode, ended.Detail = list[0].Extensions.Code, list[0].Message
	}
	return ended
}

// Subscribe opens a stream of a Conversation that ends with the test.
func (s *Service) Subscribe(t testing.TB, token, conversationID string, o StreamOptions) *Stream {
	t.Helper()
	r, err := s.TrySubscribe(token, conversationID, o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// Hold makes the reader stop reading, as a client does that hangs.
func (r *Stream) Hold() { r.gate.Lock() }

// Release makes it read on.
func (r *Stream) Release() { r.gate.Unlock() }

// Close hangs up without a word, as a client does that dies.
func (r *Stream) Close() { _ = r.conn.Close() }

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
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for {
		events, ended, changed := r.events.state()
		if ended != nil {
			var how *EndedError
			require.ErrorAs(t, ended, &how)
			return how
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("the stream has not ended\n%s", listing(events))
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

// Received is every byte of every frame received so far.
func (r *Stream) Received() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.frames)
}
