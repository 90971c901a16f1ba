package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"handoff/graph/transport"
)

// server is the service under test, with one Agent whose desk is ours.
type server struct {
	process       *process
	binary        string
	place         *place
	desk          *desk
	admin         caller
	runtime       caller // the Agent's key
	agentID       string
	connectionID  string
	authorization string // of the desk
}

// startServer starts the service on an empty database and configures it.
func startServer(ctx context.Context, binary string, p *place, d *desk) (*server, error) {
	s := &server{binary: binary, place: p, desk: d}
	s.admin.authorization = "Bearer " + secret()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.configure(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("configure: %w", err), s.process.stop())
	}
	return s, nil
}

// start starts the process, perhaps again.
func (s *server) start(ctx context.Context) (err error) {
	environment := []string{
		"HANDOFF_ADDR=127.0.0.1:0",
		"HANDOFF_DATA_DIR=" + s.place.dir,
		"DATABASE_URL=" + s.place.url,
		"HANDOFF_ADMIN_TOKEN=" + strings.TrimPrefix(s.admin.authorization, "Bearer "),
		"HANDOFF_ALLOWED_PRIVATE_NETWORKS=loopback",
		"HANDOFF_MAX_CONNECTIONS=15000",
	}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "HANDOFF_") && !strings.HasPrefix(variable, "DATABASE_URL=") {
			environment = append(environment, variable)
		}
	}
	s.process, err = startProcess(ctx, filepath.Join(s.place.dir, "server.log"), environment, s.binary)
	if err != nil {
		return err
	}
	s.admin.url, s.runtime.url = s.process.url, s.process.url
	return nil
}

func (s *server) running() *process { return s.process }

// configure makes the Agent. Nothing may time out while it is measured.
func (s *server) configure(ctx context.Context) error {
	var made struct {
		CreateAgent struct{ Agent struct{ ID string } }
	}
	if err := s.admin.do(ctx, `mutation { createAgent(input: {name: "Load"}) { agent { id } } }`, nil, &made); err != nil {
		return err
	}
	s.agentID = made.CreateAgent.Agent.ID
	var key struct{ CreateAgentKey struct{ Key string } }
	if err := s.admin.do(ctx, `mutation($a: ID!) { createAgentKey(input: {agentId: $a, name: "load"}) { key } }`,
		vars{"a": s.agentID}, &key); err != nil {
		return err
	}
	s.authorization = "Bearer " + key.CreateAgentKey.Key
	s.runtime.authorization = s.authorization
	var connected struct {
		ConnectDesk struct {
			DeskConnection struct{ ID, Status, LastError string }
		}
	}
	if err := s.runtime.do(ctx, `mutation($a: ID!, $url: String!) {
		connectDesk(input: {agentId: $a, kind: "webhook", fields: [{name: "url", value: $url}]}) { deskConnection { id status lastError } }
	}`, vars{"a": s.agentID, "url": s.desk.url}, &connected); err != nil {
		return err
	}
	c := connected.ConnectDesk.DeskConnection
	if c.Status != "AVAILABLE" {
		return fmt.Errorf("the desk is %s: %s", c.Status, c.LastError)
	}
	s.connectionID = c.ID
	return s.runtime.do(ctx, `mutation($a: ID!) { updateHandoffSettings(input: {
		agentId: $a, enabled: true, trigger: "Whenever.", waitTimeoutSeconds: 3600, sessionTimeoutSeconds: 86400, emailPolicy: NEVER
	}) { settings { enabled } } }`, vars{"a": s.agentID}, nil)
}

// lines makes conversations in which an Operator has written.
func (s *server) lines(ctx context.Context, n int) ([]*line, error) {
	lines := make([]*line, n)
	err := forEach(ctx, n, atOnce, func(ctx context.Context, i int) (err error) {
		if lines[i], err = s.begin(ctx); err == nil {
			err = s.handOver(ctx, lines[i])
		}
		return err
	})
	return lines, err
}

// begin starts a conversation.
func (s *server) begin(ctx context.Context) (*line, error) {
	var started struct {
		StartConversation struct{ Conversation struct{ ID string } }
	}
	if err := s.runtime.do(ctx, `mutation {
		startConversation(input: {channel: WIDGET, language: "en", user: {id: "member-20417", name: "Mei", email: "mei.lin@example.com"}}) { conversation { id } }
	}`, nil, &started); err != nil {
		return nil, fmt.Errorf("start a conversation: %w", err)
	}
	var token struct{ CreateUserToken struct{ Token string } }
	l := &line{id: started.StartConversation.Conversation.ID}
	if err := s.runtime.do(ctx, `mutation($c: ID!) { createUserToken(input: {conversationId: $c, lifetimeSeconds: 86400}) { token } }`,
		vars{"c": l.id}, &token); err != nil {
		return nil, fmt.Errorf("make a user token: %w", err)
	}
	l.authorization = "Bearer " + token.CreateUserToken.Token
	l.toUser = &track{name: l.id + " to the user", send: func(ctx context.Context, text string) error { return s.operatorWrites(ctx, l, text) }}
	l.toDesk = &track{name: l.id + " to the desk", send: func(ctx context.Context, text string) error { return s.userWrites(ctx, l, text) }}
	return l, nil
}

