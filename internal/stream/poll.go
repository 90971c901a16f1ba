package stream

import (
	"context"
	"slices"
	"time"
)

const (
	// pollBatch is how many Conversations or Agents one query of the poll names.
	pollBatch = 500
	// pollOverlap is how far the poll looks back before its last visit: a Handoff's
	// UpdatedAt is taken before the commit, and by the clock of another replica. What
	// it sees again it knows by the version.
	pollOverlap = 10 * time.Second
)

// poll looks for what no hint told the hub: it is what makes a lost hint a delay.
func (h *Hub) poll() {
	ticker := time.NewTicker(h.interval)
	defer ticker.Stop()
	handoffs, awaiting := h.now(), h.now() // the last visits
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-ticker.C:
		}
		h.pollConversations()
		visit := h.now()
		if h.handoffs.poll(handoffs.Add(-pollOverlap)) {
			handoffs = visit
		}
		if h.awaiting.poll(awaiting.Add(-pollOverlap)) {
			awaiting = visit
		}
	}
}

// pollConversations compares the logs of all watched Conversations with what
// their subscribers have got.
func (h *Hub) pollConversations() {
	for ids := range slices.Chunk(h.topics.keys(nil), pollBatch) {
		seqs, err := read(h.ctx, h, func(ctx context.Context) (map[string]int64, error) {
			return h.log.LastSeqs(ctx, ids)
		})
		if err != nil {
			h.pollFailed(err)
			return
		}
		for id, seq := range seqs {
			if t := h.topics.get(id); t != nil {
				t.announced(seq)
			}
		}
	}
}

func (h *Hub) pollFailed(err error) {
	if !h.stopping() {
		h.logger.Warn("poll for missed changes failed", "error", err)
	}
}
