package storetest

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func handoffID(h handoff.Handoff) string { return h.ID }

var handoffTests = map[string]func(*testing.T, *world){
	"lists are filtered, paged and sorted": func(t *testing.T, w *world) {
		a, b := w.agent(), w.agent()
		one, two, other := w.connection(a.ID), w.connection(a.ID), w.connection(b.ID)
		var all []handoff.Handoff // the oldest first
		add := func(conversationID, connectionID string, edit func(*handoff.Handoff)) handoff.Handoff {
			h := w.open(conversationID, connectionID, func(h *handoff.Handoff) {
				h.RequestedAt = start.Add(time.Duration(len(all)) * time.Minute)
				if edit != nil {
					edit(h)
				}
			})
			all = append(all, h)
			return h
		}
		c1, c2, c3, c4 := w.conversation(a.ID), w.conversation(a.ID), w.conversation(a.ID), w.conversation(b.ID)
		add(c1.ID, one.ID, nil)
		all[0] = w.close(c1.ID, handoff.ReasonUserEnded)
		add(c1.ID, two.ID, func(h *handoff.Handoff) { h.DeskKind = "intercom" })
		all[1] = w.close(c1.ID, handoff.ReasonWaitTimeout)
		add(c1.ID, one.ID, func(h *handoff.Handoff) { h.State, h.ClaimedBy, h.DeskReadsLog = handoff.StateActive, "Bob", true })
		add(c2.ID, one.ID, func(h *handoff.Handoff) { h.DeskReadsLog = true })
		add(c3.ID, two.ID, func(h *handoff.Handoff) { h.State = handoff.StateRequesting })
		add(c4.ID, other.ID, nil)

		at := func(i int) time.Time { return all[i].RequestedAt }
		for name, c := range map[string]struct {
			filter handoff.HandoffFilter
			want   []int
		}{
			"everything":   {handoff.HandoffFilter{}, []int{5, 4, 3, 2, 1, 0}},
			"agent":        {handoff.HandoffFilter{AgentID: a.ID}, []int{4, 3, 2, 1, 0}},
			"conversation": {handoff.HandoffFilter{ConversationID: c1.ID}, []int{2, 1, 0}},
			"connection":   {handoff.HandoffFilter{ConnectionID: two.ID}, []int{4, 1}},
			"desk":         {handoff.HandoffFilter{DeskKind: "intercom"}, []int{1}},
			"open":         {handoff.HandoffFilter{AgentID: a.ID, States: []handoff.State{handoff.StateWaiting, handoff.StateActive}}, []int{3, 2}},
			"closed":       {handoff.HandoffFilter{States: []handoff.State{handoff.StateClosed}}, []int{1, 0}},
			"mixed":        {handoff.HandoffFilter{States: []handoff.State{handoff.StateClosed, handoff.StateRequesting}}, []int{4, 1, 0}},
			"reason":       {handoff.HandoffFilter{AgentID: a.ID, Reasons: []handoff.CloseReason{handoff.ReasonWaitTimeout}}, []int{1}},
			"reasons":      {handoff.HandoffFilter{Reasons: []handoff.CloseReason{handoff.ReasonWaitTimeout, handoff.ReasonUserEnded}}, []int{1, 0}},
			"no reason":    {handoff.HandoffFilter{Reasons: []handoff.CloseReason{handoff.ReasonNone}}, []int{5, 4, 3, 2}},
			"from":         {handoff.HandoffFilter{RequestedFrom: at(4)}, []int{5, 4}},
			"until":        {handoff.HandoffFilter{RequestedUntil: at(1)}, []int{0}},
			"from until":   {handoff.HandoffFilter{RequestedFrom: at(1), RequestedUntil: at(3)}, []int{2, 1}},
			"reads log":    {handoff.HandoffFilter{ReadsLog: true}, []int{3, 2}},
			"claimed":      {handoff.HandoffFilter{ClaimedBy: "Bob"}, []int{2}},
			"queue":        {handoff.HandoffFilter{AgentID: a.ID, ReadsLog: true, OldestFirst: true}, []int{2, 3}},
			"oldest first": {handoff.HandoffFilter{OldestFirst: true}, []int{0, 1, 2, 3, 4, 5}},
			"nothing":      {handoff.HandoffFilter{AgentID: "agt_nobody"}, []int{}},
		} {
			var want []string
			for _, i := range c.want {
				want = append(want, all[i].ID)
			}
			got := pages(w, func(p handoff.Page) (handoff.List[handoff.Handoff], error) { return w.Handoffs(w.ctx, c.filter, p) })
			require.Equal(t, want, slices.Clone(append([]string(nil), idsOf(got, handoffID)...)), name)
		}
		newest, err := w.Handoffs(w.ctx, handoff.HandoffFilter{}, handoff.Page{First: 6})
		require.NoError(t, err)
		require.False(t, newest.HasNext)
		slices.Reverse(all)
		equal(t, all, newest.Items)
		_, err = w.Handoffs(w.ctx, handoff.HandoffFilter{OldestFirst: true}, handoff.Page{First: 1, After: newest.Cursors[0]})
		requireFault(t, err, fault.InvalidInput, "after")

		ids, err := w.OpenHandoffIDs(w.ctx, a.ID, "", 10)
		require.NoError(t, err)
		slices.Reverse(all)
		require.Equal(t, []string{all[2].ID, all[3].ID, all[4].ID}, ids)
		ids, err = w.OpenHandoffIDs(w.ctx, "", one.ID, 1)
		require.NoError(t, err)
		require.Equal(t, []string{all[2].ID}, ids)
		counts, err := w.CountOpenHandoffs(w.ctx)
		require.NoError(t, err)
		require.Equal(t, map[handoff.State]int64{handoff.StateActive: 1, handoff.StateWaiting: 2, handoff.StateRequesting: 1}, counts)
		_, err = w.Handoff(w.ctx, "hof_nobody")
		requireFault(t, err, fault.NotFound, "")
	},
	"what has changed lately is listed in its order": func(t *testing.T, w *world) {
		changed := w.Store.(interface {
			HandoffsChangedSince(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Handoff, error)
		})
		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		a, b, other := w.agent(), w.agent(), w.agent()
		open := func(agent handoff.Agent, updated int) handoff.Handoff {
			return w.open(w.conversation(agent.ID).ID, w.connection(agent.ID).ID, func(h *handoff.Handoff) { h.UpdatedAt = at(updated) })
		}
		ended := func(agent handoff.Agent, closed, updated int) handoff.Handoff {
			return *w.change(open(agent, 0).ConversationID, func(s handoff.Snapshot) *handoff.Change {
				c := closing(s, at(closed), handoff.ReasonUserEnded)
				c.Handoff.UpdatedAt = at(updated)
				return c
			}).Handoff
		}
		old := open(a, 10)
		want := []handoff.Handoff{open(a, 20), ended(b, 15, 30), open(b, 40), open(a, 40), ended(a, 50, 50)}
		open(other, 30)
		ended(b, -3_600, 60) // too long ago

		both := []string{a.ID, b.ID}
		for limit := 1; limit <= len(want)+1; limit++ {
			var got []handoff.Handoff
			for since, id := old.UpdatedAt, old.ID; ; {
				list, err := changed.HandoffsChangedSince(w.ctx, both, since, id, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(list), limit)
				if len(list) == 0 {
					break
				}
				got = append(got, list...)
				since, id = list[len(list)-1].UpdatedAt, list[len(list)-1].ID
			}
			equal(t, want, got)
		}
		list, err := changed.HandoffsChangedSince(w.ctx, []string{a.ID}, at(39), "", 10)
		require.NoError(t, err)
		equal(t, want[3:], list)
		list, err = changed.HandoffsChangedSince(w.ctx, nil, at(0), "", 10)
		require.NoError(t, err)
		require.Empty(t, list)
	},
	"the newest session of an id at the desk is found": func(t *testing.T, w *world) {
		s := w.session()
		old := s.handoff
		w.close(s.conversation.ID, handoff.ReasonUserEnded)
		// The same session at the desk serves a second handoff after the first.
		again := w.open(s.conversation.ID, s.connection.ID, func(h *handoff.Handoff) {
			h.DeskRef, h.RequestedAt = old.DeskRef, start.Add(time.Minute)
		})
		other := w.another(session{agent: s.agent, connection: w.connection(s.agent.ID)})

		found, err := w.HandoffByRef(w.ctx, s.connection.ID, old.DeskRef)
		require.NoError(t, err)
		equal(t, again, found)
		found, err = w.HandoffByRef(w.ctx, "", other.handoff.DeskRef)
		require.NoError(t, err)
		require.Equal(t, other.handoff.ID, found.ID)
		for _, unknown := range [][2]string{{other.connection.ID, old.DeskRef}, {s.connection.ID, "unknown"}, {s.connection.ID, ""}} {
			_, err = w.HandoffByRef(w.ctx, unknown[0], unknown[1])
			requireFault(t, err, fault.NotFound, "")
		}
		// Handoffs without an id at the desk do not disturb each other.
		for range 2 {
			w.open(w.conversation(s.agent.ID).ID, s.connection.ID, func(h *handoff.Handoff) { h.DeskRef = "" })
		}
	},
	"deadlines are due in their order and never early": func(t *testing.T, w *world) {
		a := w.agent()
		con := w.connection(a.ID)
		arm := func(conversationID string, at time.Time) {
			w.change(conversationID, func(s handoff.Snapshot) *handoff.Change {
				h := *s.Handoff
				h.DeadlineKind, h.DeadlineAt = handoff.DeadlineNone, at
				if !at.IsZero() {
					h.DeadlineKind = handoff.DeadlineSession
				}
				return &handoff.Change{Handoff: &h, Events: []handoff.Event{message("x")}}
			})
		}
		var conversations []handoff.Conversation
		var ids []string
		for i := range 6 {
			c := w.conversation(a.ID)
			h := w.open(c.ID, con.ID)
			arm(c.ID, start.Add(time.Duration(6-i)*time.Minute))
			conversations, ids = append(conversations, c), append(ids, h.ID)
		}
		due := func(now time.Duration, limit int) ([]string, time.Time) {
			t.Helper()
			list, next, err := w.DueHandoffs(w.ctx, after(now), limit)
			require.NoError(t, err)
			for _, h := range list {
				require.False(t, h.DeadlineAt.After(after(now)), "early")
			}
			return idsOf(list, handoffID), next
		}
		got, next := due(0, 10)
		require.Empty(t, got)
		require.Equal(t, after(time.Minute), next)
		got, next = due(time.Minute-time.Microsecond, 10)
		require.Empty(t, got)
		require.Equal(t, after(time.Minute), next)
		got, next = due(3*time.Minute, 10)
		require.Equal(t, []string{ids[5], ids[4], ids[3]}, got)
		require.Equal(t, after(4*time.Minute), next)
		got, _ = due(time.Hour, 2)
		require.Equal(t, []string{ids[5], ids[4]}, got)

		arm(conversations[5].ID, time.Time{})                  // cleared
		arm(conversations[4].ID, start.Add(10*time.Minute))    // later
		arm(conversations[3].ID, start.Add(time.Second))       // earlier
		w.close(conversations[2].ID, handoff.ReasonAdminEnded) // gone
		got, next = due(2*time.Minute, 10)
		require.Equal(t, []string{ids[3]}, got)
		require.Equal(t, after(5*time.Minute), next)
		got, next = due(10*time.Minute, 1)
		require.Equal(t, []string{ids[3]}, got)
		require.Zero(t, next)
		got, next = due(10*time.Minute, 10)
		require.Equal(t, []string{ids[3], ids[1], ids[0], ids[4]}, got)
		require.Zero(t, next)
		// Within the second that is looked ahead.
		arm(conversations[4].ID, start.Add(10*time.Minute+500*time.Millisecond))
		got, next = due(10*time.Minute, 10)
		require.Equal(t, []string{ids[3], ids[1], ids[0]}, got)
		require.Equal(t, after(10*time.Minute+500*time.Millisecond), next)
	},
	"many deadlines that moved hide none that is due": func(t *testing.T, w *world) {
		a := w.agent()
		con := w.connection(a.ID)
		late := ""
		for i := range 12 {
			c := w.conversation(a.ID)
			h := w.open(c.ID, con.ID, func(h *handoff.Handoff) {
				h.DeadlineKind, h.DeadlineAt = handoff.DeadlineSession, start.Add(time.Duration(i)*time.Millisecond)
			})
			if i == 11 {
				late = h.ID
				continue
			}
			w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
				h := *s.Handoff
				h.DeadlineAt = start.Add(time.Hour)
				return &handoff.Change{Handoff: &h}
			})
		}
		list, next, err := w.DueHandoffs(w.ctx, start.Add(time.Minute), 3)
		require.NoError(t, err)
		require.Equal(t, []string{late}, idsOf(list, handoffID))
		require.Equal(t, after(time.Hour), next)
	},
	"notes are kept in order": func(t *testing.T, w *world) {
		s := w.session()
		var want []handoff.OperatorNote
		for i := range 3 {
			n := handoff.OperatorNote{
				ID: handoff.NewID(handoff.NotePrefix), HandoffID: s.handoff.ID, Operator: "Bob",
				Text: hardText + strconv.Itoa(i), At: start.Add(time.Duration(i) * time.Second),
			}
			require.NoError(t, w.AddNote(w.ctx, n))
			n.At = after(time.Duration(i) * time.Second)
			want = append(want, n)
		}
		notes, err := w.Notes(w.ctx, s.handoff.ID)
		require.NoError(t, err)
		equal(t, want, notes)
		none, err := w.Notes(w.ctx, "hof_nobody")
		require.NoError(t, err)
		require.Empty(t, none)
		bad := want[0]
		bad.ID = handoff.NewID(handoff.NotePrefix)
		requireFault(t, w.AddNote(w.ctx, handoff.OperatorNote{ID: "nte_x", HandoffID: "hof_nobody", At: start}), fault.NotFound, "")
		for _, text := range badTexts {
			bad.Text = text
			requireFault(t, w.AddNote(w.ctx, bad), fault.InvalidInput, "text")
		}
	},
}
