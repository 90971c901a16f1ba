// Package storetest is the contract of [handoff.Store] in executable form. Every
// database passes the same suite.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Open gives an empty store, which it closes when the test ends.
type Open func(t testing.TB) handoff.Store

// Run runs the suite, or only the named groups of it.
func Run(t *testing.T, open Open, only ...string) {
	t.Helper()
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, *world)
	}{
		{"Agents", agentTests},
		{"Keys", keyTests},
		{"Connections", connectionTests},
		{"Conversations", conversationTests},
		{"Messenger", messengerTests},
		{"Change", changeTests},
		{"Handoffs", handoffTests},
		{"Lanes", laneTests},
		{"Deliveries", deliveryTests},
		{"DeskMemory", deskMemoryTests},
		{"Checks", checkTests},
	} {
		if len(only) > 0 && !slices.Contains(only, group.name) {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, &world{Store: open(t), t: t, ctx: t.Context()})
				})
			}
		})
	}
}

// world is one store with shorthands to fill it.
type world struct {
	handoff.Store
	t   *testing.T
	ctx context.Context
}

// start is the beginning of the world, with more digits than a database keeps.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("far", 9*3600))

// after is a time as it is read back.
func after(d time.Duration) time.Time { return start.Add(d).UTC().Truncate(time.Microsecond) }

func equal(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func requireFault(t *testing.T, err error, kind fault.Kind, field string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, fault.KindOf(err), "%v", err)
	require.Equal(t, field, fault.As(err).Field, "%v", err)
}

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { fn(i) })
	}
	group.Wait()
}

var counter atomic.Int64

// unique makes a short text that no other call gets.
func unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, counter.Add(1)) }

func (w *world) agent() handoff.Agent {
	w.t.Helper()
	a, err := w.CreateAgent(w.ctx, handoff.Agent{
		ID: handoff.NewID(handoff.AgentPrefix), Name: "Agent", Settings: handoff.DefaultSettings("UTC"), CreatedAt: start, UpdatedAt: start,
	}, nil)
	require.NoError(w.t, err)
	return a
}

func newConnection(agentID string) handoff.Connection {
	return handoff.Connection{
		ID: handoff.NewID(handoff.ConnectionPrefix), AgentID: agentID, Kind: "webhook", Mode: handoff.ModeExternalToDesk, Name: "Desk",
		Fields: map[string]string{"url": "https://desk.example"}, Sealed: "sealed", SetSecrets: []string{"password"},
		ReceiveToken: unique("token"), Status: handoff.StatusAvailable, CreatedAt: start, UpdatedAt: start,
	}
}

func (w *world) connection(agentID string) handoff.Connection {
	w.t.Helper()
	c, err := w.CreateConnection(w.ctx, newConnection(agentID), nil)
	require.NoError(w.t, err)
	return c
}

func newConversation(agentID string) handoff.Conversation {
	return handoff.Conversation{
		ID: handoff.NewID(handoff.ConversationPrefix), AgentID: agentID, Channel: handoff.ChannelWidget,
		User:    handoff.User{ID: "u1", AnonymousID: "a1", Name: "Ann", Email: "ann@example.com", Phone: "+1"},
		Control: handoff.ControlAgent, Epoch: 1, Language: "en", CreatedAt: start, UpdatedAt: start,
	}
}

func (w *world) conversation(agentID string) handoff.Conversation {
	w.t.Helper()
	c, err := w.CreateConversation(w.ctx, newConversation(agentID), nil)
	require.NoError(w.t, err)
	return c
}

// change commits what fn returns and demands success.
func (w *world) change(conversationID string, fn func(handoff.Snapshot) *handoff.Change) handoff.Committed {
	w.t.Helper()
	done, err := w.Change(w.ctx, conversationID, "", func(s handoff.Snapshot) (*handoff.Change, error) { return fn(s), nil })
	require.NoError(w.t, err)
	return done
}

func message(text string) handoff.Event {
	return handoff.Event{Kind: handoff.EventMessage, Author: handoff.AuthorUser, Text: text, At: start}
}

