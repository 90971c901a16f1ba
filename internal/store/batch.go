package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// batcher commits ordinary plans on Postgres, many in one statement. Measured with
// 16 writers on the same machine, server and client together, a change of one event
// and one delivery costs 0.4 times the rate of a bare insert as a statement of its
// own through GORM, 0.5 natively, and 1.1 in batches.
type batcher struct {
	pool  *pgxpool.Pool
	plans *combiner[*pending]
}

type pending struct {
	plan *plan
	done chan error // has room for the one answer
}

func (p *pending) id() string { return p.plan.after.Conversation.ID }

const (
	maxBatch = 64
	// batchTimeout bounds a batch when the server hangs. Nobody's context does,
	// because others are in the batch too.
	batchTimeout = 30 * time.Second
)

func newBatcher(pool *pgxpool.Pool) *batcher {
	b := &batcher{pool: pool}
	b.plans = newCombiner(batchConnections, maxBatch, b.serve)
	return b
}

func (b *batcher) close() { b.plans.close() }

// commit writes a plan together with those of other callers, or fails with errStale
// and writes nothing of it. When ctx ends while the batch is under way, the outcome
// is unknown.
func (b *batcher) commit(ctx context.Context, p *plan) error {
	request := &pending{plan: p, done: make(chan error, 1)}
	if err := b.plans.submit(ctx, request); err != nil {
		return err
	}
	select {
	case err := <-request.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *batcher) serve(batch []*pending) {
	// Everybody locks in the same order, so that batches do not wait in a circle.
	slices.SortStableFunc(batch, func(a, b *pending) int { return cmp.Compare(a.id(), b.id()) })
	batch, again := onePerConversation(batch)
	if len(again) > 0 {
		defer b.serve(again)
	}
	written, err := b.write(batch)
	if refused(err) && len(batch) > 1 {
		for _, p := range batch {
			b.serve([]*pending{p})
		}
		return
	}
	for _, p := range batch {
		switch {
		case err != nil:
			p.done <- err
		case !written[p.id()]:
			p.done <- errStale
		default:
			p.done <- nil
		}
	}
}

// onePerConversation splits off what a statement cannot hold together: a plan and
// another one for the same Conversation, whose caller has given up waiting.
func onePerConversation(sorted []*pending) (batch, again []*pending) {
	for i, p := range sorted {
		if i > 0 && sorted[i-1].id() == p.id() {
			again = append(again, p)
		} else {
			batch = append(batch, p)
		}
	}
	return batch, again
}

// refused reports whether the server rejected the statement: then nothing of it was
// written, and it is not the fault of everybody in the batch.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e)
}

// write gives the ids of the Conversations that still had their version.
func (b *batcher) write(batch []*pending) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	rows, err := b.pool.Query(ctx, batchStatement, columnsOfBatch(batch)...)
	if err != nil {
		return nil, err
	}
	written := make(map[string]bool, len(batch))
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		written[id] = true
		return nil
	})
	return written, err
}

// batchStatement commits a batch. Its parts see the database as it was when it
// began, and none touches a row of another. What follows the first part happens
// only for Conversations that the first part has found unchanged and now holds
// locked. The parameters are columns: one array each, one element per row.
const batchStatement = `
WITH written AS (
  UPDATE conversations c SET last_seq = i.last_seq, version = i.version + 1, updated_at = i.updated_at
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[]) AS i (id, version, last_seq, updated_at, key)
  WHERE c.id = i.id AND c.version = i.version
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.conversation_id = i.id AND e.key = i.key)
  RETURNING c.id
), logged AS (
  INSERT INTO events (conversation_id, seq, at, kind, author, handoff_id, key, text, data)
  SELECT i.conversation_id, i.seq, i.at, i.kind, i.author, i.handoff_id, i.key, i.text, i.data
  FROM unnest($6::text[], $7::bigint[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
    AS i (conversation_id, seq, at, kind, author, handoff_id, key, text, data)
  WHERE i.conversation_id IN (SELECT id FROM written)
), moved AS (
  UPDATE handoffs h SET deadline_kind = i.deadline_kind, deadline_at = i.deadline_at,
    alarm_at = CASE WHEN i.deadline_at IS NULL THEN h.alarm_at ELSE least(h.alarm_at, i.deadline_at) END,
    waiting_since = i.waiting_since, operator = i.operator, updated_at = i.updated_at, version = i.version
  FROM unnest($15::text[], $16::text[], $17::text[], $18::timestamptz[], $19::timestamptz[], $20::text[], $21::timestamptz[], $22::bigint[])
    AS i (conversation_id, id, deadline_kind, deadline_at, waiting_since, operator, updated_at, version)
  WHERE h.id = i.id AND i.conversation_id IN (SELECT id FROM written)
), lane AS (
  INSERT INTO lanes (key, last_seq, done_seq, ready_at)
  SELECT i.key, i.n, 0, i.ready_at
  FROM unnest($23::text[], $24::text[], $25::bigint[], $26::timestamptz[]) AS i (conversation_id, key, n, ready_at)
  WHERE i.conversation_id IN (SELECT id FROM written)
  ORDER BY i.key
  ON CONFLICT (key) DO UPDATE SET last_seq = lanes.last_seq + excluded.last_seq, ready_at = coalesce(lanes.ready_at, excluded.ready_at)
  RETURNING key, last_seq
), queued AS (
  INSERT INTO deliveries (lane, lane_seq, id, agent_id, connection_id, conversation_id, handoff_id, kind, event_seq,
    status, attempts, last_error, last_error_kind, last_error_at, created_at)
  SELECT i.lane, lane.last_seq - i.behind, i.id, i.agent_id, i.connection_id, i.conversation_id, i.handoff_id, i.kind, i.event_seq,
    i.status, 0, '', '', NULL, i.created_at
  FROM unnest($27::text[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[], $34::text[], $35::bigint[],
    $36::text[], $37::timestamptz[])
    AS i (lane, behind, id, agent_id, connection_id, conversation_id, handoff_id, kind, event_seq, status, created_at)
  JOIN lane ON lane.key = i.lane
  WHERE i.conversation_id IN (SELECT id FROM written)
)
SELECT id FROM written`

