package intercom

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
	"handoff/internal/desk/intercom/simulator/contract"
	"handoff/internal/handoff"
)

var now = time.Unix(1_790_001_000, 0).UTC()

// workspace is a simulator that judges by Intercom's own OpenAPI file, with a desk
// connected to it. Waits take no time.
type workspace struct {
	*simulator.Simulator
	desk  *intercomDesk
	waits []time.Duration
}

func newWorkspace(t *testing.T, o simulator.Options, fields map[string]string) *workspace {
	t.Helper()
	require.NoError(t, contract.Load())
	o.Check = contract.Check
	if o.Now == nil {
		o.Now = func() time.Time { return now }
	}
	w := &workspace{Simulator: simulator.New(o)}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.desk = connect(t, map[string]string{regionUS: server.URL}, fields)
	w.desk.pause = func(_ context.Context, wait time.Duration) bool {
		w.waits = append(w.waits, wait)
		return true
	}
	return w
}

func connect(t testing.TB, hosts map[string]string, fields map[string]string) *intercomDesk {
	t.Helper()
	d, err := connectIn(t, handoff.ModeExternalToDesk, hosts, fields)
	require.NoError(t, err)
	return d.(*intercomDesk)
}

func connectIn(t testing.TB, mode handoff.Mode, hosts map[string]string, fields map[string]string) (desk.Desk, error) {
	t.Helper()
	all := map[string]string{fieldAccessToken: "intercom-token", fieldRegion: regionAuto}
	for name, value := range fields {
		all[name] = value
	}
	client := desk.NewHTTPClient(desk.HTTPOptions{AllowedPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	t.Cleanup(client.CloseIdleConnections)
	return Driver{Hosts: hosts}.Connect(desk.Settings{
		ConnectionID: "con_1", Mode: mode, Fields: all, HTTP: client, Now: func() time.Time { return now },
	})
}

func openRequest() desk.OpenRequest {
	return desk.OpenRequest{
		Attempt:   desk.Attempt{DeliveryID: "dlv_1", At: now},
		HandoffID: "hof_1", AgentID: "agt_1", Channel: handoff.ChannelLine,
		User:       handoff.User{ID: "U4af4980629", Name: "Robin Buyer", Email: " Robin@Example.com"},
		EmailGiven: true, Language: "en",
		CustomFields: map[string]string{"plan": "pro", "a<b": "x"},
		Note:         "Be kind.", Summary: "Charged twice.",
		Rounds: []desk.Round{{
			Question: desk.Text{Body: "I was charged <twice> & more", At: now.Add(-time.Minute)}, Answer: desk.Text{Body: "Let me check.\nOne moment."},
		}},
		Question: desk.Text{Body: "I was charged twice, can I talk to a person?"},
		Answer:   desk.Text{Body: "I get you a colleague."},
	}
}

func (w *workspace) open(t *testing.T) string {
	t.Helper()
	opened, err := w.desk.Open(t.Context(), openRequest())
	require.NoError(t, err)
	return opened.Ref
}

func sendRequest(ref, text string, files ...handoff.Attachment) desk.SendRequest {
	return desk.SendRequest{
		Attempt: desk.Attempt{DeliveryID: "dlv_2", At: now}, Ref: ref, Text: desk.Text{Body: text, Attachments: files, At: now},
	}
}

// posted are the requests of one kind, as "METHOD path body".
func (w *workspace) posted() []string {
	var list []string
	for _, r := range w.Requests() {
		list = append(list, r.Method+" "+r.Path+" "+r.Body)
	}
	return list
}

// failing refuses the requests to a path, n times.
func failing(n int, method, path string, f simulator.Failure) func(*http.Request) *simulator.Failure {
	return func(r *http.Request) *simulator.Failure {
		if r.Method != method || !matches(path, r.URL.Path) || n == 0 {
			return nil
		}
		n--
		return &f
	}
}

func matches(suffix, path string) bool {
	return len(path) >= len(suffix) && path[len(path)-len(suffix):] == suffix
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
