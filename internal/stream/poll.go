package stream

import (
	"context"
	"slices"
	"time"

	"handoff/internal/handoff"
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
	lastVisit := h.now()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-ticker.C:
		}
		h.pollConversations()
		if visit := h.now(); h.pollHandoffs(lastVisit.Add(-pollOverlap)) {
			lastVisit = visit
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

// pollHandoffs shows the consoles what other replicas have changed; false = it
// could not look everywhere.
func (h *Hub) pollHandoffs(since time.Time) bool {
	changed, ok := h.log.(ChangedHandoffs)
	if !ok {
		return true
	}
	for agentIDs := range slices.Chunk(h.boards.keys(nil), pollBatch) {
		if err := h.pollAgents(changed, agentIDs, since); err != nil {
			h.pollFailed(err)
			return false
		}
	}
	return true
}

func (h *Hub) pollAgents(changed ChangedHandoffs, agentIDs []string, since time.Time) error {
	for afterID := ""; ; {
		list, err := read(h.ctx, h, func(ctx context.Context) ([]handoff.Handoff, error) {
			return changed.HandoffsChangedSince(ctx, agentIDs, since, afterID, pollBatch)
		})
		if err != nil {
			return err
		}
		for i := range list {
			if b := h.boards.get(list[i].AgentID); b != nil {
				b.polled(list[i])
			}
		}
		if len(list) < pollBatch {
			return nil
		}
		last := &list[len(list)-1]
		since, afterID = last.UpdatedAt, last.ID
	}
}

func (h *Hub) pollFailed(err error) {
	if !h.stopping() {
		h.logger.Warn("poll for missed changes failed", "error", err)
	}
}
