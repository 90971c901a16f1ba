package storetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func conversationID(c handoff.Conversation) string { return c.ID }

var conversationTests = map[string]func(*testing.T, *world){
	"is read back as it was made": func(t *testing.T, w *world) {
		c := newConversation(w.agent().ID)
		c.User.Name = hardText
		c.CustomFields = map[string]string{"plan": "gold", hardText: hardText}
		c.LastSeq, c.Version = 99, 99 // counted by the store
		made, err := w.CreateConversation(w.ctx, c, nil)
		require.NoError(t, err)
		want := c
		want.CreatedAt, want.UpdatedAt, want.LastSeq, want.Version = after(0), after(0), 0, 1
		equal(t, want, made)
		read, err := w.Conversation(w.ctx, c.ID)
		require.NoError(t, err)
		equal(t, want, read)
		_, err = w.Conversation(w.ctx, "cnv_nobody")
		requireFault(t, err, fault.NotFound, "")
		for _, bad := range badTexts {
			c := newConversation(c.AgentID)
			c.User.Name = bad
			_, err := w.CreateConversation(w.ctx, c, nil)
			requireFault(t, err, fault.InvalidInput, "user_name")
		}
	},
	"is made once per idempotency key": func(t *testing.T, w *world) {
		a := w.agent()
		first, second := newConversation(a.ID), newConversation(a.ID)
		once := handoff.OnceKey{Scope: a.ID + "/start", Key: "k", Result: first.ID, At: start}
		made, err := w.CreateConversation(w.ctx, first, &once)
		require.NoError(t, err)
		w.change(first.ID, say("one"))
		once.Result = second.ID
		again, err := w.CreateConversation(w.ctx, second, &once)
		require.NoError(t, err)
		require.Equal(t, made.ID, again.ID)
		require.Equal(t, int64(1), again.LastSeq, "as it is now")
		_, err = w.Conversation(w.ctx, second.ID)
		requireFault(t, err, fault.NotFound, "")
	},
	"the list is newest first": func(t *testing.T, w *world) {
		a := w.agent()
		w.conversation(w.agent().ID)
		var want []string
		for i := range 5 {
			c := newConversation(a.ID)
			c.CreatedAt = start.Add(time.Duration(i/2) * time.Microsecond)
			made, err := w.CreateConversation(w.ctx, c, nil)
			require.NoError(t, err)
			want = slices.Insert(want, 0, made.ID)
		}
		require.Equal(t, want, idsOf(pages(w, func(p handoff.Page) (handoff.List[handoff.Conversation], error) {
			return w.Conversations(w.ctx, handoff.ConversationFilter{AgentID: a.ID}, p)
		}), conversationID))
	},
	"a long log is read in pages": func(t *testing.T, w *world) {
		c := w.conversation(w.agent().ID)
		const total = 250
		for from := 0; from < total; from += 50 {
			w.change(c.ID, func(handoff.Snapshot) *handoff.Change {
				change := &handoff.Change{}
				for i := from; i < from+50; i++ {
					e := message(fmt.Sprintf("text %d", i+1))
					if i%5 == 4 { // every fifth is no message
						e = handoff.Event{Kind: handoff.EventControlChanged, Control: handoff.ControlAgent, Epoch: int64(i), At: start}
					}
					change.Events = append(change.Events, e)
				}
				return change
			})
		}
		var all []handoff.Event
		for {
			after := int64(len(all))
			page, err := w.Events(w.ctx, c.ID, after, 70)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
		}
		require.Len(t, all, total)
		for i, e := range all {
			require.Equal(t, int64(i+1), e.Seq)
			require.Equal(t, c.ID, e.ConversationID)
		}

		newest, err := w.MessagesBefore(w.ctx, c.ID, 240, 10)
		require.NoError(t, err)
		var seqs []int64
		for _, e := range newest {
			require.Equal(t, handoff.EventMessage, e.Kind)
			seqs = append(seqs, e.Seq)
		}
		require.Equal(t, []int64{239, 238, 237, 236, 234, 233, 232, 231, 229, 228}, seqs)
		all, err = w.MessagesBefore(w.ctx, c.ID, 4, 10)
		require.NoError(t, err)
		require.Len(t, all, 4)
		e, err := w.Event(w.ctx, c.ID, 7)
		require.NoError(t, err)
		require.Equal(t, "text 7", e.Text)
		for _, seq := range []int64{0, -1, total + 1} {
			_, err = w.Event(w.ctx, c.ID, seq)
			requireFault(t, err, fault.NotFound, "")
		}
		none, err := w.Events(w.ctx, "cnv_nobody", 0, 10)
		require.NoError(t, err)
		require.Empty(t, none)
	},
	"the newest seqs are read for many": func(t *testing.T, w *world) {
		a := w.agent()
		one, two := w.conversation(a.ID), w.conversation(a.ID)
		w.change(two.ID, say("a", "b"))
		ids := []string{one.ID, two.ID, "cnv_nobody", `quo"te`}
		for i := range 1_200 {
			ids = append(ids, fmt.Sprintf("cnv_%d", i))
		}
		ids = append(ids, two.ID)
		seqs, err := w.LastSeqs(w.ctx, ids)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{one.ID: 0, two.ID: 2}, seqs)
		seqs, err = w.LastSeqs(w.ctx, nil)
		require.NoError(t, err)
		require.Empty(t, slices.Collect(maps.Keys(seqs)))
	},
}
