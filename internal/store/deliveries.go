package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type deliveryRow struct {
	Lane           string
	LaneSeq        int64
	ID             string
	AgentID        string
	ConnectionID   string
	ConversationID string
	HandoffID      string
	Kind           string
	EventSeq       int64
	Status         string
	Attempts       int64
	LastError      string
	LastErrorKind  string
	LastErrorAt    instant
	CreatedAt      instant `gorm:"autoCreateTime:false"`
}

func (deliveryRow) TableName() string { return "deliveries" }

func newDeliveryRow(d *handoff.Delivery) deliveryRow {
	return deliveryRow{
		Lane: d.Lane, LaneSeq: d.LaneSeq, ID: d.ID, AgentID: d.AgentID, ConnectionID: d.ConnectionID,
		ConversationID: d.ConversationID, HandoffID: d.HandoffID, Kind: string(d.Kind), EventSeq: d.EventSeq,
		Status: string(d.Status), Attempts: int64(d.Attempts),
		LastError: d.LastError, LastErrorKind: string(d.LastErrorKind), LastErrorAt: instant(d.LastErrorAt), CreatedAt: instant(d.CreatedAt),
	}
}

func (r *deliveryRow) delivery() handoff.Delivery {
	return handoff.Delivery{
		ID: r.ID, Lane: r.Lane, LaneSeq: r.LaneSeq, AgentID: r.AgentID, ConnectionID: r.ConnectionID,
		ConversationID: r.ConversationID, HandoffID: r.HandoffID, Kind: handoff.DeliveryKind(r.Kind), EventSeq: r.EventSeq,
		Status: handoff.DeliveryStatus(r.Status), Attempts: int(r.Attempts),
		LastError: r.LastError, LastErrorKind: fault.Kind(r.LastErrorKind), LastErrorAt: r.LastErrorAt.time(), CreatedAt: r.CreatedAt.time(),
	}
}

func (r *deliveryRow) position() position { return position{id: r.ID} }

// Ids are made when a delivery is queued, so they sort like the times.
var deliveriesNewest = order{list: "deliveries"}

// Delivery implements [handoff.DeliveryStore].
func (s *Store) Delivery(ctx context.Context, id string) (handoff.Delivery, error) {
	var row deliveryRow
	if err := s.read(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return handoff.Delivery{}, missing(err, "delivery")
	}
	return row.delivery(), nil
}

// Deliveries implements [handoff.DeliveryStore]: the newest first.
func (s *Store) Deliveries(ctx context.Context, f handoff.DeliveryFilter, p handoff.Page) (handoff.List[handoff.Delivery], error) {
	q := s.read(ctx)
	for _, equal := range []struct{ column, value string }{
		{"agent_id", f.AgentID},
		{"connection_id", f.ConnectionID},
		{"handoff_id", f.HandoffID},
	} {
		if equal.value != "" {
			q = q.Where(equal.column+" = ?", equal.value)
		}
	}
	switch f.Status {
	case "":
	case handoff.DeliveryDead:
		q = q.Where(isDead) // written out: what the indexes of dead letters ask for
	default:
		q = q.Where("status = ?", string(f.Status))
	}
	var rows []deliveryRow
	q, err := deliveriesNewest.apply(q, p)
	if err != nil {
		return handoff.List[handoff.Delivery]{}, err
	}
	if err := q.Find(&rows).Error; err != nil {
		return handoff.List[handoff.Delivery]{}, classify(err)
	}
	return pageOf(deliveriesNewest, p, rows, func(r *deliveryRow) (handoff.Delivery, error) { return r.delivery(), nil }, (*deliveryRow).position)
}

// ReplayDelivery implements [handoff.DeliveryStore]. NotAllowedInState when it is not dead.
func (s *Store) ReplayDelivery(ctx context.Context, id string, now time.Time) (handoff.Delivery, error) {
	d, err := s.Delivery(ctx, id)
	if err != nil {
		return handoff.Delivery{}, err
	}
	replayed, err := s.replay(ctx, d.Lane, []string{id}, now)
	if err != nil {
		return handoff.Delivery{}, err
	}
	d, err = s.Delivery(ctx, id)
	if err == nil && replayed == 0 {
		return handoff.Delivery{}, &fault.Fault{
			Kind: fault.NotAllowedInState, State: string(d.Status), Public: "only a delivery that was given up can be replayed",
		}
	}
	return d, err
}

// ReplayConnection implements [handoff.DeliveryStore]. Lanes are replayed one by
// one: on an error the number tells how many deliveries already are.
func (s *Store) ReplayConnection(ctx context.Context, connectionID string, now time.Time, limit int) (int, error) {
	var dead []deliveryRow
	err := s.read(ctx).Select("lane", "id").Where("connection_id = ? AND "+isDead, connectionID).Order("id").Limit(limit).Find(&dead).Error
	if err != nil {
		return 0, classify(err)
	}
	slices.SortStableFunc(dead, func(a, b deliveryRow) int { return strings.Compare(a.Lane, b.Lane) })
	total := 0
	for len(dead) > 0 {
		lane := dead[0].Lane
		var ids []string
		for len(dead) > 0 && dead[0].Lane == lane {
			ids = append(ids, dead[0].ID)
			dead = dead[1:]
		}
		n, err := s.replay(ctx, lane, ids, now)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// replay makes those of the deliveries pending that are dead, in their old order.
//
// They keep their places when whatever came after them is still there, so that
// nothing overtakes. When something later has left the lane, or may be leaving it
// just now, their places are gone and they go to the end.
func (s *Store) replay(ctx context.Context, lane string, ids []string, now time.Time) (replayed int, err error) {
	err = s.write(ctx, func(tx *gorm.DB) error {
		replayed = 0
		l, err := lockLane(tx, lane, s.dialect.forUpdate)
		if err != nil {
			return err
		}
		var rows []deliveryRow
		if err := tx.Where("lane = ? AND id IN ? AND "+isDead, lane, ids).Order("lane_seq").Find(&rows).Error; err != nil || len(rows) == 0 {
			return err
		}
		replayed = len(rows)
		var after int64
		if err := tx.Model(&deliveryRow{}).Where("lane = ? AND lane_seq >= ?", lane, rows[0].LaneSeq).Count(&after).Error; err != nil {
			return err
		}
		inPlace := l.LeaseOwner == nil && after == l.LastSeq-rows[0].LaneSeq+1
		if inPlace {
			l.DoneSeq = min(l.DoneSeq, rows[0].LaneSeq-1)
		}
		for i := range rows {
			seq := rows[i].LaneSeq
			if !inPlace {
				l.LastSeq++
				seq = l.LastSeq
			}
			if err := tx.Model(&deliveryRow{}).Where("id = ?", rows[i].ID).Updates(map[string]any{
				"lane_seq": seq, "status": string(handoff.DeliveryPending), "attempts": 0,
				"last_error": "", "last_error_kind": "", "last_error_at": nil,
			}).Error; err != nil {
				return err
			}
		}
		if l.LeaseOwner == nil {
			l.ReadyAt = instant(now) // even when the lane waits for a retry: somebody asked for it
		}
		_, err = exec(tx, `UPDATE lanes SET last_seq = $2, done_seq = $3, ready_at = $4 WHERE key = $1`, l.Key, l.LastSeq, l.DoneSeq, l.ReadyAt)
		return err
	})
	return replayed, err
}
