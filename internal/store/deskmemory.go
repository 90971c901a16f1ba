package store

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type deskMemoryRow struct {
	ConnectionID string
	Key          string
	Version      int64
	Sealed       string
	UpdatedAt    instant `gorm:"autoUpdateTime:false"`
}

func (deskMemoryRow) TableName() string { return "desk_memory" }

// DeskMemory implements [handoff.DeskMemoryStore].
func (s *Store) DeskMemory(ctx context.Context, connectionID, key string) (sealed string, version int64, err error) {
	var row deskMemoryRow
	err = s.read(ctx).Where("connection_id = ? AND key = ?", connectionID, key).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return "", 0, nil
	}
	return row.Sealed, row.Version, classify(err)
}

// SetDeskMemory implements [handoff.DeskMemoryStore].
func (s *Store) SetDeskMemory(ctx context.Context, connectionID, key, sealed string, version int64, now time.Time) (next int64, set bool, err error) {
	if version == 0 {
		if sealed == "" { // there is nothing to remove, or it is unknown to the caller
			_, version, err := s.DeskMemory(ctx, connectionID, key)
			return 0, err == nil && version == 0, err
		}
		return s.addDeskMemory(ctx, connectionID, key, sealed, now)
	}
	err = s.write(ctx, func(tx *gorm.DB) error {
		q := tx.Where("connection_id = ? AND key = ? AND version = ?", connectionID, key, version)
		if sealed == "" {
			q = q.Delete(&deskMemoryRow{})
		} else {
			next = version + 1
			q = q.Model(&deskMemoryRow{}).Updates(map[string]any{"sealed": sealed, "version": next, "updated_at": instant(now)})
		}
		set = q.RowsAffected == 1
		return q.Error
	})
	if err != nil || !set {
		return 0, false, err
	}
	return next, true, nil
}

func (s *Store) addDeskMemory(ctx context.Context, connectionID, key, sealed string, now time.Time) (next int64, set bool, err error) {
	if err := s.roomForDeskMemory(ctx, connectionID, now); err != nil {
		return 0, false, err
	}
	// A random beginning: a value that was removed and written again is not taken for
	// the one that somebody read before.
	row := deskMemoryRow{
		ConnectionID: connectionID, Key: key, Version: 1 + rand.Int64N(math.MaxInt64/2), Sealed: sealed, UpdatedAt: instant(now),
	}
	if err := storable(&row); err != nil {
		return 0, false, err
	}
	err = s.write(ctx, func(tx *gorm.DB) error {
		var id string
		if err := queryRow(tx, "SELECT id FROM connections WHERE id = $1", connectionID).Scan(&id); err != nil {
			return missing(err, "connection")
		}
		done := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
		set = done.RowsAffected == 1
		return done.Error
	})
	if err != nil || !set {
		return 0, false, err
	}
	return row.Version, true, nil
}

// forgetAtOnce is how many keys are forgotten when there are too many, so that it
// is seldom needed.
const forgetAtOnce = 1_000

// roomForDeskMemory keeps the number of keys near the bound; replicas that add keys
// at the same moment may exceed it by a few.
func (s *Store) roomForDeskMemory(ctx context.Context, connectionID string, now time.Time) error {
	var n int64
	if err := s.read(ctx).Model(&deskMemoryRow{}).Where("connection_id = ?", connectionID).Count(&n).Error; err != nil {
		return classify(err)
	}
	if n < s.maxDeskMemory {
		return nil
	}
	var forgotten int64
	err := s.write(ctx, func(tx *gorm.DB) (err error) {
		forgotten, err = exec(tx, `DELETE FROM desk_memory WHERE connection_id = $1 AND key IN
			(SELECT key FROM desk_memory WHERE connection_id = $1 AND updated_at < $2 ORDER BY updated_at LIMIT $3)`,
			connectionID, instant(now.Add(-handoff.DeskMemoryKept)), forgetAtOnce)
		return err
	})
	if err != nil {
		return err
	}
	if forgotten == 0 {
		return fault.New(fault.LimitReached, "the desk remembers %d things of this connection, at most %d are allowed", n, s.maxDeskMemory)
	}
	s.log.InfoContext(ctx, "old memory of a desk forgotten", "connection_id", connectionID, "keys", forgotten)
	return nil
}

// forgetAgentsDesks removes what the desks of an Agent remember.
func forgetAgentsDesks(tx *gorm.DB, agentID string) error {
	_, err := exec(tx, "DELETE FROM desk_memory WHERE connection_id IN (SELECT id FROM connections WHERE agent_id = $1)", agentID)
	return err
}
