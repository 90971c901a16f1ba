package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// optimisticAttempts is how often a change is decided without a lock before it
// waits for its turn.
const optimisticAttempts = 5

// errStale says that the Conversation no longer has the version that was decided on.
var errStale = errors.New("decided on an old version")

// Change implements [handoff.ConversationStore]; see the package comment.
func (s *Store) Change(ctx context.Context, conversationID, key string, decide handoff.Decide) (handoff.Committed, error) {
	unlock, err := s.busy.lock(ctx, conversationID)
	if err != nil {
		return handoff.Committed{}, classify(err)
	}
	defer unlock()

	snap, remembered := s.recent.get(conversationID)
	for range optimisticAttempts {
		if !remembered {
			var duplicate *handoff.Event
			if snap, duplicate, err = readSnapshot(s.read(ctx), conversationID, key); err != nil {
				return handoff.Committed{}, err
			}
			if duplicate != nil {
				return duplicateOf(snap, duplicate), nil
			}
		}
		p, err := s.plan(snap, key, decide)
		if remembered && (err != nil || p == nil) {
			// Nothing will be committed that could show whether the memory was up to date.
			remembered = false
			continue
		}
		if err != nil {
			return handoff.Committed{}, err
		}
		if p == nil {
			return handoff.Committed{Conversation: snap.Conversation, Handoff: snap.Handoff}, nil
		}
		err = s.commit(ctx, p)
		if err == nil {
			s.recent.put(p.after)
			return p.committed(), nil
		}
		s.recent.forget(conversationID)
		if !errors.Is(err, errStale) {
			return handoff.Committed{}, classify(err)
		}
		remembered = false
	}
	return s.changeLocked(ctx, conversationID, key, decide)
}

// commit writes a plan or fails with errStale.
func (s *Store) commit(ctx context.Context, p *plan) error {
	if s.changes != nil && p.ordinary() {
		_, written, err := s.changes.do(ctx, p)
		if err == nil && !written {
			return errStale
		}
		if !errors.Is(err, errBlocked) {
			return err
		}
	}
	return s.writes.transact(ctx, p.apply)
}

// changeLocked decides under the lock of the Conversation: nobody is faster then.
func (s *Store) changeLocked(ctx context.Context, conversationID, key string, decide handoff.Decide) (handoff.Committed, error) {
	var (
		done    handoff.Committed
		after   *handoff.Snapshot
		refused error
	)
	err := s.writes.transact(ctx, func(tx *gorm.DB) error {
		done, after, refused = handoff.Committed{}, nil, nil
		var id string
		if err := queryRow(tx, "SELECT id FROM conversations WHERE id = $1"+s.dialect.forUpdate, conversationID).Scan(&id); err != nil {
			return missing(err, "conversation")
		}
		snap, duplicate, err := readSnapshot(tx, conversationID, key)
		if err != nil {
			return err
		}
		if duplicate != nil {
			done = duplicateOf(snap, duplicate)
			return nil
		}
		p, err := s.plan(snap, key, decide)
		if err != nil {
			refused = err
			return nil
		}
		if p == nil {
			done = handoff.Committed{Conversation: snap.Conversation, Handoff: snap.Handoff}
			return nil
		}
		if err := p.apply(tx); err != nil {
			return err
		}
		done, after = p.committed(), &p.after
		return nil
	})
	switch {
	case errors.Is(err, errStale): // not the Conversation: it is locked
		return handoff.Committed{}, fault.Wrap(fault.Conflict, err, "the handoff was changed meanwhile")
	case err != nil:
		return handoff.Committed{}, classify(err)
	case refused != nil:
		return handoff.Committed{}, refused
	}
	if after != nil {
		s.recent.put(*after)
	}
	return done, nil
}

func duplicateOf(snap handoff.Snapshot, event *handoff.Event) handoff.Committed {
	return handoff.Committed{
		Conversation: snap.Conversation, Handoff: snap.Handoff, Events: []handoff.Event{*event}, Duplicate: true,
	}
}

// snapshotQuery reads a Conversation with its open Handoff and the seq of the
// event that has the key, all as of one moment.
var snapshotQuery = "SELECT " + columnList[conversationRow]("c.") + ", " + columnList[handoffRow]("h.") +
	", (SELECT e.seq FROM events e WHERE e.conversation_id = c.id AND e.key = $2)" +
	" FROM conversations c LEFT JOIN handoffs h ON h.id = c.open_handoff_id WHERE c.id = $1"

