package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	log.commit("conv", 3)
	h := newHub(t, Options{Log: log})
	var got []int64
	err := h.Follow(t.Context(), "conv", 1, func(e handoff.Event) bool {
		got = append(got, e.Seq)
		if e.Seq == 3 {
			h.Signalled(handoff.Signal{ConversationID: "conv"})
			h.Committed("agent", "conv", log.commit("conv", 1))
			log.commit("conv", 1) // nobody reads so far
		}
		return e.Seq < 4
	})
	require.NoError(t, err)
	require.Equal(t, []int64{2, 3, 4}, got)
	require.Empty(t, h.topics.keys(nil), "Follow returns when it has let go of everything")
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	everything := func(handoff.Event) bool { return true }
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, h.Follow(ctx, "conv", 0, everything), context.DeadlineExceeded)

		require.True(t, fault.Is(h.Follow(t.Context(), "conv", 1, everything), fault.InvalidInput))

		ended := make(chan error)
		go func() { ended <- h.Follow(t.Context(), "conv", 0, everything) }()
		synctest.Wait()
		log.troubled(func(context.Context, string) error { return errors.New("down") })
		log.commit("conv", 1)
		h.Committed("agent", "conv", log.commit("conv", 1))
		require.True(t, fault.Is(<-ended, Resync))
		require.Empty(t, h.topics.keys(nil))
	})
}
