package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// inMessenger is a new Conversation in a session of a desk's messenger.
func inMessenger(c handoff.Connection, ref string) handoff.Conversation {
	n := newConversation(c.AgentID)
	n.Channel, n.ConnectionID, n.DeskRef = handoff.ChannelIntercom, c.ID, ref
	return n
}

func (w *world) inMessenger(c handoff.Connection, ref string) handoff.Conversation {
	w.t.Helper()
	made, err := w.CreateConversation(w.ctx, inMessenger(c, ref), nil)
	require.NoError(w.t, err)
	return made
}

// writes appends a message and says since when the User is unanswered.
func (w *world) writes(conversationID string, at, since time.Time) handoff.Conversation {
	w.t.Helper()
	return w.change(conversationID, func(s handoff.Snapshot) *handoff.Change {
		c := s.Conversation
		c.UnansweredSince, c.UpdatedAt = since, at
		return &handoff.Change{Conversation: &c, Events: []handoff.Event{message("hi")}}
	}).Conversation
}

var messengerTests = map[string]func(*testing.T, *world){
	"a session of a messenger has one conversation": func(t *testing.T, w *world) {
		desk := w.connection(w.agent().ID)
		other := w.connection(desk.AgentID)
		want := inMessenger(desk, "ref")
		want.UnansweredSince, want.HumanSeq = start, 7
		made, err := w.CreateConversation(w.ctx, want, nil)
		require.NoError(t, err)
		want.Version, want.UnansweredSince, want.CreatedAt, want.UpdatedAt = 1, after(0), after(0), after(0)
		equal(t, want, made)
		read, err := w.ConversationByRef(w.ctx, desk.ID, "ref")
		require.NoError(t, err)
		equal(t, want, read)

		_, err = w.CreateConversation(w.ctx, inMessenger(desk, "ref"), nil)
		requireFault(t, err, fault.Conflict, "")
		elsewhere := w.inMessenger(other, "ref")
		read, err = w.ConversationByRef(w.ctx, other.ID, "ref")
		require.NoError(t, err)
		require.Equal(t, elsewhere.ID, read.ID)

		// The others are nobody's session, and may be many.
		w.conversation(desk.AgentID)
		w.conversation(desk.AgentID)
		for _, at := range [][2]string{{"", ""}, {desk.ID, ""}, {desk.ID, "unknown"}, {"", "ref"}} {
			_, err = w.ConversationByRef(w.ctx, at[0], at[1])
			requireFault(t, err, fault.NotFound, "")
		}
	},
	"two first messages at once make one conversation": func(t *testing.T, w *world) {
		desk := w.connection(w.agent().ID)
		errs := make([]error, 8)
		together(len(errs), func(i int) { _, errs[i] = w.CreateConversation(w.ctx, inMessenger(desk, "ref"), nil) })
		won := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return fault.Is(err, fault.Conflict) })
		require.Equal(t, []error{nil}, won)
	},
	"where a conversation is cannot change": func(t *testing.T, w *world) {
		c := w.inMessenger(w.connection(w.agent().ID), "ref")
		for _, move := range []func(*handoff.Conversation){
			func(c *handoff.Conversation) { c.DeskRef = "another" },
			func(c *handoff.Conversation) { c.ConnectionID = "another" },
		} {
			_, err := w.Change(w.ctx, c.ID, "", func(s handoff.Snapshot) (*handoff.Change, error) {
				c := s.Conversation
				move(&c)
				return &handoff.Change{Conversation: &c}, nil
			})
			requireFault(t, err, fault.Internal, "")
		}
	},
	"those that await the agent are found, the longest waiting first": func(t *testing.T, w *world) {
		desk := w.connection(w.agent().ID)
		later := w.inMessenger(desk, "later")
		sooner := w.inMessenger(desk, "sooner")
		served := w.inMessenger(desk, "served")
		silent := w.inMessenger(desk, "silent")
		foreign := w.inMessenger(w.connection(w.agent().ID), "foreign")
		w.conversation(desk.AgentID)
		at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
		w.writes(later.ID, at(3), at(3))
		w.writes(sooner.ID, at(1), at(1))
		w.writes(served.ID, at(1), at(1))
		w.writes(silent.ID, at(1), at(1))
		w.writes(foreign.ID, at(1), at(1))
		w.writes(silent.ID, at(4), time.Time{})
		w.open(served.ID, desk.ID)
		read := w.writes(sooner.ID, at(5), at(1)) // wrote again
		require.Equal(t, after(time.Second), read.UnansweredSince)

		await := handoff.ConversationFilter{AgentID: desk.AgentID, AwaitsAgent: true}
		list := func() []string {
			return idsOf(pages(w, func(p handoff.Page) (handoff.List[handoff.Conversation], error) {
				return w.Conversations(w.ctx, await, p)
			}), conversationID)
		}
		require.Equal(t, []string{sooner.ID, later.ID}, list())

		changed := func(since time.Time, afterID string, limit int) []string {
			found, err := w.AwaitingConversations(w.ctx, []string{desk.AgentID, "agt_nobody"}, since, afterID, limit)
			require.NoError(t, err)
			ids := []string{}
			for _, c := range found {
				require.True(t, c.AwaitsAgent())
				ids = append(ids, c.ID)
			}
			return ids
		}
		require.Equal(t, []string{later.ID, sooner.ID}, changed(at(0), "", 10), "by the change")
		require.Equal(t, []string{later.ID}, changed(at(0), "", 1))
		require.Equal(t, []string{sooner.ID}, changed(at(3), later.ID, 10))
		require.Empty(t, changed(at(5), sooner.ID, 10))

		// The end gives the unanswered message back to the Agent.
		w.change(served.ID, func(s handoff.Snapshot) *handoff.Change {
			c, h := s.Conversation, *s.Handoff
			c.Control, c.OpenHandoffID = handoff.ControlAgent, ""
			c.Epoch++
			h.State, h.Reason, h.ClosedAt = handoff.StateClosed, handoff.ReasonWaitTimeout, start
			return &handoff.Change{Conversation: &c, Handoff: &h}
		})
		require.ElementsMatch(t, []string{sooner.ID, served.ID, later.ID}, list())
	},
	"what is said in a messenger outlives the handoff": func(t *testing.T, w *world) {
		s := w.session()
		c := w.inMessenger(s.connection, "ref")
		s.conversation, s.lane = c, handoff.MessengerLane(c.ID)
		s.handoff = w.open(c.ID, s.connection.ID)
		before, between := handoff.NewID(handoff.HandoffPrefix), s.handoff.ID
		deliver := func(kind handoff.DeliveryKind, handoffID string) handoff.QueuedDelivery {
			d := s.delivery(start)
			d.Kind, d.HandoffID = kind, handoffID
			return d
		}
		queued := []handoff.QueuedDelivery{
			deliver(handoff.DeliverSay, ""), deliver(handoff.DeliverClose, before), deliver(handoff.DeliverOpen, between),
			deliver(handoff.DeliverSay, between),
		}
		w.change(c.ID, func(handoff.Snapshot) *handoff.Change { return &handoff.Change{Deliveries: queued} })
		left := func() []handoff.DeliveryKind {
			var kinds []handoff.DeliveryKind
			list, err := w.Deliveries(w.ctx, handoff.DeliveryFilter{ConnectionID: s.connection.ID}, handoff.Page{First: 10})
			require.NoError(t, err)
			for _, d := range slices.Backward(list.Items) {
				kinds = append(kinds, d.Kind)
			}
			return kinds
		}

		// The lane waits for a retry of what is dropped now; what is left does not.
		lease := w.claim(start)
		d := w.head(s.lane)
		now := time.Now().Add(time.Minute) // the store's clock is the real one
		require.NoError(t, w.PostponeDelivery(w.ctx, finishOf(lease, d), now.Add(time.Hour), d))
		w.noLane(now)
		w.change(c.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Drop: s.drop(), Deliveries: []handoff.QueuedDelivery{deliver(handoff.DeliverSay, between)}}
		})
		require.Equal(t, []handoff.DeliveryKind{"SAY", "CLOSE", "SAY", "SAY"}, left())

		// A worker drops the same, and goes on with what is left.
		lease = w.claim(now)
		require.NoError(t, w.DropDeliveries(w.ctx, handoff.Drop{Lane: s.lane, HandoffID: before}, lease.Owner))
		require.Equal(t, []handoff.DeliveryKind{"SAY", "SAY", "SAY"}, left())
		w.noLane(now) // still leased
		for range 2 {
			_, more := w.finish(lease)
			require.True(t, more)
		}
		_, more := w.finish(lease)
		require.False(t, more)
		w.noLane(now.Add(2 * time.Hour))
	},
}
