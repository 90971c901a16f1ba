package simulate

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"sync"
)

// maxOrder is the longest body of the interface, in bytes.
const maxOrder = 64 << 10

//go:embed page.html
var page []byte

// room is a simulator with everything around it. The interface of its page, in JSON:
//
//	GET  /simulator/state     everything below, the sessions, and what there is to do
//	POST /simulator/do        an [Order]
//	PUT  /simulator/webhooks  a [sending]
//	PUT  /simulator/trouble   a [trouble]
type room struct {
	title  string
	desk   Desk
	api    *troubled
	sender *sender

	hooks sync.Mutex // keeps webhooks in the order in which they were made
}

func newRoom(d Desk, title string) *room {
	return &room{title: title, desk: d, api: &troubled{desk: d}, sender: newSender()}
}

// pass hands new webhooks to the sender.
func (r *room) pass() {
	r.hooks.Lock()
	defer r.hooks.Unlock()
	r.sender.add(r.desk.Webhooks())
}

func (r *room) handler() http.Handler {
	own := http.NewServeMux()
	own.HandleFunc("GET /simulator", r.page)
	own.HandleFunc("GET /simulator/state", r.state)
	own.HandleFunc("POST /simulator/do", r.do)
	own.HandleFunc("PUT /simulator/webhooks", func(w http.ResponseWriter, q *http.Request) { set(w, q, r.sender.configure) })
	own.HandleFunc("PUT /simulator/trouble", func(w http.ResponseWriter, q *http.Request) { set(w, q, r.api.set) })
	// Whoever plays has no password, so no other site may play through their browser.
	guarded := http.NewCrossOriginProtection().Handler(own)

	mux := http.NewServeMux()
	mux.Handle("/simulator", guarded)
	mux.Handle("/simulator/", guarded)
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		defer r.pass() // also when the answer gets lost
		r.api.ServeHTTP(w, q)
	})
	return mux
}

func (r *room) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(page)
}

func (r *room) state(w http.ResponseWriter, _ *http.Request) {
	how, count := r.sender.state()
	is, went := r.api.state()
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, map[string]any{
		"title": r.title, "form": r.desk.Form(), "commands": r.desk.Commands(), "sessions": r.desk.Sessions(),
		"webhooks": how, "sent": count, "trouble": is, "wentWrong": went,
	})
}

func (r *room) do(w http.ResponseWriter, q *http.Request) {
	set(w, q, func(o Order) error {
		defer r.pass()
		return r.desk.Do(o)
	})
}

// set reads a body and applies it.
func set[T any](w http.ResponseWriter, q *http.Request, apply func(T) error) {
	var in T
	d := json.NewDecoder(http.MaxBytesReader(w, q.Body, maxOrder))
	d.DisallowUnknownFields()
	err := d.Decode(&in)
	if err == nil {
		err = apply(in)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]any{})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // nobody is left to tell
}
