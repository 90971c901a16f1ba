package app

import (
	"context"
	"sync/atomic"
	"time"
)

// A crowd is what comes back after a restart: thousands of websockets in seconds.
// Setting one up leaves about as much garbage as the socket itself needs, and an
// idle process would keep that memory for ever.
type crowd struct{ opened atomic.Int64 }

const (
	crowdSize = 500 // websockets that are worth a collection
	crowdLook = 2 * time.Second
)

func (c *crowd) arrived() { c.opened.Add(1) }

// tidyUp calls free once a crowd has arrived and nobody has followed since the last
// look, until ctx ends.
func (c *crowd) tidyUp(ctx context.Context, free func()) {
	ticker := time.NewTicker(crowdLook)
	defer ticker.Stop()
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := c.opened.Load()
		if now == before && now >= crowdSize {
			c.opened.Add(-now)
			now = 0
			free()
		}
		before = now
	}
}
