package app

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsGivenBackOnceACrowdHasArrived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		var freed atomic.Int64
		go c.tidyUp(t.Context(), func() { freed.Add(1) })
		arrive := func(n int) {
			for range n {
				c.arrived()
			}
			time.Sleep(crowdLook)
			synctest.Wait()
		}
		arrive(crowdSize - 1)
		arrive(0)
		require.Zero(t, freed.Load(), "a few are nothing")
		arrive(crowdSize)
		arrive(1)
		require.Zero(t, freed.Load(), "they are still coming")
		arrive(0)
		require.Equal(t, int64(1), freed.Load())
		arrive(0)
		arrive(1)
		arrive(0)
		require.Equal(t, int64(1), freed.Load(), "once per crowd")
	})
}
