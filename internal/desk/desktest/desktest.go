// Package desktest is the conformance kit of the desks: what every desk has to
// do, asked once.
//
//	func TestConformance(t *testing.T) {
//		desktest.Run(t, desktest.Harness{Driver: acme.Driver{}, Fields: …, NewFake: …})
//	}
//
// A desk brings a [Fake] of its own API, made from that API's documentation, and
// the kit asks. A rule is added to one of the lists, together with a deliberately
// broken desk in broken_test.go that fails it:
//
//   - rules.go: describing, opening, talking, ending
//   - incoming.go: what the desk tells us
//   - once.go: nothing twice when answers get lost
//   - speak.go: the desk's own messenger
//   - trouble.go: what goes wrong on the way
//
// What only some desks can be asked is skipped where the description says that the
// desk cannot do it; a harness that leaves out what the description promises fails.
package desktest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// Harness is one desk under examination.
type Harness struct {
	Driver desk.Driver
	Mode   handoff.Mode
	// Fields fill in the connection form for a desk at baseURL, all secrets included.
	Fields func(baseURL string) map[string]string
	// NewFake makes a stand-in of the desk's own API. nil: the desk calls nobody.
	NewFake func() Fake
	// Incoming makes the request by which the desk tells us of a happening in a
	// session, signed with the fields of the connection as the desk signs. The fake
	// knows of the happening afterwards. false: this desk has no such happening.
	// Needed when the desk declares addresses to call.
	Incoming func(fake Fake, fields map[string]string, ref string, h Happening) (desk.Inbound, bool)
	// Signature says what the desk's signature under these fields is worth.
	Signature Signature
	// OtherFields are the secrets of another connection; needed when the desk signs.
	OtherFields map[string]string
	// NewSession makes a User begin a session in the desk's own messenger; needed in
	// DESK_TO_DESK.
	NewSession func(fake Fake) (ref string)
	// UnreadableIsSuccess: the desk's contract takes status 200 alone for a success.
	UnreadableIsSuccess bool
}

// Fake stands in for a desk's own API. ServeHTTP answers as the healthy desk
// would. It is safe for concurrent use.
type Fake interface {
	http.Handler
	// Received tells what arrived so far, oldest first, in the words of the kit.
	Received() []Call
}

// Call is one thing that arrived at the desk.
type Call struct {
	Operation Operation
	Ref       string // the id of the session at the desk
	Email     string // with Open: the address, "" = none
	// Texts are what was said: with Open everything transferred, oldest first, the
	// newest question last, without empty ones; with Message the message.
	Texts []string
}

// Operation says what arrived.
type Operation string

// The operations.
const (
	Open    Operation = "OPEN"
	Message Operation = "MESSAGE"
	Close   Operation = "CLOSE"
	Said    Operation = "SAID" // by a Speaker
)

// Run asks the desk everything. Each rule gets a fresh fake and a fresh desk.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, r := range rules() {
		if r.calls && h.NewFake == nil {
			continue // there is nobody whom the desk could call
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.check(t, newBench(t, h))
		})
	}
}

// rule is one question to a desk.
type rule struct {
	name  string
	calls bool // needs a fake
	check func(t tester, b *bench)
}

func rules() []rule {
	return slices.Concat(plainRules, incomingRules, onceRules, speakRules, troubleRules())
}

// tester is what rules need of *testing.T, so that the kit's own tests can watch them fail.
type tester interface {
	require.TestingT
	Helper()
	Cleanup(func())
	Context() context.Context
}

// answerTime is how long the kit's client waits; a desk that stalls costs as much.
const answerTime = 500 * time.Millisecond

// now is the time of every bench.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// bench is a desk connected to its fake.
type bench struct {
	h           Harness
	description handoff.DeskDescription
	fields      map[string]string
	fake        Fake
	memory      *Memory
	bare        desk.Desk
	desk        desk.Desk // guarded, as the service uses it
	server      *httptest.Server
	client      *http.Client

	mu       sync.Mutex
	trouble  http.HandlerFunc // served instead of the fake
	requests []request
}

// request is what arrived, byte for byte.
type request struct {
	method, path string
	body         string
}

func newBench(t tester, h Harness) *bench {
	t.Helper()
	b := &bench{h: h, description: h.Driver.Describe()}
	base := ""
	if h.NewFake != nil {
		b.fake = h.NewFake()
		b.server = httptest.NewServer(b)
		t.Cleanup(b.server.Close)
		base = b.server.URL
	}
	b.client = desk.NewHTTPClient(desk.HTTPOptions{
		AllowedPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: answerTime,
	})
	t.Cleanup(b.client.CloseIdleConnections)
	fields, err := b.description.Check(h.Mode, h.Fields(base), nil)
	require.NoError(t, err, "the harness fills in the form wrongly")
	b.fields = fields
	b.memory = &Memory{}
	b.bare = b.connect(t)
	b.desk = desk.Guard(b.bare, b.description.Kind, "con_1", time.Now, desk.Watch{})
	return b
}

