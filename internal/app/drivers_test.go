package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/config"
)

func TestDrivers(t *testing.T) {
	t.Parallel()
	list, err := drivers(nil, "https://handoff.example.com")
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, d := range list {
		kinds[d.Describe().Kind] = true
	}
	require.Len(t, kinds, len(list))

	simulated, err := drivers(config.DeskHosts{"intercom": "http://127.0.0.1:9090"}, "https://handoff.example.com")
	require.NoError(t, err)
	require.Len(t, simulated, len(list))
	require.NotEqual(t, list, simulated)

	for _, kind := range []string{"fax", "webhook"} { // the address of a webhook desk is the customer's
		_, err = drivers(config.DeskHosts{"intercom": "http://127.0.0.1:9090", kind: "http://127.0.0.1:9091"}, "https://handoff.example.com")
		require.ErrorContains(t, err, kind)
	}
}
