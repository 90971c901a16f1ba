package desk

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// speaker is a stub that writes to the User in the desk's own messenger.
type speaker struct{ stub }

func (s *speaker) Say(context.Context, SayRequest) (Sent, error) { return Sent{}, s.answer() }

// messengerDriver offers DESK_TO_DESK with a desk of the test's choice.
type messengerDriver struct {
	channel handoff.Channel
	desk    Desk
}

func (d messengerDriver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{Kind: "messenger", Title: "Messenger", Modes: []handoff.Mode{handoff.ModeDeskToDesk}, Channel: d.channel}
}

func (d messengerDriver) Connect(Settings) (Desk, error) { return d.desk, nil }

func TestGuardHoldsSpeakingBackToo(t *testing.T) {
	t.Parallel()
	s, w := &speaker{stub{err: failing(fault.DeskUnavailable)}}, &watched{}
	g := Guard(s, "messenger", "con_1", time.Now, w.watch())
	says, ok := As[Speaker](g)
	require.True(t, ok)
	for range TripAfter + 3 {
		_, err := says.Say(t.Context(), SayRequest{})
		require.True(t, fault.Is(err, fault.DeskUnavailable))
	}
	require.Equal(t, int32(TripAfter), s.calls.Load())
	require.Equal(t, []fault.Kind{fault.DeskUnavailable}, w.take())
	require.Equal(t, "messenger say DESK_UNAVAILABLE", w.observed[0])
	require.Equal(t, "messenger say "+ResultResting, w.observed[TripAfter])

	_, ok = As[Speaker](Guard(&stub{}, "webhook", "con_1", time.Now, w.watch()))
	require.False(t, ok, "a guard does not make a speaker")
}

func TestADeskOfAMessengerMustSpeak(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, messengerDriver{channel: handoff.ChannelIntercom, desk: &stub{}})
	err := c.Check("messenger", handoff.ModeDeskToDesk, nil)
	require.Equal(t, fault.Internal, fault.KindOf(err))
	c = newCatalog(t, messengerDriver{channel: handoff.ChannelIntercom, desk: &speaker{}})
	require.NoError(t, c.Check("messenger", handoff.ModeDeskToDesk, nil))

	_, err = NewCatalog(CatalogOptions{Drivers: []Driver{messengerDriver{desk: &speaker{}}}})
	require.ErrorContains(t, err, "without a channel")
}
