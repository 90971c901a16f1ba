package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type connectionRow struct {
	ID            string
	AgentID       string
	Kind          string
	Mode          string
	Name          string
	Active        bool
	Fields        string
	Sealed        string
	SetSecrets    string
	ReceiveToken  string
	Status        string
	CheckedAt     instant
	LastError     string
	LastErrorKind string
	LastErrorAt   instant
	NextCheckAt   instant
	CreatedAt     instant `gorm:"autoCreateTime:false"`
	UpdatedAt     instant `gorm:"autoUpdateTime:false"`
	Version       int64
}

func (connectionRow) TableName() string { return "connections" }

func newConnectionRow(c *handoff.Connection) connectionRow {
	return connectionRow{
		ID: c.ID, AgentID: c.AgentID, Kind: c.Kind, Mode: string(c.Mode), Name: c.Name, Active: c.Active,
		Fields: encodeMap(c.Fields), Sealed: c.Sealed, SetSecrets: encodeList(c.SetSecrets), ReceiveToken: c.ReceiveToken,
		Status: string(c.Status), CheckedAt: instant(c.CheckedAt),
		LastError: c.LastError, LastErrorKind: string(c.LastErrorKind), LastErrorAt: instant(c.LastErrorAt),
		NextCheckAt: instant(c.NextCheckAt), CreatedAt: instant(c.CreatedAt), UpdatedAt: instant(c.UpdatedAt), Version: c.Version,
	}
}

func (r *connectionRow) connection() (handoff.Connection, error) {
	fields, err := decodeMap(r.Fields)
	if err != nil {
		return handoff.Connection{}, damaged(err, "connection")
	}
	secrets, err := decodeList[string](r.SetSecrets)
	if err != nil {
		return handoff.Connection{}, damaged(err, "connection")
	}
	return handoff.Connection{
		ID: r.ID, AgentID: r.AgentID, Kind: r.Kind, Mode: handoff.Mode(r.Mode), Name: r.Name, Active: r.Active,
		Fields: fields, Sealed: r.Sealed, SetSecrets: secrets, ReceiveToken: r.ReceiveToken,
		Status: handoff.ServiceStatus(r.Status), CheckedAt: r.CheckedAt.time(),
		LastError: r.LastError, LastErrorKind: fault.Kind(r.LastErrorKind), LastErrorAt: r.LastErrorAt.time(),
		NextCheckAt: r.NextCheckAt.time(), CreatedAt: r.CreatedAt.time(), UpdatedAt: r.UpdatedAt.time(), Version: r.Version,
	}, nil
}

