package graph_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

func TestBuiltInDesk(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	const queue = `query($id: ID!, $by: String) { operatorQueue(agentId: $id, claimedBy: $by) { nodes { id state claimedBy note operatorNotes { text } } } }`
	ids := func(claimedBy any) []string {
		return g.ok(queue, vars{"id": g.id, "by": claimedBy}).texts("operatorQueue.nodes", "id")
	}
	conversation := g.start("WIDGET")
	first := g.request(conversation)
	require.Empty(t, ids(nil), "still on its way")
	a.deliver()
	a.clock.advance(time.Second)
	second := g.request(g.start("WIDGET"))
	a.deliver()
	require.Equal(t, []string{first, second}, ids(nil), "the longest waiting first")

	const claim = `mutation($h: ID!, $o: String!) { claimHandoff(input: {handoffId: $h, operator: $o}) { handoff { id state claimedBy operatorName } } }`
	require.Equal(t, map[string]any{"id": first, "state": "WAITING", "claimedBy": "Ann", "operatorName": "Ann"},
		g.ok(claim, vars{"h": first, "o": "Ann"}).at("claimHandoff.handoff"))
	g.refuses("operator", claim, vars{"h": second, "o": " "})
	require.Equal(t, "WAITING", g.fails(fault.NotAllowedInState, claim, vars{"h": first, "o": "Bob"})["state"])
	require.Equal(t, []string{first}, ids("Ann"))
	require.Empty(t, ids("Bob"))

	const note = `mutation($h: ID!, $o: String!, $t: String!) { addOperatorNote(input: {handoffId: $h, operator: $o, text: $t}) { note { id operator text at } } }`
	added := g.ok(note, vars{"h": first, "o": "Ann", "t": "a difficult one"})
	require.Equal(t, map[string]any{
		"id": added.text("addOperatorNote.note.id"), "operator": "Ann", "text": "a difficult one", "at": "2026-03-04T10:00:01Z",
	}, added.at("addOperatorNote.note"))
	g.refuses("text", note, vars{"h": first, "o": "Ann", "t": ""})
	require.Equal(t, []any{map[string]any{"text": "a difficult one"}}, g.ok(queue, vars{"id": g.id}).at("operatorQueue.nodes.0.operatorNotes"))

	const post = `mutation($in: PostOperatorMessageInput!) { postOperatorMessage(input: $in) {
		message { author text operatorName attachments { url } handoffId } handoff { id state connectedAt }
	} }`
	in := vars{"handoffId": first, "operator": "Ann", "text": "Hello", "idempotencyKey": "k1", "attachments": []vars{{"url": "https://example.com/a"}}}
	posted := g.ok(post, vars{"in": in})
	require.Equal(t, map[string]any{
		"author": "OPERATOR", "text": "Hello", "operatorName": "Ann", "attachments": []any{map[string]any{"url": "https://example.com/a"}}, "handoffId": first,
	}, posted.at("postOperatorMessage.message"))
	require.Equal(t, map[string]any{"id": first, "state": "ACTIVE", "connectedAt": "2026-03-04T10:00:01Z"}, posted.at("postOperatorMessage.handoff"))
	require.Equal(t, posted.at("postOperatorMessage"), g.ok(post, vars{"in": in}).at("postOperatorMessage"), "the same key makes one message")
	g.refuses("text", post, vars{"in": vars{"handoffId": first, "operator": "Ann"}})
	g.refuses("operator", post, vars{"in": vars{"handoffId": first, "operator": " ", "text": "Hello"}})

	const end = `mutation($h: ID!, $o: String!) { endOperatorSession(input: {handoffId: $h, operator: $o}) { handoff { state reason } } }`
	require.Equal(t, "ACTIVE", g.fails(fault.NotAllowedInState, end, vars{"h": first, "o": "Bob"})["state"])
	require.Equal(t, map[string]any{"state": "CLOSED", "reason": "OPERATOR_ENDED"}, g.ok(end, vars{"h": first, "o": "Ann"}).at("endOperatorSession.handoff"))
	require.Equal(t, []string{second}, ids(nil))
	in["idempotencyKey"] = "k2"
	require.Equal(t, "CLOSED", g.fails(fault.NotAllowedInState, post, vars{"in": in})["state"])

	told := g.userOf(conversation).ok(`query($c: ID!) { conversation(id: $c) { events { nodes { ... on Message { text } } } } }`, vars{"c": conversation})
	require.NotContains(t, told.texts("conversation.events.nodes", "text"), "a difficult one")
}

func TestHandoffsOfOtherDesksAreNotAnsweredHere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("testdesk")
	handoffID := g.request(g.start("API"))
	a.deliver()
	require.Empty(t, g.ok(`query($id: ID!) { operatorQueue(agentId: $id) { nodes { id } } }`, vars{"id": g.id}).list("operatorQueue.nodes"))
	for _, operation := range []string{
		`mutation($h: ID!) { claimHandoff(input: {handoffId: $h, operator: "Ann"}) { handoff { id } } }`,
		`mutation($h: ID!) { postOperatorMessage(input: {handoffId: $h, operator: "Ann", text: "Hello"}) { handoff { id } } }`,
		`mutation($h: ID!) { addOperatorNote(input: {handoffId: $h, operator: "Ann", text: "Hello"}) { note { id } } }`,
		`mutation($h: ID!) { endOperatorSession(input: {handoffId: $h, operator: "Ann"}) { handoff { id } } }`,
	} {
		g.fails(fault.Unsupported, operation, vars{"h": handoffID})
	}
}
