package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// bundle is a Service over fakes, with an Agent that may hand over to one desk and
// a Conversation on its widget.
type bundle struct {
	t        tester
	ctx      context.Context
	svc      *handoff.Service
	store    *fakeStore
	desks    *fakeDesks
	feed     *fakeFeed
	alarm    *fakeAlarm
	sealer   *fakeSealer
	counters *fakeCounters
	clock    *clock

	agent string
	desk  handoff.Connection
	conv  string // the Conversation that the helpers below act on
}

// start is a Monday in the middle of the day.
var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// setup connects the remote desk; nobody is asked for an e-mail address.
func setup(t tester) *bundle {
	t.Helper()
	return setupDesk(t, remoteDesk)
}

func setupDesk(t tester, kind string) *bundle {
	t.Helper()
	b := unconfigured(t)
	b.desk = b.connect(kind)
	b.settings(func(s *handoff.Settings) {
		s.Enabled = true
		s.EmailPolicy = handoff.EmailNever
	})
	if kind == messengerDesk {
		b.conv = b.converseInMessenger("ref-1")
	} else {
		b.conv = b.converse(handoff.ChannelWidget)
	}
	return b
}

// unconfigured has an Agent with default settings and no desk. When the test ends,
// the invariants of everything that happened are checked.
func unconfigured(t tester) *bundle {
	t.Helper()
	store := newFakeStore(t)
	b := &bundle{
		t: t, ctx: t.Context(), store: store, desks: &fakeDesks{}, alarm: &fakeAlarm{}, sealer: &fakeSealer{},
		feed:     &fakeFeed{store: store, news: make(chan struct{}), waiting: make(chan struct{}, 1)},
		counters: newFakeCounters(), clock: &clock{at: start},
	}
	b.svc = b.replica()
	agent, err := b.svc.CreateAgent(b.ctx, "Ada", "")
	require.NoError(t, err)
	b.agent = agent.ID
	t.Cleanup(func() { checkInvariants(t, store) })
	return b
}

// replica is one more Service over the same database, with memories of its own.
func (b *bundle) replica() *handoff.Service {
	return handoff.New(handoff.Dependencies{
		Store: b.store, Desks: b.desks, Feed: b.feed, Alarm: b.alarm, Sealer: b.sealer, Counters: b.counters,
		Log: slog.New(slog.NewTextHandler(logWriter{b.t}, nil)), Now: b.clock.now, DefaultTimeZone: "UTC",
	})
}

type logWriter struct{ t tester }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p[:len(p)-1]))
	return len(p), nil
}

// connect connects a desk and makes it the active one of its mode.
func (b *bundle) connect(kind string) handoff.Connection {
	b.t.Helper()
	in := handoff.Connect{AgentID: b.agent, Kind: kind, Active: true}
	if kind == remoteDesk {
		in.Fields = map[string]string{"url": "https://desk.example", "token": "s3cret"}
	}
	c, err := b.svc.Connect(b.ctx, in)
	require.NoError(b.t, err)
	return c
}

func (b *bundle) settings(change func(*handoff.Settings)) {
	b.t.Helper()
	_, err := b.svc.UpdateSettings(b.ctx, b.agent, func(s *handoff.Settings) error {
		change(s)
		return nil
	})
	require.NoError(b.t, err)
}

// converse starts a Conversation of an English-speaking User.
func (b *bundle) converse(channel handoff.Channel) string {
	b.t.Helper()
	c, err := b.svc.StartConversation(b.ctx, handoff.StartConversation{AgentID: b.agent, Channel: channel, Language: "en"})
	require.NoError(b.t, err)
	return c.ID
}

// converseInMessenger is a User's first message in a session of the messenger.
func (b *bundle) converseInMessenger(ref string) string {
	b.t.Helper()
	b.userWritesIn(ref, "Hello?", "")
	c, err := b.store.ConversationByRef(b.ctx, b.desk.ID, ref)
	require.NoError(b.t, err)
	return c.ID
}

func (b *bundle) userWritesIn(ref, text, eventID string) {
	b.t.Helper()
	require.NoError(b.t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{
		{Kind: handoff.DeskUserWrote, Ref: ref, ID: eventID, Text: text, Language: "en"},
	}))
}

// Use cases on b.conv that must succeed.

func (b *bundle) conversation() handoff.Conversation {
	b.t.Helper()
	c, err := b.svc.Conversation(b.ctx, b.conv)
	require.NoError(b.t, err)
	return c
}

