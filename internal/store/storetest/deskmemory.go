package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// remember writes a value that must be the first of its key.
func (w *world) remember(connectionID, key, sealed string, at time.Time) int64 {
	w.t.Helper()
	version, set, err := w.SetDeskMemory(w.ctx, connectionID, key, sealed, 0, at)
	require.NoError(w.t, err)
	require.True(w.t, set)
	require.Positive(w.t, version)
	return version
}

func (w *world) remembered(connectionID, key string) (sealed string, version int64) {
	w.t.Helper()
	sealed, version, err := w.DeskMemory(w.ctx, connectionID, key)
	require.NoError(w.t, err)
	return sealed, version
}

var deskMemoryTests = map[string]func(*testing.T, *world){
	"is empty at first": func(t *testing.T, w *world) {
		sealed, version := w.remembered(w.connection(w.agent().ID).ID, "k")
		require.Empty(t, sealed)
		require.Zero(t, version)
	},
	"is read back per connection and key": func(t *testing.T, w *world) {
		a := w.agent()
		one, other := w.connection(a.ID).ID, w.connection(a.ID).ID
		v := w.remember(one, hardText, "sealed 1", start)
		w.remember(one, "k", "sealed 2", start)
		w.remember(other, hardText, "sealed 3", start)
		sealed, version := w.remembered(one, hardText)
		require.Equal(t, "sealed 1", sealed)
		require.Equal(t, v, version)
		sealed, _ = w.remembered(other, hardText)
		require.Equal(t, "sealed 3", sealed)
	},
	"is written only over the version that was read": func(t *testing.T, w *world) {
		c := w.connection(w.agent().ID).ID
		first := w.remember(c, "k", "one", start)
		second, set, err := w.SetDeskMemory(w.ctx, c, "k", "two", first, start)
		require.NoError(t, err)
		require.True(t, set)
		require.NotEqual(t, first, second)
		for _, old := range []int64{0, first, second + 1} {
			for _, sealed := range []string{"three", ""} {
				_, set, err := w.SetDeskMemory(w.ctx, c, "k", sealed, old, start)
				require.NoError(t, err)
				require.False(t, set)
			}
		}
		sealed, version := w.remembered(c, "k")
		require.Equal(t, "two", sealed)
		require.Equal(t, second, version)
	},
	"what was removed and written again is another": func(t *testing.T, w *world) {
		c := w.connection(w.agent().ID).ID
		_, set, err := w.SetDeskMemory(w.ctx, c, "k", "", 0, start)
		require.NoError(t, err)
		require.True(t, set, "there is none, as wanted")
		old := w.remember(c, "k", "one", start)
		version, set, err := w.SetDeskMemory(w.ctx, c, "k", "", old, start)
		require.NoError(t, err)
		require.True(t, set)
		require.Zero(t, version)
		_, version = w.remembered(c, "k")
		require.Zero(t, version)
		w.remember(c, "k", "two", start)
		_, set, err = w.SetDeskMemory(w.ctx, c, "k", "late", old, start)
		require.NoError(t, err)
		require.False(t, set)
	},
	"of those who write at once, one wins": func(t *testing.T, w *world) {
		c := w.connection(w.agent().ID).ID
		for round, version := 0, int64(0); round < 3; round++ {
			var wins, now atomic.Int64
			together(8, func(int) {
				next, set, err := w.SetDeskMemory(w.ctx, c, "k", "sealed", version, start)
				if err != nil {
					t.Error(err)
				}
				if set {
					wins.Add(1)
					now.Store(next)
				}
			})
			require.EqualValues(t, 1, wins.Load())
			version = now.Load()
			_, stored := w.remembered(c, "k")
			require.Equal(t, version, stored)
		}
	},
	"goes with its connection": func(t *testing.T, w *world) {
		a := w.agent()
		gone, stays := w.connection(a.ID).ID, w.connection(a.ID).ID
		version := w.remember(gone, "k", "one", start)
		w.remember(stays, "k", "two", start)
		require.NoError(t, w.DeleteConnection(w.ctx, gone))
		_, left := w.remembered(gone, "k")
		require.Zero(t, left)
		sealed, _ := w.remembered(stays, "k")
		require.Equal(t, "two", sealed)
		_, _, err := w.SetDeskMemory(w.ctx, gone, "k", "late", 0, start)
		requireFault(t, err, fault.NotFound, "")
		_, set, err := w.SetDeskMemory(w.ctx, gone, "k", "late", version, start)
		require.NoError(t, err)
		require.False(t, set)
	},
	"goes with its agent": func(t *testing.T, w *world) {
		a, other := w.agent(), w.agent()
		gone, stays := w.connection(a.ID).ID, w.connection(other.ID).ID
		w.remember(gone, "k", "one", start)
		w.remember(stays, "k", "two", start)
		require.NoError(t, w.DeleteAgent(w.ctx, a.ID, start))
		_, left := w.remembered(gone, "k")
		require.Zero(t, left)
		_, left = w.remembered(stays, "k")
		require.NotZero(t, left)
	},
	"texts that one database cannot keep are refused": func(t *testing.T, w *world) {
		c := w.connection(w.agent().ID).ID
		for _, bad := range badTexts {
			_, _, err := w.SetDeskMemory(w.ctx, c, bad, "sealed", 0, start)
			requireFault(t, err, fault.InvalidInput, "key")
		}
	},
}
