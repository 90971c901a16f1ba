// Package simulator is a stand-in of LiveChat's servers, with agents that do as they
// are told. It speaks the parts of the accounts server and of the chat interfaces 3.6
// that a desk needs, for customers and for agents, and makes the webhooks of what
// happens. It is strict: what the real servers are not documented to take, it
// refuses.
//
//	livechat := simulator.New(simulator.Options{SecretKey: "s"})
//	server := httptest.NewServer(livechat)
//	…
//	hook, err := livechat.Answer(chat, simulator.Dana, "Hello!")
//
// Bodies are shaped like samples of the real ones. Everything is kept in memory, for
// as long as the simulator lives.
package simulator

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Version is the only version of the interfaces that the simulator offers.
const Version = "3.6"

// Agent is somebody who answers customers.
type Agent struct {
	ID     string // the e-mail address; of a bot 32 hexadecimal digits
	Name   string
	Bot    bool
	Groups []int
}

// The people of the reference samples, and the seat of the AI agent.
var (
	Dana = Agent{ID: "dana@example.com", Name: "Dana Helper", Groups: []int{0, 19}}
	Lee  = Agent{ID: "lee@example.com", Name: "Lee", Groups: []int{0, 19}}
	Bot  = Agent{ID: "b07b07b07b07b07b07b07b07b07b07b0", Name: "ChatBot", Bot: true, Groups: []int{0}}
	Seat = Agent{ID: "ai@example.com", Name: "AI Agent", Groups: []int{0, 5}}
)

// opaque is how customers see the id of an agent: not the e-mail address. Other ids
// are the same for them.
func opaque(id string) string {
	if !strings.Contains(id, "@") {
		return id
	}
	sum := md5.Sum([]byte(id))
	return hex.EncodeToString(sum[:])
}

// Options of a [Simulator]. The zero value is an account like that of the samples.
type Options struct {
	OrganizationID string   // "" = "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d"
	ClientID       string   // "" = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	RedirectURIs   []string // the app's whitelist; nil = "https://handoff.example.com/"
	SecretKey      string   // of the webhooks; "" = "wh-secret-4c1b"
	AccountID      string   // of the seat's token; "" = "9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a"
	Token          string   // the seat's personal access token; "" = "livechat-token"
	Agents         []Agent  // nil = Dana, Lee, Bot and Seat
	// Region is where the account is; requests have to name it. "" = they need not.
	Region string
	Now    func() time.Time // nil = time.Now
}

// Simulator is one account. It is safe for concurrent use.
type Simulator struct {
	o Options

	mu        sync.Mutex
	last      int64 // of the ids
	offline   bool
	inactive  bool
	customers []*Customer
	tokens    map[string]token
	chats     []*Chat
	uploads   []Upload
	requests  []Request
	hooks     []Notification
	fail      func(*http.Request) *Failure
}

// Customer is a person who writes.
type Customer struct {
	ID, Name, Email string
	Fields          map[string]string // session fields
	Banned          bool

	secret string // the cookie __lc_cst
}

type token struct {
	customer string
	until    time.Time
}

// Chat is what one customer and the agents said, in threads.
type Chat struct {
	ID       string
	Customer string // its id
	Threads  []Thread
}

// Thread is one conversation of a chat.
type Thread struct {
	ID        string
	Active    bool
	Groups    []int
	Present   []Agent // who is in it
	CreatedAt time.Time
	Events    []Event
	Ours      bool // made by a customer's token
	Was       []Agent
}

// Event is one entry of a thread.
type Event struct {
	ID, CustomID, Type, Text string
	Author                   string // the id of a customer or an agent; "" = the system
	Visibility               string
	URL, Name, ContentType   string
	SystemType               string
	Elements                 json.RawMessage
	CreatedAt                time.Time
}

// Upload is a file that was uploaded.
type Upload struct {
	Name, ContentType, URL string
	Content                []byte
}

