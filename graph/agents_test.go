package graph_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

func TestViewer(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	conversation := g.start("WIDGET")
	const who = `{ viewer { role agentId conversationId expiresAt } }`
	for _, c := range []struct {
		caller client
		want   map[string]any
	}{
		{a.as(""), map[string]any{"role": nil, "agentId": nil, "conversationId": nil, "expiresAt": nil}},
		{a.admin(), map[string]any{"role": "ADMINISTRATOR", "agentId": nil, "conversationId": nil, "expiresAt": nil}},
		{g.client, map[string]any{"role": "AGENT", "agentId": g.id, "conversationId": nil, "expiresAt": nil}},
		{g.userOf(conversation), map[string]any{
			"role": "USER", "agentId": g.id, "conversationId": conversation,
			"expiresAt": a.clock.Now().Add(time.Hour + 5*time.Second).Format(time.RFC3339),
		}},
	} {
		require.Equal(t, c.want, c.caller.ok(who, nil).at("viewer"))
	}
}

func TestAgents(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	admin := a.admin()

	const create = `mutation($name: String!, $key: String) {
		createAgent(input: {name: $name, idempotencyKey: $key}) { agent { id name createdAt updatedAt ready serviceStatus settings { enabled } } }
	}`
	first := admin.ok(create, vars{"name": " Shop ", "key": "k1"})
	id := first.text("createAgent.agent.id")
	require.Equal(t, map[string]any{
		"id": id, "name": "Shop", "createdAt": "2026-03-04T10:00:00Z", "updatedAt": "2026-03-04T10:00:00Z",
		"ready": false, "serviceStatus": "NOT_CONFIGURED", "settings": map[string]any{"enabled": false},
	}, first.at("createAgent.agent"))
	require.Equal(t, id, admin.ok(create, vars{"name": "Shop", "key": "k1"}).text("createAgent.agent.id"), "the same key makes one agent")
	admin.refuses("name", create, vars{"name": " "})
	admin.refuses("idempotencyKey", create, vars{"name": "Shop", "key": string(make([]byte, 129))})

	a.clock.advance(time.Second)
	const rename = `mutation($id: ID!, $name: String!) { renameAgent(input: {agentId: $id, name: $name}) { agent { name updatedAt } } }`
	renamed := admin.ok(rename, vars{"id": id, "name": "Store"})
	require.Equal(t, map[string]any{"name": "Store", "updatedAt": "2026-03-04T10:00:01Z"}, renamed.at("renameAgent.agent"))
	admin.refuses("name", rename, vars{"id": id, "name": ""})

	second := admin.ok(create, vars{"name": "Second"}).text("createAgent.agent.id")
	const list = `query($first: Int! = 20, $after: String) {
		agents(first: $first, after: $after) { nodes { id } edges { cursor node { id } } pageInfo { hasNextPage endCursor } }
	}`
	page := admin.ok(list, vars{"first": 1})
	require.Equal(t, []string{second}, page.texts("agents.nodes", "id"), "newest first")
	require.Equal(t, second, page.text("agents.edges.0.node.id"))
	require.Equal(t, page.text("agents.edges.0.cursor"), page.text("agents.pageInfo.endCursor"))
	require.Equal(t, true, page.at("agents.pageInfo.hasNextPage"))
	page = admin.ok(list, vars{"first": 1, "after": page.text("agents.pageInfo.endCursor")})
	require.Equal(t, []string{id}, page.texts("agents.nodes", "id"))
	require.Equal(t, false, page.at("agents.pageInfo.hasNextPage"))
	page = admin.ok(list, vars{"after": page.text("agents.pageInfo.endCursor")})
	require.Empty(t, page.list("agents.nodes"))
	require.Nil(t, page.at("agents.pageInfo.endCursor"))
	for _, n := range []int{0, -1, 101} {
		admin.refuses("first", list, vars{"first": n})
	}
	admin.refuses("after", list, vars{"after": "nonsense"})

	require.Equal(t, id, admin.ok(`mutation($id: ID!) { deleteAgent(input: {agentId: $id}) { deletedAgentId } }`, vars{"id": id}).text("deleteAgent.deletedAgentId"))
	admin.fails(fault.NotFound, `query($id: ID!) { agent(id: $id) { name } }`, vars{"id": id})
	require.Equal(t, []string{second}, admin.ok(list, nil).texts("agents.nodes", "id"))
}

