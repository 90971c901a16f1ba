package handoff_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestAgents(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	a, err := b.svc.CreateAgent(b.ctx, "  Bea ", "k")
	require.NoError(t, err)
	require.True(t, handoff.HasPrefix(a.ID, handoff.AgentPrefix))
	require.Equal(t, "Bea", a.Name)
	require.Equal(t, handoff.DefaultSettings("UTC"), a.Settings)
	require.Equal(t, start, a.CreatedAt)

	again, err := b.svc.CreateAgent(b.ctx, "Bea", "k")
	require.NoError(t, err)
	require.Equal(t, a, again)
	list, err := b.svc.Agents(b.ctx, handoff.Page{First: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 2)

	renamed, err := b.svc.RenameAgent(b.ctx, a.ID, "Bee")
	require.NoError(t, err)
	require.Equal(t, "Bee", renamed.Name)
	stored, err := b.svc.Agent(b.ctx, a.ID)
	require.NoError(t, err)
	require.Equal(t, renamed, stored)
	_, err = b.svc.RenameAgent(b.ctx, "agt_unknown", "Bee")
	requireFault(t, err, fault.NotFound)
}

func TestNamesOfAgents(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	for name, ok := range map[string]bool{
		strings.Repeat("語", 100): true, strings.Repeat("語", 101): false,
		"": false, " \t": false, "two\nlines": false, "a\x00": false, "\xff": false, "Zoë 🙂": true,
	} {
		_, err := b.svc.CreateAgent(b.ctx, name, "")
		_, renamed := b.svc.RenameAgent(b.ctx, b.agent, name)
		if ok {
			require.NoError(t, err)
			require.NoError(t, renamed)
			continue
		}
		requireInvalid(t, err, "name")
		requireInvalid(t, renamed, "name")
	}
	_, err := b.svc.CreateAgent(b.ctx, "Bea", strings.Repeat("k", handoff.MaxIdempotencyKeyLength+1))
	requireInvalid(t, err, "idempotencyKey")
}

func TestAgentKeys(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	k, err := b.svc.CreateKey(b.ctx, b.agent, " prod ", "sk_1", "hash")
	require.NoError(t, err)
	require.Equal(t, handoff.AgentKey{ID: k.ID, AgentID: b.agent, Name: "prod", Hint: "sk_1", Hash: "hash", CreatedAt: start}, k)
	_, err = b.svc.CreateKey(b.ctx, b.agent, "", "", "")
	requireInvalid(t, err, "name")
	_, err = b.svc.CreateKey(b.ctx, "agt_unknown", "prod", "", "")
	requireFault(t, err, fault.NotFound)

	revoked, err := b.svc.RevokeKey(b.ctx, b.agent, k.ID)
	require.NoError(t, err)
	require.Equal(t, start, *revoked.RevokedAt)
	b.clock.advance(time.Hour)
	again, err := b.svc.RevokeKey(b.ctx, b.agent, k.ID)
	require.NoError(t, err)
	require.Equal(t, revoked, again)
	keys, err := b.svc.Keys(b.ctx, b.agent)
	require.NoError(t, err)
	require.Equal(t, []handoff.AgentKey{revoked}, keys)
}

func TestDeleteAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.reach(handoff.StateActive)
		b.conv = b.converse(handoff.ChannelWidget)
		h := b.reach(handoff.StateWaiting)
		b.desks.forgotten = nil
		began := time.Now()
		time.AfterFunc(200*time.Millisecond, func() { // the worker has told the desk
			b.store.mu.Lock()
			defer b.store.mu.Unlock()
			for _, lane := range b.store.lanes {
				lane.rows = nil
			}
		})
		require.NoError(t, b.svc.DeleteAgent(b.ctx, b.agent))
		require.Less(t, time.Since(began), time.Second, "no longer than the desk needs")
		h, err := b.store.Handoff(b.ctx, h.ID)
		require.NoError(t, err)
		require.Equal(t, handoff.ReasonAdminEnded, h.Reason)
		require.Equal(t, []string{b.desk.ID}, b.desks.forgotten)

		_, err = b.svc.Agent(b.ctx, b.agent)
		requireFault(t, err, fault.NotFound)
		_, err = b.svc.Conversation(b.ctx, b.conv)
		requireFault(t, err, fault.NotFound)
		_, err = b.svc.PostUserMessage(b.ctx, b.conv, handoff.Draft{Text: "anybody?"})
		requireFault(t, err, fault.NotFound)
		_, err = b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv})
		requireFault(t, err, fault.NotFound)
		requireFault(t, b.svc.DeleteAgent(b.ctx, b.agent), fault.NotFound)
	})
}

func TestReachable(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	other := b.replica()
	require.NoError(t, b.svc.Reachable(b.ctx, b.agent))
	require.NoError(t, other.Reachable(b.ctx, b.agent))
	require.NoError(t, b.svc.DeleteAgent(b.ctx, b.agent))
	requireFault(t, b.svc.Reachable(b.ctx, b.agent), fault.NotFound)
	b.clock.advance(2 * time.Second)
	requireFault(t, other.Reachable(b.ctx, b.agent), fault.NotFound)
	requireFault(t, b.svc.Reachable(b.ctx, "agt_unknown"), fault.NotFound)
}

// A replica forgets the settings that another one changed within two seconds.
func TestAnotherReplicaFollows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.replica()
	b.reach(handoff.StateRequesting)
	d := b.take(handoff.DeliverOpen)
	_, err := other.PostUserMessage(b.ctx, b.conv, handoff.Draft{Text: "hurry"}) // it knows the settings now
	require.NoError(t, err)
	b.settings(func(s *handoff.Settings) {
		s.Texts = []handoff.TextOverride{{Language: "en", Notice: handoff.NoticeKeepWaiting, Text: "Still there?"}}
	})
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), ""))
	h := b.newest()
	b.clock.advance(60 * time.Second)
	require.NoError(t, other.FireDeadline(b.ctx, h))
	require.Equal(t, "Still there?", b.log()[b.lastSeq()-1].Text)
}