// readSnapshot also gives the event that has the key, if there is one.
func readSnapshot(db *gorm.DB, conversationID, key string) (handoff.Snapshot, *handoff.Event, error) {
	var (
		c       conversationRow
		h       handoffRow
		keySeq  sql.NullInt64
		targets = append(pointersOf(&c), nullable(pointersOf(&h))...)
	)
	if err := queryRow(db, snapshotQuery, conversationID, optional(key)).Scan(append(targets, &keySeq)...); err != nil {
		return handoff.Snapshot{}, nil, missing(err, "conversation")
	}
	var (
		snap handoff.Snapshot
		err  error
	)
	if snap.Conversation, err = c.conversation(); err != nil {
		return handoff.Snapshot{}, nil, err
	}
	if h.ID != "" {
		open, err := h.handoff()
		if err != nil {
			return handoff.Snapshot{}, nil, err
		}
		snap.Handoff = &open
	}
	if !keySeq.Valid {
		return snap, nil, nil
	}
	var row eventRow
	if err := db.Where("conversation_id = ? AND seq = ?", conversationID, keySeq.Int64).Take(&row).Error; err != nil {
		return handoff.Snapshot{}, nil, missing(err, "event")
	}
	event, err := row.event()
	return snap, &event, err
}

// nullable lets each target keep its zero value when the column is NULL, as all
// columns of a missing Handoff are.
func nullable(targets []any) []any {
	for i, t := range targets {
		switch t := t.(type) {
		case *string:
			targets[i] = orZero[string]{t}
		case *int64:
			targets[i] = orZero[int64]{t}
		case *bool:
			targets[i] = orZero[bool]{t}
		}
	}
	return targets
}

type orZero[T any] struct{ to *T }

// Scan implements [sql.Scanner].
func (z orZero[T]) Scan(from any) error {
	var v sql.Null[T]
	if err := v.Scan(from); err != nil {
		return err
	}
	*z.to = v.V
	return nil
}

// The statements of plan.apply.
var (
	touchConversation = `UPDATE conversations SET last_seq = $3, version = version + 1, updated_at = $4 WHERE ` + decidedOn
	writeConversation = `UPDATE conversations SET last_seq = $3, version = version + 1, updated_at = $4, ` +
		assignments(conversationChanging, 6) + ` WHERE ` + decidedOn
	// decidedOn holds while the Conversation has the version of the decision and the
	// log has no event with the key of the call. Both are looked at under the lock of
	// the row: nobody can add an event without raising the version.
	decidedOn = `id = $1 AND version = $2 AND NOT EXISTS (SELECT 1 FROM events WHERE conversation_id = $1 AND key = $5)`

	insertHandoff = insertInto[handoffRow]("handoffs")
	updateHandoff = `UPDATE handoffs SET ` + assignments(handoffChanging, 4) + `, version = version + 1, alarm_at = ` + alarmAfter +
		` WHERE id = $1 AND version = $2 AND conversation_id = $3`
	// alarmAfter keeps the alarm unless the deadline, the first of the changing
	// columns, is earlier.
	alarmAfter = `coalesce(CASE WHEN alarm_at < $4 THEN alarm_at ELSE $4 END, alarm_at)`

	insertEvent = insertInto[eventRow]("events")

	// An idle lane becomes ready at once, or is leased; one that waits for a retry goes
	// on waiting.
	queueInLane = `INSERT INTO lanes (key, last_seq, done_seq, ready_at, lease_owner) VALUES ($1, $2, 0, $3, $4) ` + queuedAlready +
		` RETURNING last_seq, lease_owner`
	insertDelivery = insertInto[deliveryRow]("deliveries")
)

const queuedAlready = `ON CONFLICT (key) DO UPDATE SET last_seq = lanes.last_seq + excluded.last_seq,
		lease_owner = CASE WHEN lanes.ready_at IS NULL THEN excluded.lease_owner ELSE lanes.lease_owner END,
		ready_at = coalesce(lanes.ready_at, excluded.ready_at)`

