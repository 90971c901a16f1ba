package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// fakeLog is a database in memory.
type fakeLog struct {
	mu       sync.Mutex
	trouble  trouble
	after    func(call string)
	logs     map[string][]handoff.Event
	handoffs map[string]handoff.Handoff
	dialogs  map[string]handoff.Conversation
	calls    map[string]int
	reading  int
	mostBusy int // the most reads that were under way at once
}

// trouble is asked before every read, with no mutex held. It may wait, and it may
// fail the read. ctx is the read's.
type trouble func(ctx context.Context, call string) error

// troubled sets the trouble from now on; nil = none.
func (l *fakeLog) troubled(f trouble) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = f
}

// then sets what is done from now on between reading and giving what was read,
// with no mutex held.
func (l *fakeLog) then(f func(call string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = f
}

func newFakeLog() *fakeLog {
	return &fakeLog{
		logs:     make(map[string][]handoff.Event),
		handoffs: make(map[string]handoff.Handoff),
		dialogs:  make(map[string]handoff.Conversation),
		calls:    make(map[string]int),
	}
}

func (l *fakeLog) begin(ctx context.Context, call string) (end func(), err error) {
	l.mu.Lock()
	l.calls[call]++
	l.reading++
	l.mostBusy = max(l.mostBusy, l.reading)
	ask := l.trouble
	l.mu.Unlock()
	if ask != nil {
		err = ask(ctx, call)
	}
	if err == nil {
		err = ctx.Err()
	}
	l.mu.Lock()
	l.reading--
	after := l.after
	return func() {
		l.mu.Unlock()
		if after != nil {
			after(call)
		}
	}, err
}

func (l *fakeLog) Events(ctx context.Context, id string, after int64, limit int) ([]handoff.Event, error) {
	end, err := l.begin(ctx, "Events")
	defer end()
	if err != nil {
		return nil, err
	}
	list := l.logs[id]
	from := min(int(after), len(list))
	return slices.Clone(list[from:min(from+limit, len(list))]), nil
}

func (l *fakeLog) LastSeqs(ctx context.Context, ids []string) (map[string]int64, error) {
	end, err := l.begin(ctx, "LastSeqs")
	defer end()
	if err != nil {
		return nil, err
	}
	seqs := make(map[string]int64)
	for _, id := range ids {
		if n := len(l.logs[id]); n > 0 {
			seqs[id] = int64(n)
		}
	}
	return seqs, nil
}

func (l *fakeLog) Handoff(ctx context.Context, id string) (handoff.Handoff, error) {
	end, err := l.begin(ctx, "Handoff")
	defer end()
	if err != nil {
		return handoff.Handoff{}, err
	}
	if h, ok := l.handoffs[id]; ok {
		return h, nil
	}
	return handoff.Handoff{}, fault.Missing("handoff")
}

func (l *fakeLog) Handoffs(ctx context.Context, f handoff.HandoffFilter, p handoff.Page) (handoff.List[handoff.Handoff], error) {
	end, err := l.begin(ctx, "Handoffs")
	defer end()
	var list handoff.List[handoff.Handoff]
	if err != nil {
		return list, err
	}
	var all []handoff.Handoff
	for _, h := range l.handoffs {
		if h.AgentID == f.AgentID && slices.Contains(f.States, h.State) && (p.After == "" || h.ID < p.After) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b handoff.Handoff) int { return cmp.Compare(b.ID, a.ID) })
	list.HasNext = len(all) > p.First
	list.Items = all[:min(len(all), p.First)]
	for _, h := range list.Items {
		list.Cursors = append(list.Cursors, h.ID)
	}
	return list, nil
}

func (l *fakeLog) Conversation(ctx context.Context, id string) (handoff.Conversation, error) {
	end, err := l.begin(ctx, "Conversation")
	defer end()
	if err != nil {
		return handoff.Conversation{}, err
	}
	return l.dialogs[id], nil
}

func (l *fakeLog) Conversations(ctx context.Context, f handoff.ConversationFilter, p handoff.Page) (handoff.List[handoff.Conversation], error) {
	end, err := l.begin(ctx, "Conversations")
	defer end()
	var list handoff.List[handoff.Conversation]
	if err != nil {
		return list, err
	}
	for _, c := range l.dialogs {
		if f.AwaitsAgent && c.AwaitsAgent() && c.AgentID == f.AgentID && c.ID > p.After {
			list.Items = append(list.Items, c)
		}
	}
	slices.SortFunc(list.Items, func(a, b handoff.Conversation) int { return cmp.Compare(a.ID, b.ID) })
	list.HasNext = len(list.Items) > p.First
	list.Items = list.Items[:min(len(list.Items), p.First)]
	for _, c := range list.Items {
		list.Cursors = append(list.Cursors, c.ID)
	}
	return list, nil
}

func (l *fakeLog) AwaitingConversations(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Conversation, error) {
	end, err := l.begin(ctx, "AwaitingConversations")
	defer end()
	if err != nil {
		return nil, err
	}
	order := func(a handoff.Conversation, at time.Time, id string) int {
		return cmp.Or(a.UpdatedAt.Compare(at), cmp.Compare(a.ID, id))
	}
	var list []handoff.Conversation
	for _, c := range l.dialogs {
		if c.AwaitsAgent() && slices.Contains(agentIDs, c.AgentID) && order(c, since, afterID) > 0 {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b handoff.Conversation) int { return order(a, b.UpdatedAt, b.ID) })
	return list[:min(len(list), limit)], nil
}