// handOver hands a conversation to the desk, which answers.
func (s *server) handOver(ctx context.Context, l *line) error {
	if err := s.userWrites(ctx, l, "My parcel is late, let me talk to a person."); err != nil {
		return err
	}
	var asked struct {
		RequestHandoff struct {
			Outcome string
			Handoff *struct{ DeskRef string }
		}
	}
	if err := s.runtime.do(ctx, `mutation($c: ID!) {
		requestHandoff(input: {conversationId: $c, epoch: 1, note: "Parcel is late", waitSeconds: 30}) { outcome handoff { deskRef } }
	}`, vars{"c": l.id}, &asked); err != nil {
		return fmt.Errorf("request a handoff: %w", err)
	}
	if asked.RequestHandoff.Outcome != "CONNECTING" || asked.RequestHandoff.Handoff == nil {
		return fmt.Errorf("request a handoff: the outcome is %s", asked.RequestHandoff.Outcome)
	}
	l.session = asked.RequestHandoff.Handoff.DeskRef
	s.desk.expect(l.session, l.toDesk)
	return s.operatorWrites(ctx, l, "Hello, this is support.")
}

var webhookSuccess = []byte(`"code":0`)

func (s *server) operatorWrites(ctx context.Context, l *line, text string) error {
	answer, err := post(ctx, s.process.url+"/v1/human/message/receive", s.authorization, webhookBody(l.session, text))
	if err == nil && !bytes.Contains(answer, webhookSuccess) {
		err = fmt.Errorf("the webhook was answered with %s", answer)
	}
	return err
}

const postQuery = `mutation Post($c: ID!, $t: String!) { postUserMessage(input: {conversationId: $c, text: $t}) { message { seq } control epoch } }`

func (s *server) userWrites(ctx context.Context, l *line, text string) error {
	answer, err := post(ctx, s.process.url+"/graphql", l.authorization, operation(postQuery, vars{"c": l.id, "t": text}))
	if err == nil && bytes.Contains(answer, []byte(`"errors"`)) {
		err = fmt.Errorf("the post was answered with %s", answer)
	}
	return err
}

const chatQuery = `subscription Chat($c: ID!, $after: Int64!) { conversationUpdates(conversationId: $c, after: $after) {
  __typename ... on Message { seq author text } ... on HandoffChanged { seq state } ... on ControlChanged { seq control } ... on DeliveryFailed { seq } } }`

// connect opens the websocket of a user's chat and subscribes after what was seen
// before. It calls seen with every event.
func (s *server) connect(ctx context.Context, l *line, seen func()) error {
	conn, err := dial(ctx, s.process.url+"/graphql", transport.Subprotocol)
	if err != nil {
		return err
	}
	if err := greet(conn, l); err != nil {
		return errors.Join(err, conn.Close())
	}
	l.listen(conn, func(frame []byte) error {
		if err := s.received(l, frame); err != nil {
			return err
		}
		seen()
		return nil
	})
	return nil
}

func greet(conn *websocket.Conn, l *line) error {
	if err := conn.WriteJSON(vars{"type": "connection_init", "payload": vars{"authorization": l.authorization}}); err != nil {
		return err
	}
	var answer struct{ Type string }
	if err := conn.ReadJSON(&answer); err != nil {
		return fmt.Errorf("connection_init: %w", err)
	}
	if answer.Type != "connection_ack" {
		return fmt.Errorf("connection_init was answered with %q", answer.Type)
	}
	return conn.WriteJSON(vars{"type": "subscribe", "id": "1", "payload": vars{
		"query": chatQuery, "variables": vars{"c": l.id, "after": l.seq},
	}})
}

// received takes a frame: every event of the log must come, once and in order.
func (s *server) received(l *line, frame []byte) error {
	switch {
	case bytes.Contains(frame, []byte(`"type":"next"`)):
	case bytes.Equal(frame, []byte(`{"type":"ping"}`)):
		return l.socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`))
	default:
		return fmt.Errorf("unexpected frame %s", frame)
	}
	seq, ok := digitsAfter(frame, `"seq":`)
	if !ok || seq != l.seq+1 {
		return fmt.Errorf("event %d came after event %d", seq, l.seq)
	}
	l.seq = seq
	if number, ok := numberAfter(frame, toUser); ok {
		l.toUser.arrive(number)
	}
	return nil
}

// subscribe waits for the first event of the log.
func (s *server) subscribe(ctx context.Context, l *line) error {
	l.seq = max(l.seq-1, 0) // one event comes at once and shows that it works
	live := make(chan struct{}, 1)
	if err := s.connect(ctx, l, func() {
		select {
		case live <- struct{}{}:
		default:
		}
	}); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	select {
	case <-live:
		return nil
	case <-l.closed:
		return errors.New("subscribe: the server closed the websocket")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// metric reads one number from /metrics.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	page, err := get(ctx, s.process.url+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}

// awaitReady asks until the server is ready.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := httpClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		}
	}
}