// The columns that a change can write. The others are fixed when the row is made.
var (
	conversationChanging = []string{
		"user_id", "anonymous_id", "user_name", "email", "phone", "language", "custom_fields", "control", "epoch", "open_handoff_id",
		"unanswered_since", "human_seq",
	}
	handoffChanging = []string{
		"deadline_at", "deadline_kind", "state", "reason", "desk_ref", "desk_begun", "email", "email_tries", "held_seqs", "operator", "claimed_by",
		"accepted_at", "waiting_since", "connected_at", "closed_at", "end_seq", "desk_closed", "updated_at",
	}
)

// apply writes the plan, statement by statement. It fails with errStale when the
// version that was decided on no longer stands.
func (p *plan) apply(tx *gorm.DB) error {
	for _, step := range []func(*gorm.DB) error{
		p.applyConversation, p.applyFinish, p.applyDrop, p.applyHandoff, p.applyEvents, p.applyDeliveries, p.applyOnce,
	} {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) applyConversation(tx *gorm.DB) error {
	c := newConversationRow(&p.after.Conversation)
	statement := touchConversation
	args := []any{c.ID, p.before.Conversation.Version, c.LastSeq, c.UpdatedAt, optional(p.key)}
	if p.rewritesConversation {
		if err := storable(&c); err != nil {
			return err
		}
		statement = writeConversation
		args = append(args, pick(&c, conversationChanging)...)
	}
	changed, err := exec(tx, statement, args...)
	if err == nil && changed == 0 {
		return errStale
	}
	return err
}

func (p *plan) applyFinish(tx *gorm.DB) error {
	if p.finish == nil {
		return nil
	}
	// The lane stays leased: the worker goes on with its head.
	held, err := exec(tx, `UPDATE lanes SET done_seq = CASE WHEN done_seq > $2 THEN done_seq ELSE $2 END WHERE key = $1 AND lease_owner = $3`,
		p.finish.Lane, p.finish.LaneSeq, p.finish.Owner)
	if err != nil {
		return err
	}
	if held == 0 {
		return errLeaseLost
	}
	return endDelivery(tx, p.finish)
}

func (p *plan) applyDrop(tx *gorm.DB) error {
	if p.drop == nil {
		return nil
	}
	return dropDeliveries(tx, p.drop, instant(p.now), p.forUpdate)
}

func (p *plan) applyHandoff(tx *gorm.DB) error {
	if p.handoff == nil {
		return nil
	}
	h := newHandoffRow(p.handoff)
	if err := storable(&h); err != nil {
		return err
	}
	if p.newHandoff {
		_, err := exec(tx, insertHandoff, valuesOf(&h)...)
		return err
	}
	statement := updateHandoff
	if !p.handoff.Open() {
		statement = strings.Replace(statement, alarmAfter, "NULL", 1)
	}
	changed, err := exec(tx, statement, append([]any{h.ID, h.Version - 1, h.ConversationID}, pick(&h, handoffChanging)...)...)
	if err == nil && changed == 0 {
		return errStale
	}
	return err
}

func (p *plan) applyEvents(tx *gorm.DB) error {
	for i := range p.eventRows {
		if _, err := exec(tx, insertEvent, valuesOf(&p.eventRows[i])...); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) applyDeliveries(tx *gorm.DB) error {
	p.leased = nil
	for _, lane := range p.lanes {
		var (
			last  int64
			owner *string
		)
		readyAt, lessee := p.laneLease(&lane)
		if err := queryRow(tx, queueInLane, lane.key, len(lane.deliveries), instant(readyAt), lessee).Scan(&last, &owner); err != nil {
			return err
		}
		p.grant(last, owner)
		for i := range lane.deliveries {
			row := lane.deliveries[i]
			row.LaneSeq = last - int64(len(lane.deliveries)) + int64(i) + 1
			if _, err := exec(tx, insertDelivery, valuesOf(&row)...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *plan) applyOnce(tx *gorm.DB) error {
	if p.once == nil {
		return nil
	}
	fresh, err := insertOnce(tx, p.once)
	if err != nil {
		return err
	}
	if !fresh {
		return fault.New(fault.Conflict, "the idempotency key was used by another call")
	}
	return nil
}

// badChange is what a decision gets that asks for the impossible.
func badChange(format string, args ...any) error {
	return fault.Wrap(fault.Internal, fmt.Errorf("change: "+format, args...), "internal error")
}
