package graph_test

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// agent is an Agent with a key.
type agent struct {
	client
	id string
}

func (a *api) newAgent(name string) agent {
	a.t.Helper()
	id := a.admin().ok(`mutation($name: String!) { createAgent(input: {name: $name}) { agent { id } } }`, vars{"name": name}).
		text("createAgent.agent.id")
	key := a.admin().ok(`mutation($id: ID!) { createAgentKey(input: {agentId: $id, name: "runtime"}) { key } }`, vars{"id": id}).
		text("createAgentKey.key")
	return agent{a.as(key), id}
}

// newReadyAgent is an Agent that hands over to a desk of the kind.
func (a *api) newReadyAgent(kind string) agent {
	a.t.Helper()
	g := a.newAgent("Shop")
	g.connect(kind)
	g.ok(`mutation($id: ID!) { updateHandoffSettings(input: {agentId: $id, enabled: true}) { agent { ready } } }`, vars{"id": g.id})
	return g
}

// connect gives the id of a new, active connection.
func (g agent) connect(kind string) string {
	g.t.Helper()
	fields := []vars{}
	if kind == "testdesk" {
		fields = append(fields, vars{"name": "url", "value": "https://desk.example.com"}, vars{"name": "token", "value": "s3cret"})
	}
	return g.ok(`mutation($id: ID!, $kind: String!, $fields: [FieldValueInput!]!) {
		connectDesk(input: {agentId: $id, kind: $kind, fields: $fields}) { deskConnection { id } }
	}`, vars{"id": g.id, "kind": kind, "fields": fields}).text("connectDesk.deskConnection.id")
}

// start begins a conversation on a channel and gives its id.
func (g agent) start(channel string) string {
	g.t.Helper()
	return g.ok(`mutation($channel: Channel!) { startConversation(input: {channel: $channel}) { conversation { id } } }`,
		vars{"channel": channel}).text("startConversation.conversation.id")
}

// userWrites is a message of a User in the messenger; it gives the conversation.
func (a *api) userWrites(connectionID, ref, text string) string {
	a.t.Helper()
	connection, err := a.store.Connection(a.t.Context(), connectionID)
	require.NoError(a.t, err)
	require.NoError(a.t, a.service.FromDesk(a.t.Context(), connection, []handoff.DeskEvent{
		{Kind: handoff.DeskUserWrote, Ref: ref, Text: text, User: handoff.User{Name: "Mei"}, Language: "en"},
	}))
	c, err := a.store.ConversationByRef(a.t.Context(), connectionID, ref)
	require.NoError(a.t, err)
	return c.ID
}

// userOf is the User of a conversation.
func (g agent) userOf(conversationID string) client {
	g.t.Helper()
	token := g.ok(`mutation($c: ID!) { createUserToken(input: {conversationId: $c}) { token } }`, vars{"c": conversationID}).
		text("createUserToken.token")
	return client{g.t, g.url, token}
}

// request asks for a human and gives the id of the handoff.
func (g agent) request(conversationID string) string {
	g.t.Helper()
	return g.ok(`mutation($c: ID!) {
		requestHandoff(input: {conversationId: $c, note: "a note", summary: "a summary", email: "user@example.com"}) { handoff { id } }
	}`, vars{"c": conversationID}).text("requestHandoff.handoff.id")
}

// say posts a message of the User.
func (c client) say(conversationID, text string) answer {
	c.t.Helper()
	return c.ok(`mutation($c: ID!, $t: String!) {
		postUserMessage(input: {conversationId: $c, text: $t}) { message { seq text author } control epoch handoff { id state } }
	}`, vars{"c": conversationID, "t": text})
}

// reply posts a message of an Operator at the built-in desk.
func (c client) reply(handoffID, operator, text string) answer {
	c.t.Helper()
	return c.ok(`mutation($h: ID!, $o: String!, $t: String!) {
		postOperatorMessage(input: {handoffId: $h, operator: $o, text: $t}) { message { seq author text operatorName } handoff { id state } }
	}`, vars{"h": handoffID, "o": operator, "t": text})
}

// deliver works off what is queued, as a desk that accepts everything.
func (a *api) deliver() {
	a.t.Helper()
	a.work(func(ctx context.Context, d handoff.Delivery, finish handoff.FinishDelivery) error {
		if d.Kind == handoff.DeliverOpen {
			return a.service.DeskAccepted(ctx, d, finish, "")
		}
		_, _, err := a.store.FinishDelivery(ctx, finish, a.clock.Now())
		return err
	})
}

// refuse works off what is queued, as a desk that refuses sessions and messages.
func (a *api) refuse() {
	a.t.Helper()
	a.work(func(ctx context.Context, d handoff.Delivery, finish handoff.FinishDelivery) error {
		if d.Kind == handoff.DeliverOpen {
			return a.service.DeskRefused(ctx, d, finish, false)
		}
		dead := d
		dead.Attempts, dead.LastError, dead.LastErrorKind, dead.LastErrorAt = 8, "the desk is closed", "DESK_REJECTED", a.clock.Now()
		finish.Dead = &dead
		return a.service.MessageNotDelivered(ctx, d, finish)
	})
}

func (a *api) work(deliver func(context.Context, handoff.Delivery, handoff.FinishDelivery) error) {
	a.t.Helper()
	ctx := a.t.Context()
	for {
		now := a.clock.Now()
		leases, err := a.store.ClaimLanes(ctx, "worker", now, now.Add(time.Minute), 10)
		require.NoError(a.t, err)
		if len(leases) == 0 {
			return
		}
		for _, lease := range leases {
			for {
				d, ok, err := a.store.Head(ctx, lease.Lane)
				require.NoError(a.t, err)
				if !ok {
					break
				}
				finish := handoff.FinishDelivery{Lane: lease.Lane, LaneSeq: d.LaneSeq, Owner: lease.Owner}
				require.NoError(a.t, deliver(ctx, d, finish))
			}
			require.NoError(a.t, a.store.ReleaseLane(ctx, lease.Lane, lease.Owner, now))
		}
	}
}

// fireDeadlines does what is due.
func (a *api) fireDeadlines() {
	a.t.Helper()
	due, _, err := a.store.DueHandoffs(a.t.Context(), a.clock.Now(), 10)
	require.NoError(a.t, err)
	for _, h := range due {
		require.NoError(a.t, a.service.FireDeadline(a.t.Context(), h))
	}
}
