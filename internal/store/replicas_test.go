package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/store/storetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// replicas are two processes on one Postgres, as far as the database can tell.
func replicas(t *testing.T) (a, b *store.Store, url string) {
	t.Helper()
	url = migrated(t)
	return openPostgres(t, url), openPostgres(t, url), url
}

func newConversation(t *testing.T, s *store.Store) handoff.Conversation {
	t.Helper()
	agent, err := s.CreateAgent(t.Context(), handoff.Agent{
		ID: handoff.NewID(handoff.AgentPrefix), Name: "A", Settings: handoff.DefaultSettings("UTC"), CreatedAt: now, UpdatedAt: now,
	}, nil)
	require.NoError(t, err)
	c, err := s.CreateConversation(t.Context(), handoff.Conversation{
		ID: handoff.NewID(handoff.ConversationPrefix), AgentID: agent.ID, Channel: handoff.ChannelAPI,
		Control: handoff.ControlAgent, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}, nil)
	require.NoError(t, err)
	return c
}

func event(text string) handoff.Event {
	return handoff.Event{Kind: handoff.EventMessage, Author: handoff.AuthorUser, Text: text, At: now}
}

func opening(s handoff.Snapshot) *handoff.Change {
	c := s.Conversation
	c.Control, c.OpenHandoffID = handoff.ControlHandoff, handoff.NewID(handoff.HandoffPrefix)
	return &handoff.Change{Conversation: &c, NewHandoff: true, Handoff: &handoff.Handoff{
		ID: c.OpenHandoffID, ConversationID: c.ID, AgentID: c.AgentID, ConnectionID: "con_1", DeskKind: "webhook",
		Mode: handoff.ModeExternalToDesk, State: handoff.StateActive, DeskRef: c.OpenHandoffID, RequestedAt: now, UpdatedAt: now,
	}}
}

func closing(s handoff.Snapshot) *handoff.Change {
	c, h := s.Conversation, *s.Handoff
	c.Control, c.OpenHandoffID = handoff.ControlAgent, ""
	h.State, h.Reason, h.ClosedAt = handoff.StateClosed, handoff.ReasonUserEnded, now
	h.DeadlineKind, h.DeadlineAt = handoff.DeadlineNone, time.Time{}
	return &handoff.Change{Conversation: &c, Handoff: &h}
}

