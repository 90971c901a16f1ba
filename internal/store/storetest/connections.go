package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

var connectionTests = map[string]func(*testing.T, *world){
	"is read back as it was made": func(t *testing.T, w *world) {
		a := w.agent()
		c := newConnection(a.ID)
		c.Name = hardText
		c.Fields = map[string]string{"url": "https://x.example/?a=1&b=2", "note": hardText}
		c.SetSecrets = []string{"b", "a"}
		c.CheckedAt, c.LastErrorAt, c.NextCheckAt = start, start.Add(time.Second), start.Add(time.Minute)
		c.LastError, c.LastErrorKind = "no", fault.DeskRejected
		made, err := w.CreateConnection(w.ctx, c, nil)
		require.NoError(t, err)
		want := c
		want.CreatedAt, want.UpdatedAt, want.Version = after(0), after(0), 1
		want.CheckedAt, want.LastErrorAt, want.NextCheckAt = after(0), after(time.Second), after(time.Minute)
		equal(t, want, made)
		for _, read := range []func() (handoff.Connection, error){
			func() (handoff.Connection, error) { return w.Connection(w.ctx, c.ID) },
			func() (handoff.Connection, error) { return w.ConnectionByToken(w.ctx, c.ReceiveToken) },
		} {
			got, err := read()
			require.NoError(t, err)
			equal(t, want, got)
		}
		_, err = w.Connection(w.ctx, "con_nobody")
		requireFault(t, err, fault.NotFound, "")
		_, err = w.ConnectionByToken(w.ctx, "")
		requireFault(t, err, fault.NotFound, "")
	},
	"empty fields stay empty": func(t *testing.T, w *world) {
		c := newConnection(w.agent().ID)
		c.Fields, c.SetSecrets, c.Sealed = nil, nil, ""
		made, err := w.CreateConnection(w.ctx, c, nil)
		require.NoError(t, err)
		require.Nil(t, made.Fields)
		require.Nil(t, made.SetSecrets)
		require.True(t, made.CheckedAt.IsZero())
		require.True(t, made.NextCheckAt.IsZero())
	},
	"is made once per idempotency key": func(t *testing.T, w *world) {
		a := w.agent()
		first := newConnection(a.ID)
		once := handoff.OnceKey{Scope: a.ID + "/connectDesk", Key: "k", Result: first.ID, At: start}
		made, err := w.CreateConnection(w.ctx, first, &once)
		require.NoError(t, err)
		second := newConnection(a.ID)
		once.Result = second.ID
		again, err := w.CreateConnection(w.ctx, second, &once)
		require.NoError(t, err)
		equal(t, made, again)
		list, err := w.Connections(w.ctx, a.ID)
		require.NoError(t, err)
		require.Len(t, list, 1)
	},
	"one that is refused leaves no idempotency key": func(t *testing.T, w *world) {
		a := w.agent()
		first := w.connection(a.ID)
		c := newConnection(a.ID)
		c.ReceiveToken = first.ReceiveToken
		_, err := w.CreateConnection(w.ctx, c, &handoff.OnceKey{Scope: "s", Key: "k", Result: c.ID, At: start})
		requireFault(t, err, fault.Conflict, "")
		known, err := w.Once(w.ctx, "s", "k")
		require.NoError(t, err)
		require.Empty(t, known)
	},
	"the list is oldest first": func(t *testing.T, w *world) {
		a := w.agent()
		w.connection(w.agent().ID)
		var want []string
		for range 3 {
			want = append(want, w.connection(a.ID).ID)
		}
		list, err := w.Connections(w.ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, want, idsOf(list, func(c handoff.Connection) string { return c.ID }))
	},
	"their number is bounded": func(t *testing.T, w *world) {
		a := w.agent()
		for range handoff.MaxConnectionsPerAgent {
			w.connection(a.ID)
		}
		_, err := w.CreateConnection(w.ctx, newConnection(a.ID), nil)
		requireFault(t, err, fault.LimitReached, "")
	},
	"is updated as a whole or not at all": func(t *testing.T, w *world) {
		c := w.connection(w.agent().ID)
		now := start.Add(time.Hour)
		updated, err := w.UpdateConnection(w.ctx, c.ID, now, func(c *handoff.Connection) error {
			c.ID, c.AgentID, c.CreatedAt, c.Version = "con_x", "agt_x", now, 77 // fixed, whatever is asked
			c.Name, c.Status, c.Sealed, c.SetSecrets, c.Fields = "New", handoff.StatusUnavailable, "", nil, nil
			c.LastError, c.LastErrorKind, c.LastErrorAt, c.NextCheckAt = "no", fault.DeskUnauthorized, now, now
			return nil
		})
		require.NoError(t, err)
		want := c
		want.Name, want.Status, want.Sealed, want.SetSecrets, want.Fields = "New", handoff.StatusUnavailable, "", nil, nil
		want.LastError, want.LastErrorKind, want.LastErrorAt, want.NextCheckAt = "no", fault.DeskUnauthorized, after(time.Hour), after(time.Hour)
		want.UpdatedAt, want.Version = after(time.Hour), 2
		equal(t, want, updated)
		no := errors.New("no")
		_, err = w.UpdateConnection(w.ctx, c.ID, now, func(c *handoff.Connection) error {
			c.Name = "Never"
			return no
		})
		require.ErrorIs(t, err, no)
		for _, bad := range badTexts {
			_, err = w.UpdateConnection(w.ctx, c.ID, now, func(c *handoff.Connection) error {
				c.LastError = bad
				return nil
			})
			requireFault(t, err, fault.InvalidInput, "last_error")
		}
		read, err := w.Connection(w.ctx, c.ID)
		require.NoError(t, err)
		equal(t, want, read)
		_, err = w.UpdateConnection(w.ctx, "con_nobody", now, func(*handoff.Connection) error { return nil })
		requireFault(t, err, fault.NotFound, "")
	},
	"updates at once lose nothing": func(t *testing.T, w *world) {
		c := w.connection(w.agent().ID)
		together(4, func(int) {
			for done := 0; done < 5; {
				_, err := w.UpdateConnection(w.ctx, c.ID, start, func(c *handoff.Connection) error {
					c.SetSecrets = append(c.SetSecrets, "x")
					return nil
				})
				switch {
				case err == nil:
					done++
				case !fault.Is(err, fault.Overloaded):
					t.Error(err)
					return
				}
			}
		})
		read, err := w.Connection(w.ctx, c.ID)
		require.NoError(t, err)
		require.Len(t, read.SetSecrets, len(c.SetSecrets)+20)
		require.Equal(t, int64(21), read.Version)
	},
	"one is active per agent and mode": func(t *testing.T, w *world) {
		a := w.agent()
		first, second := w.connection(a.ID), w.connection(a.ID)
		inner := newConnection(a.ID)
		inner.Mode, inner.Active = handoff.ModeDeskToDesk, true
		inner, err := w.CreateConnection(w.ctx, inner, nil)
		require.NoError(t, err)
		stranger := newConnection(w.agent().ID)
		stranger.Active = true
		stranger, err = w.CreateConnection(w.ctx, stranger, nil)
		require.NoError(t, err)

		now := start.Add(time.Minute)
		active, err := w.ActivateConnection(w.ctx, first.ID, now)
		require.NoError(t, err)
		require.True(t, active.Active)
		require.Equal(t, after(time.Minute), active.UpdatedAt)
		require.Equal(t, first.Version+1, active.Version)
		_, err = w.ActivateConnection(w.ctx, second.ID, now)
		require.NoError(t, err)
		third := newConnection(a.ID)
		third.Active = true
		_, err = w.CreateConnection(w.ctx, third, nil)
		requireFault(t, err, fault.Conflict, "")
		_, err = w.UpdateConnection(w.ctx, first.ID, now, func(c *handoff.Connection) error {
			c.Active = true
			return nil
		})
		requireFault(t, err, fault.Conflict, "")

		for id, want := range map[string]bool{first.ID: false, second.ID: true, inner.ID: true, stranger.ID: true} {
			c, err := w.Connection(w.ctx, id)
			require.NoError(t, err)
			require.Equal(t, want, c.Active)
		}
		same, err := w.ActivateConnection(w.ctx, second.ID, now)
		require.NoError(t, err)
		require.True(t, same.Active)
		_, err = w.ActivateConnection(w.ctx, "con_nobody", now)
		requireFault(t, err, fault.NotFound, "")
	},
	"activations at once leave one active": func(t *testing.T, w *world) {
		a := w.agent()
		list := []handoff.Connection{w.connection(a.ID), w.connection(a.ID), w.connection(a.ID)}
		together(12, func(i int) {
			_, err := w.ActivateConnection(w.ctx, list[i%3].ID, start)
			if err != nil {
				t.Error(err)
			}
		})
		after, err := w.Connections(w.ctx, a.ID)
		require.NoError(t, err)
		active := 0
		for _, c := range after {
			if c.Active {
				active++
			}
		}
		require.Equal(t, 1, active)
	},
	"deleting it takes its deliveries along": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 3)
		w.bury(w.claim(start))
		other := w.another(session{agent: s.agent, connection: w.connection(s.agent.ID)})
		kept := w.queue(other, 1)

		require.NoError(t, w.DeleteConnection(w.ctx, s.connection.ID))

		_, err := w.Connection(w.ctx, s.connection.ID)
		requireFault(t, err, fault.NotFound, "")
		requireFault(t, w.DeleteConnection(w.ctx, s.connection.ID), fault.NotFound, "")
		for _, id := range ids {
			_, err := w.Delivery(w.ctx, id)
			requireFault(t, err, fault.NotFound, "")
		}
		_, err = w.Delivery(w.ctx, kept[0])
		require.NoError(t, err)
		_, err = w.Handoff(w.ctx, s.handoff.ID)
		require.NoError(t, err, "the history stays")
	},
	"one to check is claimed by one": func(t *testing.T, w *world) {
		a := w.agent()
		var due []string
		for i := range 6 {
			c := newConnection(a.ID)
			c.Status, c.NextCheckAt = handoff.StatusUnavailable, start.Add(time.Duration(i-4)*time.Second)
			c, err := w.CreateConnection(w.ctx, c, nil)
			require.NoError(t, err)
			due = append(due, c.ID)
		}
		healthy := newConnection(a.ID)
		healthy.NextCheckAt = start.Add(-time.Hour)
		_, err := w.CreateConnection(w.ctx, healthy, nil)
		require.NoError(t, err)
		next := start.Add(time.Minute)

		var (
			mu   sync.Mutex
			seen = map[string]int{}
		)
		together(4, func(int) {
			for range 4 {
				list, err := w.ConnectionsToCheck(w.ctx, start, next, 2)
				mu.Lock()
				if err != nil || len(list) > 2 {
					t.Error(err, len(list))
				}
				for _, c := range list {
					seen[c.ID]++
					equal(t, after(time.Minute), c.NextCheckAt)
				}
				mu.Unlock()
			}
		})

		require.Equal(t, map[string]int{due[0]: 1, due[1]: 1, due[2]: 1, due[3]: 1, due[4]: 1}, seen)
		moved, err := w.Connection(w.ctx, due[0])
		require.NoError(t, err)
		require.Equal(t, after(time.Minute), moved.NextCheckAt)
		list, err := w.ConnectionsToCheck(w.ctx, next, next.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, list, 6)
		equal(t, due[5], list[0].ID)
	},
}
