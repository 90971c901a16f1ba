package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/graph"
	"handoff/graph/transport"
	"handoff/internal/auth"
	"handoff/internal/desk"
	"handoff/internal/desk/builtin"
	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/stream"
	"handoff/internal/vault"
)

const (
	adminToken = "administrator-token-of-the-test"
	publicURL  = "https://handoff.example.com/prefix/"
)

// api is the whole API over a database of its own. Nothing happens by itself:
// deliveries and deadlines are worked off by the test.
type api struct {
	t       *testing.T
	url     string
	clock   *clock
	store   *store.Store
	hub     *stream.Hub
	service *handoff.Service
	desk    *testDriver
	log     *syncBuffer
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, clock: &clock{now: time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)}, desk: &testDriver{}, log: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		for _, secret := range []string{"@example.com", "s3cret", "hk_", adminToken} {
			require.NotContains(t, a.log.String(), secret, "addresses and credentials do not belong in logs")
		}
	})

	var err error
	a.store, err = store.Open(t.Context(), store.Options{
		SQLitePath: filepath.Join(t.TempDir(), "handoff.db"), Logger: log, Now: a.clock.Now,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.store.Close()) })
	a.hub = stream.New(stream.Options{Log: a.store, Now: a.clock.Now, Logger: log})
	t.Cleanup(func() { require.NoError(t, a.hub.Stop(context.Background())) })
	keys, err := vault.ParseKeys(vault.GenerateKey())
	require.NoError(t, err)
	sealer, err := vault.New(keys...)
	require.NoError(t, err)
	catalog, err := desk.NewCatalog(desk.CatalogOptions{
		Drivers: []desk.Driver{builtin.Driver{}, a.desk, messengerDriver{}}, Sealer: sealer, HTTP: &http.Client{}, Now: a.clock.Now, Log: log,
	})
	require.NoError(t, err)
	t.Cleanup(catalog.Close)
	a.service = handoff.New(handoff.Dependencies{
		Store: a.store, Desks: catalog, Feed: a.hub, Alarm: silentAlarm{}, Sealer: sealer, Counters: noCounters{},
		Log: log, Now: a.clock.Now, DefaultTimeZone: "UTC",
	})
	tokens, err := auth.NewUserTokens([][]byte{bytes.Repeat([]byte("k"), 32)}, a.clock.Now)
	require.NoError(t, err)
	authenticator, err := auth.New(adminToken, a.store, tokens, a.clock.Now)
	require.NoError(t, err)

	handler := transport.NewHandler(graph.New(graph.Dependencies{
		Service: a.service, Hub: a.hub, Auth: authenticator, Tokens: tokens, PublicURL: publicURL, Now: a.clock.Now,
	}), transport.Config{
		ComplexityLimit: 1_000, DepthLimit: 15, ErrorPresenter: graph.ErrorPresenter(log, nil), Logger: log,
		Websocket: transport.WebsocketConfig{
			OnInit: func(ctx context.Context, _ json.RawMessage, r *http.Request) (context.Context, time.Time, error) {
				caller, err := authenticator.Authenticate(ctx, r.Header.Get("Authorization"))
				return auth.With(ctx, caller), time.Time{}, err
			},
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := authenticator.Authenticate(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		ctx := graph.WithRequestID(auth.With(r.Context(), caller), "request-of-the-test")
		handler.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(func() {
		require.NoError(t, handler.Shutdown(context.Background()))
		server.Close()
	})
	a.url = server.URL
	return a
}

// as gives a client with a credential; "" = none.
func (a *api) as(token string) client { return client{a.t, a.url, token} }

func (a *api) admin() client { return a.as(adminToken) }

// client calls the API with one credential.
type client struct {
	t          *testing.T
	url, token string
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

type vars map[string]any

func (c client) do(operation string, variables vars) answer {
	c.t.Helper()
	return c.post(operation, variables, "application/json")
}

func (c client) post(operation string, variables vars, accept string) answer {
	c.t.Helper()
	response := c.send(operation, variables, accept)
	defer response.Body.Close()
	result := answer{t: c.t, status: response.StatusCode}
	decoder := json.NewDecoder(response.Body)
	decoder.UseNumber()
	require.NoError(c.t, decoder.Decode(&result), "status %d", response.StatusCode)
	return result
}

func (c client) send(operation string, variables vars, accept string) *http.Response {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"query": operation, "variables": variables})
	require.NoError(c.t, err)
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url, bytes.NewReader(body))
	require.NoError(c.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(c.t, err)
	return response
}

// ok does an operation that must succeed.
func (c client) ok(operation string, variables vars) answer {
	c.t.Helper()
	result := c.do(operation, variables)
	require.Empty(c.t, result.Errors, operation)
	return result
}

// fails does an operation that must fail with one error and gives its extensions.
func (c client) fails(code fault.Kind, operation string, variables vars) map[string]any {
	c.t.Helper()
	result := c.do(operation, variables)
	require.Len(c.t, result.Errors, 1, operation)
	require.Equal(c.t, string(code), result.Errors[0].Extensions["code"], "%s: %s", operation, result.Errors[0].Message)
	return result.Errors[0].Extensions
}

// refuses does an operation that must fail because of a field.
func (c client) refuses(field, operation string, variables vars) {
	c.t.Helper()
	require.Equal(c.t, field, c.fails(fault.InvalidInput, operation, variables)["field"], operation)
}

// at finds a value of the data, e.g. "agent.keys.0.name".
func (a answer) at(path string) any {
	a.t.Helper()
	var value any = a.Data
	for step := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[step]
			require.True(a.t, ok, "%s: there is no %s in %v", path, step, v)
			value = next
		case []any:
			i, err := strconv.Atoi(step)
			require.NoError(a.t, err, path)
			require.Less(a.t, i, len(v), "%s: the list has %d", path, len(v))
			value = v[i]
		default:
			require.Fail(a.t, "nothing at "+path)
		}
	}
	return value
}