func connectionsOf(rows []connectionRow) ([]handoff.Connection, error) {
	list := make([]handoff.Connection, len(rows))
	for i := range rows {
		var err error
		if list[i], err = rows[i].connection(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// CreateConnection implements [handoff.ConnectionStore]: LimitReached beyond
// [handoff.MaxConnectionsPerAgent], NotFound without the Agent.
func (s *Store) CreateConnection(ctx context.Context, c handoff.Connection, once *handoff.OnceKey) (handoff.Connection, error) {
	row := newConnectionRow(&c)
	row.Version = 1
	made, err := create(ctx, s, &row, once, func(tx *gorm.DB) error {
		if err := lockAgent(tx, c.AgentID); err != nil {
			return err
		}
		var n int64
		if err := tx.Model(&connectionRow{}).Where("agent_id = ?", c.AgentID).Count(&n).Error; err != nil {
			return err
		}
		if n >= handoff.MaxConnectionsPerAgent {
			return fault.New(fault.LimitReached, "the agent has %d desk connections, at most %d are allowed", n, handoff.MaxConnectionsPerAgent)
		}
		return nil
	})
	if err != nil {
		return handoff.Connection{}, err
	}
	if made != "" {
		return s.Connection(ctx, made)
	}
	return row.connection()
}

// Connection implements [handoff.ConnectionStore].
func (s *Store) Connection(ctx context.Context, id string) (handoff.Connection, error) {
	var row connectionRow
	if err := s.read(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return handoff.Connection{}, missing(err, "connection")
	}
	return row.connection()
}

// Connections implements [handoff.ConnectionStore]: the oldest first.
func (s *Store) Connections(ctx context.Context, agentID string) ([]handoff.Connection, error) {
	var rows []connectionRow
	err := s.read(ctx).Where("agent_id = ?", agentID).Order("created_at, id").Limit(handoff.MaxConnectionsPerAgent).Find(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	return connectionsOf(rows)
}

// ConnectionByToken implements [handoff.ConnectionStore]. Those of deleted Agents are not found.
func (s *Store) ConnectionByToken(ctx context.Context, receiveToken string) (handoff.Connection, error) {
	var row connectionRow
	err := s.read(ctx).Joins("JOIN agents ON agents.id = connections.agent_id AND agents.deleted_at IS NULL").
		Where("connections.receive_token = ?", receiveToken).Take(&row).Error
	if err != nil {
		return handoff.Connection{}, missing(err, "connection")
	}
	return row.connection()
}

// UpdateConnection implements [handoff.ConnectionStore]. Id, Agent and time of
// creation never change.
func (s *Store) UpdateConnection(ctx context.Context, id string, now time.Time, change func(*handoff.Connection) error) (handoff.Connection, error) {
	return repeat(ctx, func() (handoff.Connection, bool, error) {
		old, err := s.Connection(ctx, id)
		if err != nil {
			return handoff.Connection{}, false, err
		}
		c := old
		if err := change(&c); err != nil {
			return handoff.Connection{}, false, err
		}
		c.ID, c.AgentID, c.CreatedAt = old.ID, old.AgentID, old.CreatedAt
		c.UpdatedAt, c.Version = now, old.Version+1
		row := newConnectionRow(&c)
		if err := storable(&row); err != nil {
			return handoff.Connection{}, false, err
		}
		var saved bool
		err = s.write(ctx, func(tx *gorm.DB) error {
			done := tx.Model(&connectionRow{}).Where("id = ? AND version = ?", id, old.Version).
				Select("*").Omit("id", "agent_id", "created_at").Updates(&row)
			saved = done.RowsAffected == 1
			return done.Error
		})
		if err != nil || !saved {
			return handoff.Connection{}, false, err
		}
		c, err = row.connection()
		return c, true, err
	})
}

// ActivateConnection implements [handoff.ConnectionStore].
func (s *Store) ActivateConnection(ctx context.Context, id string, now time.Time) (handoff.Connection, error) {
	var row connectionRow
	err := s.write(ctx, func(tx *gorm.DB) error {
		row = connectionRow{}
		if err := tx.Where("id = ?", id).Take(&row).Error; err != nil {
			return missing(err, "connection")
		}
		if err := lockAgent(tx, row.AgentID); err != nil {
			return err
		}
		set := func(where string, active bool) error {
			return tx.Model(&connectionRow{}).Where("agent_id = ? AND mode = ? AND active = ? AND "+where, row.AgentID, row.Mode, !active, id).
				Updates(map[string]any{"active": active, "updated_at": instant(now), "version": gorm.Expr("version + 1")}).Error
		}
		// The others first: the unique index looks after every statement.
		if err := set("id <> ?", false); err != nil {
			return err
		}
		if err := set("id = ?", true); err != nil {
			return err
		}
		row = connectionRow{}
		return missing(tx.Where("id = ?", id).Take(&row).Error, "connection")
	})
	if err != nil {
		return handoff.Connection{}, err
	}
	return row.connection()
}

// DeleteConnection implements [handoff.ConnectionStore]: with its deliveries, dead ones too.
func (s *Store) DeleteConnection(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *gorm.DB) error {
		done := tx.Where("id = ?", id).Delete(&connectionRow{})
		if done.Error != nil {
			return done.Error
		}
		if done.RowsAffected == 0 {
			return fault.Missing("connection")
		}
		// The lanes are locked first, and told; see the package comment.
		if err := tx.Exec("UPDATE lanes SET last_seq = last_seq + 1 WHERE key IN (SELECT lane FROM deliveries WHERE connection_id = ?)", id).Error; err != nil {
			return err
		}
		return tx.Where("connection_id = ?", id).Delete(&deliveryRow{}).Error
	})
}

// ConnectionsToCheck implements [handoff.ConnectionStore].
func (s *Store) ConnectionsToCheck(ctx context.Context, now, next time.Time, limit int) ([]handoff.Connection, error) {
	var rows []connectionRow
	err := s.write(ctx, func(tx *gorm.DB) error {
		rows = nil
		// SQLite needs no lock: its writer is alone.
		if err := tx.Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).
			Where("next_check_at <= ? AND status = ?", instant(now), string(handoff.StatusUnavailable)).
			Order("next_check_at").Limit(limit).Find(&rows).Error; err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
			rows[i].NextCheckAt = instant(next)
			rows[i].Version++
		}
		return tx.Model(&connectionRow{}).Where("id IN ?", ids).
			Updates(map[string]any{"next_check_at": instant(next), "version": gorm.Expr("version + 1")}).Error
	})
	if err != nil {
		return nil, err
	}
	return connectionsOf(rows)
}