// turnTo writes the next version of a Conversation, whose User awaits the Agent or
// does not, and gives it.
func (l *fakeLog) turnTo(id string, awaits bool) handoff.Conversation {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.dialogs[id]
	c.ID, c.AgentID, c.Control, c.UpdatedAt, c.UnansweredSince = id, "agent", handoff.ControlAgent, time.Now(), time.Time{}
	if awaits {
		c.UnansweredSince = c.UpdatedAt
	}
	c.Version++
	l.dialogs[id] = c
	return c
}

// sharedLog is a fakeLog of a database that other replicas write to, too.
type sharedLog struct{ *fakeLog }

func (l sharedLog) HandoffsChangedSince(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Handoff, error) {
	end, err := l.begin(ctx, "HandoffsChangedSince")
	defer end()
	if err != nil {
		return nil, err
	}
	order := func(a handoff.Handoff, at time.Time, id string) int {
		return cmp.Or(a.UpdatedAt.Compare(at), cmp.Compare(a.ID, id))
	}
	var list []handoff.Handoff
	for _, h := range l.handoffs {
		if slices.Contains(agentIDs, h.AgentID) && order(h, since, afterID) > 0 {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b handoff.Handoff) int { return order(a, b.UpdatedAt, b.ID) })
	return list[:min(len(list), limit)], nil
}

// commit appends events to a log and gives them as committed.
func (l *fakeLog) commit(id string, n int) []handoff.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		seq := int64(len(l.logs[id]) + 1)
		l.logs[id] = append(l.logs[id], handoff.Event{
			ConversationID: id, Seq: seq, Kind: handoff.EventMessage, At: time.Now(),
			Author: handoff.AuthorUser, Text: strconv.FormatInt(seq, 10),
		})
	}
	return slices.Clone(l.logs[id][len(l.logs[id])-n:])
}

// save writes the next version of a Handoff and gives it.
func (l *fakeLog) save(id string, state handoff.State) handoff.Handoff {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.handoffs[id]
	h.ID, h.AgentID, h.State, h.UpdatedAt = id, "agent", state, time.Now()
	h.Version++
	l.handoffs[id] = h
	return h
}

func (l *fakeLog) count(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[call]
}

// newHub starts a hub that ends with the test.
func newHub(t testing.TB, o Options) *Hub {
	t.Helper()
	o.Now = time.Now
	if o.PollInterval == 0 {
		o.PollInterval = 24 * time.Hour // no test wants to be saved by the poll by chance
	}
	h := New(o)
	t.Cleanup(func() { require.NoError(t, h.Stop(context.Background())) })
	return h
}

// ending records how a subscription ended. Read it after the channel was closed.
type ending struct{ reasons []error }

func (e *ending) set(reason error) { e.reasons = append(e.reasons, reason) }

// resync asserts that the subscriber was told once to subscribe again.
func (e *ending) resync(t *testing.T) {
	t.Helper()
	require.Len(t, e.reasons, 1)
	require.True(t, fault.Is(e.reasons[0], Resync), "%v", e.reasons[0])
}

// asIs is an output that passes every update.
func asIs[U any](e *ending) Output[U, U] {
	o := Output[U, U]{Convert: func(u U) (U, bool) { return u, true }}
	if e != nil {
		o.Ended = e.set
	}
	return o
}

func subscribe(t testing.TB, ctx context.Context, h *Hub, after int64, e *ending) <-chan Update {
	t.Helper()
	updates, err := SubscribeConversation(ctx, h, "conv", after, asIs[Update](e))
	require.NoError(t, err)
	return updates
}

// receive waits for an update, but not for ever: in a bubble the hub's poll would
// keep the clock going.
func receive[T any](t testing.TB, updates <-chan T) (u T, ok bool) {
	t.Helper()
	timer := time.NewTimer(3 * time.Minute)
	defer timer.Stop()
	select {
	case u, ok = <-updates:
	case <-timer.C:
		require.Fail(t, "nothing came")
	}
	return u, ok
}

// wantSeqs receives events and asserts that they are from … to, without a gap.
func wantSeqs(t testing.TB, updates <-chan Update, from, to int64) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		u, ok := receive(t, updates)
		require.True(t, ok, "closed before event %d", seq)
		require.NotNil(t, u.Event, "a signal before event %d", seq)
		require.Equal(t, seq, u.Event.Seq)
		require.Equal(t, strconv.FormatInt(seq, 10), u.Event.Text)
	}
}

// signal receives a signal.
func signal(t testing.TB, updates <-chan Update) *handoff.Signal {
	t.Helper()
	u, ok := receive(t, updates)
	require.True(t, ok)
	require.NotNil(t, u.Signal)
	return u.Signal
}

// wantNothing asserts that nothing is there to be received.
func wantNothing[T any](t testing.TB, updates <-chan T) {
	t.Helper()
	select {
	case u, ok := <-updates:
		require.Fail(t, "unexpected", "%+v open=%v", u, ok)
	default:
	}
}

func wantClosed[T any](t testing.TB, updates <-chan T) {
	t.Helper()
	u, ok := receive(t, updates)
	require.False(t, ok, "unexpected %+v", u)
}

// line shows an update of a console in short.
func line(u *HandoffUpdate) string {
	switch {
	case u.InitialDone:
		return "done"
	case u.Initial:
		return fmt.Sprintf("initial %s %d", u.Item.ID, u.Item.Version)
	}
	return fmt.Sprintf("%s %d", u.Item.ID, u.Item.Version)
}

// next receives one update.
func next(t testing.TB, updates <-chan *HandoffUpdate) string {
	t.Helper()
	return lines(t, updates, 1)[0]
}

// lines receives n updates.
func lines(t testing.TB, updates <-chan *HandoffUpdate, n int) []string {
	t.Helper()
	var got []string
	for range n {
		u, ok := receive(t, updates)
		require.True(t, ok, "closed after %v", got)
		got = append(got, line(u))
	}
	return got
}
