package graph_test

import (
	"testing"

	"handoff/internal/fault"

	"github.com/stretchr/testify/require"
)

const awaiting = `subscription($a: ID!) { awaitingConversationUpdates(agentId: $a) {
	initial conversation { id awaitsAgent lastSeq epoch }
} }`

func TestAwaitingConversationUpdates(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("messenger")
	connection := g.ok(`query($id: ID!) { agent(id: $id) { deskConnections { id } } }`, vars{"id": g.id}).text("agent.deskConnections.0.id")
	first := a.userWrites(connection, "ref-1", "Where is my parcel?")

	s := g.subscribe(awaiting, vars{"a": g.id})
	update := func(id string, initial bool, seq, epoch string) map[string]any {
		return map[string]any{"initial": initial, "conversation": map[string]any{
			"id": id, "awaitsAgent": true, "lastSeq": number(seq), "epoch": number(epoch),
		}}
	}
	require.Equal(t, update(first, true, "1", "1"), s.next().at("awaitingConversationUpdates"))
	second := a.userWrites(connection, "ref-2", "Hello?")
	require.Equal(t, update(second, false, "1", "1"), s.next().at("awaitingConversationUpdates"))
	a.userWrites(connection, "ref-1", "It is order 4711.")
	require.Equal(t, update(first, false, "2", "1"), s.next().at("awaitingConversationUpdates"))

	// The same by asking.
	const list = `query($id: ID!) { agent(id: $id) { conversations(filter: {awaitsAgent: true}) { nodes { id } } } }`
	require.Equal(t, []string{first, second}, g.ok(list, vars{"id": g.id}).texts("agent.conversations.nodes", "id"))
	g.ok(`mutation($c: ID!) { postAgentMessage(input: {conversationId: $c, epoch: 1, text: "Let me see."}) { message { seq } } }`, vars{"c": first})
	require.Equal(t, []string{second}, g.ok(list, vars{"id": g.id}).texts("agent.conversations.nodes", "id"))
	require.Equal(t, []string{second, first},
		g.ok(`query($id: ID!) { agent(id: $id) { conversations { nodes { id } } } }`, vars{"id": g.id}).texts("agent.conversations.nodes", "id"))

	// Control comes back while a message is unanswered.
	handoffID := g.request(second)
	require.Empty(t, g.ok(list, vars{"id": g.id}).at("agent.conversations.nodes"))
	g.ok(`mutation($c: ID!) { endHandoff(input: {conversationId: $c}) { handoff { id } } }`, vars{"c": second})
	again := s.next()
	require.Equal(t, second, again.text("awaitingConversationUpdates.conversation.id"))
	require.Equal(t, number("3"), again.at("awaitingConversationUpdates.conversation.epoch"))
	require.NotEmpty(t, handoffID)
}

func TestConversationInAMessenger(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("messenger")
	connection := g.ok(`query($id: ID!) { agent(id: $id) { deskConnections { id } } }`, vars{"id": g.id}).text("agent.deskConnections.0.id")
	id := a.userWrites(connection, "ref-1", "Where is my parcel?")
	const read = `query($c: ID!) { conversation(id: $c) { channel deskConnectionId deskRef awaitsAgent language user { name } } }`
	want := map[string]any{
		"channel": "INTERCOM", "deskConnectionId": connection, "deskRef": "ref-1", "awaitsAgent": true, "language": "en",
		"user": map[string]any{"name": "Mei"},
	}
	require.Equal(t, want, g.ok(read, vars{"c": id}).at("conversation"))
	want["deskConnectionId"], want["deskRef"] = nil, nil
	require.Equal(t, want, g.userOf(id).ok(read, vars{"c": id}).at("conversation"), "ids at the desk are not the User's business")

	g.refuses("channel", `mutation { startConversation(input: {channel: INTERCOM}) { conversation { id } } }`, nil)
	g.fails(fault.Unsupported, `mutation($c: ID!) { postUserMessage(input: {conversationId: $c, text: "x"}) { epoch } }`, vars{"c": id})

	g.ok(`mutation($c: ID!) { postAgentMessage(input: {conversationId: $c, epoch: 1, text: "Let me see."}) { message { seq } } }`, vars{"c": id})
	require.Equal(t, map[string]any{
		"kind": "SAY", "status": "PENDING", "handoffId": nil, "conversationId": id, "deskConnectionId": connection, "messageSeq": number("2"),
	}, g.ok(`query($id: ID!) { agent(id: $id) { deliveries { nodes {
		kind status handoffId conversationId deskConnectionId messageSeq
	} } } }`, vars{"id": g.id}).at("agent.deliveries.nodes.0"))
	require.Equal(t, false, g.ok(read, vars{"c": id}).at("conversation.awaitsAgent"))
}
