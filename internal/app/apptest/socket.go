package apptest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a websocket with one subscription.
type socket struct {
	conn *websocket.Conn
	gate sync.Mutex // held while the reader must not read

	mu     sync.Mutex
	frames []byte // everything that was received
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

// narrow is how many bytes wait unread in a connection of which little is wanted.
const narrow = 256 << 10

// subscribe opens a socket with a subscription.
func (s *Service) subscribe(token string, isNarrow bool, query string, variables Vars) (*socket, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: Patience}
	if isNarrow {
		dialer.NetDial = func(network, address string) (net.Conn, error) {
			conn, err := net.Dial(network, address)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(narrow)
			}
			return conn, err
		}
	}
	conn, response, err := dialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/graphql", http.Header{})
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	k := &socket{conn: conn}
	if err := k.begin(token, Vars{"query": query, "variables": variables}); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *socket) begin(token string, operation Vars) error {
	if err := k.send(Vars{"type": "connection_init", "payload": Vars{"authorization": "Bearer " + token}}); err != nil {
		return err
	}
	ack, err := k.receive()
	if err != nil {
		return err
	}
	if ack.Type != "connection_ack" {
		return &EndedError{Detail: "not acknowledged: " + ack.Type}
	}
	return k.send(Vars{"id": "1", "type": "subscribe", "payload": operation})
}

func (k *socket) send(message any) error {
	_ = k.conn.SetWriteDeadline(time.Now().Add(Patience))
	return k.conn.WriteJSON(message)
}

func (k *socket) receive() (frame, error) {
	_, raw, err := k.conn.ReadMessage()
	if err != nil {
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return frame{}, &EndedError{CloseCode: closed.Code, Detail: closed.Text}
		}
		return frame{}, &EndedError{CloseCode: websocket.CloseAbnormalClosure, Detail: err.Error()}
	}
	k.mu.Lock()
	k.frames = append(k.frames, raw...)
	k.mu.Unlock()
	var f frame
	return f, json.Unmarshal(raw, &f)
}

// follow gives what the subscription delivers, until it ends or next fails, and says
// which.
func (k *socket) follow(next func(payload json.RawMessage) error) error {
	for {
		k.gate.Lock()
		k.gate.Unlock() //nolint:staticcheck // it is a gate: nothing is guarded
		f, err := k.receive()
		if err != nil {
			return err
		}
		switch f.Type {
		case "next":
			if err := next(f.Payload); err != nil {
				return err
			}
		case "ping":
			_ = k.send(Vars{"type": "pong"}) // the next read tells of a socket that is gone
		case "error", "complete":
			return endOf(f)
		}
	}
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

// Hold makes the reader stop reading, as a client does that hangs.
func (k *socket) Hold() { k.gate.Lock() }

// Release makes it read on.
func (k *socket) Release() { k.gate.Unlock() }

// Close hangs up without a word, as a client does that dies.
func (k *socket) Close() { _ = k.conn.Close() }

// Received is every byte of every frame received so far.
func (k *socket) Received() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(k.frames)
}
