package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"handoff/internal/handoff"
)

// The columns check_at and caught_up_at of a Handoff are written here only, outside
// of its version: no decision depends on them.

// ClaimChecks implements [handoff.CheckStore].
func (s *Store) ClaimChecks(ctx context.Context, deskKind string, now, next time.Time, limit int) ([]handoff.Check, error) {
	var rows []struct {
		ID           string
		ConnectionID string
		DeskRef      string
		RequestedAt  instant
		CaughtUpAt   instant
	}
	err := s.write(ctx, func(tx *gorm.DB) error {
		rows = nil
		return tx.Raw(`UPDATE handoffs SET check_at = ? WHERE id IN (
  SELECT id FROM handoffs WHERE desk_kind = ? AND check_at <= ? AND state <> 'CLOSED' AND state IN ?
  ORDER BY check_at LIMIT ?`+s.dialect.skipLocked+`)
RETURNING id, connection_id, desk_ref, requested_at, caught_up_at`,
			instant(next), deskKind, instant(now), checkedStates, limit).Scan(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]handoff.Check, len(rows))
	for i := range rows {
		list[i] = handoff.Check{
			HandoffID: rows[i].ID, ConnectionID: rows[i].ConnectionID, DeskRef: rows[i].DeskRef,
			RequestedAt: rows[i].RequestedAt.time(), CaughtUpAt: rows[i].CaughtUpAt.time(),
		}
	}
	return list, nil
}

var checkedStates = []handoff.State{handoff.StateWaiting, handoff.StateWaitExpired, handoff.StateActive}

// ChecksDone implements [handoff.CheckStore].
func (s *Store) ChecksDone(ctx context.Context, handoffIDs []string, before time.Time) error {
	if len(handoffIDs) == 0 {
		return nil
	}
	return s.write(ctx, func(tx *gorm.DB) error {
		// What is locked is left out: waiting in another order than the batches do could
		// end in a circle.
		return tx.Exec("UPDATE handoffs SET caught_up_at = ? WHERE id IN (SELECT id FROM handoffs WHERE id IN ?"+s.dialect.skipLocked+")",
			instant(before), handoffIDs).Error
	})
}
