package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type keyRow struct {
	ID        string
	AgentID   string
	Name      string
	Hint      string
	Hash      string
	CreatedAt instant `gorm:"autoCreateTime:false"`
	RevokedAt instant
}

func (keyRow) TableName() string { return "agent_keys" }

func newKeyRow(k *handoff.AgentKey) keyRow {
	row := keyRow{ID: k.ID, AgentID: k.AgentID, Name: k.Name, Hint: k.Hint, Hash: k.Hash, CreatedAt: instant(k.CreatedAt)}
	if k.RevokedAt != nil {
		row.RevokedAt = instant(*k.RevokedAt)
	}
	return row
}

func (r *keyRow) key() handoff.AgentKey {
	k := handoff.AgentKey{ID: r.ID, AgentID: r.AgentID, Name: r.Name, Hint: r.Hint, Hash: r.Hash, CreatedAt: r.CreatedAt.time()}
	if at := r.RevokedAt.time(); !at.IsZero() {
		k.RevokedAt = &at
	}
	return k
}

// CreateKey implements [handoff.AgentStore].
func (s *Store) CreateKey(ctx context.Context, k handoff.AgentKey) error {
	row := newKeyRow(&k)
	if err := storable(&row); err != nil {
		return err
	}
	return s.write(ctx, func(tx *gorm.DB) error {
		if err := lockAgent(tx, k.AgentID); err != nil {
			return err
		}
		var valid int64
		if err := tx.Model(&keyRow{}).Where("agent_id = ? AND revoked_at IS NULL", k.AgentID).Count(&valid).Error; err != nil {
			return err
		}
		if valid >= handoff.MaxKeysPerAgent {
			return fault.New(fault.LimitReached, "the agent has %d valid keys, at most %d are allowed; revoke one first", valid, handoff.MaxKeysPerAgent)
		}
		return tx.Create(&row).Error
	})
}

// maxKeysListed bounds a list that grows with every revoked key.
const maxKeysListed = 1_000

// Keys implements [handoff.AgentStore]: the newest first.
func (s *Store) Keys(ctx context.Context, agentID string) ([]handoff.AgentKey, error) {
	var rows []keyRow
	err := s.read(ctx).Where("agent_id = ?", agentID).Order("created_at DESC, id DESC").Limit(maxKeysListed).Find(&rows).Error
	keys := make([]handoff.AgentKey, len(rows))
	for i := range rows {
		keys[i] = rows[i].key()
	}
	return keys, classify(err)
}

// RevokeKey implements [handoff.AgentStore].
func (s *Store) RevokeKey(ctx context.Context, agentID, keyID string, now time.Time) (handoff.AgentKey, error) {
	var row keyRow
	err := s.write(ctx, func(tx *gorm.DB) error {
		if err := tx.Model(&keyRow{}).Where("id = ? AND agent_id = ? AND revoked_at IS NULL", keyID, agentID).
			Update("revoked_at", instant(now)).Error; err != nil {
			return err
		}
		row = keyRow{}
		return missing(tx.Where("id = ? AND agent_id = ?", keyID, agentID).Take(&row).Error, "key")
	})
	return row.key(), err
}

// FindAgentKey implements [handoff.AgentStore].
func (s *Store) FindAgentKey(ctx context.Context, hash string) (keyID, agentID string, err error) {
	var row keyRow
	err = s.read(ctx).Joins("JOIN agents ON agents.id = agent_keys.agent_id AND agents.deleted_at IS NULL").
		Where("agent_keys.hash = ? AND agent_keys.revoked_at IS NULL", hash).Take(&row).Error
	return row.ID, row.AgentID, missing(err, "key")
}
