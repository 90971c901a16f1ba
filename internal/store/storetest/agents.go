package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

func agentID(a handoff.Agent) string { return a.ID }

var agentTests = map[string]func(*testing.T, *world){
	"is read back as it was made": func(t *testing.T, w *world) {
		a := handoff.Agent{
			ID: handoff.NewID(handoff.AgentPrefix), Name: hardText, Settings: handoff.DefaultSettings("Asia/Taipei"),
			CreatedAt: start, UpdatedAt: start.Add(time.Second),
		}
		a.Settings.Enabled = true
		a.Settings.Trigger = hardText
		a.Settings.Hours = []hours.Rule{
			{Kind: hours.Weekly, Weekdays: []time.Weekday{time.Monday, time.Sunday}, Start: 540, End: hours.EndOfDay},
			{Kind: hours.Exclusion, Date: hours.Date{Year: 2026, Month: 12, Day: 25}, Start: 0, End: hours.EndOfDay},
		}
		a.Settings.Texts = []handoff.TextOverride{{Language: "ja", Notice: handoff.NoticeConnected, Text: hardText}}

		made, err := w.CreateAgent(w.ctx, a, nil)

		require.NoError(t, err)
		want := a
		want.CreatedAt, want.UpdatedAt = after(0), after(time.Second)
		equal(t, want, made)
		read, err := w.Agent(w.ctx, a.ID)
		require.NoError(t, err)
		equal(t, want, read)
		require.Equal(t, time.UTC, read.CreatedAt.Location())
		_, err = w.Agent(w.ctx, "agt_nobody")
		requireFault(t, err, fault.NotFound, "")
	},
	"is made once per idempotency key": func(t *testing.T, w *world) {
		once := func() *handoff.OnceKey { return &handoff.OnceKey{Scope: "createAgent", Key: "k", At: start} }
		var (
			mu  sync.Mutex
			ids []string
		)
		together(8, func(int) {
			a := handoff.Agent{ID: handoff.NewID(handoff.AgentPrefix), Name: "A", CreatedAt: start, UpdatedAt: start}
			o := once()
			o.Result = a.ID
			made, err := w.CreateAgent(w.ctx, a, o)
			mu.Lock()
			defer mu.Unlock()
			require.NoError(t, err)
			ids = append(ids, made.ID)
		})
		require.Len(t, ids, 8)
		require.Len(t, slices.Compact(ids), 1)
		list, err := w.Agents(w.ctx, handoff.Page{First: 10})
		require.NoError(t, err)
		require.Equal(t, ids[:1], idsOf(list.Items, agentID))
		known, err := w.Once(w.ctx, "createAgent", "k")
		require.NoError(t, err)
		require.Equal(t, ids[0], known)
		for _, other := range [][2]string{{"createAgent", "other"}, {"other", "k"}} {
			unknown, err := w.Once(w.ctx, other[0], other[1])
			require.NoError(t, err)
			require.Empty(t, unknown)
		}
	},
	"the list is newest first, without deleted ones": func(t *testing.T, w *world) {
		var want []string
		for i := range 7 {
			// Pairs of the same time are ordered by id.
			at := start.Add(time.Duration(i/2) * time.Minute)
			a, err := w.CreateAgent(w.ctx, handoff.Agent{ID: handoff.NewID(handoff.AgentPrefix), Name: "A", CreatedAt: at, UpdatedAt: at}, nil)
			require.NoError(t, err)
			want = slices.Insert(want, 0, a.ID)
		}
		require.NoError(t, w.DeleteAgent(w.ctx, want[2], start))
		want = slices.Delete(want, 2, 3)
		require.Equal(t, want, idsOf(pages(w, func(p handoff.Page) (handoff.List[handoff.Agent], error) { return w.Agents(w.ctx, p) }), agentID))
	},
	"is updated as a whole or not at all": func(t *testing.T, w *world) {
		a := w.agent()
		now := start.Add(time.Hour)
		updated, err := w.UpdateAgent(w.ctx, a.ID, now, func(a *handoff.Agent) error {
			a.Name, a.Settings.Enabled = "New", true
			return nil
		})
		require.NoError(t, err)
		want := a
		want.Name, want.Settings.Enabled, want.UpdatedAt = "New", true, after(time.Hour)
		equal(t, want, updated)
		read, err := w.Agent(w.ctx, a.ID)
		require.NoError(t, err)
		equal(t, want, read)

		no := errors.New("no")
		_, err = w.UpdateAgent(w.ctx, a.ID, now, func(a *handoff.Agent) error {
			a.Name = "Never"
			return no
		})
		require.ErrorIs(t, err, no)
		for _, bad := range badTexts {
			_, err = w.UpdateAgent(w.ctx, a.ID, now, func(a *handoff.Agent) error {
				a.Name = bad
				return nil
			})
			requireFault(t, err, fault.InvalidInput, "name")
		}
		read, err = w.Agent(w.ctx, a.ID)
		require.NoError(t, err)
		equal(t, want, read)
		_, err = w.UpdateAgent(w.ctx, "agt_nobody", now, func(*handoff.Agent) error { return nil })
		requireFault(t, err, fault.NotFound, "")
	},
	"updates at once lose nothing": func(t *testing.T, w *world) {
		a := w.agent()
		together(4, func(int) {
			for range 5 {
				for {
					_, err := w.UpdateAgent(w.ctx, a.ID, start, func(a *handoff.Agent) error {
						a.Settings.ContextRounds++
						return nil
					})
					if fault.Is(err, fault.Overloaded) {
						continue // unlucky ten times; the caller may try again
					}
					if err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
		read, err := w.Agent(w.ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, a.Settings.ContextRounds+20, read.Settings.ContextRounds)
	},
	"deleting it takes keys and credentials along": func(t *testing.T, w *world) {
		a, other := w.agent(), w.agent()
		c, kept := w.connection(a.ID), w.connection(other.ID)
		_, err := w.ActivateConnection(w.ctx, c.ID, start)
		require.NoError(t, err)
		for _, id := range []string{a.ID, other.ID} {
			require.NoError(t, w.CreateKey(w.ctx, newKey(id, "hash of "+id)))
		}

		require.NoError(t, w.DeleteAgent(w.ctx, a.ID, start.Add(time.Minute)))

		_, err = w.Agent(w.ctx, a.ID)
		requireFault(t, err, fault.NotFound, "")
		_, _, err = w.FindAgentKey(w.ctx, "hash of "+a.ID)
		requireFault(t, err, fault.NotFound, "")
		keys, err := w.Keys(w.ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, after(time.Minute), *keys[0].RevokedAt)
		_, err = w.ConnectionByToken(w.ctx, c.ReceiveToken)
		requireFault(t, err, fault.NotFound, "")
		stripped, err := w.Connection(w.ctx, c.ID)
		require.NoError(t, err)
		require.Empty(t, stripped.Sealed)
		require.Empty(t, stripped.SetSecrets)
		require.Empty(t, stripped.Fields)
		require.False(t, stripped.Active)
		require.Equal(t, handoff.StatusNotConfigured, stripped.Status)
		requireFault(t, w.DeleteAgent(w.ctx, a.ID, start), fault.NotFound, "")
		requireFault(t, w.CreateKey(w.ctx, newKey(a.ID, "late")), fault.NotFound, "")
		_, err = w.CreateConnection(w.ctx, newConnection(a.ID), nil)
		requireFault(t, err, fault.NotFound, "")

		_, _, err = w.FindAgentKey(w.ctx, "hash of "+other.ID)
		require.NoError(t, err)
		untouched, err := w.ConnectionByToken(w.ctx, kept.ReceiveToken)
		require.NoError(t, err)
		equal(t, kept, untouched)
	},
}

func newKey(agentID, hash string) handoff.AgentKey {
	return handoff.AgentKey{
		ID: handoff.NewID(handoff.KeyPrefix), AgentID: agentID, Name: "Key", Hint: "hk_12…", Hash: hash, CreatedAt: start,
	}
}

var keyTests = map[string]func(*testing.T, *world){
	"is found by its hash until it is revoked": func(t *testing.T, w *world) {
		a, other := w.agent(), w.agent()
		k := newKey(a.ID, "h1")
		require.NoError(t, w.CreateKey(w.ctx, k))
		keyID, agentID, err := w.FindAgentKey(w.ctx, "h1")
		require.NoError(t, err)
		require.Equal(t, []string{k.ID, a.ID}, []string{keyID, agentID})
		_, _, err = w.FindAgentKey(w.ctx, "h2")
		requireFault(t, err, fault.NotFound, "")

		_, err = w.RevokeKey(w.ctx, other.ID, k.ID, start)
		requireFault(t, err, fault.NotFound, "")
		_, _, err = w.FindAgentKey(w.ctx, "h1")
		require.NoError(t, err, "revoked by a stranger")

		revoked, err := w.RevokeKey(w.ctx, a.ID, k.ID, start.Add(time.Minute))
		require.NoError(t, err)
		want := k
		want.CreatedAt = after(0)
		at := after(time.Minute)
		want.RevokedAt = &at
		equal(t, want, revoked)
		again, err := w.RevokeKey(w.ctx, a.ID, k.ID, start.Add(time.Hour))
		require.NoError(t, err)
		equal(t, want, again)
		_, _, err = w.FindAgentKey(w.ctx, "h1")
		requireFault(t, err, fault.NotFound, "")
	},
	"the list is newest first": func(t *testing.T, w *world) {
		a := w.agent()
		var want []string
		for i := range 3 {
			k := newKey(a.ID, unique("hash"))
			k.CreatedAt = start.Add(time.Duration(i) * time.Second)
			require.NoError(t, w.CreateKey(w.ctx, k))
			want = slices.Insert(want, 0, k.ID)
		}
		keys, err := w.Keys(w.ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, want, idsOf(keys, func(k handoff.AgentKey) string { return k.ID }))
		none, err := w.Keys(w.ctx, "agt_nobody")
		require.NoError(t, err)
		require.Empty(t, none)
	},
	"a hash is unique and a text is text": func(t *testing.T, w *world) {
		a := w.agent()
		require.NoError(t, w.CreateKey(w.ctx, newKey(a.ID, "same")))
		requireFault(t, w.CreateKey(w.ctx, newKey(a.ID, "same")), fault.Conflict, "")
		for _, bad := range badTexts {
			k := newKey(a.ID, unique("hash"))
			k.Name = bad
			requireFault(t, w.CreateKey(w.ctx, k), fault.InvalidInput, "name")
		}
	},
	"their number is bounded, also at once": func(t *testing.T, w *world) {
		a := w.agent()
		var mu sync.Mutex
		made, refused := 0, 0
		var last handoff.AgentKey
		together(handoff.MaxKeysPerAgent+5, func(int) {
			k := newKey(a.ID, unique("hash"))
			err := w.CreateKey(w.ctx, k)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
				last = k
			case fault.Is(err, fault.LimitReached):
				refused++
			default:
				t.Error(err)
			}
		})
		require.Equal(t, []int{handoff.MaxKeysPerAgent, 5}, []int{made, refused})
		_, err := w.RevokeKey(w.ctx, a.ID, last.ID, start)
		require.NoError(t, err)
		require.NoError(t, w.CreateKey(w.ctx, newKey(a.ID, unique("hash"))))
	},
}
