package apptest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Paths below the base URL of a webhook desk.
const (
	Establish = "/conversation/establish"
	Chat      = "/chat"
	Close     = "/conversation/close"
)

// deskPrefix is part of the base URL, so that every story also shows that it is kept.
const deskPrefix = "/human/service"

// Desk is a developer's server behind the Webhook desk, on a free loopback port.
type Desk struct {
	URL string // the base URL

	server      *httptest.Server
	calls       journal[Call]
	connections atomic.Int64
	closing     chan struct{}
	shut        sync.Once

	mu     sync.Mutex
	script func(Call) Reaction
}

// Call is one call of the desk.
type Call struct {
	Method, Path string // the path is below the base URL
	Header       http.Header
	Raw          []byte
	TakenIn      bool // the desk has stored it, whatever it answered

	ConversationID string `json:"conversation_id"`
	Timestamp      int64  `json:"timestamp"`
	Email          string `json:"email"`
	BotID          string `json:"bot_id"`
	Type           string `json:"type"`
	UserInfo       struct {
		Phone, Email *string
		UserID       *string `json:"user_id"`
		AnonymousID  *string `json:"anonymous_id"`
	} `json:"user_info"`
	Body   json.RawMessage `json:"body"`
	Text   string          `json:"-"` // body of a chat
	Rounds []Round         `json:"-"` // body of an establish
}

// Round is one entry of the transferred dialogue.
type Round struct {
	MessageType string `json:"message_type"`
	Text        string
}

// String shows the call in the message of a failure.
func (c Call) String() string {
	return fmt.Sprintf("%s %s taken in: %t %s", c.Method, c.Path, c.TakenIn, c.Raw)
}

// Reaction is how the desk treats one call. The zero Reaction takes the call in and
// answers with success.
type Reaction struct {
	Lost   bool            // the call is not taken in
	Hold   <-chan struct{} // the answer waits until it is closed
	Status int             // 0 = 200
	Header map[string]string
	Body   string // "" = the success of the contract; "-" = none
	Cut    bool   // the connection breaks in the middle of the answer
}

// NewDesk starts a desk that takes everything in.
func NewDesk(t testing.TB) *Desk {
	d := &Desk{closing: make(chan struct{})}
	d.server = httptest.NewUnstartedServer(d)
	d.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			d.connections.Add(1)
		}
	}
	d.server.Start()
	d.URL = d.server.URL + deskPrefix
	t.Cleanup(d.Shut)
	return d
}

// Shut ends the desk: connections to it are refused. Shutting it twice is fine.
func (d *Desk) Shut() {
	d.shut.Do(func() {
		close(d.closing)
		d.server.CloseClientConnections()
		d.server.Close()
	})
}

// Script says from now on how each call is treated; nil = take everything in. It
// may be called by several goroutines at once.
func (d *Desk) Script(script func(Call) Reaction) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.script = script
}

// Connections is how many connections anybody has made to the desk.
func (d *Desk) Connections() int64 { return d.connections.Load() }

// Calls are all calls in the order they came, without those that only look whether
// the desk is there.
func (d *Desk) Calls() []Call {
	return slices.DeleteFunc(d.calls.all(), func(c Call) bool { return c.Method != http.MethodPost })
}

// CallsOf are the calls about one session in the order they came.
func (d *Desk) CallsOf(ref string) []Call {
	return slices.DeleteFunc(d.Calls(), func(c Call) bool { return c.ConversationID != ref })
}

// Seen is what a careful desk shows of a session: what it has taken in, each once.
// By the contract, calls with the same conversation_id, timestamp and body are one.
func (d *Desk) Seen(ref string) []Call {
	known := map[string]bool{}
	var seen []Call
	for _, c := range d.CallsOf(ref) {
		id := fmt.Sprint(c.Path, " ", c.Timestamp, " ", string(c.Body))
		if c.TakenIn && !known[id] {
			known[id] = true
			seen = append(seen, c)
		}
	}
	return seen
}

// Texts are the texts of the chats among calls.
func Texts(calls []Call) []string {
	texts := []string{}
	for _, c := range calls {
		if c.Path == Chat {
			texts = append(texts, c.Text)
		}
	}
	return texts
}

// Paths are the paths of calls.
func Paths(calls []Call) []string {
	paths := []string{}
	for _, c := range calls {
		paths = append(paths, c.Path)
	}
	return paths
}

// Await waits for the first call that fits.
func (d *Desk) Await(t testing.TB, what string, fits func(Call) bool) Call {
	t.Helper()
	return d.calls.find(t, what, fits)
}

// AwaitSeen waits until the desk has seen so many calls about a session.
func (d *Desk) AwaitSeen(t testing.TB, ref string, n int) []Call {
	t.Helper()
	if n > 0 {
		d.calls.find(t, fmt.Sprintf("%d calls of the session", n), func(Call) bool { return len(d.Seen(ref)) >= n })
	}
	return d.Seen(ref)
}

// ServeHTTP treats a call as the script says.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := Call{Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, deskPrefix), Header: r.Header}
	var err error
	if call.Raw, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer)); err != nil {
		return
	}
	if len(call.Raw) > 0 {
		if err := json.Unmarshal(call.Raw, &call); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		if json.Unmarshal(call.Body, &call.Rounds) != nil {
			_ = json.Unmarshal(call.Body, &call.Text) // one of the two, or the test sees neither
		}
	}
	d.mu.Lock()
	script := d.script
	d.mu.Unlock()
	var reaction Reaction
	if script != nil {
		reaction = script(call)
	}
	call.TakenIn = !reaction.Lost
	d.calls.add(call)
	if reaction.Hold != nil {
		select {
		case <-reaction.Hold:
		case <-r.Context().Done():
		case <-d.closing:
		}
	}
	reaction.answer(w)
}

func (r *Reaction) answer(w http.ResponseWriter) {
	body := r.Body
	switch body {
	case "":
		body = `{"code":200,"message":"success"}`
	case "-":
		body = ""
	}
	for name, value := range r.Header {
		w.Header().Set(name, value)
	}
	if r.Cut {
		w.Header().Set("Content-Length", "1000")
	}
	w.WriteHeader(cmp.Or(r.Status, http.StatusOK))
	_, _ = io.WriteString(w, body) // whoever called may have gone
	if r.Cut {
		panic(http.ErrAbortHandler)
	}
}