func say(texts ...string) func(handoff.Snapshot) *handoff.Change {
	return func(handoff.Snapshot) *handoff.Change {
		c := &handoff.Change{}
		for _, text := range texts {
			c.Events = append(c.Events, message(text))
		}
		return c
	}
}

// opening is the change that opens a Handoff.
func opening(s handoff.Snapshot, connectionID string) *handoff.Change {
	c := s.Conversation
	h := handoff.Handoff{
		ID: handoff.NewID(handoff.HandoffPrefix), ConversationID: c.ID, AgentID: c.AgentID, ConnectionID: connectionID,
		DeskKind: "webhook", Mode: handoff.ModeExternalToDesk, State: handoff.StateWaiting, DeskRef: unique("ref"),
		Email: "ann@example.com", Note: "note", Summary: "summary", RequestSeq: c.LastSeq, ContextRounds: 5,
		EmailPolicy: handoff.EmailAsk, WaitTimeout: 60, SessionTimeout: 180, AskToWait: true, Language: "en",
		RequestedAt: start, UpdatedAt: start,
	}
	c.Control, c.OpenHandoffID = handoff.ControlHandoff, h.ID
	c.Epoch++
	return &handoff.Change{Conversation: &c, Handoff: &h, NewHandoff: true}
}

// open opens a Handoff, changed by edit if given.
func (w *world) open(conversationID, connectionID string, edit ...func(*handoff.Handoff)) handoff.Handoff {
	w.t.Helper()
	done := w.change(conversationID, func(s handoff.Snapshot) *handoff.Change {
		c := opening(s, connectionID)
		for _, fn := range edit {
			fn(c.Handoff)
		}
		return c
	})
	return *done.Handoff
}

// closing is the change that closes the open Handoff.
func closing(s handoff.Snapshot, at time.Time, reason handoff.CloseReason) *handoff.Change {
	c, h := s.Conversation, *s.Handoff
	c.Control, c.OpenHandoffID = handoff.ControlAgent, ""
	c.Epoch++
	h.State, h.Reason, h.ClosedAt, h.EndSeq = handoff.StateClosed, reason, at, c.LastSeq
	h.DeadlineKind, h.DeadlineAt = handoff.DeadlineNone, time.Time{}
	return &handoff.Change{Conversation: &c, Handoff: &h}
}

func (w *world) close(conversationID string, reason handoff.CloseReason) handoff.Handoff {
	w.t.Helper()
	done := w.change(conversationID, func(s handoff.Snapshot) *handoff.Change { return closing(s, start, reason) })
	return *done.Handoff
}

// session is a Conversation with an open Handoff, ready for deliveries.
type session struct {
	agent        handoff.Agent
	connection   handoff.Connection
	conversation handoff.Conversation
	handoff      handoff.Handoff
	lane         string
}

func (w *world) session() session {
	w.t.Helper()
	s := session{agent: w.agent()}
	s.connection = w.connection(s.agent.ID)
	return w.another(s)
}

// another is one more session of the same Agent and connection.
func (w *world) another(s session) session {
	w.t.Helper()
	s.conversation = w.conversation(s.agent.ID)
	s.handoff = w.open(s.conversation.ID, s.connection.ID)
	s.lane = handoff.LaneOf(s.handoff.ID)
	return s
}

func (s *session) drop() *handoff.Drop { return &handoff.Drop{Lane: s.lane, HandoffID: s.handoff.ID} }

func (s *session) delivery(at time.Time) handoff.QueuedDelivery {
	return handoff.QueuedDelivery{EventIndex: -1, Delivery: handoff.Delivery{
		ID: handoff.NewID(handoff.DeliveryPrefix), Lane: s.lane, AgentID: s.agent.ID, ConnectionID: s.connection.ID,
		ConversationID: s.conversation.ID, HandoffID: s.handoff.ID, Kind: handoff.DeliverMessage,
		Status: handoff.DeliveryPending, CreatedAt: at,
	}}
}

