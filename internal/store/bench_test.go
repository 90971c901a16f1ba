package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/store/pgtest"
)

// BenchmarkChange compares a change with what cannot be beaten: a bare durable
// insert of the same text, measured in turns with it. Run it with
//
//	go test ./internal/store -run '^$' -bench Change -benchtime 10x
//
// "ratio" is the rate of changes divided by the rate of inserts, best seen on an
// idle machine.
func BenchmarkChange(b *testing.B) {
	databases := []struct {
		name    string
		writers []int
		open    func(b *testing.B) (s *store.Store, insert func(id, text string) error)
	}{
		{"postgres", []int{1, 16, 64}, durablePostgres},
		{"sqlite", []int{1, 16}, durableSQLite},
	}
	for _, database := range databases {
		b.Run(database.name, func(b *testing.B) {
			s, insert := database.open(b)
			sessions := openSessions(b, s, 2_000)
			for _, shape := range shapes {
				for _, writers := range database.writers {
					b.Run(fmt.Sprintf("%s/writers=%d", shape.name, writers), func(b *testing.B) {
						compare(b, writers,
							func(i int64) error { return insert(fmt.Sprintf("%s %d", b.Name(), i), benchText) },
							func(int64) error {
								one := &sessions[rand.IntN(len(sessions))]
								_, err := s.Change(context.Background(), one.conversationID, "", func(snap handoff.Snapshot) (*handoff.Change, error) {
									return shape.change(one, snap), nil
								})
								return err
							})
					})
				}
			}
		})
	}
}

// benchText has 200 characters.
const benchText = "The quick brown fox jumps over the lazy dog and does not look back at it, because it has seen many lazy dogs in " +
	"its life and knows that nothing good comes from waking them up in the middle of the day"

var shapes = []struct {
	name   string
	change func(one *benchSession, snap handoff.Snapshot) *handoff.Change
}{
	{"to desk", func(one *benchSession, snap handoff.Snapshot) *handoff.Change {
		now := time.Now()
		return &handoff.Change{
			Events: []handoff.Event{{Kind: handoff.EventMessage, Author: handoff.AuthorUser, Text: benchText, At: now, HandoffID: one.handoffID}},
			Deliveries: []handoff.QueuedDelivery{{Delivery: handoff.Delivery{
				ID: handoff.NewID(handoff.DeliveryPrefix), Lane: handoff.LaneOf(one.handoffID), AgentID: snap.Conversation.AgentID,
				ConnectionID: snap.Handoff.ConnectionID, ConversationID: one.conversationID, HandoffID: one.handoffID,
				Kind: handoff.DeliverMessage, Status: handoff.DeliveryPending, CreatedAt: now,
			}}},
		}
	}},
	{"to user", func(one *benchSession, snap handoff.Snapshot) *handoff.Change {
		now := time.Now()
		h, c := *snap.Handoff, snap.Conversation
		h.DeadlineKind, h.DeadlineAt, h.UpdatedAt, c.UpdatedAt = handoff.DeadlineSession, now.Add(3*time.Minute), now, now
		return &handoff.Change{
			Conversation: &c, Handoff: &h,
			Events: []handoff.Event{{
				Kind: handoff.EventMessage, Author: handoff.AuthorOperator, Text: benchText, At: now, HandoffID: one.handoffID,
				Key: fmt.Sprintf("desk:%d", rand.Int64()),
			}},
		}
	}},
}

type benchSession struct{ conversationID, handoffID string }

