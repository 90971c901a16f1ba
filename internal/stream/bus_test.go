package stream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// wire connects the buses of replicas.
type wire struct {
	mu        sync.Mutex
	receivers map[*tap]func(Hint)
}

// tap is one replica's bus.
type tap struct{ wire *wire }

func (w *wire) tap() *tap { return &tap{wire: w} }

func (p *tap) Publish(hint Hint) {
	p.wire.mu.Lock()
	defer p.wire.mu.Unlock()
	for other, receive := range p.wire.receivers {
		if other != p {
			receive(hint)
		}
	}
}

func (p *tap) Subscribe(receive func(Hint)) (cancel func()) {
	p.wire.mu.Lock()
	defer p.wire.mu.Unlock()
	if p.wire.receivers == nil {
		p.wire.receivers = make(map[*tap]func(Hint))
	}
	p.wire.receivers[p] = receive
	return func() {
		p.wire.mu.Lock()
		defer p.wire.mu.Unlock()
		delete(p.wire.receivers, p)
	}
}

func TestBusJoinsReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, w := newFakeLog(), &wire{}
		here, there := newHub(t, Options{Log: log, Bus: w.tap()}), newHub(t, Options{Log: log, Bus: w.tap()})
		updates, console := subscribe(t, t.Context(), there, 0, nil), watch(t, t.Context(), there, nil)
		require.Equal(t, "done", next(t, console))
		synctest.Wait()

		for range 3 {
			here.Committed("agent", "conv", log.commit("conv", 2))
		}
		wantSeqs(t, updates, 1, 6)
		here.Signalled(handoff.Signal{ConversationID: "conv", Kind: handoff.SignalRead})
		require.Equal(t, handoff.SignalRead, signal(t, updates).Kind)

		one := log.save("a", handoff.StateRequesting)
		two := log.save("a", handoff.StateWaiting)
		here.HandoffChanged(two)
		require.Equal(t, "a 2", next(t, console))
		here.HandoffChanged(one)
		synctest.Wait()
		wantNothing(t, console)
		here.HandoffChanged(two) // a note was added
		require.Equal(t, "a 2", next(t, console))

		reads := log.count("Handoff") + log.count("Events")
		here.Committed("agent", "unwatched", log.commit("unwatched", 1))
		unwatched := log.save("b", handoff.StateWaiting)
		unwatched.AgentID = "unwatched"
		here.HandoffChanged(unwatched)
		synctest.Wait()
		require.Equal(t, reads, log.count("Handoff")+log.count("Events"))
	})
}

// A replica that hears only of the newest event, from the bus, between a
// subscriber's last read and its turning live.
func TestHintBeforeTurningLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		log.then(func(string) {
			if log.count("Events") == 1 {
				log.commit("conv", 3)
				h.hinted(Hint{ConversationID: "conv", Seq: 3})
			}
		})
		updates := subscribe(t, t.Context(), h, 0, nil)
		wantSeqs(t, updates, 1, 3)
	})
}

// A subscriber that turns live with more than the others have got brings them along.
func TestNewcomerKnowsMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		old := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		log.commit("conv", 2) // these hints are lost
		newer := subscribe(t, t.Context(), h, 0, nil)
		wantSeqs(t, newer, 1, 2)
		wantSeqs(t, old, 1, 2)
		synctest.Wait()
		h.Committed("agent", "conv", log.commit("conv", 1))
		wantSeqs(t, newer, 3, 3)
		wantSeqs(t, old, 3, 3)
		synctest.Wait()
		wantNothing(t, newer)
	})
}

// A hint of an event that does not exist does not hide the one that comes.
func TestBogusHint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		h.hinted(Hint{ConversationID: "conv", Seq: 1 << 60})
		h.hinted(Hint{AgentID: "agent", HandoffID: "a", Version: 1 << 60})
		h.hinted(Hint{})
		var e ending
		updates, console := subscribe(t, t.Context(), h, 0, &e), watch(t, t.Context(), h, &e)
		require.Equal(t, "done", next(t, console))
		for _, hint := range []Hint{
			{ConversationID: "conv", Seq: 1 << 60},
			{ConversationID: "conv", Seq: -1},
			{AgentID: "agent", HandoffID: "unknown", Version: 1 << 60},
		} {
			h.hinted(hint)
			h.Committed("agent", "conv", log.commit("conv", 1))
			h.HandoffChanged(log.save("a", handoff.StateWaiting))
			time.Sleep(time.Minute)
		}
		wantSeqs(t, updates, 1, 3)
		require.Equal(t, []string{"a 1", "a 2", "a 3"}, lines(t, console, 3))
		reads := log.count("Events")
		time.Sleep(time.Minute)
		require.Equal(t, reads, log.count("Events"), "still looking for what is not there")
		log.commit("conv", 1)
		h.Committed("agent", "conv", log.commit("conv", 1))
		wantSeqs(t, updates, 4, 5)
		require.Empty(t, e.reasons)
	})
}

func TestHandoffHintsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		console := watch(t, t.Context(), h, nil)
		require.Equal(t, "done", next(t, console))
		stuck := make(chan struct{})
		log.troubled(func(_ context.Context, call string) error {
			<-stuck
			return errors.New("down")
		})
		b := h.handoffs.boards.get("agent")
		for i := range 3 * maxPending {
			h.hinted(Hint{AgentID: "agent", HandoffID: string(rune(0x4e00 + i)), Version: 1})
		}
		b.mu.Lock()
		require.LessOrEqual(t, len(b.unread), maxPending)
		b.mu.Unlock()
		close(stuck)
		synctest.Wait()
		log.troubled(nil)
		log.save("a", handoff.StateWaiting)
		h.hinted(Hint{AgentID: "agent", HandoffID: "a", Version: 1})
		require.Equal(t, "a 1", next(t, console))
	})
}

func TestBusIsLeft(t *testing.T) {
	t.Parallel()
	w := &wire{}
	h := New(Options{Log: newFakeLog(), Now: time.Now, Bus: w.tap()})
	require.Len(t, w.receivers, 1)
	require.NoError(t, h.Stop(t.Context()))
	require.Empty(t, w.receivers)
}
