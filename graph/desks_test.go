package graph_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

func TestDeskKinds(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	kinds := a.admin().ok(`{ deskKinds {
		kind title modes channel steps
		fields { name label hint required secret pattern options default maxLength modes }
		capabilities { maxTextLength attachmentsToDesk attachmentsFromDesk history notes typing readReceipts endsByDesk unknownOutcome }
	} }`, nil)
	require.Equal(t, []string{"builtin", "testdesk", "messenger"}, kinds.texts("deskKinds", "kind"))
	require.Nil(t, kinds.at("deskKinds.0.capabilities.maxTextLength"))
	require.Equal(t, map[string]any{
		"kind": "testdesk", "title": "Test desk", "modes": []any{"EXTERNAL_TO_DESK"}, "channel": nil, "steps": []any{"Copy the address."},
		"fields": []any{
			map[string]any{
				"name": "url", "label": "Address", "hint": "Begins with https://.", "required": true, "secret": false,
				"pattern": "^https://", "options": []any{}, "default": nil, "maxLength": number("1024"),
				"modes": []any{"EXTERNAL_TO_DESK"},
			},
			map[string]any{
				"name": "token", "label": "Token", "hint": "", "required": true, "secret": true,
				"pattern": nil, "options": []any{}, "default": nil, "maxLength": number("100"),
				"modes": []any{"EXTERNAL_TO_DESK"},
			},
			map[string]any{
				"name": "region", "label": "Region", "hint": "", "required": false, "secret": false,
				"pattern": nil, "options": []any{"eu", "us"}, "default": "eu", "maxLength": number("1024"),
				"modes": []any{"EXTERNAL_TO_DESK"},
			},
		},
		"capabilities": map[string]any{
			"maxTextLength": number("500"), "attachmentsToDesk": false, "attachmentsFromDesk": false, "history": false, "notes": false,
			"typing": false, "readReceipts": false, "endsByDesk": false, "unknownOutcome": "REPEAT_MARKED",
		},
	}, kinds.at("deskKinds.1"))
	require.Equal(t, []any{"DESK_TO_DESK", "EXTERNAL_TO_DESK"}, kinds.at("deskKinds.2.fields.0.modes"), "in every form of the desk")
	require.Equal(t, []any{"DESK_TO_DESK"}, kinds.at("deskKinds.2.fields.1.modes"))
}

const wholeConnection = `id agentId kind { kind title } mode name active fields { name value } secretsSet status
	checkedAt lastError lastErrorCode lastErrorAt receiveAddresses { label url } createdAt updatedAt`