func (b *bundle) request() handoff.RequestResult {
	b.t.Helper()
	r, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv})
	require.NoError(b.t, err)
	return r
}

func (b *bundle) userWrites(text string, files ...handoff.Attachment) handoff.Posted {
	b.t.Helper()
	p, err := b.svc.PostUserMessage(b.ctx, b.conv, handoff.Draft{Text: text, Attachments: files})
	require.NoError(b.t, err)
	return p
}

func (b *bundle) agentWrites(text string) (handoff.Posted, error) {
	return b.svc.PostAgentMessage(b.ctx, b.conv, b.conversation().Epoch, handoff.Draft{Text: text})
}

// newest is the newest Handoff of b.conv, open or not.
func (b *bundle) newest() handoff.Handoff {
	b.t.Helper()
	list, err := b.svc.Handoffs(b.ctx, handoff.HandoffFilter{ConversationID: b.conv}, handoff.Page{First: 1})
	require.NoError(b.t, err)
	require.Len(b.t, list.Items, 1, "no handoff was made")
	return list.Items[0]
}

func (b *bundle) requireState(state handoff.State, reason handoff.CloseReason) {
	b.t.Helper()
	h := b.newest()
	require.Equal(b.t, state, h.State)
	require.Equal(b.t, reason, h.Reason)
}

// deskSays sends events of the newest Handoff's session to the Service.
func (b *bundle) deskSays(events ...handoff.DeskEvent) error {
	b.t.Helper()
	h := b.newest()
	for i := range events {
		events[i].Ref = h.DeskRef
	}
	c, err := b.store.Connection(b.ctx, h.ConnectionID)
	if err != nil {
		c = handoff.Connection{ID: h.ConnectionID} // removed since
	}
	return b.svc.FromDesk(b.ctx, c, events)
}

func (b *bundle) operatorWrites(text string) {
	b.t.Helper()
	require.NoError(b.t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: text, OperatorName: "Olga"}))
}

func (b *bundle) operatorEnds() {
	b.t.Helper()
	require.NoError(b.t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskEnded}))
}

// The worker that delivers, by hand.

// take gives the delivery at the head of the newest Handoff's lane.
func (b *bundle) take(kind handoff.DeliveryKind) handoff.Delivery {
	b.t.Helper()
	d, ok, err := b.store.Head(b.ctx, b.lane(b.newest()))
	require.NoError(b.t, err)
	require.True(b.t, ok, "nothing is to be delivered")
	require.Equal(b.t, kind, d.Kind)
	return d
}

// lane is where what belongs to a Handoff of b.conv goes.
func (b *bundle) lane(h handoff.Handoff) string {
	b.t.Helper()
	if h.Mode == handoff.ModeDeskToDesk {
		return handoff.MessengerLane(h.ConversationID)
	}
	return handoff.LaneOf(h.ID)
}

// laneNow is lane for callers that hold the store's mutex.
func (b *bundle) laneNow(handoffID string) string {
	if i := b.store.indexOfHandoff(handoffID); i >= 0 {
		return b.lane(b.store.handoffs[i])
	}
	return handoff.LaneOf(handoffID)
}

func finishOf(d handoff.Delivery) handoff.FinishDelivery {
	return handoff.FinishDelivery{Lane: d.Lane, LaneSeq: d.LaneSeq, Owner: "worker"}
}

func finishDead(d handoff.Delivery) handoff.FinishDelivery {
	f := finishOf(d)
	f.Dead = &d
	return f
}

// deskAccepts delivers "open", after what comes before it in a messenger; the desk
// accepts under the proposed id.
func (b *bundle) deskAccepts() {
	b.t.Helper()
	for {
		d, ok, err := b.store.Head(b.ctx, b.lane(b.newest()))
		require.NoError(b.t, err)
		if !ok || d.Kind == handoff.DeliverOpen || b.newest().Mode == handoff.ModeExternalToDesk {
			break
		}
		b.deliver(d.Kind)
	}
	d := b.take(handoff.DeliverOpen)
	require.NoError(b.t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), ""))
}

// deliver brings the head of the lane to the desk.
func (b *bundle) deliver(kind handoff.DeliveryKind) handoff.Delivery {
	b.t.Helper()
	d := b.take(kind)
	_, _, err := b.store.FinishDelivery(b.ctx, finishOf(d), b.clock.now())
	require.NoError(b.t, err)
	return d
}

