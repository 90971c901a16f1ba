package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"
)

type vars map[string]any

// client calls GraphQL over HTTP.
type client struct{ url, token string }

// apiError is a GraphQL error with its code.
type apiError struct{ code, message string }

func (e *apiError) Error() string { return e.code + ": " + e.message }

func codeOf(err error) string {
	var e *apiError
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}

func (c client) do(ctx context.Context, query string, variables vars, into any) error {
	var answer struct {
		Data   json.RawMessage
		Errors []graphqlError
	}
	if err := postJSON(ctx, c.url+"/graphql", c.token, map[string]any{"query": query, "variables": variables}, &answer); err != nil {
		return err
	}
	if len(answer.Errors) > 0 {
		return &apiError{code: answer.Errors[0].Extensions.Code, message: answer.Errors[0].Message}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, into)
}

type graphqlError struct {
	Message    string
	Extensions struct{ Code string }
}

// maxAnswer bounds what the demo reads of an answer.
const maxAnswer = 1 << 20

func postJSON(ctx context.Context, url, token string, body, into any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := httpClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("status %d, and no JSON: %w", response.StatusCode, err)
	}
	return nil
}

// event is what the chat selects of a ConversationUpdate.
type event struct {
	Typename string `json:"__typename"`
	Seq      int64
	Author   string
	Text     string
	Notice   string
	State    string
	Reason   string
	Control  string
	Epoch    int64
}

const chatQuery = `subscription($c: ID!) { conversationUpdates(conversationId: $c) {
  __typename
  ... on Message { seq author text notice }
  ... on HandoffChanged { seq state reason }
  ... on ControlChanged { seq control epoch }
  ... on DeliveryFailed { seq }
} }`

// chat is the User's side: a subscription over a websocket.
type chat struct {
	conn   *websocket.Conn
	events chan event
	failed chan error
	last   int64 // number of the newest event seen
	show   func(event)
}

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func openChat(ctx context.Context, url, token, conversationID string, show func(event)) (*chat, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	conn, response, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http")+"/graphql", nil)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	c := &chat{conn: conn, events: make(chan event, 100), failed: make(chan error, 1), show: show}
	init, err := json.Marshal(map[string]string{"authorization": "Bearer " + token})
	if err != nil {
		return nil, err
	}
	if err := conn.WriteJSON(frame{Type: "connection_init", Payload: init}); err != nil {
		return nil, err
	}
	var ack frame
	if err := conn.ReadJSON(&ack); err != nil || ack.Type != "connection_ack" {
		return nil, fmt.Errorf("the websocket was answered with %q: %w", ack.Type, err)
	}
	subscribe, err := json.Marshal(map[string]any{"query": chatQuery, "variables": vars{"c": conversationID}})
	if err != nil {
		return nil, err
	}
	if err := conn.WriteJSON(frame{ID: "1", Type: "subscribe", Payload: subscribe}); err != nil {
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *chat) read() {
	for {
		var f frame
		if err := c.conn.ReadJSON(&f); err != nil {
			c.failed <- err
			return
		}
		switch f.Type {
		case "next":
			var payload struct {
				Data   struct{ ConversationUpdates event }
				Errors []graphqlError
			}
			if err := json.Unmarshal(f.Payload, &payload); err != nil || len(payload.Errors) > 0 {
				c.failed <- fmt.Errorf("the subscription failed: %s (%w)", f.Payload, err)
				return
			}
			c.events <- payload.Data.ConversationUpdates
		case "ping":
			if err := c.conn.WriteJSON(frame{Type: "pong"}); err != nil {
				c.failed <- err
				return
			}
		case "error", "complete":
			c.failed <- fmt.Errorf("the subscription ended: %s", f.Payload)
			return
		}
	}
}

// until shows events until one is the wanted one. A gap in the numbers fails.
func (c *chat) until(ctx context.Context, wanted func(event) bool) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not seen in the chat: %w", ctx.Err())
		case err := <-c.failed:
			return err
		case e := <-c.events:
			if e.Typename == "Signal" {
				continue
			}
			if e.Seq != c.last+1 {
				return fmt.Errorf("event %d came after event %d", e.Seq, c.last)
			}
			c.last = e.Seq
			c.show(e)
			if wanted(e) {
				return nil
			}
		}
	}
}

func (c *chat) close() error { return c.conn.Close() }
