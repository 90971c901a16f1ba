package app_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestPrivateNetworksAreOutOfReach: an address that a customer types cannot be used
// to reach what only this machine can reach.
func TestPrivateNetworksAreOutOfReach(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		desk := apptest.NewDesk(t)
		port := desk.URL[strings.LastIndex(desk.URL, ":"):]
		s := apptest.Start(t, d, apptest.Options{Environ: map[string]string{"HANDOFF_ALLOWED_PRIVATE_NETWORKS": ""}})
		agent := s.NewAgent(t)
		agent.Desk = desk
		for _, host := range []string{
			"127.0.0.1", "127.9.9.9", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1",
			"10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "[fe80::1]",
		} {
			connection := agent.Connect("webhook", map[string]string{"url": "http://" + host + port})
			require.Equal(t, "UNAVAILABLE", connection.Status, host)
			require.Equal(t, "DESK_UNAVAILABLE", connection.LastErrorCode, host)
			if !strings.HasPrefix(host, "2130706433") && !strings.HasPrefix(host, "0x7f") { // names, to some resolvers
				require.Contains(t, connection.LastError, "HANDOFF_ALLOWED_PRIVATE_NETWORKS", host)
			}
			agent.Runtime.Do(`mutation($id: ID!) { disconnectDesk(input: {deskConnectionId: $id}) { disconnectedId } }`,
				apptest.Vars{"id": connection.ID}, nil)
		}
		agent.Connect("webhook", map[string]string{"url": desk.URL})
		agent.Set(apptest.Vars{"enabled": true})
		c := agent.ConverseUnwatched(nil)
		require.Equal(t, "NOT_READY", c.Request(nil).Outcome)
		require.Zero(t, desk.Connections(), "somebody knocked")

		// Allowed, connected, and then no longer allowed: the status is still AVAILABLE,
		// but the establish gets nowhere.
		s.Restart(map[string]string{"HANDOFF_ALLOWED_PRIVATE_NETWORKS": "loopback"})
		agent.Runtime.Do(`mutation($id: ID!) { verifyDeskConnection(input: {deskConnectionId: $id}) { deskConnection { status } } }`,
			apptest.Vars{"id": agent.Connection.ID}, nil)
		require.Equal(t, "AVAILABLE", agent.Reread().Status)
		knocked := desk.Connections()
		require.Positive(t, knocked)
		s.Restart(map[string]string{"HANDOFF_ALLOWED_PRIVATE_NETWORKS": "10.0.0.0/8"})
		c = agent.ConverseUnwatched(nil)
		require.Equal(t, "TRANSFER_FAILED", c.Request(apptest.Vars{"waitSeconds": 30}).Outcome)
		require.Equal(t, knocked, desk.Connections(), "somebody knocked")
		require.Empty(t, desk.Calls())
		c.Log()
	})
}
