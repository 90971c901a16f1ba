// Package floor is the least that could do the service's job: net/http, one
// durable insert, one write to a bare gorilla websocket or one HTTP call. It has no
// conversations, no order, no retries and no authentication; what the service
// takes longer than this is the price of all that.
package floor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// The addresses. All but the last two take what a webhook desk posts.
const (
	StorePath     = "/store" // insert, answer
	RelayPath     = "/relay" // insert, write to the websocket of the conversation, answer
	CallPath      = "/call"  // insert, call the desk, answer
	SubscribePath = "/subscribe"
	StatsPath     = "/stats"
)

// Ready is the first message of a websocket.
const Ready = "ready"

// Stats are the memory of this process as its runtime sees it, in bytes.
type Stats struct {
	Heap, Stack, Goroutines float64
}

// Serve serves until ctx ends. The arguments are the database (a postgres:// URL,
// or else the path of an SQLite file) and the address of the desk. It prints its
// own address.
func Serve(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("floor wants a database and the address of a desk")
	}
	store, err := open(ctx, args[0])
	if err != nil {
		return err
	}
	s := &server{store: store, desk: args[1], sockets: map[string]*socket{}}
	mux := http.NewServeMux()
	mux.HandleFunc(StorePath, s.take(s.nothing))
	mux.HandleFunc(RelayPath, s.take(s.relay))
	mux.HandleFunc(CallPath, s.take(s.call))
	mux.HandleFunc(SubscribePath, s.subscribe)
	mux.HandleFunc(StatsPath, stats)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	select {
	case <-ctx.Done():
		return errors.Join(web.Close(), store.close())
	case err := <-failed:
		return errors.Join(err, store.close())
	}
}

type server struct {
	store store
	desk  string

	mu      sync.RWMutex
	sockets map[string]*socket
}

type socket struct {
	mu   sync.Mutex
	conn *websocket.Conn
}

type message struct {
	ConversationID string `json:"conversation_id"`
	Timestamp      int64  `json:"timestamp"`
	Body           string `json:"body"`
}

// take stores a message, passes it on, and answers.
func (s *server) take(pass func(ctx context.Context, m *message, body []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		var m message
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err == nil {
			err = s.store.insert(r.Context(), m.ConversationID, m.Body)
		}
		if err == nil {
			err = pass(r.Context(), &m, body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"code":0}`)
	}
}

func (s *server) nothing(context.Context, *message, []byte) error { return nil }

func (s *server) relay(_ context.Context, m *message, body []byte) error {
	s.mu.RLock()
	to := s.sockets[m.ConversationID]
	s.mu.RUnlock()
	if to == nil {
		return errors.New("nobody has subscribed")
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	return to.conn.WriteMessage(websocket.TextMessage, body)
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: 10 * time.Second}

func (s *server) call(ctx context.Context, _ *message, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.desk, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the desk answered with status %d", response.StatusCode)
	}
	return nil
}

// subscribe keeps a websocket as the example in gorilla's documentation does.
func (s *server) subscribe(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	id := r.URL.Query().Get("conversation")
	mine := &socket{conn: conn}
	s.mu.Lock()
	s.sockets[id] = mine
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sockets[id] == mine {
			delete(s.sockets, id)
		}
	}()
	mine.mu.Lock()
	err = conn.WriteMessage(websocket.TextMessage, []byte(Ready))
	mine.mu.Unlock()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

func stats(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_ = json.NewEncoder(w).Encode(Stats{Heap: float64(m.HeapAlloc), Stack: float64(m.StackInuse), Goroutines: float64(runtime.NumGoroutine())})
}