func TestDeskConnections(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newAgent("Shop")
	const connect = `mutation($in: ConnectDeskInput!) { connectDesk(input: $in) { deskConnection { ` + wholeConnection + ` } } }`
	input := func(more vars) vars {
		in := vars{
			"agentId": g.id, "kind": "testdesk", "idempotencyKey": "k1",
			"fields": []vars{{"name": "url", "value": "https://desk.example.com"}, {"name": "token", "value": "s3cret-value"}},
		}
		for k, v := range more {
			in[k] = v
		}
		return vars{"in": in}
	}
	made := g.ok(connect, input(nil))
	id := made.text("connectDesk.deskConnection.id")
	connection, err := a.store.Connection(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"id": id, "agentId": g.id, "kind": map[string]any{"kind": "testdesk", "title": "Test desk"}, "mode": "EXTERNAL_TO_DESK",
		"name": "Test desk", "active": true, "status": "AVAILABLE",
		"fields": []any{
			map[string]any{"name": "url", "value": "https://desk.example.com"}, map[string]any{"name": "region", "value": "eu"},
		},
		"secretsSet": []any{"token"},
		"checkedAt":  "2026-03-04T10:00:00Z", "lastError": nil, "lastErrorCode": nil, "lastErrorAt": nil,
		"receiveAddresses": []any{map[string]any{
			"label": "Messages", "url": "https://handoff.example.com/prefix/hooks/" + connection.ReceiveToken,
		}},
		"createdAt": "2026-03-04T10:00:00Z", "updatedAt": "2026-03-04T10:00:00Z",
	}, made.at("connectDesk.deskConnection"))
	require.Equal(t, id, g.ok(connect, input(nil)).text("connectDesk.deskConnection.id"), "the same key makes one connection")

	twice := []vars{{"name": "url", "value": "https://a.example.com"}, {"name": "url", "value": "https://b.example.com"}}
	for field, more := range map[string]vars{
		"kind":           {"kind": "nodesk"},
		"mode":           {"mode": "DESK_TO_DESK"},
		"name":           {"name": string(make([]rune, 101))},
		"fields.url":     {"fields": []vars{{"name": "url", "value": "ftp://desk.example.com"}, {"name": "token", "value": "x"}}},
		"fields.token":   {"fields": []vars{{"name": "url", "value": "https://desk.example.com"}}},
		"fields[1].name": {"fields": twice},
	} {
		g.refuses(field, connect, input(more))
	}

	other := g.ok(connect, input(vars{"idempotencyKey": "k2", "name": "Other", "active": false})).text("connectDesk.deskConnection.id")
	list := g.ok(`query($id: ID!) { agent(id: $id) { ready serviceStatus deskConnections { id active } } }`, vars{"id": g.id})
	require.Equal(t, []string{id, other}, list.texts("agent.deskConnections", "id"), "oldest first")
	require.Equal(t, []string{"true", "false"}, list.texts("agent.deskConnections", "active"))
	require.Equal(t, "AVAILABLE", list.text("agent.serviceStatus"))
	require.Equal(t, false, list.at("agent.ready"), "handoff is not switched on")

	activated := g.ok(`mutation($id: ID!) { activateDeskConnection(input: {deskConnectionId: $id}) { deskConnection { active } } }`, vars{"id": other})
	require.Equal(t, true, activated.at("activateDeskConnection.deskConnection.active"))
	get := func(id string) answer {
		return g.ok(`query($id: ID!) { deskConnection(id: $id) { `+wholeConnection+` } }`, vars{"id": id})
	}
	require.Equal(t, false, get(id).at("deskConnection.active"), "one is active at a time")

	const update = `mutation($in: UpdateDeskConnectionInput!) { updateDeskConnection(input: $in) { deskConnection { ` + wholeConnection + ` } } }`
	updated := g.ok(update, vars{"in": vars{"deskConnectionId": id, "name": "Renamed", "fields": []vars{{"name": "region", "value": "us"}}}})
	require.Equal(t, "Renamed", updated.text("updateDeskConnection.deskConnection.name"))
	require.Equal(t, []string{"https://desk.example.com", "us"}, updated.texts("updateDeskConnection.deskConnection.fields", "value"))
	require.Equal(t, []any{"token"}, updated.at("updateDeskConnection.deskConnection.secretsSet"), "what is left out stays")
	g.refuses("fields[1].name", update, vars{"in": vars{"deskConnectionId": id, "fields": twice}})
	g.refuses("fields.token", update, vars{"in": vars{"deskConnectionId": id, "fields": []vars{{"name": "token", "value": ""}}}})

	a.desk.breaks(fault.New(fault.DeskUnauthorized, "the desk refused the token"))
	const verify = `mutation($id: ID!) { verifyDeskConnection(input: {deskConnectionId: $id}) { deskConnection { status lastError lastErrorCode lastErrorAt } } }`
	require.Equal(t, map[string]any{
		"status": "UNAVAILABLE", "lastError": "the desk refused the token", "lastErrorCode": "DESK_UNAUTHORIZED", "lastErrorAt": "2026-03-04T10:00:00Z",
	}, g.ok(verify, vars{"id": id}).at("verifyDeskConnection.deskConnection"))
	a.desk.breaks(nil)
	require.Equal(t, "AVAILABLE", g.ok(verify, vars{"id": id}).text("verifyDeskConnection.deskConnection.status"))

	gone := g.ok(`mutation($id: ID!) { disconnectDesk(input: {deskConnectionId: $id}) { disconnectedId agent { id settings { enabled } } } }`, vars{"id": other})
	require.Equal(t, other, gone.text("disconnectDesk.disconnectedId"))
	require.Equal(t, g.id, gone.text("disconnectDesk.agent.id"))
	g.fails(fault.NotFound, `query($id: ID!) { deskConnection(id: $id) { id } }`, vars{"id": other})
}

func TestHandoffsOutliveTheirConnection(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	handoffID := g.request(g.start("WIDGET"))
	a.deliver()
	const get = `query($h: ID!) { handoff(id: $h) { state reason deskKind deskConnection { id } } }`
	connection := g.ok(get, vars{"h": handoffID}).text("handoff.deskConnection.id")
	gone := g.ok(`mutation($id: ID!) { disconnectDesk(input: {deskConnectionId: $id}) { agent { settings { enabled } } } }`, vars{"id": connection})
	require.Equal(t, false, gone.at("disconnectDesk.agent.settings.enabled"), "the last connection takes handoff with it")
	require.Equal(t, map[string]any{"state": "CLOSED", "reason": "HANDOFF_DISABLED", "deskKind": "builtin", "deskConnection": nil},
		g.ok(get, vars{"h": handoffID}).at("handoff"))
}
