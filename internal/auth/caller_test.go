package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCallerTravelsInTheContext(t *testing.T) {
	t.Parallel()
	require.Equal(t, Caller{Role: Anonymous}, From(t.Context()), "nobody is anonymous")
	caller := Caller{Role: AgentKey, AgentID: "agent-1", KeyID: "key-1"}
	ctx := With(t.Context(), caller)
	require.Equal(t, caller, From(ctx))
	require.Equal(t, Caller{}, From(With(ctx, Caller{})), "the innermost counts")
}

func TestRoleNames(t *testing.T) {
	t.Parallel()
	names := map[Role]string{
		Anonymous: "anonymous", Administrator: "administrator", AgentKey: "agent_key", User: "user", 99: "unknown",
	}
	for role, name := range names {
		require.Equal(t, name, role.String())
	}
}
