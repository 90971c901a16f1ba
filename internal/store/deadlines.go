package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"handoff/internal/handoff"
)

// A Handoff has an alarm besides its deadline: when to look at the deadline. It is
// never later than the deadline, but may be earlier, since a deadline that moves
// on or is cleared leaves it alone; the migration says why. An alarm that turns
// out to be early is moved to the deadline.

// alarmSlack is how far ahead alarms are looked at, so that those that are early
// wake nobody one by one.
const alarmSlack = time.Second

// DueHandoffs implements [handoff.HandoffStore].
func (s *Store) DueHandoffs(ctx context.Context, now time.Time, limit int) (due []handoff.Handoff, next time.Time, err error) {
	horizon := now.Add(alarmSlack)
	for {
		var rows []handoffRow
		err := s.read(ctx).Where("alarm_at <= ?", instant(horizon)).Order("alarm_at, id").Limit(limit).Find(&rows).Error
		if err != nil {
			return nil, time.Time{}, classify(err)
		}
		list, err := handoffsOf(rows)
		if err != nil {
			return nil, time.Time{}, err
		}
		var early []string
		due, next = nil, time.Time{}
		for i := range list {
			h := &list[i]
			if !h.DeadlineAt.IsZero() && !h.DeadlineAt.After(now) {
				due = append(due, *h)
				continue
			}
			if !h.DeadlineAt.Equal(rows[i].AlarmAt.time()) {
				early = append(early, h.ID)
			}
			if !h.DeadlineAt.IsZero() && !h.DeadlineAt.After(horizon) && (next.IsZero() || h.DeadlineAt.Before(next)) {
				next = h.DeadlineAt
			}
		}
		if len(early) > 0 {
			if err := s.moveAlarms(ctx, early, horizon); err != nil {
				return nil, time.Time{}, err
			}
			if len(rows) == limit {
				continue // something due may stand behind what was moved
			}
		}
		slices.SortStableFunc(due, func(a, b handoff.Handoff) int { return a.DeadlineAt.Compare(b.DeadlineAt) })
		if next.IsZero() {
			next, err = s.nextAlarm(ctx, horizon)
		}
		return due, next, err
	}
}

// moveAlarms sets alarms up to the horizon to the deadlines as they are by now.
// Handoffs that are just being changed are left for the next time.
func (s *Store) moveAlarms(ctx context.Context, ids []string, horizon time.Time) error {
	return s.write(ctx, func(tx *gorm.DB) error {
		return tx.Exec("UPDATE handoffs SET alarm_at = deadline_at WHERE id IN (SELECT id FROM handoffs WHERE id IN ? AND alarm_at <= ?"+s.dialect.skipLocked+")",
			ids, instant(horizon)).Error
	})
}

// nextAlarm is the earliest alarm after the horizon; zero = none.
func (s *Store) nextAlarm(ctx context.Context, horizon time.Time) (time.Time, error) {
	var at instant
	err := s.read(ctx).Raw("SELECT min(alarm_at) FROM handoffs WHERE alarm_at > ?", instant(horizon)).Row().Scan(&at)
	return at.time(), classify(err)
}
