package relay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/store/pgtest"
)

// onEachDatabase runs a test in a house on SQLite and in one on Postgres.
func onEachDatabase(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	for name, options := range map[string]func(t *testing.T) store.Options{
		"SQLite": func(t *testing.T) store.Options {
			return store.Options{SQLitePath: filepath.Join(t.TempDir(), "test.db")}
		},
		"Postgres": func(t *testing.T) store.Options {
			return store.Options{MaxConnections: 8, URL: pgtest.Template(t, "migrated", func(url string) error {
				s, err := store.Open(context.Background(), store.Options{URL: url})
				if err != nil {
					return err
				}
				return s.Close()
			})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), options(t))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			test(t, newHouse(t, s))
		})
	}
}

// house is the real store, use cases and catalogue around a fake desk.
type house struct {
	t     *testing.T
	store *store.Store
	desk  *acme
	feed  *feed
	svc   *handoff.Service
	desks *desk.Catalog
	bell  *Bell
	agent string
}

func newHouse(t *testing.T, s *store.Store) *house {
	t.Helper()
	h := &house{t: t, store: s, desk: newAcme(), feed: newFeed(), bell: NewBell()}
	var err error
	h.desks, err = desk.NewCatalog(desk.CatalogOptions{
		Drivers: []desk.Driver{h.desk}, Sealer: openSealer{}, Memory: s, HTTP: http.DefaultClient, Now: time.Now, Log: logTo(t),
	})
	require.NoError(t, err)
	t.Cleanup(h.desks.Close)
	h.svc = handoff.New(handoff.Dependencies{
		Store: s, Desks: h.desks, Feed: h.feed, Alarm: h.bell, Sealer: openSealer{}, Counters: nobody{},
		Log: logTo(t), Now: time.Now, DefaultTimeZone: "UTC",
	})
	agent, err := h.svc.CreateAgent(t.Context(), "Ada", "")
	require.NoError(t, err)
	h.agent = agent.ID
	h.connect("healthy")
	_, err = h.svc.UpdateSettings(t.Context(), agent.ID, func(s *handoff.Settings) error {
		s.Enabled, s.EmailPolicy = true, handoff.EmailNever
		return nil
	})
	require.NoError(t, err)
	return h
}

func logTo(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// connect makes a connection to an account of the desk the active one.
func (h *house) connect(account string) handoff.Connection {
	h.t.Helper()
	c, err := h.svc.Connect(h.t.Context(), handoff.Connect{
		AgentID: h.agent, Kind: "acme", Active: true, Fields: map[string]string{"account": account},
	})
	require.NoError(h.t, err)
	return c
}

// work starts a relay, which stops when the test ends or stop is called.
func (h *house) work() (stop func()) {
	h.t.Helper()
	r := New(Options{
		Store: h.store, Business: h.svc, Desks: h.desks, Bell: h.bell, Observer: nobody{}, Log: logTo(h.t), Now: time.Now,
		Owner: "test", Workers: 4, Sweep: 5 * time.Millisecond, CatchUp: 2 * time.Millisecond,
	})
	r.Start(h.t.Context())
	stop = sync.OnceFunc(func() { r.Stop(context.Background()) })
	h.t.Cleanup(stop)
	return stop
}

// request asks for a person and waits for the state.
func (h *house) request(state handoff.State) handoff.Handoff {
	h.t.Helper()
	c, err := h.svc.StartConversation(h.t.Context(), handoff.StartConversation{AgentID: h.agent, Channel: handoff.ChannelWidget, Language: "en"})
	require.NoError(h.t, err)
	r, err := h.svc.RequestHandoff(h.t.Context(), handoff.Request{ConversationID: c.ID})
	require.NoError(h.t, err)
	require.NotNil(h.t, r.Handoff, r.Outcome)
	return h.await(r.Handoff.ID, state)
}

func (h *house) await(handoffID string, state handoff.State) (found handoff.Handoff) {
	h.t.Helper()
	h.feed.until(h.t, func() bool {
		var err error
		found, err = h.store.Handoff(h.t.Context(), handoffID)
		require.NoError(h.t, err)
		return found.State == state
	})
	return found
}

// read is what the Operators wrote, in the order in which the User reads it.
func (h *house) read(conversationID string) (texts []string) {
	h.t.Helper()
	events, err := h.store.Events(h.t.Context(), conversationID, 0, 100)
	require.NoError(h.t, err)
	for i := range events {
		if events[i].Author == handoff.AuthorOperator {
			texts = append(texts, events[i].Text)
		}
	}
	return texts
}

// hears takes an event as if the desk's request had arrived.
func (h *house) hears(x *handoff.Handoff, e handoff.DeskEvent) error {
	h.t.Helper()
	return h.svc.FromDesk(h.t.Context(), handoff.Connection{ID: x.ConnectionID}, []handoff.DeskEvent{e})
}

// feed wakes tests whenever something was committed.
type feed struct {
	handoff.Feed
	mu   sync.Mutex
	news chan struct{}
}

func newFeed() *feed { return &feed{news: make(chan struct{})} }

func (f *feed) ring() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.news)
	f.news = make(chan struct{})
}

