package handoff_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"time"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// clock is a time that only moves when a test says so.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// The desks that the tests connect.
const (
	remoteDesk    = "remote"    // answers through its own system
	localDesk     = "local"     // its Operators read the log
	messengerDesk = "messenger" // the User is in its messenger
)

// fakeDesks are three desks, whose live checks answer what verify says.
type fakeDesks struct {
	mu        sync.Mutex
	verify    func(handoff.Connection) error // nil = everything works
	check     func(fields map[string]string) error
	verified  []string
	forgotten []string
	signals   []handoff.Signal
}

var descriptions = []handoff.DeskDescription{
	{
		Kind: remoteDesk, Title: "Remote desk", Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Fields: []handoff.CredentialField{
			{Name: "url", Label: "Address", Hint: "It begins with https://.", Required: true, Pattern: `^https://.+$`},
			{Name: "token", Label: "Token", Secret: true, Required: true},
			{Name: "password", Label: "Password", Secret: true},
			{Name: "region", Label: "Region", Options: []string{"eu", "us"}, Default: "eu"},
			{Name: "label", Label: "Label", MaxRunes: 5},
		},
		History: true, Notes: true, Typing: true, EndsByDesk: true,
	},
	{
		Kind: localDesk, Title: "Local desk", Modes: []handoff.Mode{handoff.ModeExternalToDesk}, ReadsLog: true,
	},
	{
		Kind: messengerDesk, Title: "Messenger", Modes: []handoff.Mode{handoff.ModeDeskToDesk}, Channel: handoff.ChannelIntercom,
	},
}

func (d *fakeDesks) Describe(kind string) (handoff.DeskDescription, bool) {
	i := slices.IndexFunc(descriptions, func(d handoff.DeskDescription) bool { return d.Kind == kind })
	if i < 0 {
		return handoff.DeskDescription{}, false
	}
	return descriptions[i], true
}

func (d *fakeDesks) Descriptions() []handoff.DeskDescription { return descriptions }

func (d *fakeDesks) Check(_ string, _ handoff.Mode, fields map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.check == nil {
		return nil
	}
	return d.check(fields)
}

func (d *fakeDesks) Verify(_ context.Context, c handoff.Connection) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.verified = append(d.verified, c.ID)
	if d.verify == nil {
		return nil
	}
	return d.verify(c)
}

func (d *fakeDesks) Signal(_ context.Context, _ handoff.Connection, _ handoff.Handoff, s handoff.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signals = append(d.signals, s)
}

func (d *fakeDesks) Forget(connectionID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgotten = append(d.forgotten, connectionID)
}

// fail makes every live check answer with f; nil = it works again.
func (d *fakeDesks) fail(f *fault.Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.verify = nil
	if f != nil {
		d.verify = func(handoff.Connection) error { return f }
	}
}

// fakeFeed records what subscribers are told; Follow reads the store like the real one.
type fakeFeed struct {
	store *fakeStore

	mu       sync.Mutex
	events   []handoff.Event
	handoffs []handoff.Handoff
	awaiting []handoff.Conversation
	signals  []handoff.Signal
	news     chan struct{} // closed when something was committed
	waiting  chan struct{} // gets a value when a follower has read everything
}

func (f *fakeFeed) Committed(_, _ string, events []handoff.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
	close(f.news)
	f.news = make(chan struct{})
}

func (f *fakeFeed) HandoffChanged(h handoff.Handoff) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handoffs = append(f.handoffs, h)
}

func (f *fakeFeed) ConversationAwaits(c handoff.Conversation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.awaiting = append(f.awaiting, c)
}

func (f *fakeFeed) Signalled(s handoff.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signals = append(f.signals, s)
}

func (f *fakeFeed) Follow(ctx context.Context, conversationID string, after int64, handle func(handoff.Event) bool) error {
	for {
		f.mu.Lock()
		news := f.news
		f.mu.Unlock()
		events, err := f.store.Events(ctx, conversationID, after, 100)
		if err != nil {
			return err
		}
		for _, e := range events {
			if !handle(e) {
				return nil
			}
			after = e.Seq
		}
		select {
		case f.waiting <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// seen gives the changes of a Handoff that consoles were told.
func (f *fakeFeed) seen(handoffID string) []handoff.Handoff {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []handoff.Handoff
	for _, h := range f.handoffs {
		if h.ID == handoffID {
			list = append(list, h)
		}
	}
	return list
}

// fakeAlarm records who was woken for what.
type fakeAlarm struct {
	mu        sync.Mutex
	rung      int // calls of Deliver
	lanes     []string
	deadlines []time.Time
}

// Reserve has nobody: what is queued waits for a claim.
func (a *fakeAlarm) Reserve() (handoff.Lease, bool) { return handoff.Lease{}, false }

func (a *fakeAlarm) Start(handoff.Lease, handoff.Delivery) { panic("nobody was reserved") }

func (a *fakeAlarm) Dismiss() { panic("nobody was reserved") }

func (a *fakeAlarm) Deliver(lanes ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung++
	a.lanes = append(a.lanes, lanes...)
}

func (a *fakeAlarm) DeadlineAt(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deadlines = append(a.deadlines, at)
}

func (a *fakeAlarm) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung, a.lanes, a.deadlines = 0, nil, nil
}

// fakeSealer binds a secret to its owner without hiding it.
type fakeSealer struct{ lost bool }

func (s *fakeSealer) Seal(aad string, plain []byte) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(aad + "|" + string(plain))), nil
}

func (s *fakeSealer) Open(aad, sealed string) ([]byte, error) {
	text, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	owner, plain, _ := bytes.Cut(text, []byte("|"))
	if s.lost || string(owner) != aad {
		return nil, errors.New("sealed with another key")
	}
	return plain, nil
}

// fakeCounters counts by what is counted.
type fakeCounters struct {
	mu        sync.Mutex
	requested map[handoff.Outcome]int
	closed    map[handoff.CloseReason]int
	accepted  map[handoff.Author]int
}

func newFakeCounters() *fakeCounters {
	return &fakeCounters{
		requested: map[handoff.Outcome]int{}, closed: map[handoff.CloseReason]int{}, accepted: map[handoff.Author]int{},
	}
}

func (c *fakeCounters) HandoffRequested(_ string, outcome handoff.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requested[outcome]++
}

func (c *fakeCounters) HandoffClosed(_ string, reason handoff.CloseReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed[reason]++
}

func (c *fakeCounters) MessageAccepted(author handoff.Author) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted[author]++
}