// text is at for strings and numbers, "" for null.
func (a answer) text(path string) string {
	a.t.Helper()
	if value := a.at(path); value != nil {
		return fmt.Sprint(value)
	}
	return ""
}

// list is at for lists.
func (a answer) list(path string) []any {
	a.t.Helper()
	value, ok := a.at(path).([]any)
	require.True(a.t, ok, "%s is no list", path)
	return value
}

// texts is the value of one field in every item of a list.
func (a answer) texts(path, field string) []string {
	a.t.Helper()
	texts := []string{}
	for _, item := range a.list(path) {
		texts = append(texts, fmt.Sprint(item.(map[string]any)[field]))
	}
	return texts
}

// clock is the time of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type silentAlarm struct{}

func (silentAlarm) Reserve() (handoff.Lease, bool)        { return handoff.Lease{}, false }
func (silentAlarm) Start(handoff.Lease, handoff.Delivery) {}
func (silentAlarm) Dismiss()                              {}
func (silentAlarm) Deliver(...string)                     {}
func (silentAlarm) DeadlineAt(time.Time)                  {}

type noCounters struct{}

func (noCounters) HandoffRequested(string, handoff.Outcome)  {}
func (noCounters) HandoffClosed(string, handoff.CloseReason) {}
func (noCounters) MessageAccepted(handoff.Author)            {}

// testDriver is a desk with credentials, which fails as the test wants.
type testDriver struct {
	mu     sync.Mutex
	broken error
}

func (d *testDriver) breaks(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = err
}

func (d *testDriver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind: "testdesk", Title: "Test desk", Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Fields: []handoff.CredentialField{
			{Name: "url", Label: "Address", Hint: "Begins with https://.", Required: true, Pattern: "^https://"},
			{Name: "token", Label: "Token", Secret: true, Required: true, MaxRunes: 100},
			{Name: "region", Label: "Region", Options: []string{"eu", "us"}, Default: "eu"},
		},
		Steps:        []string{"Copy the address."},
		Receive:      []handoff.ReceiveAddress{{Label: "Messages", Path: "/hooks/{token}"}},
		MaxTextRunes: 500, Unknown: handoff.OutcomeRepeatMarked,
	}
}

func (d *testDriver) Connect(desk.Settings) (desk.Desk, error) { return testDesk{driver: d}, nil }

// testDesk is only ever verified: the tests deliver by themselves.
type testDesk struct {
	desk.Desk
	driver *testDriver
}

func (d testDesk) Verify(context.Context) error {
	d.driver.mu.Lock()
	defer d.driver.mu.Unlock()
	return d.driver.broken
}

// messengerDriver is a desk with a messenger of its own; the tests deliver by themselves.
type messengerDriver struct{}

func (messengerDriver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind: "messenger", Title: "Messenger", Channel: handoff.ChannelIntercom,
		Modes: []handoff.Mode{handoff.ModeDeskToDesk, handoff.ModeExternalToDesk},
		Fields: []handoff.CredentialField{
			{Name: "region", Label: "Region"},
			{Name: "group", Label: "Group", Modes: []handoff.Mode{handoff.ModeDeskToDesk}},
		},
	}
}

func (messengerDriver) Connect(desk.Settings) (desk.Desk, error) { return messengerDesk{}, nil }

type messengerDesk struct {
	desk.Desk
	desk.Speaker
}

func (messengerDesk) Verify(context.Context) error { return nil }

// syncBuffer is a bytes.Buffer for many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// number is a number as it comes back.
func number(s string) json.Number { return json.Number(s) }
