package relay

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// What is still queued when its Agent has been deleted ends like everything else:
// nobody is left to be told.
func TestWhatADeletedAgentLeavesBehindEnds(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		stop := h.work()
		x := h.request(handoff.StateWaiting)
		stop()
		h.desk.refuseSends(fault.New(fault.DeskRejected, "no"))
		_, err := h.svc.PostUserMessage(t.Context(), x.ConversationID, handoff.Draft{Text: "are you there?"})
		require.NoError(t, err)
		_, err = h.svc.EndByAdmin(t.Context(), x.ConversationID)
		require.NoError(t, err)
		require.NoError(t, h.store.DeleteAgent(t.Context(), h.agent, time.Now()))

		h.work()
		require.Eventually(t, func() bool {
			next, err := h.store.NextReady(context.Background())
			return err == nil && next.IsZero()
		}, 10*time.Second, 10*time.Millisecond, "the lane is never done with")
	})
}