func (f *feed) Committed(string, string, []handoff.Event) { f.ring() }
func (f *feed) HandoffChanged(handoff.Handoff)            {}

// until waits for a condition that commits bring about.
func (f *feed) until(t *testing.T, holds func() bool) {
	t.Helper()
	for {
		f.mu.Lock()
		news := f.news
		f.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-news:
		case <-time.After(20 * time.Second):
			t.Fatal("it did not happen")
		}
	}
}

func (nobody) HandoffRequested(string, handoff.Outcome)  {}
func (nobody) HandoffClosed(string, handoff.CloseReason) {}
func (nobody) MessageAccepted(handoff.Author)            {}

// openSealer hides nothing.
type openSealer struct{}

func (openSealer) Seal(aad string, plain []byte) (string, error) {
	return aad + "|" + string(plain), nil
}

func (openSealer) Open(aad, sealed string) ([]byte, error) {
	plain, ok := bytes.CutPrefix([]byte(sealed), []byte(aad+"|"))
	if !ok {
		return nil, errors.New("sealed elsewhere")
	}
	return plain, nil
}

// acme is a desk system whose requests to us all get lost.
type acme struct {
	mu       sync.Mutex
	sessions int
	told     map[string][]handoff.DeskEvent // by session
	asked    map[string][]time.Time         // the since of every Missed, by account
	looked   chan struct{}                  // gets a value after a Missed, while somebody waits
	opens    []desk.OpenRequest
	closes   []string
	sends    []string
	down     string                                               // the account that cannot be asked, "" = none
	open     func(n int, r desk.OpenRequest) (desk.Opened, error) // nil = it accepts
	refused  error                                                // what Send answers
}

func newAcme() *acme {
	return &acme{told: map[string][]handoff.DeskEvent{}, asked: map[string][]time.Time{}, looked: make(chan struct{})}
}

func (*acme) Describe() handoff.DeskDescription {
	retry := handoff.RetryPolicy{Attempts: 3, Base: time.Millisecond, Max: time.Millisecond}
	return handoff.DeskDescription{
		Kind: "acme", Title: "Acme", Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Fields:  []handoff.CredentialField{{Name: "account", Label: "Account"}},
		Unknown: handoff.OutcomeIdempotent, CatchUp: 5 * time.Millisecond,
		Retry: map[handoff.DeliveryKind]handoff.RetryPolicy{handoff.DeliverOpen: retry},
	}
}

func (a *acme) Connect(s desk.Settings) (desk.Desk, error) {
	return &acmeDesk{acme: a, account: s.Fields["account"]}, nil
}

type acmeDesk struct {
	*acme
	account string
}

func (a *acmeDesk) Verify(context.Context) error { return nil }

func (a *acmeDesk) Open(_ context.Context, r desk.OpenRequest) (desk.Opened, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opens = append(a.opens, r)
	if a.open != nil {
		return a.open(len(a.opens), r)
	}
	a.sessions++
	return desk.Opened{Ref: cmp.Or(r.Begun, "s"+strconv.Itoa(a.sessions))}, nil
}

func (a *acmeDesk) Send(_ context.Context, r desk.SendRequest) (desk.Sent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sends = append(a.sends, r.Ref+" "+r.Text.Body)
	return desk.Sent{}, a.refused
}

func (a *acme) refuseSends(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = err
}

func (a *acmeDesk) Close(_ context.Context, r desk.CloseRequest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closes = append(a.closes, r.Ref)
	select {
	case a.looked <- struct{}{}:
	default:
	}
	return nil
}

func (a *acmeDesk) Receive(context.Context, desk.Inbound) ([]handoff.DeskEvent, error) {
	return nil, fault.New(fault.Unsupported, "lost")
}

func (a *acmeDesk) Missed(_ context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[a.account] = append(a.asked[a.account], since)
	select {
	case a.looked <- struct{}{}:
	default:
	}
	if a.account == a.down {
		return nil, fault.New(fault.DeskUnavailable, "it is down")
	}
	var list []handoff.DeskEvent
	for _, e := range a.told[ref] {
		if !e.At.Before(since) {
			list = append(list, e)
		}
	}
	return list, nil
}

// says makes something happen at the desk, of which we are not told.
func (a *acme) says(x *handoff.Handoff, kind handoff.DeskEventKind, id, text string) handoff.DeskEvent {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := handoff.DeskEvent{Kind: kind, Ref: x.DeskRef, ID: id, Text: text, OperatorName: "Olga", At: time.Now()}
	a.told[x.DeskRef] = append(a.told[x.DeskRef], e)
	return e
}

func (a *acme) looks(account string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked[account])
}

// looksAgain waits until an account was asked n times more.
func (a *acme) looksAgain(t *testing.T, account string, n int) {
	t.Helper()
	a.wait(t, fmt.Sprintf("asked %d times", n), func(from int) func() bool {
		return func() bool { return a.looks(account) >= from+n }
	}(a.looks(account)))
}

// wait waits for a condition that calls of the desk bring about.
func (a *acme) wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-a.looked:
		case <-time.After(50 * time.Millisecond): // a call between the look and the wait
		case <-end:
			t.Fatal("it did not happen: " + what)
		}
	}
}
