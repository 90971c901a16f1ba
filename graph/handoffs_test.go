package graph_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

const request = `mutation($in: RequestHandoffInput!) { requestHandoff(input: $in) {
	outcome text nextOpening detail
	handoff { id agentId conversationId state deskKind mode note summary deskRef deskConnection { id } requestedAt deadlineKind deadlineAt version }
} }`

func TestRequestHandoffIsAnsweredWithData(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	conversation := g.start("WIDGET")
	in := func(more vars) vars {
		in := vars{"conversationId": conversation}
		for k, v := range more {
			in[k] = v
		}
		return vars{"in": in}
	}

	off := g.ok(request, in(nil))
	require.Equal(t, "NOT_READY", off.text("requestHandoff.outcome"))
	require.Equal(t, "handoff is switched off for this agent", off.text("requestHandoff.detail"))
	require.Nil(t, off.at("requestHandoff.handoff"))
	require.Nil(t, g.userOf(conversation).ok(request, in(nil)).at("requestHandoff.detail"), "that is the owner's business")

	connection := g.connect("builtin")
	const update = `mutation($in: UpdateHandoffSettingsInput!) { updateHandoffSettings(input: $in) { agent { ready } } }`
	require.Equal(t, true, g.ok(update, vars{"in": vars{
		"agentId": g.id, "enabled": true, "hours": []vars{weekly("09:00", "17:00")},
	}}).at("updateHandoffSettings.agent.ready"))
	closed := g.ok(request, in(nil))
	require.Equal(t, "OUT_OF_SERVICE", closed.text("requestHandoff.outcome"))
	require.Equal(t, "2026-03-08T09:00:00Z", closed.text("requestHandoff.nextOpening"))
	require.NotEmpty(t, closed.text("requestHandoff.text"))

	g.ok(update, vars{"in": vars{"agentId": g.id, "hours": []vars{}}})
	messenger := g.connect("messenger")
	inMessenger := a.userWrites(messenger, "ref-1", "hello")
	g.ok(`mutation($id: ID!) { disconnectDesk(input: {deskConnectionId: $id}) { disconnectedId } }`, vars{"id": messenger})
	wrong := g.ok(request, vars{"in": vars{"conversationId": inMessenger}})
	require.Equal(t, "WRONG_CHANNEL", wrong.text("requestHandoff.outcome"))

	g.fails(fault.StaleControl, request, in(vars{"epoch": 2}))
	g.refuses("waitSeconds", request, in(vars{"waitSeconds": 31}))
	g.refuses("note", request, in(vars{"note": string(many(2_001, 'x'))}))
	asked := g.ok(request, in(vars{"epoch": 1, "note": "late parcel", "summary": "long story", "idempotencyKey": "k1"}))
	require.Equal(t, "EMAIL_REQUIRED", asked.text("requestHandoff.outcome"))
	require.NotEmpty(t, asked.text("requestHandoff.text"))
	handoffID := asked.text("requestHandoff.handoff.id")
	require.Equal(t, map[string]any{
		"id": handoffID, "agentId": g.id, "conversationId": conversation, "state": "COLLECTING_EMAIL", "deskKind": "builtin",
		"mode": "EXTERNAL_TO_DESK", "note": "late parcel", "summary": "long story", "deskRef": asked.text("requestHandoff.handoff.deskRef"),
		"deskConnection": map[string]any{"id": connection}, "requestedAt": "2026-03-04T10:00:00Z",
		"deadlineKind": "EMAIL", "deadlineAt": "2026-03-04T10:10:00Z", "version": asked.at("requestHandoff.handoff.version"),
	}, asked.at("requestHandoff.handoff"))
	require.Equal(t, "ALREADY_ACTIVE", g.ok(request, in(nil)).text("requestHandoff.outcome"))
	require.Equal(t, handoffID, g.ok(request, in(vars{"idempotencyKey": "k1"})).text("requestHandoff.handoff.id"), "the same key asks once")
}

func TestRequestHandoffWaitsForTheDesk(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("testdesk")
	conversation := g.start("API")
	answered := make(chan answer)
	go func() {
		answered <- g.do(request, vars{"in": vars{"conversationId": conversation, "waitSeconds": 30}})
	}()
	require.Eventually(t, func() bool {
		a.deliver()
		select {
		case result := <-answered:
			require.Empty(t, result.Errors)
			require.Equal(t, "CONNECTING", result.text("requestHandoff.outcome"))
			return true
		default:
			return false
		}
	}, 20*time.Second, 5*time.Millisecond)
}

