package graph

import (
	"testing"

	"github.com/99designs/gqlgen/complexity"
	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// usualLimit is the limit that the prices are made for.
const usualLimit = 1_000

func costOf(t *testing.T, operation string, variables map[string]any) int {
	t.Helper()
	schema := New(Dependencies{})
	doc, errs := gqlparser.LoadQueryWithRules(schema.Schema(), operation, rules.NewDefaultRules())
	require.Empty(t, errs)
	return complexity.Calculate(t.Context(), schema, doc.Operations[0], variables)
}

const handoffRow = `
	id state reason deskKind operatorName claimedBy requestedAt acceptedAt waitingSince connectedAt closedAt
	deadlineKind deadlineAt version
	conversation { id channel language user { id name email } }
	deskConnection { id name status }`

func TestNormalOperationsFit(t *testing.T) {
	t.Parallel()
	for name, operation := range map[string]string{
		"a console's page":     `{ agent(id: "a") { id name ready handoffs(first: 100) { nodes {` + handoffRow + `} pageInfo { hasNextPage endCursor } } } }`,
		"the operators' queue": `{ operatorQueue(agentId: "a", first: 100) { edges { cursor node {` + handoffRow + `} } } }`,
		"a page of the log": `{ conversation(id: "c") { id epoch events(first: 100) { endSeq hasNextPage nodes {
			__typename id seq at handoffId
			... on Message { author text attachments { url name contentType sizeBytes } notice statusCode operatorName }
			... on HandoffChanged { state reason operatorName statusCode }
			... on ControlChanged { control epoch }
			... on DeliveryFailed { messageSeq }
		} } } }`,
		"a return package":            `{ handoff(id: "h") { returnPackage { reason marker truncated transcript { author text at } unanswered { text } } } }`,
		"everything about an agent":   `{ agent(id: "a") { id settings { enabled hours { start end } } keys { id name hint } deskConnections { id status fields { name value } } serviceHours { isOpen nextOpening } } }`,
		"all agents":                  `{ agents(first: 100) { nodes { id name } } }`,
		"a subscription of a chat":    `subscription { conversationUpdates(conversationId: "c") { ... on Message { seq author text attachments { url } } } }`,
		"a subscription of a console": `subscription { handoffUpdates(agentId: "a") { initial handoff {` + handoffRow + `} } }`,
		"a subscription of a runtime": `subscription { awaitingConversationUpdates(agentId: "a") { initial conversation { id channel epoch lastSeq user { id name email } events(after: 0) { nodes { seq ... on Message { author text attachments { url } } ... on ControlChanged { control epoch } } } } } }`,
	} {
		require.LessOrEqual(t, costOf(t, operation, nil), usualLimit, name)
	}
}

func TestAbusiveOperationsDoNotFit(t *testing.T) {
	t.Parallel()
	for name, operation := range map[string]string{
		"the logs of many conversations": `{ agent(id: "a") { conversations(first: 100) { nodes { events(first: 100) { nodes { id } } } } } }`,
		"lists in lists in lists":        `{ agents(first: 20) { nodes { conversations(first: 20) { nodes { handoffs(first: 20) { nodes { id } } } } } } }`,
		"in circles":                     `{ conversation(id: "c") { handoffs(first: 10) { nodes { conversation { handoffs(first: 10) { nodes { conversation { handoffs(first: 10) { nodes { id } } } } } } } } } }`,
		"many return packages":           `{ agent(id: "a") { handoffs(first: 100) { nodes { returnPackage { marker } } } } }`,
		"deliveries of everything":       `{ agent(id: "a") { deskConnections { deliveries(first: 100) { nodes { id kind } } } handoffs(first: 100) { nodes { deliveries { nodes { id } } } } } }`,
		"keys of all agents":             `{ agents(first: 100) { nodes { keys { id } } } }`,
	} {
		require.Greater(t, costOf(t, operation, nil), usualLimit, name)
	}
}

func TestOddPageSizesNeitherOverflowNorHelp(t *testing.T) {
	t.Parallel()
	const operation = `query($n: Int!) { conversation(id: "c") { events(first: $n) { nodes { id } } } }`
	cost := func(n int64) int { return costOf(t, operation, map[string]any{"n": n}) }
	require.Equal(t, cost(1), cost(0))
	require.Equal(t, cost(1), cost(-2147483648))
	require.Equal(t, cost(100), cost(2147483647))
	require.Greater(t, cost(100), cost(96))
}