func TestAgentKeys(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	const create = `mutation($id: ID!, $name: String!) {
		createAgentKey(input: {agentId: $id, name: $name}) { key agentKey { id name hint createdAt revokedAt } }
	}`
	made := a.admin().ok(create, vars{"id": g.id, "name": "console"})
	key, id := made.text("createAgentKey.key"), made.text("createAgentKey.agentKey.id")
	require.Equal(t, "console", made.text("createAgentKey.agentKey.name"))
	require.Equal(t, key[:7]+"…", made.text("createAgentKey.agentKey.hint"))
	require.Nil(t, made.at("createAgentKey.agentKey.revokedAt"))
	a.admin().refuses("name", create, vars{"id": g.id, "name": ""})
	a.admin().fails(fault.NotFound, create, vars{"id": "agt_nobody", "name": "x"})
	g.fails(fault.Forbidden, create, vars{"id": g.id, "name": "x"})

	const keys = `query($id: ID!) { agent(id: $id) { keys { id name revokedAt } } }`
	require.ElementsMatch(t, []string{"console", "runtime"}, a.as(key).ok(keys, vars{"id": g.id}).texts("agent.keys", "name"))

	a.clock.advance(time.Second)
	const revoke = `mutation($id: ID!, $key: ID!) { revokeAgentKey(input: {agentId: $id, keyId: $key}) { agentKey { id revokedAt } } }`
	gone := a.admin().ok(revoke, vars{"id": g.id, "key": id})
	require.Equal(t, "2026-03-04T10:00:01Z", gone.text("revokeAgentKey.agentKey.revokedAt"))
	response := a.as(key).send(keys, vars{"id": g.id}, "application/json")
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusUnauthorized, response.StatusCode, "a revoked key stops working at once")
	a.clock.advance(time.Second)
	again := a.admin().ok(revoke, vars{"id": g.id, "key": id})
	require.Equal(t, gone.at("revokeAgentKey.agentKey"), again.at("revokeAgentKey.agentKey"), "revoking twice changes nothing")
	a.admin().fails(fault.NotFound, revoke, vars{"id": g.id, "key": "key_nobody"})

	require.Len(t, g.ok(keys, vars{"id": g.id}).list("agent.keys"), 2, "revoked keys stay in the list")
}

func TestKeysOfADeletedAgentStopWorkingAtOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	g.ok(`{ viewer { role } }`, nil)
	a.admin().ok(`mutation($id: ID!) { deleteAgent(input: {agentId: $id}) { deletedAgentId } }`, vars{"id": g.id})
	response := g.send(`{ viewer { role } }`, nil, "application/json")
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
}

func TestUserTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	conversation := g.start("WIDGET")
	const create = `mutation($c: ID!, $s: Int!) { createUserToken(input: {conversationId: $c, lifetimeSeconds: $s}) { token expiresAt } }`
	made := g.ok(create, vars{"c": conversation, "s": 60})
	require.Equal(t, "2026-03-04T10:01:00Z", made.text("createUserToken.expiresAt"))
	user := a.as(made.text("createUserToken.token"))
	require.Equal(t, conversation, user.ok(`query($c: ID!) { conversation(id: $c) { id } }`, vars{"c": conversation}).text("conversation.id"))
	user.fails(fault.Forbidden, create, vars{"c": conversation, "s": 60})
	for _, seconds := range []int{0, 59, -1, 86_401, 2147483647} {
		g.refuses("lifetimeSeconds", create, vars{"c": conversation, "s": seconds})
	}
	a.clock.advance(66 * time.Second)
	response := user.send(`{ viewer { role } }`, nil, "application/json")
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	const all = `enabled trigger waitTimeoutSeconds waitAction sessionTimeoutSeconds emailTimeoutSeconds timeZone
		hours { kind weekdays date start end } offHoursReply contextRounds emailPolicy fallbackEmail language texts { language notice text }`
	settings := func() any {
		return g.ok(`query($id: ID!) { agent(id: $id) { settings { `+all+` } } }`, vars{"id": g.id}).at("agent.settings")
	}
	before := settings()
	require.Equal(t, map[string]any{
		"enabled": false, "trigger": "", "waitTimeoutSeconds": number("60"), "waitAction": "ASK", "sessionTimeoutSeconds": number("180"),
		"emailTimeoutSeconds": number("600"), "timeZone": "UTC", "hours": []any{}, "offHoursReply": "", "contextRounds": number("5"),
		"emailPolicy": "ASK", "fallbackEmail": "", "language": "en", "texts": []any{},
	}, before)

	const update = `mutation($in: UpdateHandoffSettingsInput!) { updateHandoffSettings(input: $in) { agent { id } settings { ` + all + ` } } }`
	change := func(in vars) vars {
		in["agentId"] = g.id
		return vars{"in": in}
	}
	for field, in := range map[string]vars{
		"enabled":               {"enabled": true}, // no desk yet
		"trigger":               {"trigger": string(make([]rune, 2_001))},
		"waitTimeoutSeconds":    {"waitTimeoutSeconds": 4},
		"sessionTimeoutSeconds": {"sessionTimeoutSeconds": 86_401},
		"emailTimeoutSeconds":   {"emailTimeoutSeconds": 0},
		"timeZone":              {"timeZone": "Mars/Olympus"},
		"contextRounds":         {"contextRounds": 51},
		"fallbackEmail":         {"fallbackEmail": "nobody"},
		"language":              {"language": "no such language"},
		"texts[0].text":         {"texts": []vars{{"language": "en", "notice": "BUSY", "text": " "}}},
		"hours[1].end":          {"hours": []vars{weekly("09:00", "17:00"), weekly("09:00", "09:00")}},
		"hours[0].weekdays":     {"hours": []vars{{"kind": "WEEKLY", "start": "09:00", "end": "17:00"}}},
		"hours[0].date":         {"hours": []vars{{"kind": "DATED", "date": "2026-02-30", "start": "09:00", "end": "17:00"}}},
		"hours[0].start":        {"hours": []vars{{"kind": "WEEKLY", "weekdays": []string{"MONDAY"}, "start": "9:00", "end": "17:00"}}},
		"hours":                 {"hours": many(11, weekly("09:00", "17:00"))},
	} {
		g.refuses(field, update, change(in))
	}
	require.Equal(t, before, settings(), "bad input changes nothing")

	g.connect("builtin")
	want := map[string]any{
		"enabled": true, "trigger": "Hand over when asked.", "waitTimeoutSeconds": number("30"), "waitAction": "END",
		"sessionTimeoutSeconds": number("90"), "emailTimeoutSeconds": number("300"), "timeZone": "Asia/Taipei",
		"hours": []any{
			map[string]any{"kind": "WEEKLY", "weekdays": []any{"MONDAY", "SUNDAY"}, "date": nil, "start": "09:00", "end": "24:00"},
			map[string]any{"kind": "EXCLUSION", "weekdays": []any{}, "date": "2026-03-09", "start": "00:00", "end": "24:00"},
		},
		"offHoursReply": "Tomorrow.", "contextRounds": number("0"), "emailPolicy": "NEVER", "fallbackEmail": "desk@example.com",
		"language": "zh-Hant", "texts": []any{map[string]any{"language": "ja", "notice": "BUSY", "text": "忙しい"}},
	}
	in := vars{}
	for name, value := range want {
		in[name] = value
	}
	changed := g.ok(update, change(in))
	require.Equal(t, want, changed.at("updateHandoffSettings.settings"))
	require.Equal(t, want, settings())

	g.ok(update, change(vars{"hours": []vars{}, "texts": []vars{}, "trigger": nil}))
	after := settings().(map[string]any)
	require.Empty(t, after["hours"], "an empty list removes all")
	require.Empty(t, after["texts"])
	require.Equal(t, "Hand over when asked.", after["trigger"], "null leaves it as it is")
}

