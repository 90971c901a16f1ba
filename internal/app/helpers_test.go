package app_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"handoff/internal/app/apptest"
)

// inParallel calls work for 0 … n-1 from several goroutines; an error of one of
// them ends the test.
func inParallel(t *testing.T, workers, n int, work func(i int) error) {
	t.Helper()
	var (
		group  sync.WaitGroup
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	for range workers {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := work(int(i)); err != nil {
					err = fmt.Errorf("%d: %w", i, err)
					failed.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

// control reads who may speak, and under which epoch.
func control(c *apptest.Conversation) (control string, epoch int64) {
	var read struct {
		Conversation struct {
			Control string
			Epoch   int64
		}
	}
	c.User.Do(`query($c: ID!) { conversation(id: $c) { control epoch } }`, apptest.Vars{"c": c.ID}, &read)
	return read.Conversation.Control, read.Conversation.Epoch
}

// backWithAgent waits until the handoff has ended for the reason and control is the
// Agent's again, and gives the new epoch.
func backWithAgent(c *apptest.Conversation, reason string) int64 {
	c.Await("the end for "+reason, apptest.ClosedFor(reason))
	return c.Await("control back", apptest.Control("AGENT")).Epoch
}
