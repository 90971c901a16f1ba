package graph_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"

	"handoff/graph"
	"handoff/internal/fault"
)

// operations has one operation for every root field but viewer. Where the field
// takes ids they are those of somebody else's things.
var operations = map[string]string{
	"Query.agent":          `{ agent(id: "{agent}") { id } }`,
	"Query.agents":         `{ agents { nodes { id } } }`,
	"Query.deskKinds":      `{ deskKinds { kind } }`,
	"Query.standardTexts":  `{ standardTexts { text } }`,
	"Query.deskConnection": `{ deskConnection(id: "{connection}") { id } }`,
	"Query.conversation":   `{ conversation(id: "{conversation}") { id } }`,
	"Query.handoff":        `{ handoff(id: "{handoff}") { id } }`,
	"Query.delivery":       `{ delivery(id: "{delivery}") { id } }`,
	"Query.operatorQueue":  `{ operatorQueue(agentId: "{agent}") { nodes { id } } }`,

	"Mutation.createAgent":            `mutation { createAgent(input: {name: "x"}) { agent { id } } }`,
	"Mutation.renameAgent":            `mutation { renameAgent(input: {agentId: "{agent}", name: "Taken over"}) { agent { id } } }`,
	"Mutation.deleteAgent":            `mutation { deleteAgent(input: {agentId: "{agent}"}) { deletedAgentId } }`,
	"Mutation.createAgentKey":         `mutation { createAgentKey(input: {agentId: "{agent}", name: "x"}) { key } }`,
	"Mutation.revokeAgentKey":         `mutation { revokeAgentKey(input: {agentId: "{agent}", keyId: "{key}"}) { agentKey { id } } }`,
	"Mutation.createUserToken":        `mutation { createUserToken(input: {conversationId: "{conversation}"}) { token } }`,
	"Mutation.updateHandoffSettings":  `mutation { updateHandoffSettings(input: {agentId: "{agent}", trigger: "x"}) { agent { id } } }`,
	"Mutation.connectDesk":            `mutation { connectDesk(input: {agentId: "{agent}", kind: "builtin"}) { deskConnection { id } } }`,
	"Mutation.updateDeskConnection":   `mutation { updateDeskConnection(input: {deskConnectionId: "{connection}", name: "x"}) { deskConnection { id } } }`,
	"Mutation.verifyDeskConnection":   `mutation { verifyDeskConnection(input: {deskConnectionId: "{connection}"}) { deskConnection { id } } }`,
	"Mutation.activateDeskConnection": `mutation { activateDeskConnection(input: {deskConnectionId: "{connection}"}) { deskConnection { id } } }`,
	"Mutation.disconnectDesk":         `mutation { disconnectDesk(input: {deskConnectionId: "{connection}"}) { disconnectedId } }`,
	"Mutation.startConversation":      `mutation { startConversation(input: {agentId: "{agent}", channel: API}) { conversation { id } } }`,
	"Mutation.postUserMessage":        `mutation { postUserMessage(input: {conversationId: "{conversation}", text: "x"}) { epoch } }`,
	"Mutation.postAgentMessage":       `mutation { postAgentMessage(input: {conversationId: "{conversation}", epoch: 1, text: "x"}) { message { id } } }`,
	"Mutation.setEmail":               `mutation { setEmail(input: {conversationId: "{conversation}", email: "x@example.com"}) { conversation { id } } }`,
	"Mutation.sendSignal":             `mutation { sendSignal(input: {conversationId: "{conversation}", kind: READ}) { accepted } }`,
	"Mutation.requestHandoff":         `mutation { requestHandoff(input: {conversationId: "{conversation}"}) { outcome } }`,
	"Mutation.provideEmail":           `mutation { provideEmail(input: {conversationId: "{conversation}", email: "x@example.com"}) { handoff { id } } }`,
	"Mutation.cancelHandoff":          `mutation { cancelHandoff(input: {conversationId: "{conversation}"}) { handoff { id } } }`,
	"Mutation.keepWaiting":            `mutation { keepWaiting(input: {conversationId: "{conversation}"}) { handoff { id } } }`,
	"Mutation.endHandoff":             `mutation { endHandoff(input: {conversationId: "{conversation}"}) { handoff { id } } }`,
	"Mutation.claimHandoff":           `mutation { claimHandoff(input: {handoffId: "{handoff}", operator: "x"}) { handoff { id } } }`,
	"Mutation.postOperatorMessage":    `mutation { postOperatorMessage(input: {handoffId: "{handoff}", operator: "x", text: "x"}) { handoff { id } } }`,
	"Mutation.addOperatorNote":        `mutation { addOperatorNote(input: {handoffId: "{handoff}", operator: "x", text: "x"}) { note { id } } }`,
	"Mutation.endOperatorSession":     `mutation { endOperatorSession(input: {handoffId: "{handoff}", operator: "x"}) { handoff { id } } }`,
	"Mutation.replayDelivery":         `mutation { replayDelivery(input: {deliveryId: "{delivery}"}) { delivery { id } } }`,
	"Mutation.replayDeliveries":       `mutation { replayDeliveries(input: {deskConnectionId: "{connection}"}) { count } }`,

	"Subscription.conversationUpdates": `subscription { conversationUpdates(conversationId: "{conversation}") { __typename } }`,
	"Subscription.handoffUpdates":      `subscription { handoffUpdates(agentId: "{agent}") { initial } }`,

	"Subscription.awaitingConversationUpdates": `subscription { awaitingConversationUpdates(agentId: "{agent}") { initial } }`,
}

