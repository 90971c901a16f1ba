package apptest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Console is what a console receives about the Handoffs of an Agent.
type Console struct {
	*socket
	updates journal[Handoff]
}

// Watch opens a console of the Agent that ends with the test.
func (a *Agent) Watch() *Console {
	a.t.Helper()
	socket, err := a.subscribe(a.Key(), false,
		`subscription($id: ID!) { handoffUpdates(agentId: $id) { handoff { `+handoffFields+` } } }`, Vars{"id": a.ID})
	require.NoError(a.t, err)
	a.t.Cleanup(socket.Close)
	k := &Console{socket: socket}
	go func() {
		k.updates.end(k.follow(func(payload json.RawMessage) error {
			var next struct {
				Data struct{ HandoffUpdates struct{ Handoff Handoff } }
			}
			if err := json.Unmarshal(payload, &next); err != nil {
				return err
			}
			k.updates.add(next.Data.HandoffUpdates.Handoff)
			return nil
		}))
	}()
	return k
}

// Await waits until the console has been shown a Handoff in a state.
func (k *Console) Await(t testing.TB, handoffID, state string) Handoff {
	t.Helper()
	return k.updates.find(t, state, func(h Handoff) bool { return h.ID == handoffID && h.State == state })
}
