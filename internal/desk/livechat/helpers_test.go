package livechat

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/desk/livechat/simulator"
	"handoff/internal/handoff"
)

var start = time.Unix(1_790_001_000, 0).UTC()

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// account is a simulator with desks connected to it, which share one memory as the
// replicas of this service do.
type account struct {
	*simulator.Simulator
	clock  *clock
	memory *desktest.Memory
	url    string
	files  *http.Client
}

func newAccount(t testing.TB, o simulator.Options) *account {
	t.Helper()
	a := &account{clock: &clock{now: start}, memory: &desktest.Memory{}, files: nowhere}
	o.Now = a.clock.Now
	a.Simulator = simulator.New(o)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// nowhere is a client that reaches nobody.
var nowhere = &http.Client{Transport: unreachable{}}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unreachable")
}

func loopback(t testing.TB) *http.Client {
	t.Helper()
	c := desk.NewHTTPClient(desk.HTTPOptions{AllowedPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func (a *account) connect(t testing.TB, mode handoff.Mode, fields map[string]string) desk.Desk {
	t.Helper()
	d, err := Driver{Hosts: Hosts{Accounts: a.url, API: a.url}, Files: a.files}.Connect(desk.Settings{
		ConnectionID: "con_1", Mode: mode, Fields: fields, HTTP: loopback(t), Memory: a.memory, Now: a.clock.Now,
	})
	require.NoError(t, err)
	return d
}

const secret = "wh-secret-4c1b"

// external connects as a customer; more replaces fields.
func (a *account) external(t testing.TB, more map[string]string) *externalDesk {
	t.Helper()
	fields := map[string]string{
		fieldOrganizationID: "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d", fieldClientID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		fieldRedirectURI: "https://handoff.example.com/", fieldWebhookSecret: secret, fieldWhenOffline: offlineWait,
	}
	for name, value := range more {
		fields[name] = value
	}
	return a.connect(t, handoff.ModeExternalToDesk, fields).(*externalDesk)
}

// inside connects as an agent.
func (a *account) inside(t testing.TB, more map[string]string) *insideDesk {
	t.Helper()
	fields := map[string]string{
		fieldAgentEmail: simulator.Seat.ID, fieldAccountID: "9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a", fieldToken: "livechat-token",
		fieldSecretKey: secret, fieldHumanGroupID: "19", fieldWhenOffline: offlineWait,
	}
	for name, value := range more {
		fields[name] = value
	}
	return a.connect(t, handoff.ModeDeskToDesk, fields).(*insideDesk)
}

func openRequest() desk.OpenRequest {
	return desk.OpenRequest{
		Attempt:   desk.Attempt{DeliveryID: "dlv_1", At: start},
		HandoffID: "hof_1", AgentID: "agt_1", Channel: handoff.ChannelLine,
		User:       handoff.User{ID: "U4af4980629", Name: "Robin Buyer", Email: "robin@example.com"},
		EmailGiven: true, Language: "en",
		CustomFields: map[string]string{"plan": "pro"},
		Note:         "Be kind.", Summary: "Charged twice.",
		Rounds: []desk.Round{{
			Question: desk.Text{Body: "I was charged <twice> & more", At: start.Add(-time.Minute)}, Answer: desk.Text{Body: "Let me check.\nOne moment."},
		}},
		Question: desk.Text{Body: "I was charged twice, can I talk to a person?"},
		Answer:   desk.Text{Body: "I get you a colleague."},
	}
}

// opening is a request of another Handoff.
func opening(handoffID string, user handoff.User) desk.OpenRequest {
	r := openRequest()
	r.HandoffID, r.DeliveryID, r.User = handoffID, "dlv_"+handoffID, user
	return r
}

func open(t testing.TB, d desk.Desk, r desk.OpenRequest) string {
	t.Helper()
	opened, err := d.Open(t.Context(), r)
	require.NoError(t, err)
	return opened.Ref
}

func sendRequest(ref, delivery, text string, files ...handoff.Attachment) desk.SendRequest {
	return desk.SendRequest{
		Attempt: desk.Attempt{DeliveryID: delivery, At: start}, Ref: ref, Text: desk.Text{Body: text, Attachments: files, At: start},
	}
}

func closeRequest(ref string) desk.CloseRequest {
	return desk.CloseRequest{Attempt: desk.Attempt{DeliveryID: "dlv_9", At: start}, Ref: ref, Reason: handoff.ReasonUserEnded}
}

func receive(t testing.TB, d desk.Desk, n simulator.Notification) []handoff.DeskEvent {
	t.Helper()
	list, err := d.Receive(t.Context(), desk.Inbound{Header: n.Header, Body: n.Body, ReceivedAt: start.Add(time.Second)})
	require.NoError(t, err)
	return list
}

// texts are what a thread says, without what LiveChat itself says.
func texts(t *simulator.Thread) []string {
	var list []string
	for _, e := range t.Events {
		if e.Author != "" {
			list = append(list, e.Text)
		}
	}
	return list
}

// asked are the last parts of the paths that were called since n calls ago.
func (a *account) asked(since int) []string {
	var list []string
	for _, r := range a.Requests()[since:] {
		u := r.Path
		for i := range u {
			if u[i] == '?' {
				u = u[:i]
				break
			}
		}
		list = append(list, filepath.Base(u))
	}
	return list
}

// failing refuses the requests of an action, n times.
func failing(n int, action string, f simulator.Failure) func(*http.Request) *simulator.Failure {
	var mu sync.Mutex
	return func(r *http.Request) *simulator.Failure {
		mu.Lock()
		defer mu.Unlock()
		if filepath.Base(r.URL.Path) != action || n == 0 {
			return nil
		}
		n--
		return &f
	}
}

// sample reads a documented payload.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return raw
}