// Both replicas change one conversation in every way at once: in batches and
// alone, with the key of the other, out of memory that the other has made old. A
// counter in the Conversation and one in the Handoff's deadline show a lost update,
// the numbers of the events a lost or doubled change.
func TestReplicasChangeOneConversation(t *testing.T) {
	t.Parallel()
	a, b, url := replicas(t)
	require.NoError(t, store.OnlyMany(t.Context(), b, url)) // both ways of writing meet
	c := newConversation(t, a)
	_, err := a.Change(t.Context(), c.ID, "", func(s handoff.Snapshot) (*handoff.Change, error) { return opening(s), nil })
	require.NoError(t, err)

	const workers, each = 8, 24
	var (
		group                               sync.WaitGroup
		texts                               sync.Map
		events, epochs, deadlines, repeated atomic.Int64
	)
	for worker := range workers {
		s := []*store.Store{a, b}[worker%2]
		group.Go(func() {
			for n := range each {
				key, text := "", fmt.Sprintf("%d/%d", worker, n)
				if n%4 == 3 {
					key = fmt.Sprintf("shared %d", n) // everybody has this one
				}
				done, err := s.Change(t.Context(), c.ID, key, func(snap handoff.Snapshot) (*handoff.Change, error) {
					e := event(text)
					e.Key = key
					change := &handoff.Change{Events: []handoff.Event{e}}
					switch n % 4 {
					case 1: // rewrites the Conversation
						c := snap.Conversation
						c.Epoch++
						change.Conversation = &c
					case 2: // moves the deadline
						h := *snap.Handoff
						if h.DeadlineAt.IsZero() {
							h.DeadlineAt = now
						}
						h.DeadlineKind, h.DeadlineAt = handoff.DeadlineSession, h.DeadlineAt.Add(time.Second)
						change.Handoff = &h
						change.Events = append(change.Events, event("moved"))
					}
					return change, nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				if done.Duplicate {
					repeated.Add(1)
					continue
				}
				events.Add(int64(len(done.Events)))
				for _, e := range done.Events {
					if _, twice := texts.LoadOrStore(e.Seq, e.Text); twice {
						t.Errorf("two changes got seq %d", e.Seq)
					}
				}
				switch n % 4 {
				case 1:
					epochs.Add(1)
				case 2:
					deadlines.Add(1)
				}
			}
		})
	}
	group.Wait()

	require.Equal(t, int64(workers*each/4-each/4), repeated.Load())
	read, err := b.Conversation(t.Context(), c.ID)
	require.NoError(t, err)
	log, err := b.Events(t.Context(), c.ID, 0, 10_000)
	require.NoError(t, err)
	require.Len(t, log, int(events.Load()))
	require.Equal(t, events.Load(), read.LastSeq)
	for i, e := range log {
		require.Equal(t, int64(i+1), e.Seq)
		text, _ := texts.Load(e.Seq)
		require.Equal(t, e.Text, text)
	}
	require.Equal(t, 1+epochs.Load(), read.Epoch)
	h, err := a.Handoff(t.Context(), read.OpenHandoffID)
	require.NoError(t, err)
	require.Equal(t, now.Add(time.Duration(deadlines.Load())*time.Second), h.DeadlineAt)
	require.Equal(t, 1+deadlines.Load(), h.Version)
	require.Equal(t, 2+workers*each-repeated.Load(), read.Version)
}

// What a replica remembers decides nothing once another replica has changed it.
func TestReplicasDoNotBelieveWhatTheyRemember(t *testing.T) {
	t.Parallel()
	a, b, _ := replicas(t)
	c := newConversation(t, a)
	change := func(s *store.Store, key string, decide handoff.Decide) handoff.Committed {
		t.Helper()
		done, err := s.Change(t.Context(), c.ID, key, decide)
		require.NoError(t, err)
		return done
	}
	change(a, "", func(s handoff.Snapshot) (*handoff.Change, error) { return opening(s), nil })
	change(b, "", func(s handoff.Snapshot) (*handoff.Change, error) { return closing(s), nil })

	// A refusal and "nothing to do" are decided on what is there.
	errOpen := errors.New("still open")
	done := change(a, "", func(s handoff.Snapshot) (*handoff.Change, error) {
		if s.Handoff != nil {
			return nil, errOpen
		}
		return nil, nil
	})
	require.Nil(t, done.Handoff)
	require.Equal(t, int64(3), done.Conversation.Version)

	// A key that the other one wrote is known.
	keyed := func(text string) handoff.Decide {
		return func(handoff.Snapshot) (*handoff.Change, error) {
			e := event(text)
			e.Key = "k"
			return &handoff.Change{Events: []handoff.Event{e}}, nil
		}
	}
	change(a, "", func(handoff.Snapshot) (*handoff.Change, error) {
		return &handoff.Change{Events: []handoff.Event{event("a")}}, nil
	})
	change(b, "k", keyed("from b"))
	done = change(a, "k", keyed("from a"))
	require.True(t, done.Duplicate)
	require.Equal(t, "from b", done.Events[0].Text)
}

func TestReplicasShareLanes(t *testing.T) {
	t.Parallel()
	a, b, _ := replicas(t)
	storetest.Stress(t, 30, a, b)
}

// Somebody holds the row of one conversation: only those who want it wait, as long
// as their context lets them.
func TestALockedConversationStopsNobodyElse(t *testing.T) {
	t.Parallel()
	a, _, url := replicas(t)
	locked, other := newConversation(t, a), newConversation(t, a)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM conversations WHERE id = $1 FOR UPDATE", locked.ID)
	require.NoError(t, err)

	post := func(ctx context.Context, id string) error {
		_, err := a.Change(ctx, id, "", func(handoff.Snapshot) (*handoff.Change, error) {
			return &handoff.Change{Events: []handoff.Event{event("x")}}, nil
		})
		return err
	}
	impatient, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		err := post(impatient, locked.ID)
		if !fault.Is(err, fault.Overloaded) {
			t.Errorf("want Overloaded, got %v", err)
		}
	})
	for range 5 {
		require.NoError(t, post(t.Context(), other.ID))
	}
	group.Wait()
	group.Go(func() {
		if err := post(t.Context(), locked.ID); err != nil { // patient
			t.Error(err)
		}
	})
	for range 5 {
		require.NoError(t, post(t.Context(), other.ID))
	}
	require.NoError(t, tx.Rollback(t.Context()))
	group.Wait()
	for id, want := range map[string]int{locked.ID: 1, other.ID: 10} {
		log, err := a.Events(t.Context(), id, 0, 100)
		require.NoError(t, err)
		require.Len(t, log, want)
	}
}

