package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// checked opens a Handoff of a kind of desk that is checked at the time.
func (w *world) checked(s session, kind string, at time.Time, state handoff.State) handoff.Handoff {
	w.t.Helper()
	return w.open(w.conversation(s.agent.ID).ID, s.connection.ID, func(h *handoff.Handoff) {
		h.DeskKind, h.CheckAt, h.State = kind, at, state
	})
}

func (w *world) claimChecks(kind string, now, next time.Time, limit int) []string {
	w.t.Helper()
	list, err := w.ClaimChecks(w.ctx, kind, now, next, limit)
	require.NoError(w.t, err)
	return idsOf(list, func(c handoff.Check) string { return c.HandoffID })
}

var checkTests = map[string]func(*testing.T, *world){
	"only open sessions of the kind that are due": func(t *testing.T, w *world) {
		s := w.session() // without a time: never checked
		minute := start.Add(time.Minute)
		due := w.checked(s, "acme", start, handoff.StateWaiting)
		w.checked(s, "acme", minute, handoff.StateActive)
		w.checked(s, "other", start, handoff.StateActive)
		w.checked(s, "acme", start, handoff.StateRequesting)
		w.checked(s, "acme", start, handoff.StateCollectingEmail)
		ended := w.checked(s, "acme", start, handoff.StateActive)
		w.close(ended.ConversationID, handoff.ReasonUserEnded)
		list, err := w.ClaimChecks(w.ctx, "acme", start, minute, 10)
		require.NoError(t, err)
		equal(t, []handoff.Check{{
			HandoffID: due.ID, ConnectionID: s.connection.ID, DeskRef: due.DeskRef, RequestedAt: due.RequestedAt,
		}}, list)
		require.Empty(t, w.claimChecks("acme", minute.Add(-time.Millisecond), minute, 10))
		require.Len(t, w.claimChecks("acme", minute, minute.Add(time.Minute), 10), 2)
		require.Empty(t, w.claimChecks("webhook", minute, minute, 10))
		h, err := w.Handoff(w.ctx, due.ID)
		require.NoError(t, err)
		require.Equal(t, due.Version, h.Version, "no decision is disturbed")
		require.Equal(t, after(2*time.Minute), h.CheckAt)
	},
	"a decision leaves the time of the check alone": func(t *testing.T, w *world) {
		h := w.checked(w.session(), "acme", start, handoff.StateWaiting)
		require.Len(t, w.claimChecks("acme", start, start.Add(time.Minute), 1), 1)
		w.change(h.ConversationID, func(s handoff.Snapshot) *handoff.Change {
			changed := *s.Handoff
			changed.State, changed.ConnectedAt = handoff.StateActive, start
			return &handoff.Change{Handoff: &changed}
		})
		require.Empty(t, w.claimChecks("acme", start, start, 1))
	},
	"the longest due come first": func(t *testing.T, w *world) {
		s := w.session()
		third := w.checked(s, "acme", start.Add(-1*time.Second), handoff.StateWaitExpired)
		first := w.checked(s, "acme", start.Add(-3*time.Second), handoff.StateActive)
		second := w.checked(s, "acme", start.Add(-2*time.Second), handoff.StateWaiting)
		got := w.claimChecks("acme", start, start.Add(time.Hour), 2)
		slices.Sort(got)
		want := []string{first.ID, second.ID}
		slices.Sort(want)
		require.Equal(t, want, got)
		require.Equal(t, []string{third.ID}, w.claimChecks("acme", start, start.Add(time.Hour), 2))
	},
	"it is known up to when nothing is missing": func(t *testing.T, w *world) {
		s := w.session()
		one := w.checked(s, "acme", start, handoff.StateWaiting)
		w.checked(s, "acme", start, handoff.StateWaiting)
		require.NoError(t, w.ChecksDone(w.ctx, nil, start))
		require.NoError(t, w.ChecksDone(w.ctx, []string{one.ID, "hof_nobody"}, start.Add(time.Second)))
		list, err := w.ClaimChecks(w.ctx, "acme", start, start.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, list, 2)
		for _, c := range list {
			want := time.Time{}
			if c.HandoffID == one.ID {
				want = after(time.Second)
			}
			require.Equal(t, want, c.CaughtUpAt)
		}
	},
	"each is claimed by one": func(t *testing.T, w *world) {
		s := w.session()
		want := map[string]int{}
		for range 6 {
			want[w.checked(s, "acme", start, handoff.StateActive).ID] = 1
		}
		var (
			mu   sync.Mutex
			seen = map[string]int{}
		)
		together(4, func(int) {
			for range 5 {
				list, err := w.ClaimChecks(w.ctx, "acme", start, start.Add(time.Minute), 2)
				mu.Lock()
				if err != nil || len(list) > 2 {
					t.Error(err, len(list))
				}
				for _, c := range list {
					seen[c.HandoffID]++
				}
				mu.Unlock()
			}
		})
		require.Equal(t, want, seen)
	},
}