// Request is one call that was served.
type Request struct {
	Method, Path string
	Status       int
	Body         string
}

// Failure is a way to go wrong. The zero value hangs up without an answer.
type Failure struct {
	Status int    // 0 = hang up
	Type   string // of the error
	Header http.Header
	// Done: the request was carried out all the same.
	Done bool
}

// Notification is a webhook, ready to be posted.
type Notification struct {
	Action string
	Header http.Header
	Body   []byte
}

// New makes an account.
func New(o Options) *Simulator {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.OrganizationID, "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d")
	set(&o.ClientID, "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
	set(&o.SecretKey, "wh-secret-4c1b")
	set(&o.AccountID, "9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a")
	set(&o.Token, "livechat-token")
	if o.RedirectURIs == nil {
		o.RedirectURIs = []string{"https://handoff.example.com/"}
	}
	if o.Agents == nil {
		o.Agents = []Agent{Dana, Lee, Bot, Seat}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Simulator{o: o, tokens: map[string]token{}}
}

// Fail has every request judged by f, which gives nil for those that go well. nil
// ends it.
func (s *Simulator) Fail(f func(*http.Request) *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// SetOffline has nobody take chats, or somebody again.
func (s *Simulator) SetOffline(offline bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offline = offline
}

// SetInactive switches LiveChat off for the organization, or on again.
func (s *Simulator) SetInactive(inactive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inactive = inactive
}

// ExpireTokens makes every customer's token worthless.
func (s *Simulator) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// ForgetCookies makes every customer's cookies worthless: they become new customers.
func (s *Simulator) ForgetCookies() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.customers {
		c.secret = ""
	}
}

// Ban bans every customer there is.
func (s *Simulator) Ban() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.customers {
		c.Banned = true
	}
}

// Requests gives what was served so far.
func (s *Simulator) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Chats gives all chats, in the order in which they were made.
func (s *Simulator) Chats() []Chat {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Chat
	for _, c := range s.chats {
		one := *c
		one.Threads = nil
		for _, t := range c.Threads {
			t.Events, t.Present = slices.Clone(t.Events), slices.Clone(t.Present)
			one.Threads = append(one.Threads, t)
		}
		list = append(list, one)
	}
	return list
}

// Customers gives all customers, in the order in which they were made.
func (s *Simulator) Customers() []Customer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Customer
	for _, c := range s.customers {
		one := *c
		one.Fields = maps.Clone(c.Fields)
		list = append(list, one)
	}
	return list
}

// Uploads gives all files that were uploaded.
func (s *Simulator) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.uploads)
}

// Notifications gives the webhooks since the last call, in the order in which they
// happened.
func (s *Simulator) Notifications() []Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.hooks
	s.hooks = nil
	return list
}

func (s *Simulator) next() int64 {
	s.last++
	return s.last
}

// maxBody is the longest body that is read: a file and its form.
const maxBody = 11 << 20

// ServeHTTP is the accounts server and the chat interfaces.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return // the caller went away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	var failure *Failure
	if fail != nil {
		failure = fail(r)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	a := &answer{}
	if failure == nil || failure.Done {
		s.mu.Lock()
		a = s.serve(r, body)
		s.mu.Unlock()
	}
	if failure != nil {
		if failure.Status == 0 {
			panic(http.ErrAbortHandler) // hang up
		}
		a = refuse(failure.Status, failure.Type, "told to fail")
		for name, values := range failure.Header {
			w.Header()[name] = values
		}
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.RequestURI(), Status: a.status, Body: string(body)})
	s.mu.Unlock()
	for _, c := range a.cookies {
		http.SetCookie(w, c)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	if a.body != nil {
		_ = json.NewEncoder(w).Encode(a.body)
	}
}

// answer is what the servers say; a nil body is an empty one.
type answer struct {
	status  int
	body    any
	cookies []*http.Cookie
}

func ok(body any) *answer { return &answer{status: http.StatusOK, body: body} }