// A worker ends a delivery and waits for the lane, while somebody else adds to the
// lane or empties it. What the statement of the worker saw before it waited is
// wrong then: it must neither strand what came nor hand out what is gone.
func TestFinishSeesWhatHappenedWhileItWaited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queued     int // besides the one that ends
		statements []string
		more       bool
		next       string
	}{
		"added to an empty lane": {
			statements: []string{
				"UPDATE lanes SET last_seq = last_seq + 1",
				"INSERT INTO deliveries SELECT lane, 2, 'dlv_new', agent_id, connection_id, conversation_id, handoff_id, kind, event_seq, status, 0, '', '', NULL, created_at FROM deliveries WHERE lane_seq = 1",
			},
			more: true, next: "dlv_new",
		},
		"emptied by a change": {
			queued:     2,
			statements: []string{"UPDATE lanes SET done_seq = last_seq", "DELETE FROM deliveries"},
		},
		"emptied with its connection": {
			queued:     2,
			statements: []string{"UPDATE lanes SET last_seq = last_seq + 1", "DELETE FROM deliveries"},
		},
		"untouched": {queued: 1, statements: []string{"SELECT 1"}, more: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			s := openPostgres(t, url)
			conversation := newConversation(t, s)
			lane := "desk:hof_1"
			_, err := s.Change(t.Context(), conversation.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
				change := &handoff.Change{}
				for range c.queued + 1 {
					change.Deliveries = append(change.Deliveries, handoff.QueuedDelivery{EventIndex: -1, Delivery: handoff.Delivery{
						ID: handoff.NewID(handoff.DeliveryPrefix), Lane: lane, ConversationID: conversation.ID,
						Kind: handoff.DeliverMessage, Status: handoff.DeliveryPending, CreatedAt: now,
					}})
				}
				return change, nil
			})
			require.NoError(t, err)
			leases, err := s.ClaimLanes(t.Context(), "me", now, now.Add(time.Minute), 1)
			require.NoError(t, err)
			require.Len(t, leases, 1)

			conn, err := pgx.Connect(t.Context(), url)
			require.NoError(t, err)
			defer conn.Close(context.Background())
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "SELECT 1 FROM lanes FOR UPDATE")
			require.NoError(t, err)
			var (
				group sync.WaitGroup
				next  handoff.Delivery
				more  bool
			)
			group.Go(func() {
				var err error
				if next, more, err = s.FinishDelivery(t.Context(), handoff.FinishDelivery{Lane: lane, LaneSeq: 1, Owner: "me"}, now); err != nil {
					t.Error(err)
				}
			})
			waits(t, url)
			for _, statement := range c.statements {
				_, err = tx.Exec(t.Context(), statement)
				require.NoError(t, err)
			}
			require.NoError(t, tx.Commit(t.Context()))
			group.Wait()

			require.Equal(t, c.more, more)
			head, found, err := s.Head(t.Context(), lane)
			require.NoError(t, err)
			require.Equal(t, more, found)
			require.Equal(t, head, next)
			if c.next != "" {
				require.Equal(t, c.next, next.ID)
			}
			ready, err := s.NextReady(t.Context())
			require.NoError(t, err)
			require.Equal(t, more, !ready.IsZero(), "the lane is released when it is empty")
		})
	}
}

// waits returns when somebody waits for a lock in the database.
func waits(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.Eventually(t, func() bool {
		var n int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	}, 10*time.Second, time.Millisecond)
}

// A message that moves the deadline on leaves every index of the Handoff alone,
// because the alarm stays where it is.
func TestADeadlineThatMovesOnLeavesItsAlarm(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := openPostgres(t, url)
	c := newConversation(t, s)
	_, err := s.Change(t.Context(), c.ID, "", func(snap handoff.Snapshot) (*handoff.Change, error) {
		change := opening(snap)
		change.Handoff.DeadlineKind, change.Handoff.DeadlineAt = handoff.DeadlineSession, now
		return change, nil
	})
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for _, step := range []struct{ deadline, alarm time.Duration }{{5, 0}, {7, 0}, {-3, -3}, {9, -3}} {
		_, err := s.Change(t.Context(), c.ID, "", func(snap handoff.Snapshot) (*handoff.Change, error) {
			h := *snap.Handoff
			h.DeadlineAt = now.Add(step.deadline * time.Minute)
			return &handoff.Change{Handoff: &h}, nil
		})
		require.NoError(t, err)
		var deadline, alarm time.Time
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT deadline_at, alarm_at FROM handoffs").Scan(&deadline, &alarm))
		require.True(t, now.Add(step.deadline*time.Minute).Equal(deadline))
		require.True(t, now.Add(step.alarm*time.Minute).Equal(alarm), "%v", alarm)
	}
}

// A change that always finds another replica faster is decided under the lock in
// the end. The lane that it leases there is told too, or nobody would deliver it
// before the lease ends.
func TestALeaseGivenUnderTheLockIsTold(t *testing.T) {
	t.Parallel()
	a, b, _ := replicas(t)
	c := newConversation(t, a)
	decided := 0
	done, err := a.Change(t.Context(), c.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
		if decided++; decided <= 5 { // without the lock
			_, err := b.Change(t.Context(), c.ID, "", func(handoff.Snapshot) (*handoff.Change, error) {
				return &handoff.Change{Events: []handoff.Event{event("faster")}}, nil
			})
			if err != nil {
				return nil, err
			}
		}
		return &handoff.Change{
			Events: []handoff.Event{event("slow")},
			Deliveries: []handoff.QueuedDelivery{{EventIndex: 0, Delivery: handoff.Delivery{
				ID: handoff.NewID(handoff.DeliveryPrefix), Lane: "desk:hof_1", ConversationID: c.ID,
				Kind: handoff.DeliverMessage, Status: handoff.DeliveryPending, CreatedAt: now,
			}}},
			Lease: &handoff.Lease{Owner: "worker", Until: now.Add(30 * time.Second)},
		}, nil
	})
	require.NoError(t, err)
	require.Equal(t, 6, decided)
	head, found, err := a.Head(t.Context(), "desk:hof_1")
	require.NoError(t, err)
	require.True(t, found)
	require.NotNil(t, done.Leased)
	require.Equal(t, head, *done.Leased)
}
