package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type laneRow struct {
	Key        string
	LastSeq    int64
	DoneSeq    int64
	ReadyAt    instant
	LeaseOwner *string
}

func (laneRow) TableName() string { return "lanes" }

const (
	isDead = "status = 'DEAD'"
	isLive = "status <> 'DEAD'"
)

// errLeaseLost is what a worker gets who comes too late.
var errLeaseLost = fault.New(fault.Conflict, "the lease of the lane was lost")

// ClaimLanes implements [handoff.DeliveryStore]. The owner must not have been used
// for an earlier claim, or a worker that lost a lane could finish under the new lease.
func (s *Store) ClaimLanes(ctx context.Context, owner string, now, until time.Time, limit int) ([]handoff.Lease, error) {
	var ready []laneRow
	if s.dialect.claimLanes != "" {
		if err := s.reads.WithContext(ctx).Raw(s.dialect.claimLanes, instant(now), limit, owner, instant(until)).Scan(&ready).Error; err != nil {
			return nil, classify(err)
		}
		return leasesOf(ready, owner, until), nil
	}
	err := s.write(ctx, func(tx *gorm.DB) error {
		ready = nil
		if err := tx.Raw("SELECT key, lease_owner FROM lanes WHERE ready_at <= ? ORDER BY ready_at LIMIT ?", instant(now), limit).
			Scan(&ready).Error; err != nil {
			return err
		}
		for i := range ready {
			if _, err := exec(tx, `UPDATE lanes SET lease_owner = $2, ready_at = $3 WHERE key = $1`, ready[i].Key, owner, instant(until)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leasesOf(ready, owner, until), nil
}

func leasesOf(taken []laneRow, owner string, until time.Time) []handoff.Lease {
	leases := make([]handoff.Lease, len(taken))
	for i, l := range taken {
		leases[i] = handoff.Lease{Lane: l.Key, Owner: owner, Until: micro(until), Abandoned: l.LeaseOwner != nil}
	}
	return leases
}

// NextReady implements [handoff.DeliveryStore].
func (s *Store) NextReady(ctx context.Context) (time.Time, error) {
	var at instant
	err := s.read(ctx).Raw("SELECT min(ready_at) FROM lanes WHERE ready_at IS NOT NULL").Row().Scan(&at)
	return at.time(), classify(err)
}

// RenewLease implements [handoff.DeliveryStore].
func (s *Store) RenewLease(ctx context.Context, l handoff.Lease, until time.Time) (held bool, err error) {
	err = s.write(ctx, func(tx *gorm.DB) error {
		changed, err := exec(tx, `UPDATE lanes SET ready_at = $3 WHERE key = $1 AND lease_owner = $2`, l.Lane, l.Owner, instant(until))
		held = changed == 1
		return err
	})
	return held && err == nil, err
}

// Head implements [handoff.DeliveryStore].
func (s *Store) Head(ctx context.Context, lane string) (handoff.Delivery, bool, error) {
	return head(s.read(ctx), lane)
}

var headQuery = "SELECT " + columnList[deliveryRow]("") + " FROM deliveries WHERE lane = $1 AND " + isLive + " ORDER BY lane_seq LIMIT 1"

func head(db *gorm.DB, lane string) (handoff.Delivery, bool, error) {
	var row deliveryRow
	err := queryRow(db, headQuery, lane).Scan(pointersOf(&row)...)
	if errors.Is(err, sql.ErrNoRows) {
		return handoff.Delivery{}, false, nil
	}
	if err != nil {
		return handoff.Delivery{}, false, classify(err)
	}
	return row.delivery(), true, nil
}

// FinishDelivery implements [handoff.DeliveryStore].
func (s *Store) FinishDelivery(ctx context.Context, f handoff.FinishDelivery, now time.Time) (next handoff.Delivery, more bool, err error) {
	if s.finishes != nil && f.Dead == nil {
		e, held, err := s.finishes.do(ctx, f)
		again := errors.Is(err, errBlocked) || (held && e.again)
		if !again {
			return e.next, e.more, classify(err)
		}
	}
	err = s.underLease(ctx, f.Lane, f.Owner, func(tx *gorm.DB, l *laneRow) error {
		next, more = handoff.Delivery{}, false
		if err := endDelivery(tx, &f); err != nil {
			return err
		}
		l.DoneSeq = max(l.DoneSeq, f.LaneSeq)
		if l.LastSeq > l.DoneSeq {
			var err error
			if next, more, err = head(tx, f.Lane); err != nil {
				return err
			}
		}
		if !more {
			l.release(instant{})
		}
		return nil
	})
	if errors.Is(err, errLeaseLost) {
		return handoff.Delivery{}, false, nil
	}
	if err != nil {
		return handoff.Delivery{}, false, err
	}
	return next, more, nil
}

// endDelivery removes a delivery or keeps it as dead. One that was removed before,
// because nobody wanted it any more, is no error.
func endDelivery(tx *gorm.DB, f *handoff.FinishDelivery) error {
	if f.Dead == nil {
		_, err := exec(tx, `DELETE FROM deliveries WHERE lane = $1 AND lane_seq = $2`, f.Lane, f.LaneSeq)
		return err
	}
	return recordFailure(tx, f, handoff.DeliveryDead, f.Dead)
}

func recordFailure(tx *gorm.DB, f *handoff.FinishDelivery, status handoff.DeliveryStatus, failed *handoff.Delivery) error {
	row := newDeliveryRow(failed)
	if err := storable(&row); err != nil {
		return err
	}
	_, err := exec(tx, `UPDATE deliveries SET status = $3, attempts = $4, last_error = $5, last_error_kind = $6, last_error_at = $7
		WHERE lane = $1 AND lane_seq = $2`,
		f.Lane, f.LaneSeq, string(status), row.Attempts, row.LastError, row.LastErrorKind, row.LastErrorAt)
	return err
}

// PostponeDelivery implements [handoff.DeliveryStore]. Conflict when the lease was lost.
func (s *Store) PostponeDelivery(ctx context.Context, f handoff.FinishDelivery, retryAt time.Time, failed handoff.Delivery) error {
	return s.underLease(ctx, f.Lane, f.Owner, func(tx *gorm.DB, l *laneRow) error {
		l.release(instant(retryAt))
		return recordFailure(tx, &f, handoff.DeliveryFailed, &failed)
	})
}

// ReleaseLane implements [handoff.DeliveryStore]. A lease that was lost is no error:
// the lane is not the caller's either way.
func (s *Store) ReleaseLane(ctx context.Context, lane, owner string, now time.Time) error {
	err := s.underLease(ctx, lane, owner, func(tx *gorm.DB, l *laneRow) error {
		_, more, err := head(tx, lane)
		if err != nil {
			return err
		}
		l.release(instant{})
		if more {
			l.ReadyAt = instant(now)
		}
		return nil
	})
	if errors.Is(err, errLeaseLost) {
		return nil
	}
	return err
}

// DropDeliveries implements [handoff.DeliveryStore]: dead letters stay. Conflict when
// the lease was lost.
func (s *Store) DropDeliveries(ctx context.Context, d handoff.Drop, owner string) error {
	return s.underLease(ctx, d.Lane, owner, func(tx *gorm.DB, _ *laneRow) error { return removeLive(tx, &d) })
}

// underLease runs fn while the lane is locked and the owner's, and writes the lane
// as fn leaves it. errLeaseLost when it is somebody else's.
func (s *Store) underLease(ctx context.Context, lane, owner string, fn func(tx *gorm.DB, l *laneRow) error) error {
	return s.write(ctx, func(tx *gorm.DB) error {
		l, err := lockLane(tx, lane, s.dialect.forUpdate)
		if fault.Is(err, fault.NotFound) || (err == nil && orEmpty(l.LeaseOwner) != owner) {
			return errLeaseLost
		}
		if err != nil {
			return err
		}
		if err := fn(tx, &l); err != nil {
			return err
		}
		_, err = exec(tx, `UPDATE lanes SET last_seq = $2, done_seq = $3, ready_at = $4, lease_owner = $5 WHERE key = $1`,
			l.Key, l.LastSeq, l.DoneSeq, l.ReadyAt, l.LeaseOwner)
		return err
	})
}

// release ends the lease; the lane is ready again at the given time, zero = when
// something is queued.
func (l *laneRow) release(readyAt instant) {
	l.LeaseOwner, l.ReadyAt = nil, readyAt
}

var laneQuery = "SELECT " + columnList[laneRow]("") + " FROM lanes WHERE key = $1"

// lockLane reads a lane and keeps everybody else from it until the transaction ends.
func lockLane(tx *gorm.DB, key, forUpdate string) (laneRow, error) {
	var l laneRow
	err := queryRow(tx, laneQuery+forUpdate, key).Scan(pointersOf(&l)...)
	return l, missing(err, "lane")
}

// dropDeliveries removes what a Handoff has still to deliver, also what is under
// way: the lease stays, and its worker finds it gone. A lane that is empty then is
// ready no more; else what is left does not wait for a retry of what is gone. The
// lane is locked before it is looked at, so that nothing can be replayed in it
// meanwhile; nothing else is queued, since that needs the lock of the Conversation,
// which the caller has.
func dropDeliveries(tx *gorm.DB, d *handoff.Drop, now instant, forUpdate string) error {
	l, err := lockLane(tx, d.Lane, forUpdate)
	if fault.Is(err, fault.NotFound) {
		return nil // nothing was ever queued there
	}
	if err != nil {
		return err
	}
	if err := removeLive(tx, d); err != nil {
		return err
	}
	_, more, err := head(tx, d.Lane)
	if err != nil {
		return err
	}
	if more {
		l.LastSeq++ // see the package comment
	} else {
		l.DoneSeq, now = l.LastSeq, instant{}
	}
	if l.LeaseOwner == nil {
		l.ReadyAt = now
	}
	_, err = exec(tx, `UPDATE lanes SET last_seq = $2, done_seq = $3, ready_at = $4 WHERE key = $1`, d.Lane, l.LastSeq, l.DoneSeq, l.ReadyAt)
	return err
}

func removeLive(tx *gorm.DB, d *handoff.Drop) error {
	_, err := exec(tx, `DELETE FROM deliveries WHERE lane = $1 AND handoff_id = $2 AND kind <> 'SAY' AND `+isLive, d.Lane, d.HandoffID)
	return err
}
