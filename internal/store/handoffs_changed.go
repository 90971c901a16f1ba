package store

import (
	"context"
	"time"

	"handoff/internal/handoff"
)

// endedLately is how long after its end a Handoff is looked at for changes. What
// still happens to one then is what became of its last deliveries, which takes two
// or three minutes when the desk is down.
const endedLately = 10 * time.Minute

// changedHandoffs reads the open ones and those that have ended lately, each along an
// index, and picks those that have changed. There is no index of updated_at: every
// message moves it, and would then have to be written into every index of the row.
var changedHandoffs = "SELECT * FROM (SELECT " + columnList[handoffRow]("") + ` FROM handoffs
  WHERE agent_id IN @agents AND ` + isOpen + ` AND (updated_at, id) > (@since, @id)
UNION ALL SELECT ` + columnList[handoffRow]("") + ` FROM handoffs
  WHERE agent_id IN @agents AND state = 'CLOSED' AND closed_at > @ended AND (updated_at, id) > (@since, @id)
) AS changed ORDER BY updated_at, id LIMIT @limit`

// HandoffsChangedSince lists the Handoffs of these Agents, open and closed, with
// (UpdatedAt, ID) > (since, afterID), in that order, at most limit. Its cost grows with
// the number of open Handoffs of the Agents, not with the history. One that ended more
// than ten minutes before since is left out, also when something has happened to it.
func (s *Store) HandoffsChangedSince(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Handoff, error) {
	if len(agentIDs) == 0 {
		return nil, nil
	}
	var rows []handoffRow
	err := s.read(ctx).Raw(changedHandoffs, map[string]any{
		"agents": agentIDs, "since": instant(since), "id": afterID, "ended": instant(since.Add(-endedLately)), "limit": limit,
	}).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	return handoffsOf(rows)
}
