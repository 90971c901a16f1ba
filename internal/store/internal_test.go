package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestKeyLocksLetOneIn(t *testing.T) {
	t.Parallel()
	var (
		locks  keyLocks
		group  sync.WaitGroup
		inside [3]atomic.Int64
		count  [3]int // guarded by the lock of its key
	)
	for i := range 30 {
		group.Go(func() {
			for range 50 {
				key := i % 3
				unlock, err := locks.lock(t.Context(), fmt.Sprint(key))
				if err != nil {
					t.Error(err)
					return
				}
				if inside[key].Add(1) != 1 {
					t.Error("two are inside")
				}
				count[key]++
				inside[key].Add(-1)
				unlock()
			}
		})
	}
	group.Wait()
	require.Equal(t, [3]int{500, 500, 500}, count)
	require.Empty(t, locks.held, "nothing is kept for keys that nobody wants")
}

func TestKeyLocksCanBeGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var locks keyLocks
		unlock, err := locks.lock(t.Context(), "k")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = locks.lock(ctx, "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		unlock()
		unlock, err = locks.lock(t.Context(), "k")
		require.NoError(t, err)
		unlock()
		require.Empty(t, locks.held)
	})
}

func TestCombinerServesTogetherWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := newCombiner(1, 4, func(batch []int) {
			sizes = append(sizes, len(batch))
			<-time.After(time.Second)
		})
		var group sync.WaitGroup
		for i := range 9 {
			group.Go(func() {
				if err := c.submit(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // the first is alone, the others wait for it
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, c.submit(ctx, 99), context.DeadlineExceeded)
		require.ErrorIs(t, c.submit(ctx, 99), context.DeadlineExceeded, "also when there is a slot")
		group.Wait()
		require.Equal(t, []int{1, 4, 4}, sizes)

		var late sync.WaitGroup
		late.Go(func() {
			if err := c.submit(t.Context(), 1); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		begun := time.Now()
		c.close()
		require.Equal(t, time.Second, time.Since(begun), "close waits for what is under way")
		c.close()
		require.ErrorIs(t, c.submit(t.Context(), 1), errClosed)
		late.Wait()
	})
}

func TestSnapshotsAreBounded(t *testing.T) {
	t.Parallel()
	var s snapshots
	big := map[string]string{"k": strings.Repeat("x", 100_000)}
	for i := range 1_000 {
		s.put(handoff.Snapshot{Conversation: handoff.Conversation{ID: fmt.Sprint(i % 500), CustomFields: big}})
		require.LessOrEqual(t, s.size, maxSnapshots)
	}
	require.Less(t, len(s.items), 500)
	require.Greater(t, len(s.items), 100)
	total := 0
	for id, snap := range s.items {
		total += sizeOf(&snap)
		got, ok := s.get(id)
		require.True(t, ok)
		got.Conversation.CustomFields["k"] = "spoiled"
		require.Equal(t, big, s.items[id].Conversation.CustomFields)
	}
	require.Equal(t, total, s.size)
	for id := range s.items {
		s.forget(id)
	}
	s.forget("unknown")
	require.Zero(t, s.size)
	_, ok := s.get("1")
	require.False(t, ok)
}

func TestRequestsAboutOneRowGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var batches [][]string
		b := newBatcher(1, func(in string) string { return in[:1] }, func(_ context.Context, batch []string) (map[string]string, error) {
			batches = append(batches, batch)
			<-time.After(time.Second)
			answers := map[string]string{}
			for _, in := range batch {
				switch in {
				case "b1":
					continue // not found
				case "d1":
					return nil, &pgconn.PgError{Code: "23505"}
				}
				answers[in[:1]] = in
			}
			return answers, nil
		})
		var group sync.WaitGroup
		for _, in := range []string{"x1", "c1", "a1", "b1", "a2"} {
			group.Go(func() {
				out, found, err := b.do(t.Context(), in)
				if err != nil || found != (in != "b1") || (found && out != in) {
					t.Error(in, out, found, err)
				}
			})
			synctest.Wait()
		}
		group.Wait()
		require.Equal(t, [][]string{{"x1"}, {"a1", "b1", "c1"}, {"a2"}}, batches)

		// One that the server refuses takes nobody along.
		batches = nil
		for _, in := range []string{"x1", "d1", "e1"} {
			group.Go(func() {
				_, _, err := b.do(t.Context(), in)
				if (err != nil) != (in == "d1") {
					t.Error(in, err)
				}
			})
			synctest.Wait()
		}
		group.Wait()
		require.Equal(t, [][]string{{"x1"}, {"d1", "e1"}, {"d1"}, {"e1"}}, batches)

		// Once a batch has the request nobody gives up: a change that is committed may have
		// leased a lane to its caller.
		group.Go(func() { _, _, _ = b.do(t.Context(), "x1") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		for _, in := range []string{"y1", "z1"} { // one serves both
			group.Go(func() {
				if out, found, err := b.do(ctx, in); err != nil || !found || out != in {
					t.Error(in, out, found, err)
				}
			})
		}
		group.Wait()
		b.close()
	})
}

func openFile(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{SQLitePath: filepath.Join(t.TempDir(), "test.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Work that SQLite commits together succeeds and fails on its own.
func TestSQLiteWorkFailsAlone(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	w := s.writes.(*sqliteWriter)
	insert := func(key string) func(*gorm.DB) error {
		return func(tx *gorm.DB) error {
			_, err := exec(tx, `INSERT INTO lanes (key, last_seq, done_seq) VALUES ($1, 0, 0)`, key)
			return err
		}
	}
	no := errors.New("no")
	run := func(fns ...func(*gorm.DB) error) []error {
		batch := make([]*sqliteJob, len(fns))
		for i, fn := range fns {
			batch[i] = &sqliteJob{run: fn, done: make(chan error, 1)}
		}
		w.jobs.slots <- struct{}{}
		w.commit(batch)
		<-w.jobs.slots
		errs := make([]error, len(fns))
		for i, job := range batch {
			errs[i] = <-job.done
		}
		return errs
	}
	keys := func() []string {
		var keys []string
		require.NoError(t, s.read(t.Context()).Model(&laneRow{}).Order("key").Pluck("key", &keys).Error)
		return keys
	}
	errs := run(insert("a"), func(tx *gorm.DB) error {
		if err := insert("lost")(tx); err != nil {
			return err
		}
		return no
	}, insert("a"), insert("b"))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], no)
	require.Equal(t, fault.Conflict, fault.KindOf(classify(errs[2])))
	require.NoError(t, errs[3])
	require.Equal(t, []string{"a", "b"}, keys())

	// An error that ends the transaction, as a full disk does, fails everybody.
	errs = run(insert("c"), func(tx *gorm.DB) error {
		_, err := exec(tx, "ROLLBACK")
		require.NoError(t, err)
		return no
	}, insert("d"))
	for _, err := range errs {
		require.ErrorIs(t, err, no)
	}
	require.Equal(t, []string{"a", "b"}, keys())
	require.ErrorIs(t, run(func(*gorm.DB) error { return no })[0], no)
	require.NoError(t, run(insert("e"))[0])
	require.Equal(t, []string{"a", "b", "e"}, keys())
}

// A worker that waits for the lane while it is emptied must not believe what it saw
// before: done_seq tells it.
func TestEmptyingALaneMovesDoneSeq(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	require.NoError(t, s.write(t.Context(), func(tx *gorm.DB) error {
		if _, err := exec(tx, `INSERT INTO lanes (key, last_seq, done_seq, ready_at, lease_owner) VALUES ('l', 5, 2, 1, 'o')`); err != nil {
			return err
		}
		return dropDeliveries(tx, &handoff.Drop{Lane: "l", HandoffID: "h"}, instant{}, s.dialect.forUpdate)
	}))
	var l laneRow
	require.NoError(t, s.read(t.Context()).Where("key = ?", "l").Take(&l).Error)
	require.Equal(t, []int64{5, 5}, []int64{l.LastSeq, l.DoneSeq})
	require.Equal(t, "o", *l.LeaseOwner)
}

// And where something is left in the lane, last_seq does.
func TestDroppingAPartOfALaneRaisesLastSeq(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	require.NoError(t, s.write(t.Context(), func(tx *gorm.DB) error {
		if _, err := exec(tx, `INSERT INTO lanes (key, last_seq, done_seq, ready_at, lease_owner) VALUES ('l', 5, 2, 1, 'o')`); err != nil {
			return err
		}
		for _, d := range []deliveryRow{
			{Lane: "l", LaneSeq: 4, ID: "1", HandoffID: "h", Kind: "OPEN", Status: "PENDING", CreatedAt: instant(time.Now())},
			{Lane: "l", LaneSeq: 5, ID: "2", HandoffID: "h", Kind: "SAY", Status: "PENDING", CreatedAt: instant(time.Now())},
		} {
			if _, err := exec(tx, insertDelivery, valuesOf(&d)...); err != nil {
				return err
			}
		}
		return dropDeliveries(tx, &handoff.Drop{Lane: "l", HandoffID: "h"}, instant{}, s.dialect.forUpdate)
	}))
	var l laneRow
	require.NoError(t, s.read(t.Context()).Where("key = ?", "l").Take(&l).Error)
	require.Equal(t, []int64{6, 2}, []int64{l.LastSeq, l.DoneSeq})
	d, more, err := s.Head(t.Context(), "l")
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, "2", d.ID)
}

func TestAFullDiskIsNoFaultOfTheCaller(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	var pages int
	w := s.writes.(*sqliteWriter)
	require.NoError(t, w.conn.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages))
	require.NoError(t, w.conn.QueryRowContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)).Scan(&pages))
	agent := handoff.Agent{ID: "agt_1", Name: strings.Repeat("x", 100_000), CreatedAt: time.Now(), UpdatedAt: time.Now()}
	_, err := s.CreateAgent(t.Context(), agent, nil)
	require.Equal(t, fault.Overloaded, fault.KindOf(err), "%v", err)
	require.ErrorContains(t, errors.Unwrap(err), "full")
	agent.Name = "small"
	_, err = s.CreateAgent(t.Context(), agent, nil)
	require.NoError(t, err)
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{nil, ""},
		{fault.Missing("x"), fault.NotFound},
		{fmt.Errorf("wrapped: %w", fault.Missing("x")), fault.NotFound},
		{canceled.Err(), fault.Canceled},
		{fmt.Errorf("query: %w", context.DeadlineExceeded), fault.Overloaded},
		{&pgconn.PgError{Code: "23505", ConstraintName: "handoffs_open"}, fault.Conflict},
		{&pgconn.PgError{Code: "23514"}, fault.Internal},
		{&pgconn.PgError{Code: "40001"}, fault.Overloaded},
		{&pgconn.PgError{Code: "40P01"}, fault.Overloaded},
		{&pgconn.PgError{Code: "55P03"}, fault.Overloaded},
		{&pgconn.PgError{Code: "53100"}, fault.Overloaded},
		{&pgconn.PgError{Code: "53300"}, fault.Overloaded},
		{&pgconn.PgError{Code: "57P01"}, fault.Overloaded},
		{&pgconn.PgError{Code: "25006"}, fault.Overloaded},
		{&pgconn.PgError{Code: "08006"}, fault.Overloaded},
		{&pgconn.PgError{Code: "22021"}, fault.InvalidInput},
		{&pgconn.PgError{Code: "42P01"}, fault.Internal},
		{&pgconn.PgError{Code: "X"}, fault.Internal},
		{&pgconn.ConnectError{}, fault.Overloaded},
		{sql.ErrConnDone, fault.Internal},
		{errors.New("anything"), fault.Internal},
	} {
		err := classify(c.err)
		require.Equal(t, c.want, fault.KindOf(err), "%v", c.err)
		if f := fault.As(err); f != nil && f.Kind != fault.NotFound {
			require.ErrorIs(t, err, c.err, "the cause is for the log")
			require.NotContains(t, f.Public, "SQLSTATE")
		}
	}
	require.Equal(t, fault.NotFound, fault.KindOf(missing(sql.ErrNoRows, "x")))
	require.Equal(t, fault.NotFound, fault.KindOf(missing(gorm.ErrRecordNotFound, "x")))
}

