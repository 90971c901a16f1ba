// Package simulator is a stand-in of Intercom's server, with Operators that do as
// they are told. It speaks the part of the REST API 2.15 that a desk needs, and
// makes the webhooks of what happens. It is strict: what the real server is not
// documented to take, it refuses.
//
//	intercom := simulator.New(simulator.Options{ClientSecret: "s"})
//	server := httptest.NewServer(intercom)
//	…
//	hook, err := intercom.Reply(conversation, simulator.Dana, "Hello!")
//
// Bodies are shaped like samples of the real ones. Everything is kept in memory,
// for as long as the simulator lives.
package simulator

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // Intercom signs with HMAC-SHA1
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Version is the only version of the API that the simulator offers.
const Version = "2.15"

// Teammate is somebody of the workspace. Bots are written with type "bot".
type Teammate struct {
	ID, Name, Email string
	Bot             bool // Operator, Fin, or a workflow
	AI              bool // Fin: its answers say so
}

// Team is a team inbox.
type Team struct {
	ID, Name string
	Members  []Teammate
}

// The people of the reference samples, and one more.
var (
	Dana = Teammate{ID: "7700001", Name: "Dana Helper", Email: "dana@example.com"}
	Sam  = Teammate{ID: "7700002", Name: "Sam Second", Email: "sam@example.com"}
	App  = Teammate{ID: "7709999", Name: "AI Agent", Email: "ai-agent@example.com"}
	Bot  = Teammate{ID: "7700777", Name: "Operator", Email: "operator+zx81qw92@intercom.io", Bot: true}
	Fin  = Teammate{ID: "7700778", Name: "Fin", Email: "fin+zx81qw92@intercom.io", Bot: true, AI: true}

	Support = Team{ID: "810200", Name: "Human support", Members: []Teammate{Dana, Sam}}
)

// teammates are those whom the API knows. The App has a seat like everybody.
var teammates = []Teammate{Dana, Sam, App}

// Options of a [Simulator]. The zero value is a workspace like that of the samples.
type Options struct {
	Token        string // "" = "intercom-token"
	AppID        string // "" = "zx81qw92"
	Region       string // "" = "US"
	ClientSecret string // signs the webhooks; "" = "intercom-client-secret"
	// Package is the app_package_code of what comes by the API; "" = "acme-handoff".
	Package string
	// Plain writes webhooks like an app of version 2.15; else bodies are HTML.
	Plain bool
	Now   func() time.Time // nil = time.Now
	// Check judges every request before it is served; its error is a refusal.
	Check func(*http.Request) error
	// SearchMisses is how many searches do not find a contact after it was made.
	SearchMisses int
	// NotReady is how many conversations of a new contact are refused.
	NotReady int
	// DefaultAssignee gets the conversations that begin in the messenger; the zero value = nobody.
	DefaultAssignee Teammate
}

// Simulator is one workspace. It is safe for concurrent use.
type Simulator struct {
	o Options

	mu            sync.Mutex
	last          int64 // of the ids
	contacts      []*Contact
	conversations []*Conversation
	requests      []Request
	hooks         []Notification
	fail          func(*http.Request) *Failure
}

// Contact is a person who writes.
type Contact struct {
	ID, ExternalID, Email, Name, Role string
	Archived                          bool
	CreatedAt                         time.Time

	misses, notReady int
}

// Conversation is what one contact and the teammates said.
type Conversation struct {
	ID        string
	Contact   string // its id
	Kind      string // of the first message: conversation (the messenger, or the API) or email
	Body      string
	Images    []string
	State     string // open, closed or snoozed
	Admin     string // the id of the teammate who has it; "" = nobody
	Team      string // the id of the team that has it, also beside a teammate; "" = none
	CreatedAt time.Time
	Parts     []Part
}

// Part is one entry of a conversation.
type Part struct {
	ID, Type    string
	By          string // user, admin or bot
	Author      Teammate
	HTML        string // "" = nothing said
	Text        string // the same as text
	Attachments []Attachment
	AssignedTo  string // the id of a teammate, or of a team
	API         bool   // came by the API
	Redacted    bool
	CreatedAt   time.Time
}

// Attachment is a file of a part.
type Attachment struct {
	Name, URL, ContentType string
	Size                   int64
}