// rootField is a field as its schema describes it.
type rootField struct {
	roles    []string
	takesIDs bool
}

func rootFields(t *testing.T) map[string]rootField {
	t.Helper()
	schema := graph.New(graph.Dependencies{}).Schema()
	fields := map[string]rootField{}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, f := range root.Fields {
			directive := f.Directives.ForName("access")
			if directive == nil {
				continue // viewer and introspection, see TestEveryRootFieldSaysWhoMayCallIt
			}
			var field rootField
			for _, role := range directive.Arguments.ForName("roles").Value.Children {
				field.roles = append(field.roles, role.Value.Raw)
			}
			for _, argument := range f.Arguments {
				field.takesIDs = field.takesIDs || holdsID(schema, argument.Type)
			}
			fields[root.Name+"."+f.Name] = field
		}
	}
	return fields
}

func holdsID(schema *ast.Schema, of *ast.Type) bool {
	definition := schema.Types[of.Name()]
	return definition.Name == "ID" || slices.ContainsFunc(definition.Fields, func(f *ast.FieldDefinition) bool {
		return holdsID(schema, f.Type)
	})
}

// belongings are ids of what an Agent has.
type belongings struct{ agent, key, conversation, handoff, connection, delivery string }

func (b belongings) in(operation string) string {
	return strings.NewReplacer("{agent}", b.agent, "{key}", b.key, "{conversation}", b.conversation,
		"{handoff}", b.handoff, "{connection}", b.connection, "{delivery}", b.delivery).Replace(operation)
}

// absent are ids that nobody has.
var absent = func() belongings {
	none := strings.Repeat("0", 26)
	return belongings{"agt_" + none, "key_" + none, "cnv_" + none, "hof_" + none, "con_" + none, "dlv_" + none}
}()

func (a *api) belongingsOf(g agent) belongings {
	a.t.Helper()
	b := belongings{agent: g.id, conversation: g.start("API")}
	g.say(b.conversation, "hello")
	b.handoff = g.request(b.conversation)
	a.userWrites(g.connect("messenger"), "ref-1", "hello") // somebody awaits the Agent
	all := g.ok(`query($id: ID!) { agent(id: $id) { keys { id } deskConnections { id } deliveries { nodes { id } } } }`, vars{"id": g.id})
	b.key, b.connection = all.text("agent.keys.0.id"), all.text("agent.deskConnections.0.id")
	b.delivery = all.text("agent.deliveries.nodes.0.id")
	return b
}

