package graph_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

const wholeConversation = `id agentId channel user { id anonymousId name email phone } language customFields { name value }
	control epoch lastSeq openHandoff { id } createdAt updatedAt`

func TestStartConversation(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	const start = `mutation($in: StartConversationInput!) { startConversation(input: $in) { conversation { ` + wholeConversation + ` } } }`
	in := vars{
		"channel": "WIDGET", "language": "zh-tw", "idempotencyKey": "k1",
		"user":         vars{"id": "m-1", "anonymousId": "b-1", "name": "Mei", "email": "mei@example.com", "phone": "+886"},
		"customFields": []vars{{"name": "plan", "value": "gold"}, {"name": "age", "value": "33"}},
	}
	made := g.ok(start, vars{"in": in})
	id := made.text("startConversation.conversation.id")
	require.Equal(t, map[string]any{
		"id": id, "agentId": g.id, "channel": "WIDGET", "language": "zh-TW",
		"user":         map[string]any{"id": "m-1", "anonymousId": "b-1", "name": "Mei", "email": "mei@example.com", "phone": "+886"},
		"customFields": []any{map[string]any{"name": "age", "value": "33"}, map[string]any{"name": "plan", "value": "gold"}},
		"control":      "AGENT", "epoch": number("1"), "lastSeq": number("0"), "openHandoff": nil,
		"createdAt": "2026-03-04T10:00:00Z", "updatedAt": "2026-03-04T10:00:00Z",
	}, made.at("startConversation.conversation"))
	require.Equal(t, id, g.ok(start, vars{"in": in}).text("startConversation.conversation.id"), "the same key makes one")

	bare := g.ok(start, vars{"in": vars{"channel": "API", "agentId": g.id}})
	require.Equal(t, map[string]any{"id": nil, "anonymousId": nil, "name": nil, "email": nil, "phone": nil},
		bare.at("startConversation.conversation.user"))
	require.Nil(t, bare.at("startConversation.conversation.language"))
	require.Empty(t, bare.list("startConversation.conversation.customFields"))

	require.Equal(t, g.id, a.admin().ok(start, vars{"in": vars{"channel": "API", "agentId": g.id}}).text("startConversation.conversation.agentId"))
	a.admin().refuses("agentId", start, vars{"in": vars{"channel": "API"}})
	a.admin().fails(fault.NotFound, start, vars{"in": vars{"channel": "API", "agentId": "agt_nobody"}})
	g.refuses("user.email", start, vars{"in": vars{"channel": "API", "user": vars{"email": "nobody"}}})
	g.refuses("language", start, vars{"in": vars{"channel": "API", "language": "no such language"}})
	g.refuses("customFields[1].name", start, vars{"in": vars{
		"channel": "API", "customFields": []vars{{"name": "a", "value": "1"}, {"name": "a", "value": "2"}},
	}})

	known := made.at("startConversation.conversation").(map[string]any)
	known["customFields"] = []any{} // they are for the Operator
	require.Equal(t, known,
		g.userOf(id).ok(`query($c: ID!) { conversation(id: $c) { `+wholeConversation+` } }`, vars{"c": id}).at("conversation"),
		"the User sees what is known of it")
	list := g.ok(`query($id: ID!) { agent(id: $id) { conversations(first: 2) { nodes { id } pageInfo { hasNextPage } } } }`, vars{"id": g.id})
	require.Len(t, list.list("agent.conversations.nodes"), 2)
	require.Equal(t, true, list.at("agent.conversations.pageInfo.hasNextPage"))
}

const wholeEvents = `nodes {
	__typename id seq at handoffId
	... on Message { author text attachments { url name contentType sizeBytes } notice statusCode operatorName }
	... on HandoffChanged { state reason operatorName statusCode }
	... on ControlChanged { control epoch }
	... on DeliveryFailed { messageSeq }
} endSeq hasNextPage`

func TestMessagesAndTheLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)

	const post = `mutation($in: PostUserMessageInput!) { postUserMessage(input: $in) {
		message { id seq at handoffId author text attachments { url name contentType sizeBytes } notice statusCode operatorName } control epoch handoff { id }
	} }`
	in := vars{"conversationId": conversation, "text": "Hello", "idempotencyKey": "k1", "attachments": []vars{
		{"url": "https://example.com/a.png", "name": "a.png", "contentType": "image/png", "sizeBytes": 9007199254740992}, {"url": "https://example.com/b"},
	}}
	posted := user.ok(post, vars{"in": in})
	require.Equal(t, map[string]any{
		"id": "evt_" + conversation[4:] + "_1", "seq": number("1"), "at": "2026-03-04T10:00:00Z", "handoffId": nil, "author": "USER", "text": "Hello",
		"attachments": []any{
			map[string]any{"url": "https://example.com/a.png", "name": "a.png", "contentType": "image/png", "sizeBytes": number("9007199254740992")},
			map[string]any{"url": "https://example.com/b", "name": nil, "contentType": nil, "sizeBytes": nil},
		},
		"notice": nil, "statusCode": nil, "operatorName": nil,
	}, posted.at("postUserMessage.message"))
	require.Equal(t, "AGENT", posted.text("postUserMessage.control"))
	require.Equal(t, "1", posted.text("postUserMessage.epoch"))
	require.Nil(t, posted.at("postUserMessage.handoff"))
	require.Equal(t, posted.at("postUserMessage.message"), user.ok(post, vars{"in": in}).at("postUserMessage.message"), "the same key makes one message")
	user.refuses("text", post, vars{"in": vars{"conversationId": conversation}})
	user.refuses("attachments[0].url", post, vars{"in": vars{"conversationId": conversation, "attachments": []vars{{"url": "file:///etc/passwd"}}}})
	user.refuses("attachments[0].sizeBytes", post, vars{"in": vars{"conversationId": conversation, "attachments": []vars{{"url": "https://example.com", "sizeBytes": 1.5}}}})

	const answerIt = `mutation($in: PostAgentMessageInput!) { postAgentMessage(input: $in) { message { seq author text } } }`
	message := g.ok(answerIt, vars{"in": vars{"conversationId": conversation, "epoch": 1, "text": "Hi", "idempotencyKey": "k1"}})
	require.Equal(t, map[string]any{"seq": number("2"), "author": "AGENT", "text": "Hi"}, message.at("postAgentMessage.message"))
	stale := g.fails(fault.StaleControl, answerIt, vars{"in": vars{"conversationId": conversation, "epoch": 2, "text": "late"}})
	require.Equal(t, "AGENT", stale["control"])
	g.refuses("epoch", answerIt, vars{"in": vars{"conversationId": conversation, "epoch": "1", "text": "a string is no number"}})

	const log = `query($c: ID!, $after: Int64! = 0, $first: Int! = 100) { conversation(id: $c) { lastSeq events(after: $after, first: $first) { ` + wholeEvents + ` } } }`
	page := user.ok(log, vars{"c": conversation, "first": 1})
	require.Equal(t, []string{"Hello"}, page.texts("conversation.events.nodes", "text"))
	require.Equal(t, "1", page.text("conversation.events.endSeq"))
	require.Equal(t, true, page.at("conversation.events.hasNextPage"))
	page = user.ok(log, vars{"c": conversation, "first": 1, "after": 1})
	require.Equal(t, []string{"Hi"}, page.texts("conversation.events.nodes", "text"))
	require.Equal(t, false, page.at("conversation.events.hasNextPage"), "a full page that is the last")
	page = user.ok(log, vars{"c": conversation, "after": 2})
	require.Empty(t, page.list("conversation.events.nodes"))
	require.Equal(t, "2", page.text("conversation.events.endSeq"))
	require.Equal(t, "2", page.text("conversation.lastSeq"))
	user.refuses("first", log, vars{"c": conversation, "first": 101})
	user.refuses("after", log, vars{"c": conversation, "after": -1})
}

func TestSetEmail(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	conversation := g.start("WIDGET")
	const set = `mutation($c: ID!, $e: String!) { setEmail(input: {conversationId: $c, email: $e}) { conversation { user { email } } handoff { id } } }`
	user := g.userOf(conversation)
	stored := user.ok(set, vars{"c": conversation, "e": " mei@example.com "})
	require.Equal(t, "mei@example.com", stored.text("setEmail.conversation.user.email"))
	require.Nil(t, stored.at("setEmail.handoff"))
	user.refuses("email", set, vars{"c": conversation, "e": "mei"})
}

func TestSetEmailAnswersTheQuestion(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)
	require.Equal(t, "COLLECTING_EMAIL", user.ok(request, vars{"in": vars{"conversationId": conversation}}).text("requestHandoff.handoff.state"))
	const set = `mutation($c: ID!) { setEmail(input: {conversationId: $c, email: "mei@example.com"}) { handoff { state } } }`
	require.Equal(t, "REQUESTING", user.ok(set, vars{"c": conversation}).text("setEmail.handoff.state"))
}

func TestSendSignal(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)
	const send = `mutation($c: ID!, $a: Author! = USER) { sendSignal(input: {conversationId: $c, kind: TYPING, author: $a}) { accepted } }`
	require.Equal(t, true, user.ok(send, vars{"c": conversation}).at("sendSignal.accepted"))
	require.Equal(t, true, g.ok(send, vars{"c": conversation, "a": "OPERATOR"}).at("sendSignal.accepted"))
	user.refuses("author", send, vars{"c": conversation, "a": "OPERATOR"})
	g.refuses("author", send, vars{"c": conversation, "a": "AGENT"})
	g.refuses("kind", `mutation($c: ID!) { sendSignal(input: {conversationId: $c, kind: QUEUED, author: OPERATOR}) { accepted } }`, vars{"c": conversation})
}
