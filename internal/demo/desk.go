package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// desk is a small webhook desk: the three endpoints of the contract on a free
// loopback port, and an Operator who answers through the two receiving addresses.
// A fuller one, to copy, is in examples/webhook-desk.
type desk struct {
	url      string // what is entered in the connection form; a path prefix is part of it
	handoff  string // address of our server
	agentKey string

	server   *http.Server
	requests chan deskRequest
	session  string // conversation_id of the newest session
}

// deskRequest is what the desk was called with.
type deskRequest struct {
	Path           string
	ConversationID string `json:"conversation_id"`
	Timestamp      int64  `json:"timestamp"`
	Email          string `json:"email"`
	Type           string `json:"type"`
	Rounds         []struct {
		MessageType string `json:"message_type"`
		Text        string `json:"text"`
	} `json:"-"`
	Text string          `json:"-"`
	Body json.RawMessage `json:"body"`
}

// question is the newest question: the last QUESTION of the body.
func (r *deskRequest) question() string {
	text := ""
	for _, m := range r.Rounds {
		if m.MessageType == "QUESTION" {
			text = m.Text
		}
	}
	return text
}

func startDesk(ctx context.Context, handoffURL string) (*desk, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &desk{
		url: "http://" + listener.Addr().String() + "/human/service", handoff: handoffURL,
		requests: make(chan deskRequest, 100),
	}
	mux := http.NewServeMux()
	for _, path := range []string{"/conversation/establish", "/chat", "/conversation/close"} {
		mux.HandleFunc("POST /human/service"+path, d.take(path))
	}
	d.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = d.server.Serve(listener) }()
	return d, nil
}

func (d *desk) stop() { _ = d.server.Close() }

func (d *desk) take(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		request := deskRequest{Path: path}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnswer)).Decode(&request); err != nil {
			http.Error(w, `{"code":40000,"message":"not JSON"}`, http.StatusBadRequest)
			return
		}
		// body is a list of rounds in one call and a text in the other.
		if json.Unmarshal(request.Body, &request.Rounds) != nil {
			_ = json.Unmarshal(request.Body, &request.Text)
		}
		d.requests <- request
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"code":200,"message":"success"}`)
	}
}

// next waits for the next call and checks that it is the expected one.
func (d *desk) next(ctx context.Context, path string) (deskRequest, error) {
	select {
	case <-ctx.Done():
		return deskRequest{}, fmt.Errorf("the desk was not called at %s: %w", path, ctx.Err())
	case r := <-d.requests:
		if r.Path != path {
			return r, fmt.Errorf("the desk was called at %s, not at %s", r.Path, path)
		}
		d.session = r.ConversationID
		return r, nil
	}
}

func (d *desk) reply(ctx context.Context, text string) error {
	return d.call(ctx, "/v1/human/message/receive", map[string]any{
		"conversation_id": d.session, "timestamp": time.Now().UnixMilli(), "body": text,
	})
}

func (d *desk) end(ctx context.Context) error {
	return d.call(ctx, "/v1/human/close", map[string]any{"conversation_id": d.session, "timestamp": time.Now().UnixMilli()})
}

func (d *desk) call(ctx context.Context, path string, body any) error {
	var answer struct {
		Code    int
		Message string
	}
	if err := postJSON(ctx, d.handoff+path, d.agentKey, body, &answer); err != nil {
		return err
	}
	if answer.Code != 0 {
		return fmt.Errorf("%s was answered with %d %s", path, answer.Code, answer.Message)
	}
	return nil
}
