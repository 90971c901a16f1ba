package store

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type agentRow struct {
	ID        string
	Name      string
	Settings  string
	CreatedAt instant `gorm:"autoCreateTime:false"`
	UpdatedAt instant `gorm:"autoUpdateTime:false"`
	DeletedAt instant
	Version   int64
}

func (agentRow) TableName() string { return "agents" }

func newAgentRow(a *handoff.Agent) (agentRow, error) {
	settings, err := json.Marshal(a.Settings)
	if err != nil {
		return agentRow{}, fault.Wrap(fault.Internal, err, "the settings cannot be written")
	}
	return agentRow{
		ID: a.ID, Name: a.Name, Settings: string(settings),
		CreatedAt: instant(a.CreatedAt), UpdatedAt: instant(a.UpdatedAt),
	}, nil
}

func (r *agentRow) agent() (handoff.Agent, error) {
	a := handoff.Agent{ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt.time(), UpdatedAt: r.UpdatedAt.time()}
	if err := json.Unmarshal([]byte(r.Settings), &a.Settings); err != nil {
		return handoff.Agent{}, damaged(err, "agent")
	}
	return a, nil
}

func (r *agentRow) position() position { return position{at: r.CreatedAt.time(), id: r.ID} }

var agentsNewest = order{list: "agents", time: "created_at"}

// CreateAgent implements [handoff.AgentStore].
func (s *Store) CreateAgent(ctx context.Context, a handoff.Agent, once *handoff.OnceKey) (handoff.Agent, error) {
	row, err := newAgentRow(&a)
	if err != nil {
		return handoff.Agent{}, err
	}
	row.Version = 1
	made, err := create(ctx, s, &row, once)
	if err != nil {
		return handoff.Agent{}, err
	}
	if made != "" {
		return s.Agent(ctx, made)
	}
	return row.agent()
}

// Agent implements [handoff.AgentStore].
func (s *Store) Agent(ctx context.Context, id string) (handoff.Agent, error) {
	row, err := s.agentRow(ctx, id)
	if err != nil {
		return handoff.Agent{}, err
	}
	return row.agent()
}

func (s *Store) agentRow(ctx context.Context, id string) (agentRow, error) {
	var row agentRow
	err := s.read(ctx).Where("id = ? AND deleted_at IS NULL", id).Take(&row).Error
	return row, missing(err, "agent")
}

// Agents implements [handoff.AgentStore].
func (s *Store) Agents(ctx context.Context, p handoff.Page) (handoff.List[handoff.Agent], error) {
	var rows []agentRow
	q, err := agentsNewest.apply(s.read(ctx).Where("deleted_at IS NULL"), p)
	if err != nil {
		return handoff.List[handoff.Agent]{}, err
	}
	if err := q.Find(&rows).Error; err != nil {
		return handoff.List[handoff.Agent]{}, classify(err)
	}
	return pageOf(agentsNewest, p, rows, (*agentRow).agent, (*agentRow).position)
}

// UpdateAgent implements [handoff.AgentStore].
func (s *Store) UpdateAgent(ctx context.Context, id string, now time.Time, change func(*handoff.Agent) error) (handoff.Agent, error) {
	return repeat(ctx, func() (handoff.Agent, bool, error) {
		old, err := s.agentRow(ctx, id)
		if err != nil {
			return handoff.Agent{}, false, err
		}
		a, err := old.agent()
		if err != nil {
			return handoff.Agent{}, false, err
		}
		if err := change(&a); err != nil {
			return handoff.Agent{}, false, err
		}
		row, err := newAgentRow(&a)
		if err != nil {
			return handoff.Agent{}, false, err
		}
		row.UpdatedAt, row.Version = instant(now), old.Version+1
		if err := storable(&row); err != nil {
			return handoff.Agent{}, false, err
		}
		var saved bool
		err = s.write(ctx, func(tx *gorm.DB) error {
			done := tx.Model(&agentRow{}).Where("id = ? AND version = ? AND deleted_at IS NULL", id, old.Version).
				Select("name", "settings", "updated_at", "version").Updates(&row)
			saved = done.RowsAffected == 1
			return done.Error
		})
		if err != nil || !saved {
			return handoff.Agent{}, false, err
		}
		a.ID, a.CreatedAt, a.UpdatedAt = old.ID, old.CreatedAt.time(), micro(now)
		return a, true, nil
	})
}

// DeleteAgent implements [handoff.AgentStore].
func (s *Store) DeleteAgent(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func(tx *gorm.DB) error {
		done := tx.Model(&agentRow{}).Where("id = ? AND deleted_at IS NULL", id).
			Updates(map[string]any{"deleted_at": instant(now), "updated_at": instant(now), "version": gorm.Expr("version + 1")})
		if done.Error != nil {
			return done.Error
		}
		if done.RowsAffected == 0 {
			return fault.Missing("agent")
		}
		if err := tx.Model(&keyRow{}).Where("agent_id = ? AND revoked_at IS NULL", id).
			Update("revoked_at", instant(now)).Error; err != nil {
			return err
		}
		if err := forgetAgentsDesks(tx, id); err != nil {
			return err
		}
		return tx.Model(&connectionRow{}).Where("agent_id = ?", id).Updates(map[string]any{
			"active": false, "fields": "{}", "sealed": "", "set_secrets": "[]",
			"status": string(handoff.StatusNotConfigured), "next_check_at": nil,
			"updated_at": instant(now), "version": gorm.Expr("version + 1"),
		}).Error
	})
}

// lockAgent makes what a transaction counts of an Agent's things stay true until
// it commits. NotFound when the Agent does not exist or is deleted.
func lockAgent(tx *gorm.DB, id string) error {
	var row agentRow
	err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Select("id").
		Where("id = ? AND deleted_at IS NULL", id).Take(&row).Error
	return missing(err, "agent")
}
