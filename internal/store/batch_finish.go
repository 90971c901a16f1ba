package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"handoff/internal/handoff"
)

// ending is what ended a delivery: the next one of its lane, or that the lane is to
// be looked at again under its lock.
type ending struct {
	next  handoff.Delivery
	more  bool
	again bool
}

// newFinishBatcher ends deliveries that arrived, many in one statement. One that is
// not found in the answer was not the owner's to end.
func newFinishBatcher(pool *pgxpool.Pool) *batcher[handoff.FinishDelivery, ending] {
	return newBatcher(finishBatches, func(f handoff.FinishDelivery) string { return f.Lane },
		func(ctx context.Context, batch []handoff.FinishDelivery) (map[string]ending, error) {
			var (
				lanes, owners []string
				seqs          []int64
			)
			for _, f := range batch {
				lanes, seqs, owners = append(lanes, f.Lane), append(seqs, f.LaneSeq), append(owners, f.Owner)
			}
			rows, err := pool.Query(ctx, finishBatch, lanes, seqs, owners)
			if err != nil {
				return nil, err
			}
			endings := make(map[string]ending, len(batch))
			var (
				lane       string
				kept, same bool
				row        deliveryRow
			)
			targets := append([]any{&lane, &kept, &same}, nullable(pointersOf(&row))...)
			_, err = pgx.ForEachRow(rows, targets, func() error {
				e := ending{}
				switch {
				case kept && (!same || row.ID == ""):
					e.again = true
				case kept:
					e.next, e.more = row.delivery(), true
				}
				endings[lane] = e
				return nil
			})
			return endings, err
		})
}

// finishBatch frees lanes that are done with, keeps the others leased, and reads
// what comes next in them. The deliveries that it sees are those from before it
// waited for the lanes; they are still right where last_seq is still the same.
var finishBatch = numbered(`WITH i AS (
  SELECT * FROM unnest(?::text[], ?::bigint[], ?::text[]) AS i (lane, seq, owner)
), before AS (
  SELECT key, last_seq FROM lanes WHERE key IN (SELECT lane FROM i)
), lane AS (
  UPDATE lanes l SET done_seq = greatest(l.done_seq, i.seq),
    ready_at = CASE WHEN l.last_seq > greatest(l.done_seq, i.seq) THEN l.ready_at END,
    lease_owner = CASE WHEN l.last_seq > greatest(l.done_seq, i.seq) THEN l.lease_owner END
  FROM i WHERE l.key = i.lane AND l.lease_owner = i.owner
  RETURNING l.key, l.last_seq, l.done_seq, l.lease_owner IS NOT NULL AS kept, i.seq
), gone AS (
  DELETE FROM deliveries d USING lane WHERE d.lane = lane.key AND d.lane_seq = lane.seq
)
SELECT lane.key, lane.kept, lane.last_seq = before.last_seq, ` + columnList[deliveryRow]("next.") + `
FROM lane JOIN before ON before.key = lane.key
LEFT JOIN LATERAL (
  SELECT * FROM deliveries d WHERE lane.kept AND d.lane = lane.key AND d.lane_seq > lane.done_seq AND d.` + isLive + ` ORDER BY d.lane_seq LIMIT 1
) next ON true`)
