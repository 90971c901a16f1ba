package stream

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"handoff/internal/handoff"
)

// LogReader is what the hub reads from the database. The store satisfies it.
type LogReader interface {
	// Events reads the log of a Conversation in order: seq > after, at most limit.
	Events(ctx context.Context, conversationID string, after int64, limit int) ([]handoff.Event, error)
	// LastSeqs gives the newest seq of each Conversation that exists.
	LastSeqs(ctx context.Context, conversationIDs []string) (map[string]int64, error)
	// Handoff reads one Handoff.
	Handoff(ctx context.Context, id string) (handoff.Handoff, error)
	// Handoffs lists Handoffs page by page.
	Handoffs(ctx context.Context, f handoff.HandoffFilter, p handoff.Page) (handoff.List[handoff.Handoff], error)
	// Conversation reads one Conversation.
	Conversation(ctx context.Context, id string) (handoff.Conversation, error)
	// Conversations lists Conversations page by page.
	Conversations(ctx context.Context, f handoff.ConversationFilter, p handoff.Page) (handoff.List[handoff.Conversation], error)
	// AwaitingConversations lists the Conversations that await these Agents in a desk's
	// messenger, with (UpdatedAt, ID) > (since, afterID), in that order, at most limit.
	AwaitingConversations(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Conversation, error)
}

// ChangedHandoffs is what a [LogReader] offers besides where other replicas
// write to the same database. Without it a console learns of their changes from
// the [Bus] alone.
type ChangedHandoffs interface {
	// HandoffsChangedSince lists the Handoffs of these Agents, open and closed, with
	// (UpdatedAt, ID) > (since, afterID), in that order, at most limit. It may leave out
	// those that ended long before since.
	HandoffsChangedSince(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Handoff, error)
}

// Options configures a [Hub]. Log and Now are required.
type Options struct {
	Log LogReader
	Now func() time.Time
	// Logger gets trouble with the log; nil = silence.
	Logger *slog.Logger
	// Bus carries hints between replicas; nil = this process is alone.
	Bus Bus
	// PollInterval is how often the hub looks for what no hint told it: the longest
	// that a lost hint can delay. 0 = 1 s, right where other replicas write. Where
	// this process is the only writer, no hint gets lost and 10 s will do. A poll is
	// one query per 500 watched Conversations.
	PollInterval time.Duration
	// Buffer is how many updates a reader may be behind before the hub turns to the
	// log for it; 0 = 16. Every subscription pays for it, idle or not.
	Buffer  int
	Metrics Metrics
}

// Metrics are called by the hub as things happen, from any goroutine. They must
// not wait. Each may be nil.
type Metrics struct {
	// Subscriptions adds to the number of open subscriptions.
	Subscriptions func(kind Kind, delta int)
	// Replayed counts readers that were served from the log.
	Replayed func(cause Cause)
	// Relayed is told, once per event with live subscribers, how long after
	// [handoff.Event.At] it was handed to them.
	Relayed func(time.Duration)
}

// Kind says what a subscription watches.
type Kind string

// The kinds of subscriptions.
const (
	KindConversation Kind = "conversation"
	KindHandoffs     Kind = "handoffs"
	KindAwaiting     Kind = "awaiting"
)

// Cause says why the log was read for a Conversation's subscribers.
type Cause string

// The causes of a replay.
const (
	CauseSubscribed Cause = "subscribed" // a subscription began
	CauseSlow       Cause = "slow"       // one reader's buffer was full
	CauseGap        Cause = "gap"        // a hint was lost, late, or came without the event
)

const (
	defaultPollInterval = time.Second
	defaultBuffer       = 16

	// maxReads is how many reads of the database the hub has under way at most. It
	// leaves most of a usual connection pool to those who write.
	maxReads = 16
)

// Hub hands what was committed to subscribers. It implements [handoff.Feed].
// It is safe for concurrent use.
type Hub struct {
	log      LogReader
	now      func() time.Time
	logger   *slog.Logger
	bus      Bus
	interval time.Duration
	buffer   int
	metrics  Metrics

	topics   registry[topic] // by Conversation
	handoffs list[handoff.Handoff]
	awaiting list[handoff.Conversation]

	reads chan struct{} // holds one token per read of the database under way

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	leave  func() // the bus

	mu      sync.Mutex // guards stopped, and running.Add against running.Wait
	stopped bool
	running sync.WaitGroup
}

var _ handoff.Feed = (*Hub)(nil)

// New starts a hub. [Hub.Stop] ends it.
func New(o Options) *Hub {
	h := &Hub{
		log:      o.Log,
		now:      o.Now,
		logger:   o.Logger,
		bus:      o.Bus,
		interval: cmp.Or(o.PollInterval, defaultPollInterval),
		buffer:   cmp.Or(o.Buffer, defaultBuffer),
		metrics:  o.Metrics.orNothing(),
		reads:    make(chan struct{}, maxReads),
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.bus == nil {
		h.bus = noBus{}
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.topics.init()
	h.listHandoffs()
	h.listAwaiting()
	h.leave = h.bus.Subscribe(h.hinted)
	h.running.Go(h.poll)
	return h
}

func (m Metrics) orNothing() Metrics {
	if m.Subscriptions == nil {
		m.Subscriptions = func(Kind, int) {}
	}
	if m.Replayed == nil {
		m.Replayed = func(Cause) {}
	}
	if m.Relayed == nil {
		m.Relayed = func(time.Duration) {}
	}
	return m
}

// Stop ends every subscription with a [Resync] fault and waits until the hub's
// goroutines have ended, or ctx has: then it gives ctx's error. Hints that come
// later are ignored, new subscriptions refused. Stopping twice is fine.
func (h *Hub) Stop(ctx context.Context) error {
	h.mu.Lock()
	first := !h.stopped
	h.stopped = true
	h.mu.Unlock()
	if first {
		// Whoever is served by a goroutine is ended by it, because this context ends.
		// It must end first: a subscriber that turns live later sees it under the
		// mutex of its topic, one that turned live before is found here.
		h.cancel()
		h.leave()
		h.topics.each(func(t *topic) { t.end(errStopping) })
		h.handoffs.boards.each(func(b *board[handoff.Handoff]) { b.end(errStopping) })
		h.awaiting.boards.each(func(b *board[handoff.Conversation]) { b.end(errStopping) })
	}
	ended := make(chan struct{})
	go func() {
		h.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter counts the caller among those whom Stop waits for, until it calls
// running.Done; false = the hub is stopping.
func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return false
	}
	h.running.Add(1)
	return true
}

// spawn runs f in a goroutine that Stop waits for; false = the hub is stopping.
func (h *Hub) spawn(f func()) bool {
	if !h.enter() {
		return false
	}
	go func() {
		defer h.running.Done()
		f()
	}()
	return true
}

// stopping reports whether Stop was called.
func (h *Hub) stopping() bool { return h.ctx.Err() != nil }
