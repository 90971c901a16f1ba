package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func watchAwaiting(t testing.TB, ctx context.Context, h *Hub, e *ending) <-chan *AwaitingUpdate {
	t.Helper()
	updates, err := SubscribeAwaiting(ctx, h, "agent", asIs[*AwaitingUpdate](e))
	require.NoError(t, err)
	return updates
}

func awaitingLines(t testing.TB, updates <-chan *AwaitingUpdate, n int) []string {
	t.Helper()
	var got []string
	for range n {
		u, ok := receive(t, updates)
		require.True(t, ok, "closed after %v", got)
		switch {
		case u.InitialDone:
			got = append(got, "done")
		case u.Initial:
			got = append(got, fmt.Sprintf("initial %s %d", u.Item.ID, u.Item.Version))
		default:
			got = append(got, fmt.Sprintf("%s %d", u.Item.ID, u.Item.Version))
		}
	}
	return got
}

func TestRuntimeSeesWhatAwaitsItThenWhoTurnsToIt(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	log.turnTo("a", true)
	log.turnTo("b", false)
	log.turnTo("c", true)
	h := newHub(t, Options{Log: log})
	updates := watchAwaiting(t, t.Context(), h, nil)
	require.Equal(t, []string{"initial a 1", "initial c 1", "done"}, awaitingLines(t, updates, 3))

	h.ConversationAwaits(log.turnTo("b", true))
	other := log.turnTo("d", true)
	other.AgentID = "other"
	h.ConversationAwaits(other)
	h.ConversationAwaits(log.turnTo("a", true)) // wrote again
	require.Equal(t, []string{"b 2", "a 2"}, awaitingLines(t, updates, 2))
	wantNothing(t, updates)
}

func TestRuntimeWithALongBacklog(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	const n = 2*handoff.MaxPageSize + 7
	for i := range n {
		log.turnTo(fmt.Sprintf("%03d", i), true)
	}
	h := newHub(t, Options{Log: log})
	got := awaitingLines(t, watchAwaiting(t, t.Context(), h, nil), n+1)
	for i := range n {
		require.Equal(t, fmt.Sprintf("initial %03d 1", i), got[i])
	}
	require.Equal(t, "done", got[n])
}

// A reader that does not read gets the newest state of each Conversation, and is
// ended when it is too far behind.
func TestSlowRuntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, Buffer: 1})
		updates := watchAwaiting(t, t.Context(), h, nil)
		require.Equal(t, []string{"done"}, awaitingLines(t, updates, 1))
		for range 9 {
			h.ConversationAwaits(log.turnTo("a", true))
		}
		synctest.Wait()
		got := awaitingLines(t, updates, 1)
		require.Equal(t, []string{"a 1"}, got)
		for got[0] != "a 9" {
			got = awaitingLines(t, updates, 1)
		}
		synctest.Wait()

		var e ending
		behind := watchAwaiting(t, t.Context(), h, &e)
		for i := range maxPending + 100 {
			h.ConversationAwaits(log.turnTo(fmt.Sprintf("x%05d", i), true))
		}
		for range behind { // until the hub ends it
		}
		e.resync(t)
	})
}

// What other replicas commit is found by a hint, and without one by the poll.
func TestRuntimeHearsOfOtherReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, PollInterval: time.Second})
		updates := watchAwaiting(t, t.Context(), h, nil)
		require.Equal(t, []string{"done"}, awaitingLines(t, updates, 1))

		c := log.turnTo("a", true)
		h.hinted(Hint{AgentID: "agent", ConversationID: "a", Version: c.Version})
		require.Equal(t, []string{"a 1"}, awaitingLines(t, updates, 1))
		c = log.turnTo("a", false) // answered before the hint is followed
		h.hinted(Hint{AgentID: "agent", ConversationID: "a", Version: c.Version})
		synctest.Wait()
		wantNothing(t, updates)

		log.turnTo("b", true)
		require.Equal(t, []string{"b 1"}, awaitingLines(t, updates, 1))
		time.Sleep(5 * time.Second) // polled again and again, told once
		synctest.Wait()
		wantNothing(t, updates)
		log.turnTo("b", true)
		require.Equal(t, []string{"b 2"}, awaitingLines(t, updates, 1))
	})
}

func TestRuntimeWithoutADatabase(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	log.troubled(func(context.Context, string) error { return errors.New("down") })
	h := newHub(t, Options{Log: log})
	_, err := SubscribeAwaiting(t.Context(), h, "agent", asIs[*AwaitingUpdate](nil))
	require.ErrorContains(t, err, "down")
	require.Empty(t, h.awaiting.boards.keys(nil))
}