// undelivered lists what a Handoff's lane still has to deliver, as "OPEN" or "MESSAGE 7".
func (b *bundle) undelivered(handoffID string) []string {
	list := []string{}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	for _, d := range b.store.lane(b.laneNow(handoffID)).rows {
		switch {
		case d.Status == handoff.DeliveryDead:
		case d.Kind == handoff.DeliverMessage || d.Kind == handoff.DeliverSay:
			list = append(list, fmt.Sprintf("%s %d", d.Kind, d.EventSeq))
		default:
			list = append(list, string(d.Kind))
		}
	}
	return list
}

// fireDue fires every deadline that has come, as a worker would.
func (b *bundle) fireDue() {
	b.t.Helper()
	due, _, err := b.store.DueHandoffs(b.ctx, b.clock.now(), 100)
	require.NoError(b.t, err)
	for _, h := range due {
		require.NoError(b.t, b.svc.FireDeadline(b.ctx, h))
	}
}

// pass lets time pass and fires what has come.
func (b *bundle) pass(d time.Duration) {
	b.t.Helper()
	b.clock.advance(d)
	b.fireDue()
}

// reach brings a new Handoff of b.conv into a state by the ordinary way.
func (b *bundle) reach(state handoff.State) handoff.Handoff {
	b.t.Helper()
	switch state {
	case handoff.StateNone:
	case handoff.StateCollectingEmail:
		b.settings(func(s *handoff.Settings) { s.EmailPolicy = handoff.EmailAsk })
		b.request()
	case handoff.StateRequesting:
		b.request()
	case handoff.StateWaiting:
		b.reach(handoff.StateRequesting)
		b.deskAccepts()
	case handoff.StateWaitExpired:
		b.reach(handoff.StateWaiting)
		b.pass(handoff.DefaultWaitTimeout.Duration())
	case handoff.StateActive:
		b.reach(handoff.StateWaiting)
		b.operatorWrites("Hello, this is Olga.")
	case handoff.StateClosed:
		b.reach(handoff.StateActive)
		b.operatorEnds()
	}
	h := b.newest()
	require.Equal(b.t, state, h.State)
	return h
}

// log gives every event of b.conv.
func (b *bundle) log() []handoff.Event {
	b.t.Helper()
	events, err := b.store.Events(b.ctx, b.conv, 0, 1_000_000)
	require.NoError(b.t, err)
	return events
}

// told lists in short what the log says after a seq: "USER hi", "SYSTEM CONNECTED",
// "WAITING", "CLOSED USER_ENDED", "control AGENT 3", "failed 7".
func (b *bundle) told(after int64) []string {
	b.t.Helper()
	list := []string{}
	for _, e := range b.log() {
		if e.Seq > after {
			list = append(list, short(e))
		}
	}
	return list
}

func short(e handoff.Event) string {
	switch e.Kind {
	case handoff.EventMessage:
		if e.Author == handoff.AuthorSystem {
			return "SYSTEM " + string(e.Notice)
		}
		return string(e.Author) + " " + e.Text
	case handoff.EventHandoffChanged:
		if e.Reason != "" {
			return string(e.State) + " " + string(e.Reason)
		}
		return string(e.State)
	case handoff.EventControlChanged:
		return fmt.Sprintf("control %s %d", e.Control, e.Epoch)
	case handoff.EventDeliveryFailed:
		return fmt.Sprintf("failed %d", e.FailedSeq)
	}
	return string(e.Kind)
}

// lastSeq is where the log of b.conv ends.
func (b *bundle) lastSeq() int64 {
	b.t.Helper()
	return b.conversation().LastSeq
}

// requireFault checks the kind of a fault and gives it back.
func requireFault(t tester, err error, kind fault.Kind) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	require.True(t, errors.As(err, &f), "want %s, got %v", kind, err)
	require.Equal(t, kind, f.Kind, f.Error())
	return f
}

// requireInvalid checks that an input was refused and which field is named.
func requireInvalid(t tester, err error, field string) *fault.Fault {
	t.Helper()
	f := requireFault(t, err, fault.InvalidInput)
	require.Equal(t, field, f.Field, f.Public)
	require.NotEmpty(t, f.Public)
	return f
}

// requireNotAllowed checks that the state forbade it and is named.
func requireNotAllowed(t tester, err error, state handoff.State) {
	t.Helper()
	require.Equal(t, string(state), requireFault(t, err, fault.NotAllowedInState).State)
}