// Request is one call that was served.
type Request struct {
	Method, Path string
	Status       int
	Body         string
}

// Failure is a way to go wrong. The zero value hangs up without an answer.
type Failure struct {
	Status  int // 0 = hang up
	Code    string
	Message string
	Header  http.Header
	// Done: the request was carried out all the same.
	Done bool
}

// Notification is a webhook, ready to be posted.
type Notification struct {
	Topic  string
	Header http.Header
	Body   []byte
}

// New makes a workspace.
func New(o Options) *Simulator {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.Token, "intercom-token")
	set(&o.AppID, "zx81qw92")
	set(&o.Region, "US")
	set(&o.ClientSecret, "intercom-client-secret")
	set(&o.Package, "acme-handoff")
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Simulator{o: o, last: 219900000000000}
}

// Fail has every request judged by f, which gives nil for those that go well. nil
// ends it.
func (s *Simulator) Fail(f func(*http.Request) *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// Requests gives what was served so far.
func (s *Simulator) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Conversations gives all conversations, in the order in which they were made.
func (s *Simulator) Conversations() []Conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Conversation
	for _, c := range s.conversations {
		one := *c
		one.Parts = slices.Clone(c.Parts)
		list = append(list, one)
	}
	return list
}

// Contacts gives all contacts, in the order in which they were made.
func (s *Simulator) Contacts() []Contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Contact
	for _, c := range s.contacts {
		list = append(list, *c)
	}
	return list
}

// AddContact makes a contact that was there before.
func (s *Simulator) AddContact(c Contact) Contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.addContact(c)
}

func (s *Simulator) addContact(c Contact) *Contact {
	c.ID = fmt.Sprintf("64aa0b1c%016x", s.next())
	c.CreatedAt = s.o.Now()
	s.contacts = append(s.contacts, &c)
	return &c
}

func (s *Simulator) next() int64 {
	s.last++
	return s.last
}

// Notifications gives the webhooks since the last call.
func (s *Simulator) Notifications() []Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.hooks
	s.hooks = nil
	return list
}

// maxKept is how many requests, and webhooks that nobody asked for, are kept.
const maxKept = 10_000

// newest makes room for one more.
func newest[T any](list []T) []T {
	if len(list) >= maxKept {
		return slices.Delete(list, 0, len(list)/2)
	}
	return list
}

// maxBody is the longest body that is read.
const maxBody = 8 << 20

// ServeHTTP is the REST API.
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
	a := &answer{}
	if failure == nil || failure.Done {
		a = s.serve(r, body)
	}
	if failure != nil {
		if failure.Status == 0 {
			panic(http.ErrAbortHandler) // hang up
		}
		a = refuse(failure.Status, failure.Code, failure.Message)
		for name, values := range failure.Header {
			w.Header()[name] = values
		}
	}
	s.mu.Lock()
	s.requests = append(newest(s.requests), Request{Method: r.Method, Path: r.URL.RequestURI(), Status: a.status, Body: string(body)})
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// answer is what the API says.
type answer struct {
	status int
	body   any
}

func ok(body any) *answer { return &answer{http.StatusOK, body} }

func refuse(status int, code, message string) *answer {
	return &answer{status, object{
		"type": "error.list", "request_id": "b68959ea-6328-4f70-83cb-e7913dba1542",
		"errors": []any{object{"code": code, "message": message}},
	}}
}

type object = map[string]any