func TestAUserMayNotSpeakForTheAgent(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)
	for field, value := range map[string]any{"epoch": 1, "note": "from the boss", "summary": "give me everything"} {
		user.refuses(field, request, vars{"in": vars{"conversationId": conversation, field: value}})
	}
	require.Equal(t, "REQUESTING", user.ok(`mutation($c: ID!) {
		requestHandoff(input: {conversationId: $c, email: "mei@example.com"}) { outcome }
	}`, vars{"c": conversation}).text("requestHandoff.outcome"))
}

func TestProvideEmail(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)
	const provide = `mutation($c: ID!, $e: String!) { provideEmail(input: {conversationId: $c, email: $e}) { handoff { state } } }`
	give := func(email string) vars { return vars{"c": conversation, "e": email} }
	email := func() string {
		return user.ok(`query($c: ID!) { conversation(id: $c) { user { email } } }`, vars{"c": conversation}).text("conversation.user.email")
	}

	require.Equal(t, "CLOSED", user.fails(fault.NotAllowedInState, provide, give("mei@example.com"))["state"])
	require.Empty(t, email(), "nothing was stored")
	user.ok(request, vars{"in": vars{"conversationId": conversation}})
	user.refuses("email", provide, give("mei"))
	require.Equal(t, "REQUESTING", user.ok(provide, give("mei@example.com")).text("provideEmail.handoff.state"))
	require.Equal(t, "mei@example.com", email())
	require.Equal(t, "REQUESTING", user.fails(fault.NotAllowedInState, provide, give("other@example.com"))["state"])
	require.Equal(t, "mei@example.com", email())
}

func TestAMessageMayEndTheRequest(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)
	user.ok(request, vars{"in": vars{"conversationId": conversation}})
	for range 2 {
		require.Equal(t, "COLLECTING_EMAIL", user.say(conversation, "why?").text("postUserMessage.handoff.state"))
	}
	given := user.say(conversation, "no!")
	require.Nil(t, given.at("postUserMessage.handoff"), "none is open any more")
	require.Equal(t, "AGENT", given.text("postUserMessage.control"))
}

func TestCancelHandoff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("testdesk")
	conversation := g.start("WIDGET")
	g.request(conversation)
	const cancel = `mutation($c: ID!) { cancelHandoff(input: {conversationId: $c}) { handoff { state reason closedAt } } }`
	user := g.userOf(conversation)
	want := map[string]any{"state": "CLOSED", "reason": "USER_CANCELLED", "closedAt": "2026-03-04T10:00:00Z"}
	require.Equal(t, want, user.ok(cancel, vars{"c": conversation}).at("cancelHandoff.handoff"))
	require.Equal(t, want, user.ok(cancel, vars{"c": conversation}).at("cancelHandoff.handoff"), "once more changes nothing")
}

func TestKeepWaiting(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	g.request(conversation)
	a.deliver()
	a.clock.advance(time.Minute)
	a.fireDeadlines()
	user := g.userOf(conversation)
	state := func() string {
		return user.ok(`query($c: ID!) { conversation(id: $c) { openHandoff { state } } }`, vars{"c": conversation}).text("conversation.openHandoff.state")
	}
	require.Equal(t, "WAIT_EXPIRED", state())
	kept := user.ok(`mutation($c: ID!) { keepWaiting(input: {conversationId: $c}) { handoff { state deadlineKind deadlineAt waitingSince } } }`, vars{"c": conversation})
	require.Equal(t, map[string]any{
		"state": "WAITING", "deadlineKind": "WAIT", "deadlineAt": "2026-03-04T10:02:00Z", "waitingSince": "2026-03-04T10:00:00Z",
	}, kept.at("keepWaiting.handoff"))
}

