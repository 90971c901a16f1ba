package app_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestTheSameKeyActsOnce sends everything that takes an idempotency key many times
// at once; on Postgres to two replicas.
func TestTheSameKeyActsOnce(t *testing.T) {
	const times = 16
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		services := []*apptest.Service{s.Service}
		if d.URL != "" {
			services = append(services, apptest.Start(t, d, apptest.Options{}).Service)
		}
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		c := agent.Converse(nil)
		// ids gives what many calls have answered with, each once.
		ids := func(call func(s *apptest.Service) (string, error)) map[string]int {
			t.Helper()
			var mu sync.Mutex
			answers := map[string]int{}
			inParallel(t, 8, times, func(i int) error {
				id, err := call(services[i%len(services)])
				mu.Lock()
				defer mu.Unlock()
				answers[id]++
				return err
			})
			return answers
		}
		for name, mutation := range map[string]string{
			"agent":           `mutation { made: createAgent(input: {name: "x", idempotencyKey: "k"}) { of: agent { id } } }`,
			"conversation":    `mutation { made: startConversation(input: {agentId: "` + agent.ID + `", channel: API, idempotencyKey: "k"}) { of: conversation { id } } }`,
			"desk connection": `mutation { made: connectDesk(input: {agentId: "` + agent.ID + `", kind: "builtin", active: false, idempotencyKey: "k"}) { of: deskConnection { id } } }`,
			"user's message":  `mutation { made: postUserMessage(input: {conversationId: "` + c.ID + `", text: "from the user", idempotencyKey: "k"}) { of: message { id } } }`,
			"agent's message": `mutation { made: postAgentMessage(input: {conversationId: "` + c.ID + `", epoch: 1, text: "from the agent", idempotencyKey: "k"}) { of: message { id } } }`,
		} {
			require.Len(t, ids(func(s *apptest.Service) (string, error) {
				var answer struct {
					Made struct{ Of struct{ ID string } }
				}
				err := s.Administrator(t).Try(mutation, nil, &answer)
				return answer.Made.Of.ID, err
			}), 1, name)
		}
		handoffs := ids(func(s *apptest.Service) (string, error) {
			asked, err := c.Through(t, s).TryRequest(apptest.Vars{"epoch": 1, "idempotencyKey": "k", "waitSeconds": 30})
			if err == nil && asked.Outcome != "CONNECTING" {
				err = fmt.Errorf("the outcome is %s", asked.Outcome)
			}
			return asked.Handoff.ID, err
		})
		require.Len(t, handoffs, 1)
		c.OperatorWrites("Hello, this is support.")
		c.OperatorEnds()
		backWithAgent(c, "OPERATOR_ENDED")
		again := c.Request(apptest.Vars{"epoch": 1, "idempotencyKey": "k"})
		require.Equal(t, "ENDED", again.Outcome, "the key asked once, also after the end")
		require.Contains(t, handoffs, again.Handoff.ID)

		log := c.Log()
		require.Equal(t, []string{"from the user"}, apptest.TextsBy(log, "USER"))
		require.Equal(t, []string{"from the agent"}, apptest.TextsBy(log, "AGENT"))
		require.Equal(t, []string{apptest.Establish}, apptest.Paths(desk.Calls()))
	})
}