// compare takes turns of both and reports rates and their ratio.
func compare(b *testing.B, writers int, floor, change func(i int64) error) {
	const turn = 400 * time.Millisecond
	var (
		spent [2]time.Duration
		done  [2]int64
		next  atomic.Int64
	)
	next.Store(time.Now().UnixNano())
	for b.Loop() {
		for i, fn := range []func(int64) error{floor, change} {
			var (
				group sync.WaitGroup
				count atomic.Int64
				start = time.Now()
			)
			for range writers {
				group.Go(func() {
					for time.Since(start) < turn {
						if err := fn(next.Add(1)); err != nil {
							b.Error(err)
							return
						}
						count.Add(1)
					}
				})
			}
			group.Wait()
			spent[i] += time.Since(start)
			done[i] += count.Load()
		}
	}
	bare, changes := float64(done[0])/spent[0].Seconds(), float64(done[1])/spent[1].Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(bare, "inserts/s")
	b.ReportMetric(changes, "changes/s")
	b.ReportMetric(changes/bare, "ratio")
}

func openSessions(b *testing.B, s *store.Store, n int) []benchSession {
	b.Helper()
	ctx := context.Background()
	now := time.Now()
	agent, err := s.CreateAgent(ctx, handoff.Agent{
		ID: handoff.NewID(handoff.AgentPrefix), Name: "A", Settings: handoff.DefaultSettings("UTC"), CreatedAt: now, UpdatedAt: now,
	}, nil)
	require.NoError(b, err)
	sessions := make([]benchSession, n)
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := worker; i < n; i += 16 {
				c := handoff.Conversation{
					ID: handoff.NewID(handoff.ConversationPrefix), AgentID: agent.ID, Channel: handoff.ChannelWidget, Control: handoff.ControlAgent,
					Epoch: 1, User: handoff.User{ID: "u", Name: "Ann"}, CreatedAt: now, UpdatedAt: now,
				}
				if _, err := s.CreateConversation(ctx, c, nil); err != nil {
					b.Error(err)
					return
				}
				id := handoff.NewID(handoff.HandoffPrefix)
				if _, err := s.Change(ctx, c.ID, "", func(snap handoff.Snapshot) (*handoff.Change, error) {
					c := snap.Conversation
					c.Control, c.OpenHandoffID, c.Epoch = handoff.ControlHandoff, id, 2
					return &handoff.Change{Conversation: &c, NewHandoff: true, Handoff: &handoff.Handoff{
						ID: id, ConversationID: c.ID, AgentID: agent.ID, ConnectionID: "con_1", DeskKind: "webhook", Mode: handoff.ModeExternalToDesk,
						State: handoff.StateActive, DeskRef: id, RequestedAt: now, UpdatedAt: now,
					}}, nil
				}); err != nil {
					b.Error(err)
					return
				}
				sessions[i] = benchSession{c.ID, id}
			}
		})
	}
	group.Wait()
	return sessions
}

func durablePostgres(b *testing.B) (*store.Store, func(id, text string) error) {
	server, err := pgtest.Start(pgtest.Options{Durable: true})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Stop()) })
	url, _, err := server.Database()
	require.NoError(b, err)
	s := open(b, store.Options{URL: url})
	pool, err := pgxpool.New(context.Background(), url+"&pool_max_conns=20")
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	_, err = pool.Exec(context.Background(), "CREATE TABLE floor (id text PRIMARY KEY, text text NOT NULL, at timestamptz NOT NULL)")
	require.NoError(b, err)
	return s, func(id, text string) error {
		_, err := pool.Exec(context.Background(), "INSERT INTO floor (id, text, at) VALUES ($1, $2, $3)", id, text, time.Now())
		return err
	}
}

func durableSQLite(b *testing.B) (*store.Store, func(id, text string) error) {
	dir := b.TempDir()
	s := open(b, store.Options{SQLitePath: filepath.Join(dir, "store.db")})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "floor.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE floor (id TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL, at INTEGER NOT NULL) STRICT")
	require.NoError(b, err)
	insert, err := db.Prepare("INSERT INTO floor (id, text, at) VALUES (?, ?, ?)")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, insert.Close()) })
	return s, func(id, text string) error {
		_, err := insert.Exec(id, text, time.Now().UnixMicro())
		return err
	}
}