func TestTheTableHasEveryRootField(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, slices.Collect(maps.Keys(rootFields(t))), slices.Collect(maps.Keys(operations)))
}

func TestNobodyTouchesWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	mine, theirs := a.newReadyAgent("testdesk"), a.newReadyAgent("testdesk")
	victim := a.belongingsOf(theirs)
	callers := map[string][]client{
		"AGENT": {mine.client},
		"USER":  {mine.userOf(mine.start("API")), theirs.userOf(theirs.start("API"))},
	}
	for name, field := range rootFields(t) {
		operation := operations[name]
		require.Equal(t, field.takesIDs, strings.Contains(operation, `"{`), "%s: the operation in the table names no id", name)
		theirOperation, absentOperation := victim.in(operation), absent.in(operation)

		requireCode(t, fault.Unauthenticated, a.as("").first(theirOperation))
		for role, clients := range callers {
			for _, caller := range clients {
				got := caller.first(theirOperation)
				switch {
				case !slices.Contains(field.roles, role):
					requireCode(t, fault.Forbidden, got)
				case field.takesIDs:
					requireCode(t, fault.NotFound, got)
					require.Equal(t, caller.first(absentOperation).Errors, got.Errors, "%s: what is not yours must look like what is not there", name)
				}
			}
		}
	}
	// The same ids are there for those whose they are.
	for _, name := range slices.SortedFunc(maps.Keys(operations), destructiveLast) {
		if slices.Contains(destructive, name) { // they wait for deliveries that are on their way
			a.admin().do(victim.in(operations["Mutation.endHandoff"]), nil)
			a.deliver()
		}
		for _, problem := range a.admin().first(victim.in(operations[name])).Errors {
			require.NotContains(t, []string{"FORBIDDEN", "NOT_FOUND", "UNAUTHENTICATED"}, problem.Extensions["code"], "%s: %s", name, problem.Message)
		}
	}
}

func requireCode(t *testing.T, code fault.Kind, a answer) {
	t.Helper()
	require.Len(t, a.Errors, 1)
	require.Equal(t, string(code), a.Errors[0].Extensions["code"], "%v", a.Errors[0])
}

// destructive are the operations that remove what others need, in the order in
// which they do the least harm.
var destructive = []string{"Mutation.disconnectDesk", "Mutation.deleteAgent"}

func destructiveLast(a, b string) int {
	if i, j := slices.Index(destructive, a), slices.Index(destructive, b); i != j {
		return i - j
	}
	return strings.Compare(a, b)
}

// What belonged to a deleted Agent is gone with it, also for Users whose token
// still works.
func TestNothingIsReachedBehindADeletedAgent(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("testdesk")
	theirs := a.belongingsOf(g)
	user := g.userOf(theirs.conversation)
	a.deliver()
	g.ok(`mutation($c: ID!) { endHandoff(input: {conversationId: $c}) { handoff { id } } }`, vars{"c": theirs.conversation})
	a.deliver()
	a.admin().ok(theirs.in(operations["Mutation.deleteAgent"]), nil)
	for name, field := range rootFields(t) {
		if !field.takesIDs || name == "Mutation.revokeAgentKey" { // a key stays revoked
			continue
		}
		requireCode(t, fault.NotFound, a.admin().first(theirs.in(operations[name])))
		if slices.Contains(field.roles, "USER") {
			requireCode(t, fault.NotFound, user.first(theirs.in(operations[name])))
		}
	}
}