// connect makes one more desk of the same connection, as another replica has it.
func (b *bench) connect(t tester) desk.Desk {
	t.Helper()
	d, err := b.h.Driver.Connect(desk.Settings{
		ConnectionID: "con_1", Mode: b.h.Mode, Fields: b.fields, HTTP: b.client, Memory: b.memory, Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	return d
}

// ServeHTTP records the request, then makes trouble or lets the fake answer.
func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	b.mu.Lock()
	b.requests = append(b.requests, request{r.Method, r.URL.RequestURI(), string(body)})
	trouble := b.trouble
	b.mu.Unlock()
	if trouble != nil {
		trouble(w, r)
		return
	}
	b.fake.ServeHTTP(w, r)
}

// make has the fake replaced by trouble; nil ends it.
func (b *bench) make(trouble http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble = trouble
}

func (b *bench) arrived() []request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

// secrets are the values that no error may contain.
func (b *bench) secrets() []string {
	var list []string
	for _, f := range b.description.Fields {
		if value := b.fields[f.Name]; f.Secret && value != "" {
			list = append(list, value, base64.StdEncoding.EncodeToString([]byte(value)))
		}
	}
	return append(list, personalText, personalEmail)
}

// What a person wrote, which no error may contain either.
const (
	personalText  = "my parcel 4711 is late"
	personalEmail = "mei.lin@example.com"
)

var deliveries atomic.Int64

// deliveryID is one that no other delivery has: a desk may drop repeats by it.
func deliveryID() string { return fmt.Sprint("dlv_", deliveries.Add(1)) }

func openRequest() desk.OpenRequest {
	return desk.OpenRequest{
		Attempt:     desk.Attempt{DeliveryID: deliveryID(), At: now},
		HandoffID:   "hof_1",
		AgentID:     "agt_1",
		ProposedRef: "68e778000fa31d1ef64f5301",
		Channel:     handoff.ChannelWidget,
		User:        handoff.User{ID: "u1", AnonymousID: "a1", Name: "Mei", Email: personalEmail},
		EmailGiven:  true,
		Language:    "en",
		Rounds:      []desk.Round{{Question: desk.Text{Body: "Do you ship to Penghu?"}, Answer: desk.Text{Body: "Yes."}}},
		Question:    desk.Text{Body: personalText},
	}
}

// open opens a session and gives its id at the desk.
func (b *bench) open(t tester) string {
	t.Helper()
	opened, err := b.desk.Open(t.Context(), b.request())
	require.NoError(t, err)
	require.NotEmpty(t, opened.Ref)
	return opened.Ref
}

// inside reports whether the User is in the desk's own messenger.
func (b *bench) inside() bool { return b.h.Mode == handoff.ModeDeskToDesk && b.h.NewSession != nil }

// request is one to open; the User of a messenger has begun a session there.
func (b *bench) request() desk.OpenRequest {
	r := openRequest()
	if b.inside() {
		r.ProposedRef = b.h.NewSession(b.fake)
	}
	return r
}

// dialogue gives a session in which our side has the word: in the desk's messenger one
// that the Operators do not have.
func (b *bench) dialogue(t tester) string {
	t.Helper()
	if b.inside() {
		return b.h.NewSession(b.fake)
	}
	return b.open(t)
}

// tell brings what our side says: the User's message, or in the desk's messenger,
// where the User writes by himself, the Agent's.
func (b *bench) tell(ctx context.Context, r desk.SendRequest) error {
	speaker, speaks := desk.As[desk.Speaker](b.desk)
	if !b.inside() || !speaks {
		_, err := b.desk.Send(ctx, r)
		return err
	}
	_, err := speaker.Say(ctx, asSaid(r))
	return err
}

func asSaid(r desk.SendRequest) desk.SayRequest {
	return desk.SayRequest{Attempt: r.Attempt, Ref: r.Ref, Author: handoff.AuthorAgent, Text: r.Text}
}

// words are the calls that tell makes.
func (b *bench) words() Operation {
	if b.inside() {
		return Said
	}
	return Message
}

func sendRequest(ref, text string) desk.SendRequest {
	return desk.SendRequest{
		Attempt: desk.Attempt{DeliveryID: deliveryID(), At: now.Add(time.Second)}, Ref: ref, Text: desk.Text{Body: text, At: now.Add(time.Second)},
	}
}

func closeRequest(ref string, reason handoff.CloseReason) desk.CloseRequest {
	return desk.CloseRequest{Attempt: desk.Attempt{DeliveryID: deliveryID(), At: now.Add(time.Minute)}, Ref: ref, Reason: reason}
}