// columnsOfBatch lists the parameters of batchStatement.
func columnsOfBatch(batch []*pending) []any {
	var (
		c struct {
			id               []string
			version, lastSeq []int64
			updatedAt        []time.Time
			key              []*string
		}
		e struct {
			conversationID, kind, author, handoffID, text []string
			seq                                           []int64
			at                                            []time.Time
			key, data                                     []*string
		}
		h struct {
			conversationID, id, deadlineKind, operator []string
			deadlineAt, waitingSince                   []*time.Time
			updatedAt                                  []time.Time
			version                                    []int64
		}
		l struct {
			conversationID, key []string
			n                   []int64
			readyAt             []time.Time
		}
		d struct {
			lane, id, agentID, connectionID, conversationID, handoffID, kind, status []string
			behind, eventSeq                                                         []int64
			createdAt                                                                []time.Time
		}
	)
	for _, request := range batch {
		p := request.plan
		id := p.after.Conversation.ID
		c.id = append(c.id, id)
		c.version = append(c.version, p.before.Conversation.Version)
		c.lastSeq = append(c.lastSeq, p.after.Conversation.LastSeq)
		c.updatedAt = append(c.updatedAt, p.after.Conversation.UpdatedAt)
		c.key = append(c.key, optional(p.key))
		for i := range p.eventRows {
			row := &p.eventRows[i]
			e.conversationID = append(e.conversationID, id)
			e.seq = append(e.seq, row.Seq)
			e.at = append(e.at, row.At.time())
			e.kind = append(e.kind, row.Kind)
			e.author = append(e.author, row.Author)
			e.handoffID = append(e.handoffID, row.HandoffID)
			e.key = append(e.key, row.Key)
			e.text = append(e.text, row.Text)
			e.data = append(e.data, row.Data)
		}
		if p.handoff != nil {
			h.conversationID = append(h.conversationID, id)
			h.id = append(h.id, p.handoff.ID)
			h.deadlineKind = append(h.deadlineKind, string(p.handoff.DeadlineKind))
			h.deadlineAt = append(h.deadlineAt, orNull(p.handoff.DeadlineAt))
			h.waitingSince = append(h.waitingSince, orNull(p.handoff.WaitingSince))
			h.operator = append(h.operator, p.handoff.Operator)
			h.updatedAt = append(h.updatedAt, p.handoff.UpdatedAt)
			h.version = append(h.version, p.handoff.Version)
		}
		for _, lane := range p.lanes {
			l.conversationID = append(l.conversationID, id)
			l.key = append(l.key, lane.key)
			l.n = append(l.n, int64(len(lane.deliveries)))
			l.readyAt = append(l.readyAt, lane.deliveries[0].CreatedAt.time())
			for i := range lane.deliveries {
				row := &lane.deliveries[i]
				d.lane = append(d.lane, lane.key)
				d.behind = append(d.behind, int64(len(lane.deliveries)-1-i))
				d.id = append(d.id, row.ID)
				d.agentID = append(d.agentID, row.AgentID)
				d.connectionID = append(d.connectionID, row.ConnectionID)
				d.conversationID = append(d.conversationID, row.ConversationID)
				d.handoffID = append(d.handoffID, row.HandoffID)
				d.kind = append(d.kind, row.Kind)
				d.eventSeq = append(d.eventSeq, row.EventSeq)
				d.status = append(d.status, row.Status)
				d.createdAt = append(d.createdAt, row.CreatedAt.time())
			}
		}
	}
	return []any{
		c.id, c.version, c.lastSeq, c.updatedAt, c.key,
		e.conversationID, e.seq, e.at, e.kind, e.author, e.handoffID, e.key, e.text, e.data,
		h.conversationID, h.id, h.deadlineKind, h.deadlineAt, h.waitingSince, h.operator, h.updatedAt, h.version,
		l.conversationID, l.key, l.n, l.readyAt,
		d.lane, d.behind, d.id, d.agentID, d.connectionID, d.conversationID, d.handoffID, d.kind, d.eventSeq, d.status, d.createdAt,
	}
}

// orNull is a time for a column that may be null.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
