package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

var changeTests = map[string]func(*testing.T, *world){
	"events are numbered and read back as they were written": func(t *testing.T, w *world) {
		c := w.conversation(w.agent().ID)
		events := []handoff.Event{
			{Kind: handoff.EventMessage, At: start, Author: handoff.AuthorUser, Text: hardText, Key: "user:1", HandoffID: "hof_1"},
			{
				Kind: handoff.EventMessage, At: start.Add(time.Second), Author: handoff.AuthorOperator, OperatorName: hardText, Text: "",
				Attachments: []handoff.Attachment{{URL: "https://x.example/a.png", Name: hardText, ContentType: "image/png", SizeBytes: 1 << 40}, {URL: "http://y"}},
			},
			{Kind: handoff.EventMessage, At: start, Author: handoff.AuthorSystem, Notice: handoff.NoticeConnected, Text: "connected"},
			{Kind: handoff.EventHandoffChanged, At: start, HandoffID: "hof_1", State: handoff.StateClosed, Reason: handoff.ReasonUserEnded},
			{Kind: handoff.EventControlChanged, At: start, Control: handoff.ControlAgent, Epoch: 3},
			{Kind: handoff.EventDeliveryFailed, At: start, FailedSeq: 1},
		}
		done := w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
			equal(t, handoff.Snapshot{Conversation: c}, s)
			return &handoff.Change{Events: events}
		})
		want := make([]handoff.Event, len(events))
		for i, e := range events {
			e.ConversationID, e.Seq, e.At = c.ID, int64(i+1), e.At.UTC().Truncate(time.Microsecond)
			want[i] = e
		}
		equal(t, want, done.Events)
		require.True(t, done.Changed)
		require.False(t, done.Duplicate)
		require.Empty(t, done.Lanes)
		read, err := w.Events(w.ctx, c.ID, 0, 100)
		require.NoError(t, err)
		equal(t, want, read)
		wantC := c
		wantC.LastSeq, wantC.Version = 6, 2
		equal(t, wantC, done.Conversation)
		readC, err := w.Conversation(w.ctx, c.ID)
		require.NoError(t, err)
		equal(t, wantC, readC)

		more := w.change(c.ID, say("seven", "eight"))
		require.Equal(t, int64(7), more.Events[0].Seq)
		require.Equal(t, int64(8), more.Conversation.LastSeq)
	},
	"a decision without a change commits nothing": func(t *testing.T, w *world) {
		s := w.session()
		w.change(s.conversation.ID, say("one"))
		done := w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change { return nil })
		require.False(t, done.Changed)
		require.Equal(t, int64(1), done.Conversation.LastSeq)
		require.Equal(t, s.handoff.ID, done.Handoff.ID)
		no := errors.New("no")
		_, err := w.Change(w.ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) { return nil, no })
		require.Same(t, no, err)
		read, err := w.Conversation(w.ctx, s.conversation.ID)
		require.NoError(t, err)
		equal(t, done.Conversation, read)
		_, err = w.Change(w.ctx, "cnv_nobody", "", func(handoff.Snapshot) (*handoff.Change, error) {
			t.Error("decided on nothing")
			return nil, nil
		})
		requireFault(t, err, fault.NotFound, "")
	},
	"a key answers the second call": func(t *testing.T, w *world) {
		s := w.session()
		post := func() (handoff.Committed, error) {
			return w.Change(w.ctx, s.conversation.ID, "user:k", func(handoff.Snapshot) (*handoff.Change, error) {
				e := message("hello")
				e.Key = "user:k"
				d := s.delivery(start)
				d.EventIndex = 0
				return &handoff.Change{Events: []handoff.Event{message("before"), e}, Deliveries: []handoff.QueuedDelivery{d}}, nil
			})
		}
		first, err := post()
		require.NoError(t, err)
		second, err := post()
		require.NoError(t, err)
		require.True(t, second.Duplicate)
		require.False(t, second.Changed)
		equal(t, first.Events[1:], second.Events)
		equal(t, first.Conversation, second.Conversation)
		require.Equal(t, s.handoff.ID, second.Handoff.ID)

		other := w.another(s)
		done, err := w.Change(w.ctx, other.conversation.ID, "user:k", func(handoff.Snapshot) (*handoff.Change, error) {
			e := message("hello")
			e.Key = "user:k"
			return &handoff.Change{Events: []handoff.Event{e}}, nil
		})
		require.NoError(t, err)
		require.False(t, done.Duplicate, "keys are per conversation")

		// The key is looked at even if this time the decision would not write it, or fail.
		_, err = w.Change(w.ctx, s.conversation.ID, "user:k", func(handoff.Snapshot) (*handoff.Change, error) {
			return nil, errors.New("refused")
		})
		require.NoError(t, err)
		done, err = w.Change(w.ctx, s.conversation.ID, "user:k", func(s handoff.Snapshot) (*handoff.Change, error) {
			return say("without the key")(s), nil
		})
		require.NoError(t, err)
		require.True(t, done.Duplicate)
		events, err := w.Events(w.ctx, s.conversation.ID, 0, 10)
		require.NoError(t, err)
		require.Len(t, events, 2)
	},
	"a key used at once is written once": func(t *testing.T, w *world) {
		s := w.session()
		var fresh, duplicate atomic.Int64
		together(16, func(int) {
			done, err := w.Change(w.ctx, s.conversation.ID, "k", func(handoff.Snapshot) (*handoff.Change, error) {
				e := message("hello")
				e.Key = "k"
				return &handoff.Change{Events: []handoff.Event{e}}, nil
			})
			switch {
			case err != nil:
				t.Error(err)
			case done.Duplicate:
				duplicate.Add(1)
			default:
				fresh.Add(1)
			}
		})
		require.Equal(t, []int64{1, 15}, []int64{fresh.Load(), duplicate.Load()})
	},
	"a key of another event is a conflict that writes nothing": func(t *testing.T, w *world) {
		s := w.session()
		keyed := func(text string) handoff.Event {
			e := message(text)
			e.Key = "k"
			return e
		}
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Events: []handoff.Event{keyed("one")}}
		})
		_, err := w.Change(w.ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
			return &handoff.Change{Events: []handoff.Event{message("x"), keyed("two")}, Deliveries: []handoff.QueuedDelivery{s.delivery(start)}}, nil
		})
		requireFault(t, err, fault.Conflict, "")
		w.noLane(start)
		done := w.change(s.conversation.ID, say("next"))
		require.Equal(t, int64(2), done.Events[0].Seq)
	},
	"a handoff opens, moves and closes": func(t *testing.T, w *world) {
		a := w.agent()
		con := w.connection(a.ID)
		c := w.conversation(a.ID)
		var want handoff.Handoff
		done := w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
			change := opening(s, con.ID)
			h := change.Handoff
			h.Note, h.HeldSeqs, h.EmailTries = hardText, []int64{3, 1}, 2
			h.DeadlineKind, h.DeadlineAt, h.WaitingSince = handoff.DeadlineWait, start.Add(time.Minute), start
			want = *h
			return change
		})
		want.Version, want.RequestedAt, want.UpdatedAt = 1, after(0), after(0)
		want.DeadlineAt, want.WaitingSince = after(time.Minute), after(0)
		equal(t, &want, done.Handoff)
		require.Equal(t, handoff.ControlHandoff, done.Conversation.Control)
		require.Equal(t, int64(2), done.Conversation.Epoch)
		check := func() {
			t.Helper()
			read, err := w.Handoff(w.ctx, want.ID)
			require.NoError(t, err)
			equal(t, want, read)
		}
		check()

		// What messages move, and what they do not.
		for i, edit := range []func(h *handoff.Handoff){
			func(h *handoff.Handoff) { h.DeadlineKind, h.DeadlineAt = handoff.DeadlineNone, time.Time{} },
			func(h *handoff.Handoff) {
				h.DeadlineKind, h.DeadlineAt = handoff.DeadlineSession, start.Add(time.Hour)
				h.Operator, h.WaitingSince = "Bob", time.Time{}
			},
			func(h *handoff.Handoff) { h.DeadlineAt = start.Add(time.Second) },
			func(h *handoff.Handoff) {
				h.State, h.ConnectedAt, h.AcceptedAt, h.DeskRef = handoff.StateActive, start, start, "other"
				h.Email, h.ClaimedBy, h.HeldSeqs, h.EmailTries, h.DeskClosed = "", "Bob", nil, 3, true
			},
		} {
			done = w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
				equal(t, want, *s.Handoff)
				h := *s.Handoff
				h.UpdatedAt = start.Add(time.Duration(i) * time.Minute)
				edit(&h)
				want = h
				return &handoff.Change{Handoff: &h, Events: []handoff.Event{message("x")}}
			})
			want.Version++
			for _, at := range []*time.Time{&want.UpdatedAt, &want.DeadlineAt, &want.ConnectedAt, &want.AcceptedAt} {
				if !at.IsZero() {
					*at = at.UTC().Truncate(time.Microsecond)
				}
			}
			equal(t, &want, done.Handoff)
			check()
		}

		closed := w.close(c.ID, handoff.ReasonUserEnded)
		require.False(t, closed.Open())
		want = closed
		check()
		done = w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
			require.Nil(t, s.Handoff)
			require.Equal(t, handoff.ControlAgent, s.Conversation.Control)
			require.Empty(t, s.Conversation.OpenHandoffID)
			return nil
		})
		require.Nil(t, done.Handoff)
		next := w.open(c.ID, con.ID)
		require.NotEqual(t, want.ID, next.ID)
	},
	"one that has ended can be written again": func(t *testing.T, w *world) {
		s := w.session()
		closed := w.close(s.conversation.ID, handoff.ReasonUserEnded)
		open := w.open(s.conversation.ID, s.connection.ID)
		done := w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			h := closed
			h.DeskClosed = true
			return &handoff.Change{Handoff: &h}
		})
		require.Equal(t, closed.ID, done.Handoff.ID)
		read, err := w.Handoff(w.ctx, closed.ID)
		require.NoError(t, err)
		require.True(t, read.DeskClosed)
		require.Equal(t, closed.Version+1, read.Version)
		w.change(s.conversation.ID, func(snap handoff.Snapshot) *handoff.Change {
			require.Equal(t, open.ID, snap.Handoff.ID)
			return nil
		})
		_, err = w.Change(w.ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
			h := closed // as it was before
			return &handoff.Change{Handoff: &h}, nil
		})
		requireFault(t, err, fault.Conflict, "")
	},
	"the rules that must never break are refused": func(t *testing.T, w *world) {
		s := w.session()
		other := w.another(s)
		before, err := w.Conversation(w.ctx, s.conversation.ID)
		require.NoError(t, err)
		for name, c := range map[string]struct {
			kind fault.Kind
			make func(snap handoff.Snapshot) *handoff.Change
		}{
			"two open handoffs": {fault.Conflict, func(snap handoff.Snapshot) *handoff.Change {
				c := opening(snap, s.connection.ID)
				c.Conversation = nil
				return c
			}},
			"two open sessions of one id at the desk": {fault.Conflict, func(snap handoff.Snapshot) *handoff.Change {
				h := *snap.Handoff
				h.DeskRef = other.handoff.DeskRef
				return &handoff.Change{Handoff: &h}
			}},
			"control without a handoff": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				c := snap.Conversation
				c.OpenHandoffID = ""
				return &handoff.Change{Conversation: &c}
			}},
			"an epoch of nothing": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				c := snap.Conversation
				c.Epoch = 0
				return &handoff.Change{Conversation: &c}
			}},
			"closed without a time": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				c := closing(snap, time.Time{}, handoff.ReasonUserEnded)
				return c
			}},
			"closed without a reason": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				return closing(snap, start, handoff.ReasonNone)
			}},
			"closed with a deadline": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				c := closing(snap, start, handoff.ReasonUserEnded)
				c.Handoff.DeadlineKind, c.Handoff.DeadlineAt = handoff.DeadlineWait, start
				return c
			}},
			"a deadline of no kind": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				h := *snap.Handoff
				h.DeadlineAt = start
				return &handoff.Change{Handoff: &h}
			}},
			"a kind without a deadline": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				h := *snap.Handoff
				h.DeadlineKind = handoff.DeadlineWait
				return &handoff.Change{Handoff: &h}
			}},
			"another agent": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				c := snap.Conversation
				c.AgentID = "agt_x"
				return &handoff.Change{Conversation: &c}
			}},
			"another conversation's handoff": {fault.Internal, func(handoff.Snapshot) *handoff.Change {
				h := other.handoff
				return &handoff.Change{Handoff: &h}
			}},
			"a fixed field": {fault.Internal, func(snap handoff.Snapshot) *handoff.Change {
				h := *snap.Handoff
				h.Note = "other"
				return &handoff.Change{Handoff: &h}
			}},
			"an event that is not there": {fault.Internal, func(handoff.Snapshot) *handoff.Change {
				d := s.delivery(start)
				d.EventIndex = 1
				return &handoff.Change{Events: []handoff.Event{message("x")}, Deliveries: []handoff.QueuedDelivery{d}}
			}},
			"another conversation's delivery": {fault.Internal, func(handoff.Snapshot) *handoff.Change {
				return &handoff.Change{Deliveries: []handoff.QueuedDelivery{other.delivery(start)}}
			}},
			"a lease that is not held": {fault.Conflict, func(handoff.Snapshot) *handoff.Change {
				return &handoff.Change{Events: []handoff.Event{message("x")}, Finish: &handoff.FinishDelivery{Lane: s.lane, LaneSeq: 1, Owner: "me"}}
			}},
		} {
			_, err := w.Change(w.ctx, s.conversation.ID, "", func(snap handoff.Snapshot) (*handoff.Change, error) { return c.make(snap), nil })
			require.Error(t, err, name)
			require.Equal(t, c.kind, fault.KindOf(err), "%s: %v", name, err)
		}
		for _, bad := range badTexts {
			for field, edit := range map[string]func(*handoff.Event){
				"text": func(e *handoff.Event) { e.Text = bad },
				"key":  func(e *handoff.Event) { e.Key = bad },
			} {
				_, err := w.Change(w.ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
					e := message("x")
					edit(&e)
					return &handoff.Change{Events: []handoff.Event{message("before"), e}}, nil
				})
				requireFault(t, err, fault.InvalidInput, field)
			}
		}
		read, err := w.Conversation(w.ctx, s.conversation.ID)
		require.NoError(t, err)
		equal(t, before, read)
		h, err := w.Handoff(w.ctx, s.handoff.ID)
		require.NoError(t, err)
		equal(t, s.handoff, h)
	},
	"everything of the conversation can change": func(t *testing.T, w *world) {
		c := w.conversation(w.agent().ID)
		var want handoff.Conversation
		done := w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
			want = s.Conversation
			want.User = handoff.User{ID: "u2", AnonymousID: "a2", Name: "N2", Email: "e2@example.com", Phone: "+2"}
			want.Language, want.CustomFields = "ja", map[string]string{"k": hardText}
			want.Epoch, want.UpdatedAt = 5, start.Add(time.Minute)
			want.LastSeq, want.Version = 99, 99 // counted by the store
			change := want
			return &handoff.Change{Conversation: &change, Events: []handoff.Event{message("x")}}
		})
		want.LastSeq, want.Version, want.UpdatedAt = 1, 2, after(time.Minute)
		equal(t, want, done.Conversation)
		read, err := w.Conversation(w.ctx, c.ID)
		require.NoError(t, err)
		equal(t, want, read)
		// Only the time: the common case.
		done = w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
			change := s.Conversation
			change.UpdatedAt = start.Add(time.Hour)
			return &handoff.Change{Conversation: &change}
		})
		want.Version, want.UpdatedAt = 3, after(time.Hour)
		equal(t, want, done.Conversation)
		read, err = w.Conversation(w.ctx, c.ID)
		require.NoError(t, err)
		equal(t, want, read)
	},
	"what a decision does to its snapshot stays with it": func(t *testing.T, w *world) {
		s := w.session()
		w.change(s.conversation.ID, func(snap handoff.Snapshot) *handoff.Change {
			c := snap.Conversation
			c.CustomFields = map[string]string{"k": "v"}
			return &handoff.Change{Conversation: &c}
		})
		for range 2 {
			done := w.change(s.conversation.ID, func(snap handoff.Snapshot) *handoff.Change {
				require.Equal(t, "v", snap.Conversation.CustomFields["k"])
				require.Equal(t, "note", snap.Handoff.Note)
				snap.Conversation.CustomFields["k"] = "spoiled"
				snap.Handoff.Note = "spoiled"
				return &handoff.Change{Events: []handoff.Event{message("x")}}
			})
			done.Conversation.CustomFields["k"] = "spoiled"
			done.Handoff.Note = "spoiled"
		}
	},
	"an idempotency key is part of the change": func(t *testing.T, w *world) {
		s := w.session()
		once := &handoff.OnceKey{Scope: "scope", Key: "k", Result: "made", At: start}
		w.change(s.conversation.ID, func(handoff.Snapshot) *handoff.Change {
			return &handoff.Change{Events: []handoff.Event{message("x")}, Once: once}
		})
		known, err := w.Once(w.ctx, "scope", "k")
		require.NoError(t, err)
		require.Equal(t, "made", known)
		_, err = w.Change(w.ctx, s.conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
			return &handoff.Change{Events: []handoff.Event{message("y")}, Once: once}, nil
		})
		requireFault(t, err, fault.Conflict, "")
		c, err := w.Conversation(w.ctx, s.conversation.ID)
		require.NoError(t, err)
		require.Equal(t, int64(1), c.LastSeq)
	},
	"changes at once leave no gap and lose nothing": func(t *testing.T, w *world) {
		a := w.agent()
		con := w.connection(a.ID)
		var conversations []handoff.Conversation
		for range 3 {
			conversations = append(conversations, w.conversation(a.ID))
		}
		together(12, func(i int) {
			for n := range 10 {
				id := conversations[(i+n)%len(conversations)].ID
				_, err := w.Change(w.ctx, id, "", func(s handoff.Snapshot) (*handoff.Change, error) {
					switch {
					case n%5 == 4 && s.Handoff == nil:
						c := opening(s, con.ID)
						c.Events = []handoff.Event{message("open")}
						return c, nil
					case n%5 == 2 && s.Handoff != nil:
						c := closing(s, start, handoff.ReasonUserEnded)
						c.Events = []handoff.Event{message("close"), message("bye")}
						return c, nil
					}
					return say(fmt.Sprintf("%d/%d", i, n))(s), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
		total := int64(0)
		for _, c := range conversations {
			read, err := w.Conversation(w.ctx, c.ID)
			require.NoError(t, err)
			events, err := w.Events(w.ctx, c.ID, 0, 1_000)
			require.NoError(t, err)
			byes := int64(0)
			for i, e := range events {
				require.Equal(t, int64(i+1), e.Seq)
				if e.Text == "bye" {
					byes++
				}
			}
			require.Equal(t, read.LastSeq, int64(len(events)))
			require.Equal(t, read.Version-1, read.LastSeq-byes, "one version per change")
			total += read.Version - 1
		}
		require.Equal(t, int64(120), total)
	},
	"a caller that goes away does not change anything else": func(t *testing.T, w *world) {
		c := w.conversation(w.agent().ID)
		canceled, cancel := context.WithCancel(w.ctx)
		cancel()
		_, err := w.Change(canceled, c.ID, "", func(s handoff.Snapshot) (*handoff.Change, error) { return say("x")(s), nil })
		requireFault(t, err, fault.Canceled, "")

		// While one decides, the next waits, and can stop waiting.
		var (
			group    sync.WaitGroup
			deciding = make(chan struct{})
			leave    = make(chan struct{})
		)
		group.Go(func() {
			w.change(c.ID, func(s handoff.Snapshot) *handoff.Change {
				select {
				case <-deciding: // decided again
				default:
					close(deciding)
				}
				<-leave
				return say("first")(s)
			})
		})
		<-deciding
		waiting, stop := context.WithTimeout(w.ctx, 20*time.Millisecond)
		defer stop()
		_, err = w.Change(waiting, c.ID, "", func(s handoff.Snapshot) (*handoff.Change, error) { return say("second")(s), nil })
		requireFault(t, err, fault.Overloaded, "")
		close(leave)
		group.Wait()
		events, err := w.Events(w.ctx, c.ID, 0, 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
	},
}