func TestInstants(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("x", 3600))
	want := time.Date(2026, 3, 1, 11, 0, 0, 123_456_000, time.UTC)
	value, err := instant(at).Value()
	require.NoError(t, err)
	require.Equal(t, want, value)
	value, err = instant{}.Value()
	require.NoError(t, err)
	require.Nil(t, value)
	for _, from := range []any{at, want.UnixMicro()} {
		var i instant
		require.NoError(t, i.Scan(from))
		require.Equal(t, want, i.time())
		require.NoError(t, i.Scan(nil))
		require.True(t, i.time().IsZero())
	}
	var i instant
	require.Error(t, i.Scan("2026"))
}

// Every field of a Handoff is either fixed or written: a new one cannot be forgotten.
func TestEveryFieldOfAHandoffIsAccountedFor(t *testing.T) {
	t.Parallel()
	var base handoff.Handoff
	for i := range reflect.TypeFor[handoff.Handoff]().NumField() {
		field := reflect.TypeFor[handoff.Handoff]().Field(i)
		if field.Name == "Version" {
			continue // counted by the store
		}
		changed := base
		set(t, reflect.ValueOf(&changed).Elem().Field(i))
		before, after := newHandoffRow(&base), newHandoffRow(&changed)
		fixed := !sameFixed(base, changed)
		written := !reflect.DeepEqual(pick(&before, handoffChanging), pick(&after, handoffChanging))
		require.NotEqual(t, fixed, written, "%s is fixed: %v, written: %v", field.Name, fixed, written)
		back, err := after.handoff()
		require.NoError(t, err)
		require.Equal(t, changed, back, field.Name)
		if onlyMoves(base, changed) { // then the batch writes it
			require.Contains(t, moveHandoffs, naming.ColumnName("", field.Name)+" = i.")
		}
	}
}