func TestEndHandoff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	const end = `mutation($c: ID!, $u: Boolean! = false) { endHandoff(input: {conversationId: $c, asUser: $u}) { handoff { state reason } } }`
	for _, c := range []struct {
		caller func(conversation string) client
		asUser bool
		reason string
	}{
		{g.userOf, false, "USER_ENDED"},
		{g.userOf, true, "USER_ENDED"},
		{func(string) client { return g.client }, false, "ADMIN_ENDED"},
		{func(string) client { return g.client }, true, "USER_ENDED"},
		{func(string) client { return a.admin() }, false, "ADMIN_ENDED"},
	} {
		conversation := g.start("WIDGET")
		g.request(conversation)
		a.deliver()
		ended := c.caller(conversation).ok(end, vars{"c": conversation, "u": c.asUser})
		require.Equal(t, map[string]any{"state": "CLOSED", "reason": c.reason}, ended.at("endHandoff.handoff"))
	}
	conversation := g.start("WIDGET")
	a.admin().refuses("asUser", end, vars{"c": conversation, "u": true})
	require.Equal(t, "CLOSED", g.fails(fault.NotAllowedInState, end, vars{"c": conversation})["state"], "there never was one")
}

func TestReturnPackage(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	user := g.userOf(conversation)
	user.say(conversation, "before")
	handoffID := g.request(conversation)
	a.deliver()
	const get = `query($h: ID!) { handoff(id: $h) { returnPackage { reason marker truncated transcript { author text } unanswered { text } } } }`
	require.Nil(t, g.ok(get, vars{"h": handoffID}).at("handoff.returnPackage"), "not before the end")
	user.say(conversation, "where is it?")
	g.reply(handoffID, "Ann", "on its way")
	user.say(conversation, "when?")
	user.ok(`mutation($c: ID!) { endHandoff(input: {conversationId: $c}) { handoff { id } } }`, vars{"c": conversation})

	back := g.ok(get, vars{"h": handoffID})
	require.Equal(t, "USER_ENDED", back.text("handoff.returnPackage.reason"))
	require.Contains(t, back.text("handoff.returnPackage.marker"), "has ended")
	require.Equal(t, []string{"where is it?", "on its way", "when?"}, back.texts("handoff.returnPackage.transcript", "text"))
	require.Equal(t, []string{"when?"}, back.texts("handoff.returnPackage.unanswered", "text"))
	require.Equal(t, false, back.at("handoff.returnPackage.truncated"))
}

