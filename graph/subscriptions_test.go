package graph_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"handoff/graph/transport"
	"handoff/internal/fault"
)

// first does an operation and gives its first answer, also that of a subscription.
func (c client) first(operation string) answer {
	c.t.Helper()
	if !strings.HasPrefix(operation, "subscription") {
		return c.do(operation, nil)
	}
	response := c.send(operation, nil, "text/event-stream")
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			result := answer{t: c.t, status: response.StatusCode}
			require.NoError(c.t, json.Unmarshal([]byte(data), &result))
			return result
		}
	}
	require.Fail(c.t, "the stream ended without an answer", "%v", lines.Err())
	return answer{}
}

// socket is a websocket with one subscription.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// subscribe opens a websocket and begins a subscription.
func (c client) subscribe(operation string, variables vars) socket {
	c.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{transport.Subprotocol}}
	conn, response, err := dialer.DialContext(c.t.Context(), "ws"+strings.TrimPrefix(c.url, "http"),
		http.Header{"Authorization": {"Bearer " + c.token}})
	require.NoError(c.t, err)
	require.NoError(c.t, response.Body.Close())
	c.t.Cleanup(func() { conn.Close() })
	s := socket{c.t, conn}
	require.NoError(c.t, conn.WriteJSON(frame{Type: "connection_init"}))
	require.Equal(c.t, "connection_ack", s.read().Type)
	payload, err := json.Marshal(map[string]any{"query": operation, "variables": variables})
	require.NoError(c.t, err)
	require.NoError(c.t, conn.WriteJSON(frame{ID: "1", Type: "subscribe", Payload: payload}))
	return s
}