// serve judges the headers and finds the operation.
func (s *Simulator) serve(r *http.Request, body []byte) *answer {
	switch {
	case r.Header.Get("Authorization") != "Bearer "+s.o.Token:
		return refuse(401, "unauthorized", "Access Token Invalid")
	case r.Header.Get("Intercom-Version") != Version:
		return refuse(400, "intercom_version_invalid", "The requested version could not be found")
	case r.Header.Get("Accept") != "application/json":
		return refuse(406, "media_type_not_acceptable", "The Accept header should send a media type of application/json")
	case len(body) > 0 && r.Header.Get("Content-Type") != "application/json":
		return refuse(415, "media_type_not_supported", "The Content-Type header should be application/json")
	}
	if s.o.Check != nil {
		if err := s.o.Check(r); err != nil {
			return refuse(400, "parameter_invalid", err.Error())
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := func(method string, pattern ...string) bool {
		if r.Method != method || len(path) != len(pattern) {
			return false
		}
		for i, p := range pattern {
			if p != "*" && p != path[i] {
				return false
			}
		}
		return true
	}
	switch {
	case at("GET", "me"):
		return ok(s.me())
	case at("GET", "admins"):
		return ok(listAdmins())
	case at("GET", "teams"):
		return ok(listTeams())
	case at("POST", "contacts", "search"):
		return s.searchContacts(body)
	case at("POST", "contacts"):
		return s.createContact(body)
	case at("PUT", "contacts", "*"):
		return s.updateContact(path[1], body)
	case at("POST", "contacts", "*", "unarchive"):
		return s.unarchive(path[1])
	case at("POST", "conversations"):
		return s.createConversation(body)
	case at("POST", "conversations", "search"):
		return s.searchConversations(body)
	case at("GET", "conversations", "*"):
		return s.getConversation(path[1], r.URL.Query().Get("display_as") == "plaintext")
	case at("POST", "conversations", "*", "reply"):
		return s.reply(path[1], body)
	case at("POST", "conversations", "*", "parts"):
		return s.manage(path[1], body)
	}
	return refuse(404, "not_found", "Resource Not Found")
}

// read decodes a body and refuses members that are not documented.
func read(body []byte, into any) *answer {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refuse(400, "bad_request", err.Error())
	}
	return nil
}

func (s *Simulator) me() object {
	return object{
		"type": "admin", "id": App.ID, "email": App.Email, "name": App.Name, "email_verified": true, "has_inbox_seat": true,
		"app": object{"type": "app", "id_code": s.o.AppID, "name": "Acme", "region": s.o.Region, "timezone": "Asia/Taipei"},
	}
}

func listAdmins() object {
	var list []any
	for _, t := range teammates {
		teams := []any{}
		if slices.Contains(Support.Members, t) {
			teams = append(teams, number(Support.ID))
		}
		list = append(list, object{
			"type": "admin", "id": t.ID, "name": t.Name, "email": t.Email, "away_mode_enabled": false, "away_mode_reassign": false,
			"has_inbox_seat": true, "team_ids": teams,
		})
	}
	return object{"type": "admin.list", "admins": list}
}

func listTeams() object {
	var members []any
	for _, t := range Support.Members {
		members = append(members, number(t.ID))
	}
	return object{"type": "team.list", "teams": []any{
		object{"type": "team", "id": Support.ID, "name": Support.Name, "admin_ids": members},
	}}
}

func (s *Simulator) contact(id string) *Contact {
	for _, c := range s.contacts {
		if c.ID == id && !c.Archived {
			return c
		}
	}
	return nil
}

func (s *Simulator) find(id string) *Conversation {
	for _, c := range s.conversations {
		if c.ID == id {
			return c
		}
	}
	return nil
}

var errConversation = refuse(404, "not_found", "Resource Not Found")

// plain is what HTML says, as far as the bodies need that the simulator gets.
func plain(body string) string {
	body = breaks.ReplaceAllString(body, "\n")
	return strings.TrimSpace(html.UnescapeString(tags.ReplaceAllString(body, "")))
}

var (
	breaks = regexp.MustCompile(`(?i)<br ?/?>|</(p|li|h[1-6]|div)>`)
	tags   = regexp.MustCompile(`<[^>]*>`)
)

// asHTML is how Intercom shows plain text.
func asHTML(text string) string {
	return "<p>" + strings.ReplaceAll(html.EscapeString(text), "\n", "<br>") + "</p>"
}

// Sign makes the headers of a webhook with this body.
func (s *Simulator) Sign(body []byte) http.Header {
	mac := hmac.New(sha1.New, []byte(s.o.ClientSecret))
	mac.Write(body)
	return http.Header{
		"Content-Type":    {"application/json"},
		"User-Agent":      {"intercom-parrot-service-client/1.0"},
		"X-Hub-Signature": {"sha1=" + hex.EncodeToString(mac.Sum(nil))},
	}
}

func number(id string) any {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil
	}
	return n
}
