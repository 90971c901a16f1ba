package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// batcher does the same to many rows in one statement of Postgres. Requests have a
// key, the row they are about; an answer that is missing says that the row was not
// as the request wanted it.
type batcher[In, Out any] struct {
	key      func(In) string
	run      func(ctx context.Context, batch []In) (map[string]Out, error)
	requests *combiner[*batchRequest[In, Out]]
}

type batchRequest[In, Out any] struct {
	in   In
	done chan batchAnswer[Out] // has room for the one answer
}

type batchAnswer[Out any] struct {
	out   Out
	found bool
	err   error
}

const (
	maxBatch = 64
	// batchTimeout bounds a batch when the server hangs. Nobody's context does,
	// because others are in the batch too.
	batchTimeout = 10 * time.Second
	// batchLockTimeout is how long a batch waits for a row that somebody else holds.
	// Whoever wants that row then waits for it alone, and nobody else does.
	batchLockTimeout = 200 * time.Millisecond
)

// errBlocked says that somebody holds the row, longer than a batch can wait.
var errBlocked = errors.New("the row is locked")

func newBatcher[In, Out any](batches int, key func(In) string, run func(context.Context, []In) (map[string]Out, error)) *batcher[In, Out] {
	b := &batcher[In, Out]{key: key, run: run}
	b.requests = newCombiner(batches, maxBatch, b.serve)
	return b
}

// do gives the answer to a request. With errBlocked nothing was done. ctx ends the wait
// for a batch only: whoever gave up later would not learn that a lane is leased to him.
func (b *batcher[In, Out]) do(ctx context.Context, in In) (out Out, found bool, err error) {
	request := &batchRequest[In, Out]{in: in, done: make(chan batchAnswer[Out], 1)}
	if err := b.requests.submit(ctx, request); err != nil {
		return out, false, err
	}
	a := <-request.done
	return a.out, a.found, a.err
}

func (b *batcher[In, Out]) serve(batch []*batchRequest[In, Out]) {
	// Everybody locks in the same order, so that batches do not wait in a circle.
	slices.SortStableFunc(batch, func(x, y *batchRequest[In, Out]) int { return cmp.Compare(b.key(x.in), b.key(y.in)) })
	batch, again := b.onePerKey(batch)
	if len(again) > 0 {
		defer b.serve(again)
	}
	inputs := make([]In, len(batch))
	for i, r := range batch {
		inputs[i] = r.in
	}
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	answers, err := b.run(ctx, inputs)
	cancel()
	if refused(err) && len(batch) > 1 {
		for _, r := range batch {
			b.serve([]*batchRequest[In, Out]{r})
		}
		return
	}
	if transient(err) {
		err = errBlocked
	}
	for _, r := range batch {
		out, found := answers[b.key(r.in)]
		r.done <- batchAnswer[Out]{out, found, err}
	}
}

// onePerKey splits off what a statement cannot hold together: two requests about
// the same row, such as those of two workers who both think that a lane is theirs.
func (b *batcher[In, Out]) onePerKey(sorted []*batchRequest[In, Out]) (batch, again []*batchRequest[In, Out]) {
	for i, r := range sorted {
		if i > 0 && b.key(sorted[i-1].in) == b.key(r.in) {
			again = append(again, r)
		} else {
			batch = append(batch, r)
		}
	}
	return batch, again
}

func (b *batcher[In, Out]) close() { b.requests.close() }

// refused reports whether the server rejected the statement: then nothing of it was
// written, and not everybody in the batch is to blame.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e)
}