func refuse(status int, kind, message string) *answer {
	return &answer{status: status, body: object{"error": object{"type": kind, "message": message}}}
}

func invalid(format string, args ...any) *answer {
	return refuse(http.StatusBadRequest, "validation", fmt.Sprintf(format, args...))
}

type object = map[string]any

// serve finds the operation.
func (s *Simulator) serve(r *http.Request, body []byte) *answer {
	const versioned = "/v" + Version
	if strings.HasPrefix(r.URL.Path, "/v") && !strings.HasPrefix(r.URL.Path, "/v2/customer/") && !strings.HasPrefix(r.URL.Path, versioned+"/") {
		return refuse(http.StatusNotFound, "unsupported_version", "Unsupported version")
	}
	if s.o.Region != "" && r.Header.Get("X-Region") != s.o.Region && strings.HasPrefix(r.URL.Path, versioned) {
		return &answer{status: 421, body: object{"error": object{
			"type": "misdirected_request", "message": "Wrong region", "data": object{"region": s.o.Region},
		}}}
	}
	switch path, action := split(r.URL.Path); {
	case r.Method == http.MethodPost && r.URL.Path == "/v2/customer/token":
		return s.grant(r, body)
	case r.Method == http.MethodGet && path == versioned+"/customer/action" && action == "get_dynamic_configuration":
		return s.dynamicConfiguration(r)
	case r.Method != http.MethodPost:
	case path == versioned+"/customer/action":
		return s.customerAction(r, action, body)
	case path == versioned+"/agent/action", path == versioned+"/configuration/action":
		return s.agentAction(r, path[len(versioned)+1:]+"/"+action, body)
	}
	return refuse(http.StatusNotFound, "not_found", "Not found")
}

func split(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// read decodes a body and refuses members that are not documented.
func read(body []byte, into any) *answer {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("Wrong format of request: %v", err)
	}
	return nil
}

func (s *Simulator) customer(id string) *Customer {
	for _, c := range s.customers {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (s *Simulator) chat(id string) *Chat {
	for _, c := range s.chats {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (s *Simulator) chatOf(customer string) *Chat {
	for _, c := range s.chats {
		if c.Customer == customer {
			return c
		}
	}
	return nil
}

func (c *Chat) thread() *Thread { return &c.Threads[len(c.Threads)-1] }

func (c *Chat) find(thread string) *Thread {
	if thread == "" {
		return c.thread()
	}
	for i := range c.Threads {
		if c.Threads[i].ID == thread {
			return &c.Threads[i]
		}
	}
	return nil
}

// timeFormat is how LiveChat writes times.
const timeFormat = "2006-01-02T15:04:05.000000Z"

func stamp(t time.Time) string { return t.UTC().Format(timeFormat) }

// begin makes a thread, with the agents whom the routing gives it to.
func (s *Simulator) begin(c *Chat, groups []int, ours bool, agents ...Agent) *Thread {
	if len(groups) == 0 {
		groups = []int{0}
	}
	c.Threads = append(c.Threads, Thread{
		ID: fmt.Sprintf("TB%08X", s.next()), Active: true, Groups: groups, CreatedAt: s.o.Now(), Ours: ours, Present: agents, Was: agents,
	})
	return c.thread()
}

func (s *Simulator) newChat(customer string) *Chat {
	c := &Chat{ID: fmt.Sprintf("TA%08X", s.next()), Customer: customer}
	s.chats = append(s.chats, c)
	return c
}

// add appends an event to a thread.
func (s *Simulator) add(t *Thread, e Event) Event {
	e.ID = fmt.Sprintf("%s_%d", t.ID, len(t.Events)+1)
	e.CreatedAt = s.o.Now().Add(time.Duration(len(t.Events)) * time.Microsecond)
	if e.Visibility == "" {
		e.Visibility = "all"
	}
	t.Events = append(t.Events, e)
	return e
}
