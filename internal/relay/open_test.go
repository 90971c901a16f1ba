package relay

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestAnOpenThatFailedGoesOnWhereItBegan(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		h.desk.open = func(n int, r desk.OpenRequest) (desk.Opened, error) {
			if n < 3 {
				return desk.Opened{Ref: "half"}, fault.New(fault.DeskUnavailable, "the note was not taken")
			}
			return desk.Opened{Ref: r.Begun}, nil
		}
		h.work()
		x := h.request(handoff.StateWaiting)
		require.Equal(t, "half", x.DeskRef)
		require.False(t, x.DeskBegun)
		h.desk.mu.Lock()
		defer h.desk.mu.Unlock()
		var begun []string
		for _, r := range h.desk.opens {
			begun = append(begun, r.Begun)
		}
		require.Equal(t, []string{"", "half", "half"}, begun)
		require.Empty(t, h.desk.closes)
	})
}

func TestAnOpenThatIsGivenUpIsClosedWhereItBegan(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]error{
		"refused":                     &fault.Fault{Kind: fault.DeskRejected, Sent: fault.Sent},
		"unknown":                     &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.MaybeSent},
		"nothing more of it was sent": &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.NotSent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachDatabase(t, func(t *testing.T, h *house) {
				h.desk.open = func(n int, _ desk.OpenRequest) (desk.Opened, error) {
					if n == 1 {
						return desk.Opened{Ref: "half"}, failed
					}
					return desk.Opened{}, failed
				}
				h.work()
				x := h.request(handoff.StateClosed)
				require.Equal(t, handoff.ReasonTransferFailed, x.Reason)
				h.desk.wait(t, "a close", func() bool {
					h.desk.mu.Lock()
					defer h.desk.mu.Unlock()
					return len(h.desk.closes) == 1 && h.desk.closes[0] == "half"
				})
			})
		})
	}
}

func TestASessionOfAnotherIsNotTakenAndBlocksNothing(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, h *house) {
		h.desk.open = func(int, desk.OpenRequest) (desk.Opened, error) { return desk.Opened{Ref: "the one chat"}, nil }
		h.work()
		first := h.request(handoff.StateWaiting)
		second := h.request(handoff.StateClosed)
		require.Equal(t, handoff.ReasonTransferFailed, second.Reason)
		require.NotEqual(t, first.DeskRef, second.DeskRef)
		h.desk.says(&first, handoff.DeskMessage, "1", "hello")
		h.await(first.ID, handoff.StateActive)
		list, err := h.store.Deliveries(t.Context(), handoff.DeliveryFilter{}, handoff.Page{First: 10})
		require.NoError(t, err)
		require.Empty(t, list.Items)
		require.Len(t, h.desk.opens, 2)
		require.Empty(t, h.desk.closes, "the other one goes on")
	})
}
