package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func deliveryID(d handoff.Delivery) string { return d.ID }

var deliveryTests = map[string]func(*testing.T, *world){
	"lists are filtered, newest first": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 3)
		other := w.another(session{agent: w.agent(), connection: w.connection(w.agent().ID)})
		foreign := w.queue(other, 2)
		leases, err := w.ClaimLanes(w.ctx, "o", start, start.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, leases, 2)
		for _, l := range leases {
			if l.Lane != s.lane {
				continue
			}
			w.bury(l)
			d := w.head(l.Lane)
			require.NoError(t, w.PostponeDelivery(w.ctx, finishOf(l, d), start.Add(time.Hour), d))
		}
		for name, c := range map[string]struct {
			filter handoff.DeliveryFilter
			want   []string
		}{
			"everything":      {handoff.DeliveryFilter{}, []string{foreign[1], foreign[0], ids[2], ids[1], ids[0]}},
			"agent":           {handoff.DeliveryFilter{AgentID: s.agent.ID}, []string{ids[2], ids[1], ids[0]}},
			"connection":      {handoff.DeliveryFilter{ConnectionID: s.connection.ID}, []string{ids[2], ids[1], ids[0]}},
			"handoff":         {handoff.DeliveryFilter{HandoffID: other.handoff.ID}, []string{foreign[1], foreign[0]}},
			"pending":         {handoff.DeliveryFilter{Status: handoff.DeliveryPending}, []string{foreign[1], foreign[0], ids[2]}},
			"failed":          {handoff.DeliveryFilter{Status: handoff.DeliveryFailed}, []string{ids[1]}},
			"dead":            {handoff.DeliveryFilter{Status: handoff.DeliveryDead, ConnectionID: s.connection.ID}, []string{ids[0]}},
			"dead of another": {handoff.DeliveryFilter{Status: handoff.DeliveryDead, AgentID: other.agent.ID}, nil},
		} {
			got := pages(w, func(p handoff.Page) (handoff.List[handoff.Delivery], error) { return w.Deliveries(w.ctx, c.filter, p) })
			require.Equal(t, c.want, append([]string(nil), idsOf(got, deliveryID)...), name)
		}
		_, err = w.Delivery(w.ctx, "dlv_nobody")
		requireFault(t, err, fault.NotFound, "")
	},
	"a replay keeps its place while nothing after it has left": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 3)
		lease := w.claim(start)
		w.bury(lease)
		w.bury(lease)
		// The third waits for a retry.
		d := w.head(s.lane)
		require.NoError(t, w.PostponeDelivery(w.ctx, finishOf(lease, d), start.Add(time.Hour), d))
		w.noLane(start)

		replayed, err := w.ReplayDelivery(w.ctx, ids[1], start)
		require.NoError(t, err)
		require.Equal(t, handoff.DeliveryPending, replayed.Status)
		require.Zero(t, replayed.Attempts)
		require.Empty(t, replayed.LastError)
		require.Empty(t, replayed.LastErrorKind)
		require.True(t, replayed.LastErrorAt.IsZero())
		replayed, err = w.ReplayDelivery(w.ctx, ids[0], start)
		require.NoError(t, err)
		require.Equal(t, int64(1), replayed.LaneSeq)

		lease = w.claim(start) // ready at once: somebody asked for it
		for i := range 3 {
			require.Equal(t, ids[i], w.head(s.lane).ID)
			_, more := w.finish(lease)
			require.Equal(t, i < 2, more)
		}
		w.noLane(start.Add(2 * time.Hour))
	},
	"a replay goes to the end when something after it has left": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 4)
		lease := w.claim(start)
		w.bury(lease)   // 0
		w.finish(lease) // 1
		w.bury(lease)   // 2
		d := w.head(s.lane)
		require.NoError(t, w.PostponeDelivery(w.ctx, finishOf(lease, d), start, d))

		n, err := w.ReplayConnection(w.ctx, s.connection.ID, start, 10)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		lease = w.claim(start)
		for _, want := range []string{ids[3], ids[0], ids[2]} {
			require.Equal(t, want, w.head(s.lane).ID)
			w.finish(lease)
		}
		w.noLane(start.Add(time.Hour))
	},
	"a replay does not touch what is under way": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 2)
		lease := w.claim(start)
		w.bury(lease)
		underWay := w.head(s.lane)
		_, err := w.ReplayDelivery(w.ctx, ids[0], start)
		require.NoError(t, err)
		equal(t, underWay, w.head(s.lane))
		w.noLane(start)
		next, more := w.finish(lease)
		require.True(t, more)
		require.Equal(t, ids[0], next.ID)
		_, more = w.finish(lease)
		require.False(t, more)
	},
	"a replay wakes an idle lane": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 1)
		w.bury(w.claim(start))
		w.noLane(start.Add(time.Hour))
		_, err := w.ReplayDelivery(w.ctx, ids[0], start.Add(time.Minute))
		require.NoError(t, err)
		w.noLane(start)
		lease := w.claim(start.Add(time.Minute))
		_, more := w.finish(lease)
		require.False(t, more)
	},
	"only what is dead can be replayed": func(t *testing.T, w *world) {
		s := w.session()
		ids := w.queue(s, 1)
		_, err := w.ReplayDelivery(w.ctx, ids[0], start)
		requireFault(t, err, fault.NotAllowedInState, "")
		require.Equal(t, "PENDING", fault.As(err).State)
		_, err = w.ReplayDelivery(w.ctx, "dlv_nobody", start)
		requireFault(t, err, fault.NotFound, "")
		n, err := w.ReplayConnection(w.ctx, s.connection.ID, start, 10)
		require.NoError(t, err)
		require.Zero(t, n)
	},
	"a connection is replayed in parts": func(t *testing.T, w *world) {
		s := w.session()
		var want []string
		for range 5 {
			one := w.another(s)
			want = append(want, w.queue(one, 1)...)
		}
		leases, err := w.ClaimLanes(w.ctx, "o", start, start.Add(time.Minute), 10)
		require.NoError(t, err)
		for _, l := range leases {
			w.bury(l)
		}
		var replayed []string
		for _, expected := range []int{2, 2, 1, 0} {
			n, err := w.ReplayConnection(w.ctx, s.connection.ID, start, 2)
			require.NoError(t, err)
			require.Equal(t, expected, n)
			list, err := w.Deliveries(w.ctx, handoff.DeliveryFilter{Status: handoff.DeliveryPending}, handoff.Page{First: 10})
			require.NoError(t, err)
			replayed = idsOf(list.Items, deliveryID)
		}
		slices.Sort(replayed)
		require.Equal(t, want, replayed)
	},
}