// Lists of one's own take ids of others as filters: they select nothing.
func TestFiltersDoNotReachFurther(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	mine, theirs := a.newReadyAgent("testdesk"), a.newReadyAgent("testdesk")
	victim := a.belongingsOf(theirs)
	a.belongingsOf(mine)
	for _, selection := range []string{
		`handoffs(filter: {conversationId: "{conversation}"}) { nodes { id } }`,
		`handoffs(filter: {deskConnectionId: "{connection}"}) { nodes { id } }`,
		`deliveries(filter: {deskConnectionId: "{connection}"}) { nodes { id } }`,
		`deliveries(filter: {handoffId: "{handoff}"}) { nodes { id } }`,
	} {
		operation := `query($id: ID!) { agent(id: $id) { list: ` + victim.in(selection) + ` } }`
		require.Empty(t, mine.ok(operation, vars{"id": mine.id}).list("agent.list.nodes"), selection)
		require.Len(t, theirs.ok(operation, vars{"id": theirs.id}).list("agent.list.nodes"), 1, selection)
	}
}

func TestUsersSeeLess(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	g := a.newReadyAgent("builtin")
	conversation := g.start("WIDGET")
	handoffID := g.request(conversation)
	a.deliver()
	g.ok(`mutation($h: ID!) {
		claimHandoff(input: {handoffId: $h, operator: "Ann"}) { handoff { id } }
		addOperatorNote(input: {handoffId: $h, operator: "Ann", text: "a difficult one"}) { note { id } }
	}`, vars{"h": handoffID})
	user := g.userOf(conversation)

	const private = `note summary deskRef claimedBy deskConnection { id } operatorNotes { text } returnPackage { marker } deliveries { nodes { id } pageInfo { hasNextPage endCursor } edges { cursor } }`
	hidden := map[string]any{
		"note": nil, "summary": nil, "deskRef": nil, "claimedBy": nil, "deskConnection": nil, "operatorNotes": []any{}, "returnPackage": nil,
		"deliveries": map[string]any{"nodes": []any{}, "edges": []any{}, "pageInfo": map[string]any{"hasNextPage": false, "endCursor": nil}},
	}
	shown := g.ok(`query($h: ID!) { handoff(id: $h) { `+private+` } }`, vars{"h": handoffID}).at("handoff").(map[string]any)
	for field := range hidden {
		if field != "returnPackage" && field != "deliveries" {
			require.NotEmpty(t, shown[field], "%s: the owner sees it", field)
		}
	}
	see := func(path, operation string, variables vars) {
		t.Helper()
		require.Equal(t, hidden, user.ok(operation, variables).at(path), operation)
	}
	c := vars{"c": conversation}
	see("handoff", `query($h: ID!) { handoff(id: $h) { `+private+` } }`, vars{"h": handoffID})
	see("conversation.openHandoff", `query($c: ID!) { conversation(id: $c) { openHandoff { `+private+` } } }`, c)
	see("conversation.handoffs.nodes.0", `query($c: ID!) { conversation(id: $c) { handoffs(first: 1) { nodes { `+private+` } } } }`, c)
	see("conversation.handoffs.edges.0.node.conversation.openHandoff",
		`query($c: ID!) { conversation(id: $c) { handoffs(first: 1) { edges { node { conversation { openHandoff { `+private+` } } } } } } }`, c)
	see("postUserMessage.handoff", `mutation($c: ID!) { postUserMessage(input: {conversationId: $c, text: "hello"}) { handoff { `+private+` } } }`, c)
	see("setEmail.handoff", `mutation($c: ID!) { setEmail(input: {conversationId: $c, email: "x@example.com"}) { handoff { `+private+` } } }`, c)
	see("requestHandoff.handoff", `mutation($c: ID!) { requestHandoff(input: {conversationId: $c}) { handoff { `+private+` } } }`, c)
	see("keepWaiting.handoff", `mutation($c: ID!) { keepWaiting(input: {conversationId: $c}) { handoff { `+private+` } } }`, c)
	see("endHandoff.handoff", `mutation($c: ID!) { endHandoff(input: {conversationId: $c}) { handoff { `+private+` } } }`, c)
	see("handoff", `query($h: ID!) { handoff(id: $h) { `+private+` } }`, vars{"h": handoffID}) // closed now: no return package either
}
