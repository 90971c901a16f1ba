package relay

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

func TestWhatWasLostIsBroughtOnceAndInOrder(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		h.work()
		x := h.request(handoff.StateWaiting)
		first := h.desk.says(&x, handoff.DeskMessage, "1", "hello")
		h.desk.says(&x, handoff.DeskMessage, "2", "how can I help?")
		h.await(x.ID, handoff.StateActive)
		h.feed.until(t, func() bool { return len(h.read(x.ConversationID)) == 2 })

		require.NoError(t, h.hears(&x, first), "the request arrives after all")
		third := handoff.DeskEvent{Kind: handoff.DeskMessage, Ref: x.DeskRef, ID: "3", Text: "are you there?"}
		require.NoError(t, h.hears(&x, third))
		h.desk.says(&x, handoff.DeskMessage, "3", third.Text)
		h.desk.looksAgain(t, "healthy", 3)
		require.Equal(t, []string{"hello", "how can I help?", "are you there?"}, h.read(x.ConversationID))
	})
}

func TestASessionThatEndedAtTheDeskEndsHere(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		h.work()
		x := h.request(handoff.StateWaiting)
		h.desk.says(&x, handoff.DeskJoined, "1", "")
		h.desk.says(&x, handoff.DeskMessage, "2", "bye")
		h.desk.says(&x, handoff.DeskEnded, "3", "")
		ended := h.await(x.ID, handoff.StateClosed)
		require.Equal(t, handoff.ReasonOperatorEnded, ended.Reason)
		require.Equal(t, []string{"bye"}, h.read(x.ConversationID))
		require.Empty(t, h.desk.closes, "the desk knows")

		late := h.desk.says(&x, handoff.DeskMessage, "4", "too late")
		require.Error(t, h.hears(&x, late))
		other := h.request(handoff.StateWaiting)
		before := h.desk.looks("healthy")
		h.desk.says(&other, handoff.DeskMessage, "1", "next")
		h.await(other.ID, handoff.StateActive)
		require.Greater(t, h.desk.looks("healthy"), before)
		require.Equal(t, []string{"bye"}, h.read(x.ConversationID), "what has ended is not looked at")
	})
}

// Whatever was due while nobody was running is looked at first.
func TestCatchingUpAfterARest(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		x := h.requestAndRest()
		h.desk.says(&x, handoff.DeskMessage, "1", "anybody?")
		h.work()
		h.await(x.ID, handoff.StateActive)
	})
}

func TestADeskThatFailsStopsNoOther(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		h.connect("broken")
		h.work()
		for range 3 {
			h.request(handoff.StateWaiting)
		}
		h.desk.mu.Lock()
		h.desk.down = "broken"
		calls := len(h.desk.asked["broken"])
		h.desk.mu.Unlock()
		// Its breaker opens after a few calls, and keeps the rest from being made.
		h.desk.wait(t, "calls of the broken desk", func() bool { return h.desk.looks("broken") >= calls+desk.TripAfter })
		h.connect("healthy")
		x := h.request(handoff.StateWaiting)
		h.desk.says(&x, handoff.DeskMessage, "1", "hello")
		h.await(x.ID, handoff.StateActive)
		h.desk.looksAgain(t, "healthy", 5)
		require.Less(t, h.desk.looks("broken"), calls+2*desk.TripAfter, "the breaker's verdict counts")
	})
}

// requestAndRest makes a session that waits, while no relay is running any more.
func (h *house) requestAndRest() handoff.Handoff {
	h.t.Helper()
	r := New(Options{
		Store: h.store, Business: h.svc, Desks: h.desks, Bell: h.bell, Observer: nobody{}, Log: logTo(h.t), Now: time.Now,
		Owner: "before", Workers: 1, Sweep: 5 * time.Millisecond, CatchUp: time.Hour,
	})
	r.Start(h.t.Context())
	defer r.Stop(h.t.Context())
	return h.request(handoff.StateWaiting)
}

func TestLooksBackALittleBeforeTheLastSuccess(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		x := h.requestAndRest()
		require.NoError(t, h.store.ChecksDone(t.Context(), []string{x.ID}, x.RequestedAt.Add(time.Hour)))
		h.work()
		h.desk.looksAgain(t, "healthy", 1)
		h.desk.mu.Lock()
		defer h.desk.mu.Unlock()
		require.Equal(t, x.RequestedAt.Add(time.Hour-checkOverlap), h.desk.asked["healthy"][0])
	})
}

func TestLooksBackNoFurtherThanTheRequest(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		h.work()
		x := h.request(handoff.StateWaiting)
		h.desk.looksAgain(t, "healthy", 3)
		h.desk.mu.Lock()
		defer h.desk.mu.Unlock()
		for _, since := range h.desk.asked["healthy"] {
			require.Equal(t, x.RequestedAt, since, "an earlier session may have had the same id")
		}
	})
}