func (s socket) read() frame {
	s.t.Helper()
	require.NoError(s.t, s.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	var f frame
	require.NoError(s.t, s.conn.ReadJSON(&f))
	return f
}

// next is the next answer of the subscription.
func (s socket) next() answer {
	s.t.Helper()
	f := s.read()
	require.Equal(s.t, "next", f.Type, "%s", f.Payload)
	result := answer{t: s.t}
	decoder := json.NewDecoder(strings.NewReader(string(f.Payload)))
	decoder.UseNumber()
	require.NoError(s.t, decoder.Decode(&result))
	require.Empty(s.t, result.Errors)
	return result
}

// failure is the code with which the subscription ends.
func (s socket) failure() any {
	s.t.Helper()
	f := s.read()
	require.Equal(s.t, "error", f.Type)
	var list []struct{ Extensions map[string]any }
	require.NoError(s.t, json.Unmarshal(f.Payload, &list))
	require.Len(s.t, list, 1)
	return list[0].Extensions["code"]
}

const chat = `subscription($c: ID!, $after: Int64! = 0) { conversationUpdates(conversationId: $c, after: $after) {
	__typename
	... on Message { seq author text statusCode }
	... on HandoffChanged { seq state reason statusCode handoffId }
	... on ControlChanged { seq control epoch }
	... on DeliveryFailed { seq messageSeq }
	... on Signal { author kind at queuePlace }
} }`

func TestConversationUpdates(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("testdesk")
	conversation := g.start("API")
	user := g.userOf(conversation)
	user.say(conversation, "one")

	s := user.subscribe(chat, vars{"c": conversation})
	expect := func(want map[string]any) {
		t.Helper()
		require.Equal(t, want, s.next().at("conversationUpdates"))
	}
	expect(map[string]any{"__typename": "Message", "seq": number("1"), "author": "USER", "text": "one", "statusCode": nil})
	handoffID := g.request(conversation)
	expect(map[string]any{"__typename": "HandoffChanged", "seq": number("2"), "state": "REQUESTING", "reason": nil, "statusCode": number("36"), "handoffId": handoffID})
	expect(map[string]any{"__typename": "ControlChanged", "seq": number("3"), "control": "HANDOFF", "epoch": number("2")})
	a.deliver()
	expect(map[string]any{"__typename": "HandoffChanged", "seq": number("4"), "state": "WAITING", "reason": nil, "statusCode": number("29"), "handoffId": handoffID})
	require.Equal(t, number("29"), s.next().at("conversationUpdates.statusCode"), "the notice to the User")
	g.ok(`mutation($c: ID!) { sendSignal(input: {conversationId: $c, kind: TYPING, author: OPERATOR}) { accepted } }`, vars{"c": conversation})
	expect(map[string]any{"__typename": "Signal", "author": "OPERATOR", "kind": "TYPING", "at": "2026-03-04T10:00:00Z", "queuePlace": nil})
	user.say(conversation, "two")
	expect(map[string]any{"__typename": "Message", "seq": number("6"), "author": "USER", "text": "two", "statusCode": nil})
	a.refuse()
	expect(map[string]any{"__typename": "DeliveryFailed", "seq": number("7"), "messageSeq": number("6")})

	again := g.subscribe(chat, vars{"c": conversation, "after": 6})
	require.Equal(t, number("7"), again.next().at("conversationUpdates.seq"), "resumed after the cursor")

	for _, after := range []any{-1, 1_000} {
		late := user.subscribe(chat, vars{"c": conversation, "after": after})
		f := late.read()
		require.Contains(t, string(f.Payload), `"INVALID_INPUT"`)
		require.Contains(t, string(f.Payload), `"field":"after"`)
	}
}

const console = `subscription($id: ID!) { handoffUpdates(agentId: $id) {
	initial handoff { id state claimedBy note conversation { id } deskConnection { name } operatorNotes { text } }
} }`

func TestHandoffUpdates(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	open := g.request(conversation)
	s := g.subscribe(console, vars{"id": g.id})
	want := map[string]any{
		"id": open, "state": "REQUESTING", "claimedBy": nil, "note": "a note", "conversation": map[string]any{"id": conversation},
		"deskConnection": map[string]any{"name": "Built-in desk"}, "operatorNotes": []any{},
	}
	expect := func(initial bool) {
		t.Helper()
		require.Equal(t, map[string]any{"initial": initial, "handoff": want}, s.next().at("handoffUpdates"))
	}
	expect(true)
	a.deliver()
	want["state"] = "WAITING"
	expect(false)
	g.ok(`mutation($h: ID!) { claimHandoff(input: {handoffId: $h, operator: "Ann"}) { handoff { id } } }`, vars{"h": open})
	want["claimedBy"] = "Ann"
	expect(false)
	g.ok(`mutation($h: ID!) { addOperatorNote(input: {handoffId: $h, operator: "Ann", text: "a note"}) { note { id } } }`, vars{"h": open})
	want["operatorNotes"] = []any{map[string]any{"text": "a note"}}
	expect(false)
}

func TestClientsLearnWhyAStreamEndsEarly(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	g.say(conversation, "hello")
	g.request(conversation)
	chatting := g.subscribe(chat, vars{"c": conversation, "after": 2})
	chatting.next()
	watching := g.subscribe(console, vars{"id": g.id})
	watching.next()
	require.NoError(t, a.hub.Stop(context.Background()))
	require.Equal(t, "RESYNC", chatting.failure())
	require.Equal(t, "RESYNC", watching.failure())
}

func TestHandoffUpdatesAreNotForUsers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	got := g.userOf(g.start("WIDGET")).first(`subscription { handoffUpdates(agentId: "` + g.id + `") { initial } }`)
	requireCode(t, fault.Forbidden, got)
}

// An idle subscription must cost next to nothing: one goroutine that reads the
// socket and one that waits for updates.
func TestIdleSubscriptionsCostTwoGoroutines(t *testing.T) {
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	g.say(conversation, "hello")
	const sockets = 50
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()
	for range sockets {
		g.subscribe(chat, vars{"c": conversation}).next()
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine()-before <= 2*sockets },
		10*time.Second, 10*time.Millisecond, "%d goroutines for %d sockets", runtime.NumGoroutine()-before, sockets)
}