// queue queues n deliveries and gives their ids.
func (w *world) queue(s session, n int) []string {
	w.t.Helper()
	var ids []string
	w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
		c := &handoff.Change{}
		ids = nil
		for range n {
			d := s.delivery(start)
			ids = append(ids, d.ID)
			c.Deliveries = append(c.Deliveries, d)
		}
		return c
	})
	return ids
}

// claim leases the one lane that is ready at the time.
func (w *world) claim(now time.Time) handoff.Lease {
	w.t.Helper()
	leases, err := w.ClaimLanes(w.ctx, unique("owner"), now, now.Add(30*time.Second), 10)
	require.NoError(w.t, err)
	require.Len(w.t, leases, 1)
	return leases[0]
}

func (w *world) head(lane string) handoff.Delivery {
	w.t.Helper()
	d, ok, err := w.Head(w.ctx, lane)
	require.NoError(w.t, err)
	require.True(w.t, ok, "the lane is empty")
	return d
}

// finish ends the head of a leased lane.
func (w *world) finish(l handoff.Lease) (next handoff.Delivery, more bool) {
	w.t.Helper()
	next, more, err := w.FinishDelivery(w.ctx, finishOf(l, w.head(l.Lane)), start)
	require.NoError(w.t, err)
	return next, more
}

func finishOf(l handoff.Lease, d handoff.Delivery) handoff.FinishDelivery {
	return handoff.FinishDelivery{Lane: d.Lane, LaneSeq: d.LaneSeq, Owner: l.Owner}
}

// bury ends the head of a leased lane as dead.
func (w *world) bury(l handoff.Lease) handoff.Delivery {
	w.t.Helper()
	d := w.head(l.Lane)
	f := finishOf(l, d)
	dead := d
	dead.Attempts, dead.LastError, dead.LastErrorKind, dead.LastErrorAt = 8, "the desk says no", fault.DeskRejected, start
	f.Dead = &dead
	_, _, err := w.FinishDelivery(w.ctx, f, start)
	require.NoError(w.t, err)
	return d
}

// noLane demands that nothing is ready at the time.
func (w *world) noLane(now time.Time) {
	w.t.Helper()
	leases, err := w.ClaimLanes(w.ctx, unique("owner"), now, now.Add(time.Second), 10)
	require.NoError(w.t, err)
	require.Empty(w.t, leases)
}

// pages reads a whole list in pages of two and checks its cursors on the way.
func pages[T any](w *world, read func(handoff.Page) (handoff.List[T], error)) []T {
	w.t.Helper()
	var all []T
	p := handoff.Page{First: 2}
	for {
		list, err := read(p)
		require.NoError(w.t, err)
		require.LessOrEqual(w.t, len(list.Items), 2)
		require.Len(w.t, list.Cursors, len(list.Items))
		all = append(all, list.Items...)
		if !list.HasNext {
			break
		}
		p.After = list.Cursors[len(list.Cursors)-1]
	}
	for _, first := range []int{0, -1, handoff.MaxPageSize + 1} {
		_, err := read(handoff.Page{First: first})
		requireFault(w.t, err, fault.InvalidInput, "first")
	}
	for _, cursor := range []string{"x", "####", "YQ", "YQ==", "YSBiIGM", string(make([]byte, 500)), "bm90aGluZyAwIGlk"} {
		_, err := read(handoff.Page{First: 1, After: cursor})
		requireFault(w.t, err, fault.InvalidInput, "after")
	}
	return all
}

func idsOf[T any](list []T, id func(T) string) []string {
	ids := make([]string, len(list))
	for i, item := range list {
		ids[i] = id(item)
	}
	return ids
}

// badTexts cannot be stored by both databases.
var badTexts = []string{"nul\x00", "broken \xff utf-8"}

// hardText must survive.
const hardText = "𝄞 héllo 你好 👩‍👩‍👧 \u202e\u0301 \t\r\n \\u0000 '\" $1 ? %s \x7f"
