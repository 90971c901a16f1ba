package builtin

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	desktest.Run(t, desktest.Harness{
		Driver: Driver{}, Mode: handoff.ModeExternalToDesk, Fields: func(string) map[string]string { return nil },
	})
}

func TestBuiltin(t *testing.T) {
	t.Parallel()
	d, err := Driver{}.Connect(desk.Settings{})
	require.NoError(t, err)
	opened, err := d.Open(t.Context(), desk.OpenRequest{ProposedRef: "68e778000fa31d1ef64f5301"})
	require.NoError(t, err)
	require.Equal(t, "68e778000fa31d1ef64f5301", opened.Ref)
	_, err = d.Send(t.Context(), desk.SendRequest{Ref: opened.Ref})
	require.NoError(t, err)
	require.NoError(t, d.Close(t.Context(), desk.CloseRequest{Ref: opened.Ref}))
	_, err = d.Receive(t.Context(), desk.Inbound{Body: []byte("{}")})
	require.Equal(t, fault.Unsupported, fault.KindOf(err))

	description := Driver{}.Describe()
	require.True(t, description.ReadsLog)
	require.False(t, description.Supports(handoff.ModeDeskToDesk))
	require.Empty(t, description.Fields)
}
