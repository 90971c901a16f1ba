package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/store"
)

func TestTheMemoryOfADeskIsBounded(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *store.Store{
		"SQLite": func(t *testing.T) *store.Store {
			return open(t, store.Options{SQLitePath: filepath.Join(t.TempDir(), "test.db")})
		},
		"Postgres": func(t *testing.T) *store.Store { return openPostgres(t, migrated(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ctx, now := open(t), t.Context(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			agent, err := s.CreateAgent(ctx, handoff.Agent{ID: "agt_1", Name: "A", Settings: handoff.DefaultSettings("UTC"), CreatedAt: now, UpdatedAt: now}, nil)
			require.NoError(t, err)
			for _, id := range []string{"con_1", "con_2"} {
				_, err = s.CreateConnection(ctx, handoff.Connection{ID: id, AgentID: agent.ID, ReceiveToken: id, CreatedAt: now, UpdatedAt: now}, nil)
				require.NoError(t, err)
			}
			put := func(connectionID, key string, version int64, at time.Time) int64 {
				t.Helper()
				version, set, err := s.SetDeskMemory(ctx, connectionID, key, "sealed", version, at)
				require.NoError(t, err)
				require.True(t, set)
				return version
			}
			has := func(connectionID, key string) bool {
				t.Helper()
				_, version, err := s.DeskMemory(ctx, connectionID, key)
				require.NoError(t, err)
				return version != 0
			}

			store.LimitDeskMemory(s, 3)
			token := put("con_1", "token", 0, now)
			for i := range 2 {
				put("con_1", fmt.Sprint("user ", i), 0, now)
			}
			put("con_2", "other", 0, now)
			_, _, err = s.SetDeskMemory(ctx, "con_1", "one too many", "sealed", 0, now)
			require.Equal(t, fault.LimitReached, fault.KindOf(err), "nothing is old enough")
			require.True(t, has("con_1", "user 0"))

			token = put("con_1", "token", token, now.Add(time.Second)) // renewed
			later := now.Add(handoff.DeskMemoryKept + time.Millisecond)
			put("con_1", "user 2", 0, later)
			require.False(t, has("con_1", "user 0"))
			require.False(t, has("con_1", "user 1"))
			require.True(t, has("con_1", "token"), "it is younger")
			require.True(t, has("con_2", "other"), "each connection has its own")
			put("con_1", "token", token, later)
		})
	}
}