func weekly(start, end string) vars {
	return vars{"kind": "WEEKLY", "weekdays": []string{"MONDAY", "SUNDAY"}, "start": start, "end": end}
}

func many[T any](n int, v T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func TestServiceHours(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	const ask = `query($id: ID!, $at: Time) { agent(id: $id) { serviceHours {
		timeZone isOpen(at: $at) nextOpening(after: $at) windows(date: "2026-03-09") { start end startsAt endsAt }
	} } }`
	require.Equal(t, true, g.ok(ask, vars{"id": g.id}).at("agent.serviceHours.isOpen"), "always open without rules")

	g.ok(`mutation($in: UpdateHandoffSettingsInput!) { updateHandoffSettings(input: $in) { agent { id } } }`, vars{"in": vars{
		"agentId": g.id, "timeZone": "Asia/Taipei", "hours": []vars{weekly("09:00", "17:00"), weekly("16:00", "18:30")},
	}})
	// It is Wednesday; the service opens on Sunday, 2026-03-08 09:00 in Taipei.
	hours := g.ok(ask, vars{"id": g.id})
	require.Equal(t, map[string]any{
		"timeZone": "Asia/Taipei", "isOpen": false, "nextOpening": "2026-03-08T01:00:00Z",
		"windows": []any{map[string]any{
			"start": "09:00", "end": "18:30", "startsAt": "2026-03-09T01:00:00Z", "endsAt": "2026-03-09T10:30:00Z",
		}},
	}, hours.at("agent.serviceHours"))
	at := g.ok(ask, vars{"id": g.id, "at": "2026-03-09T10:29:59.999999Z"})
	require.Equal(t, true, at.at("agent.serviceHours.isOpen"))
	require.Equal(t, "2026-03-09T10:29:59.999999Z", at.text("agent.serviceHours.nextOpening"))
	g.refuses("at", `query($id: ID!, $at: Time) { agent(id: $id) { serviceHours { isOpen(at: $at) } } }`, vars{"id": g.id, "at": "2026-03-09"})

	g.ok(`mutation($in: UpdateHandoffSettingsInput!) { updateHandoffSettings(input: $in) { agent { id } } }`, vars{"in": vars{
		"agentId": g.id, "hours": []vars{{"kind": "DATED", "date": "2026-03-01", "start": "09:00", "end": "17:00"}},
	}})
	require.Nil(t, g.ok(ask, vars{"id": g.id}).at("agent.serviceHours.nextOpening"), "never again")
}

func TestStandardTexts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	texts := g.ok(`{ standardTexts { language notice text } }`, nil)
	require.Len(t, texts.list("standardTexts"), 4*14)
	require.Equal(t, "en", texts.text("standardTexts.0.language"))
	require.Equal(t, "EMAIL_ASK", texts.text("standardTexts.0.notice"))
	require.NotContains(t, texts.texts("standardTexts", "text"), "")
}
