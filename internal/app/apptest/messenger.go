package apptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Messenger is a desk with a messenger of its own, inside the test. It serves all
// connections of its kind.
type Messenger struct {
	Kind    string
	Channel handoff.Channel
	// FindsSaid: it can be asked whether it has what was to be said.
	FindsSaid bool

	did journal[string]

	mu    sync.Mutex
	react func(ctx context.Context, what string, repeat bool) error
	said  map[string]bool // by the delivery's id
}

// React decides how the desk answers from now on: f is called with what it is asked
// to do, after it was done; nil = it always works.
func (m *Messenger) React(f func(ctx context.Context, what string, repeat bool) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.react = f
}

// Did is everything that the desk was made to do, in order: "SAY AGENT hello",
// "OPEN ref", "CLOSE ref WAIT_TIMEOUT".
func (m *Messenger) Did() []string { return m.did.all() }

// AwaitDid waits for something that the desk is made to do.
func (m *Messenger) AwaitDid(t testing.TB, what string) {
	t.Helper()
	m.did.find(t, what, func(did string) bool { return did == what })
}

func (m *Messenger) do(ctx context.Context, a desk.Attempt, what string) error {
	m.did.add(what)
	m.mu.Lock()
	react := m.react
	if m.said == nil {
		m.said = map[string]bool{}
	}
	m.said[a.DeliveryID] = true
	m.mu.Unlock()
	if react == nil {
		return nil
	}
	return react(ctx, what, a.Repeat)
}

// Describe implements [desk.Driver].
func (m *Messenger) Describe() handoff.DeskDescription {
	d := handoff.DeskDescription{
		Kind: m.Kind, Title: m.Kind, Modes: []handoff.Mode{handoff.ModeDeskToDesk}, Channel: m.Channel, EndsByDesk: true,
		Receive: []handoff.ReceiveAddress{{Label: "Events", Path: "/hooks/{token}"}},
		Unknown: handoff.OutcomeRepeatMarked,
		Retry:   map[handoff.DeliveryKind]handoff.RetryPolicy{handoff.DeliverSay: {Attempts: 3, Base: time.Millisecond, Max: time.Millisecond}},
	}
	if m.FindsSaid {
		d.Unknown = handoff.OutcomeReadBack
	}
	return d
}

// Connect implements [desk.Driver].
func (m *Messenger) Connect(desk.Settings) (desk.Desk, error) {
	if m.FindsSaid {
		return findingMessenger{connectedMessenger{m}}, nil
	}
	return connectedMessenger{m}, nil
}

type connectedMessenger struct{ m *Messenger }

func (d connectedMessenger) Verify(context.Context) error { return nil }

func (d connectedMessenger) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	return desk.Opened{Ref: r.ProposedRef}, d.m.do(ctx, r.Attempt, "OPEN "+r.ProposedRef)
}

func (d connectedMessenger) Send(context.Context, desk.SendRequest) (desk.Sent, error) {
	return desk.Sent{}, fault.New(fault.Unsupported, "the user writes in the messenger")
}

func (d connectedMessenger) Say(ctx context.Context, r desk.SayRequest) (desk.Sent, error) {
	return desk.Sent{}, d.m.do(ctx, r.Attempt, fmt.Sprintf("SAY %s %s", r.Author, r.Text.Body))
}

func (d connectedMessenger) Close(ctx context.Context, r desk.CloseRequest) error {
	return d.m.do(ctx, r.Attempt, fmt.Sprintf("CLOSE %s %s", r.Ref, r.Reason))
}

func (d connectedMessenger) Receive(_ context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	var e handoff.DeskEvent
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return nil, fault.New(fault.InvalidInput, "the body is not an event")
	}
	return []handoff.DeskEvent{e}, nil
}

type findingMessenger struct{ connectedMessenger }

func (d findingMessenger) FindSaid(_ context.Context, r desk.SayRequest) (desk.Sent, bool, error) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return desk.Sent{}, d.m.said[r.DeliveryID], nil
}

// WithMessenger connects the messenger and switches handoff on.
func (a *Agent) WithMessenger(m *Messenger) *Agent {
	a.t.Helper()
	a.Connect(m.Kind, nil)
	return a.Set(Vars{"enabled": true})
}

// Tells has the desk tell an event through its message receiving address.
func (a *Agent) Tells(e handoff.DeskEvent) {
	a.t.Helper()
	var read struct {
		DeskConnection struct{ ReceiveAddresses []struct{ URL string } }
	}
	a.Runtime.Do(`query($id: ID!) { deskConnection(id: $id) { receiveAddresses { url } } }`, Vars{"id": a.Connection.ID}, &read)
	_, path, found := strings.Cut(read.DeskConnection.ReceiveAddresses[0].URL, "/hooks/")
	require.True(a.t, found)
	body, err := json.Marshal(e)
	require.NoError(a.t, err)
	status, _, err := a.send(http.MethodPost, "/hooks/"+path, "", body)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, status)
}

// Awaiting is a subscription to the conversations that await an Agent.
type Awaiting struct {
	updates journal[AwaitingUpdate]
}

// AwaitingUpdate is one of its updates.
type AwaitingUpdate struct {
	Initial      bool
	Conversation struct {
		ID, Channel string
		AwaitsAgent bool
		Epoch       int64
		LastSeq     int64
	}
}

// Awaiting follows, until the test ends, what awaits the Agent.
func (a *Agent) Awaiting() *Awaiting {
	a.t.Helper()
	socket, err := a.subscribe(a.Key(), false, `subscription($a: ID!) { awaitingConversationUpdates(agentId: $a) {
		initial conversation { id channel awaitsAgent epoch lastSeq } } }`, Vars{"a": a.ID})
	require.NoError(a.t, err)
	a.t.Cleanup(socket.Close)
	w := &Awaiting{}
	go func() {
		w.updates.end(socket.follow(func(payload json.RawMessage) error {
			var next struct {
				Data struct{ AwaitingConversationUpdates AwaitingUpdate }
			}
			if err := json.Unmarshal(payload, &next); err != nil {
				return err
			}
			w.updates.add(next.Data.AwaitingConversationUpdates)
			return nil
		}))
	}()
	return w
}

// Await waits for an update under an epoch and up to a number of the log. The same
// may come several times.
func (w *Awaiting) Await(t testing.TB, epoch, lastSeq int64) AwaitingUpdate {
	t.Helper()
	return w.updates.find(t, "a conversation that awaits the agent", func(u AwaitingUpdate) bool {
		return u.Conversation.Epoch == epoch && u.Conversation.LastSeq >= lastSeq
	})
}

// InMessenger is the Conversation of an update, with its log watched.
func (a *Agent) InMessenger(conversationID string) *Conversation {
	a.t.Helper()
	c := &Conversation{Agent: a, ID: conversationID}
	c.UserToken = c.NewUserToken(3_600)
	c.User = a.As(a.t, c.UserToken)
	c.Stream = a.Subscribe(a.t, c.UserToken, c.ID, StreamOptions{})
	return c
}
