package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// desk is the webhook desk that both servers call.
type desk struct {
	url    string
	server *http.Server

	mu       sync.RWMutex
	sessions map[string]*track
}

func startDesk(ctx context.Context) (*desk, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &desk{url: "http://" + listener.Addr().String() + "/desk", sessions: map[string]*track{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/desk/chat", d.chat)
	mux.HandleFunc("/desk/", func(w http.ResponseWriter, _ *http.Request) { succeed(w) })
	mux.HandleFunc("/desk", func(w http.ResponseWriter, _ *http.Request) { succeed(w) })
	d.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.server.Serve(listener) }()
	return d, nil
}

func (d *desk) stop() error { return d.server.Close() }

// expect says where the messages of a session arrive.
func (d *desk) expect(session string, t *track) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[session] = t
}

func (d *desk) chat(w http.ResponseWriter, r *http.Request) {
	var message struct {
		ConversationID string `json:"conversation_id"`
		Body           string `json:"body"`
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.mu.RLock()
	t := d.sessions[message.ConversationID]
	d.mu.RUnlock()
	if t == nil {
		http.Error(w, "unknown session", http.StatusNotFound)
		return
	}
	if number, ok := digitsAfter([]byte(message.Body), string(toDesk)); ok {
		t.arrive(number)
	}
	succeed(w)
}

func succeed(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"code":200,"message":"success"}`)
}