func TestHandoffLists(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	first, second := g.start("WIDGET"), g.start("WIDGET")
	closed := g.request(first)
	g.ok(`mutation($c: ID!) { endHandoff(input: {conversationId: $c}) { handoff { id } } }`, vars{"c": first})
	a.clock.advance(time.Minute)
	reopened, open := g.request(first), g.request(second)

	const list = `query($id: ID!, $f: HandoffFilter, $n: Int! = 20, $after: String) { agent(id: $id) {
		handoffs(filter: $f, first: $n, after: $after) { nodes { id conversation { id openHandoff { id } } deskConnection { id } } edges { cursor node { id } } pageInfo { hasNextPage endCursor } }
	} }`
	ids := func(filter vars) []string {
		return g.ok(list, vars{"id": g.id, "f": filter}).texts("agent.handoffs.nodes", "id")
	}
	all := g.ok(list, vars{"id": g.id})
	require.Equal(t, []string{open, reopened, closed}, all.texts("agent.handoffs.nodes", "id"), "newest request first")
	require.Equal(t, second, all.text("agent.handoffs.nodes.0.conversation.id"))
	require.Equal(t, open, all.text("agent.handoffs.nodes.0.conversation.openHandoff.id"))
	page := g.ok(list, vars{"id": g.id, "n": 1, "after": all.text("agent.handoffs.edges.0.cursor")})
	require.Equal(t, []string{reopened}, page.texts("agent.handoffs.nodes", "id"))
	require.Equal(t, true, page.at("agent.handoffs.pageInfo.hasNextPage"))

	require.Equal(t, []string{closed}, ids(vars{"states": []string{"CLOSED"}}))
	require.Equal(t, []string{closed}, ids(vars{"reasons": []string{"ADMIN_ENDED"}}))
	require.Equal(t, []string{open, reopened}, ids(vars{"states": []string{"REQUESTING", "WAITING"}}))
	require.Equal(t, []string{reopened, closed}, ids(vars{"conversationId": first}))
	require.Equal(t, []string{open, reopened, closed}, ids(vars{"deskConnectionId": all.text("agent.handoffs.nodes.0.deskConnection.id")}))
	require.Empty(t, ids(vars{"deskKind": "testdesk"}))
	require.Equal(t, []string{closed}, ids(vars{"requestedUntil": "2026-03-04T10:01:00Z"}))
	require.Equal(t, []string{open, reopened}, ids(vars{"requestedFrom": "2026-03-04T10:01:00Z"}))
	g.refuses("filter.requestedFrom", list, vars{"id": g.id, "f": vars{"requestedFrom": "today"}})
	g.refuses("filter.states[0]", list, vars{"id": g.id, "f": vars{"states": []string{"closed"}}})

	of := g.userOf(first).ok(`query($c: ID!) { conversation(id: $c) { handoffs(first: 1) { nodes { id } pageInfo { hasNextPage } } } }`, vars{"c": first})
	require.Equal(t, []string{reopened}, of.texts("conversation.handoffs.nodes", "id"))
	require.Equal(t, true, of.at("conversation.handoffs.pageInfo.hasNextPage"))
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("testdesk")
	conversation := g.start("API")
	handoffID := g.request(conversation)

	const whole = `id kind status handoffId conversationId deskConnectionId messageSeq attempts lastError lastErrorCode lastErrorAt createdAt`
	const list = `query($id: ID!, $f: DeliveryFilter) { agent(id: $id) { deliveries(filter: $f) { nodes { ` + whole + ` } } } }`
	opening := g.ok(list, vars{"id": g.id})
	connection := opening.text("agent.deliveries.nodes.0.deskConnectionId")
	require.Equal(t, []any{map[string]any{
		"id": opening.text("agent.deliveries.nodes.0.id"), "kind": "OPEN", "status": "PENDING", "handoffId": handoffID, "conversationId": conversation,
		"deskConnectionId": connection, "messageSeq": nil, "attempts": number("0"), "lastError": nil, "lastErrorCode": nil, "lastErrorAt": nil,
		"createdAt": "2026-03-04T10:00:00Z",
	}}, opening.at("agent.deliveries.nodes"))

	a.deliver()
	posted := g.say(conversation, "lost")
	g.say(conversation, "lost too")
	a.refuse()
	dead := g.ok(list, vars{"id": g.id, "f": vars{"status": "DEAD", "handoffId": handoffID, "deskConnectionId": connection}})
	require.Equal(t, []string{"MESSAGE", "MESSAGE"}, dead.texts("agent.deliveries.nodes", "kind"))
	id := dead.text("agent.deliveries.nodes.1.id")
	one := g.ok(`query($id: ID!) { delivery(id: $id) { `+whole+` } }`, vars{"id": id})
	require.Equal(t, dead.at("agent.deliveries.nodes.1"), one.at("delivery"))
	require.Equal(t, posted.at("postUserMessage.message.seq"), one.at("delivery.messageSeq"))
	require.Equal(t, "the desk is closed", one.text("delivery.lastError"))
	require.Equal(t, "DESK_REJECTED", one.text("delivery.lastErrorCode"))
	for field, id := range map[string]string{"handoff": handoffID, "deskConnection": connection} {
		found := g.ok(`query($id: ID!) { at: `+field+`(id: $id) { deliveries(status: DEAD, first: 1) { nodes { id } pageInfo { hasNextPage } } } }`, vars{"id": id})
		require.Len(t, found.list("at.deliveries.nodes"), 1)
		require.Equal(t, true, found.at("at.deliveries.pageInfo.hasNextPage"))
	}
	require.Empty(t, g.ok(list, vars{"id": g.id, "f": vars{"status": "FAILED"}}).list("agent.deliveries.nodes"))

	const replay = `mutation($id: ID!) { replayDelivery(input: {deliveryId: $id}) { delivery { id status attempts } } }`
	require.Equal(t, map[string]any{"id": id, "status": "PENDING", "attempts": number("0")}, g.ok(replay, vars{"id": id}).at("replayDelivery.delivery"))
	g.fails(fault.NotFound, replay, vars{"id": "dlv_nobody"})
	const replayAll = `mutation($id: ID!) { replayDeliveries(input: {deskConnectionId: $id}) { count } }`
	require.Equal(t, "1", g.ok(replayAll, vars{"id": connection}).text("replayDeliveries.count"))
	a.deliver()
	require.Empty(t, g.ok(list, vars{"id": g.id}).list("agent.deliveries.nodes"), "what arrived is not kept")
	g.fails(fault.NotFound, `query($id: ID!) { delivery(id: $id) { id } }`, vars{"id": id})
}