func TestEveryFieldOfAConversationIsAccountedFor(t *testing.T) {
	t.Parallel()
	var base handoff.Conversation
	snap := handoff.Snapshot{Conversation: base}
	for i := range reflect.TypeFor[handoff.Conversation]().NumField() {
		field := reflect.TypeFor[handoff.Conversation]().Field(i)
		changed := base
		set(t, reflect.ValueOf(&changed).Elem().Field(i))
		row := newConversationRow(&changed)
		back, err := row.conversation()
		require.NoError(t, err)
		require.Equal(t, changed, back, field.Name)

		p := plan{before: snap}
		err = p.setConversation(&handoff.Change{Conversation: &changed})
		before := newConversationRow(&base)
		written := !reflect.DeepEqual(pick(&before, conversationChanging), pick(&row, conversationChanging))
		switch field.Name {
		case "LastSeq", "Version", "UpdatedAt":
			require.NoError(t, err)
			require.False(t, p.rewritesConversation)
		default:
			require.NotEqual(t, err != nil, written, "%s is fixed: %v, written: %v", field.Name, err != nil, written)
			require.Equal(t, written, p.rewritesConversation, field.Name)
		}
	}
}

// set gives a field a value that a database keeps as it is.
func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 1_000, time.UTC)))
		return
	case []int64:
		v.Set(reflect.ValueOf([]int64{1}))
		return
	case map[string]string:
		v.Set(reflect.ValueOf(map[string]string{"k": "v"}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			set(t, v.Field(i))
		}
	default:
		t.Fatalf("no value for a %s", v.Type())
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(position{at: time.UnixMicro(1_772_366_400_123_456), id: "hof_1"}.cursor("handoffs"))
	f.Add("")
	f.Add("aGFuZG9mZnMgMCBpZA")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := parseCursor("handoffs", cursor)
		if err != nil {
			require.Equal(t, "after", fault.As(err).Field)
			return
		}
		require.Equal(t, cursor, p.cursor("handoffs"), "one cursor per position")
		_, err = parseCursor("agents", cursor)
		require.Error(t, err)
	})
}
