package history_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
	"handoff/internal/store"
	"handoff/internal/store/pgtest"
	"handoff/loadtest/history"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestTheServiceFindsTheHistoryAsItsOwn(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "handoff.db")
			options, address := store.Options{SQLitePath: file}, file
			if kind == "postgres" {
				address = pgtest.URL(t)
				options = store.Options{URL: address}
			}
			owner := makeOwner(t, options)
			const conversations = 3
			now := time.Now()

			require.NoError(t, history.Fill(t.Context(), address, owner, (conversations-1)*history.MessagesPerConversation+1, now))

			s, err := store.Open(t.Context(), options)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close()) }()
			list, err := s.Conversations(t.Context(), handoff.ConversationFilter{AgentID: owner.AgentID}, handoff.Page{First: 10})
			require.NoError(t, err)
			require.Len(t, list.Items, conversations)
			for i := range list.Items {
				requireClosedSession(t, s, &list.Items[i])
			}
			requireLive(t, s, list.Items[0].ID)
		})
	}
}

func makeOwner(t *testing.T, options store.Options) history.Owner {
	t.Helper()
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	now := time.Now()
	agent, err := s.CreateAgent(t.Context(), handoff.Agent{ID: handoff.NewID(handoff.AgentPrefix), Name: "Load", CreatedAt: now, UpdatedAt: now}, nil)
	require.NoError(t, err)
	connection, err := s.CreateConnection(t.Context(), handoff.Connection{
		ID: handoff.NewID(handoff.ConnectionPrefix), AgentID: agent.ID, Kind: "webhook", Mode: handoff.ModeExternalToDesk, ReceiveToken: "token",
		Status: handoff.StatusAvailable, CreatedAt: now, UpdatedAt: now,
	}, nil)
	require.NoError(t, err)
	return history.Owner{AgentID: agent.ID, ConnectionID: connection.ID}
}

// requireClosedSession checks the log and the Handoff of a conversation.
func requireClosedSession(t *testing.T, s *store.Store, c *handoff.Conversation) {
	t.Helper()
	require.Equal(t, handoff.ControlAgent, c.Control)
	require.Empty(t, c.OpenHandoffID)
	events, err := s.Events(t.Context(), c.ID, 0, 1_000)
	require.NoError(t, err)
	require.Len(t, events, int(c.LastSeq))
	messages, epoch := 0, int64(1)
	for i := range events {
		require.Equal(t, int64(i+1), events[i].Seq)
		switch events[i].Kind {
		case handoff.EventMessage:
			messages++
		case handoff.EventControlChanged:
			epoch = events[i].Epoch
		case handoff.EventHandoffChanged, handoff.EventDeliveryFailed:
		}
	}
	require.Equal(t, history.MessagesPerConversation, messages)
	require.Equal(t, c.Epoch, epoch)

	h, err := s.Handoff(t.Context(), events[len(events)-1].HandoffID)
	require.NoError(t, err)
	require.Equal(t, handoff.StateClosed, h.State)
	require.Equal(t, handoff.ReasonOperatorEnded, h.Reason)
	require.Equal(t, c.LastSeq, h.EndSeq)
	found, err := s.HandoffByRef(t.Context(), h.ConnectionID, h.DeskRef)
	require.NoError(t, err)
	require.Equal(t, h.ID, found.ID)
}

// requireLive checks that a conversation goes on and that nothing waits to be done.
func requireLive(t *testing.T, s *store.Store, id string) {
	t.Helper()
	done, err := s.Change(t.Context(), id, "", func(snap handoff.Snapshot) (*handoff.Change, error) {
		return &handoff.Change{
			Conversation: &snap.Conversation,
			Events:       []handoff.Event{{Kind: handoff.EventMessage, Author: handoff.AuthorUser, At: time.Now(), Text: "And one more question."}},
		}, nil
	})
	require.NoError(t, err)
	require.True(t, done.Changed)
	next, err := s.NextReady(t.Context())
	require.NoError(t, err)
	require.Zero(t, next)
	due, next, err := s.DueHandoffs(t.Context(), time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, due)
	require.Zero(t, next)
}
