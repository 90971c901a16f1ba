package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"handoff/internal/handoff"
)

// Queries that run for every message, every poll or every page of a list must cost
// the same however long the history is. SQLite says whether it walks a table or
// searches in an index; without statistics it decides by the schema alone.
func TestQueriesDoNotWalkTheHistory(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	ctx := t.Context()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	page := handoff.Page{First: 10, After: position{at: at, id: "x"}.cursor("handoffs")}
	of := func(list string) handoff.Page {
		p := page
		p.After = position{at: at, id: "x"}.cursor(list)
		return p
	}
	ignore := func(...any) {}
	for name, run := range map[string]func(){
		"agents":              func() { ignore(s.Agents(ctx, of("agents"))) },
		"key":                 func() { ignore(s.FindAgentKey(ctx, "x")) },
		"keys":                func() { ignore(s.Keys(ctx, "x")) },
		"connections":         func() { ignore(s.Connections(ctx, "x")) },
		"connection by token": func() { ignore(s.ConnectionByToken(ctx, "x")) },
		"conversation":        func() { ignore(s.Conversation(ctx, "x")) },
		"conversations":       func() { ignore(s.Conversations(ctx, handoff.ConversationFilter{AgentID: "x"}, of("conversations"))) },
		"conversation by ref": func() { ignore(s.ConversationByRef(ctx, "x", "y")) },
		"awaiting": func() {
			ignore(s.Conversations(ctx, handoff.ConversationFilter{AgentID: "x", AwaitsAgent: true}, of("awaiting")))
		},
		"snapshot":               func() { ignore(readSnapshot(s.read(ctx), "x", "k")) },
		"events":                 func() { ignore(s.Events(ctx, "x", 5, 10)) },
		"event":                  func() { ignore(s.Event(ctx, "x", 5)) },
		"messages before":        func() { ignore(s.MessagesBefore(ctx, "x", 5, 10)) },
		"last seqs":              func() { ignore(s.LastSeqs(ctx, []string{"x", "y"})) },
		"once":                   func() { ignore(s.Once(ctx, "x", "y")) },
		"handoff":                func() { ignore(s.Handoff(ctx, "x")) },
		"handoff by ref":         func() { ignore(s.HandoffByRef(ctx, "x", "y")) },
		"handoff by ref only":    func() { ignore(s.HandoffByRef(ctx, "", "y")) },
		"handoffs":               func() { ignore(s.Handoffs(ctx, handoff.HandoffFilter{}, page)) },
		"handoffs of agent":      func() { ignore(s.Handoffs(ctx, handoff.HandoffFilter{AgentID: "x"}, page)) },
		"handoffs of dialogue":   func() { ignore(s.Handoffs(ctx, handoff.HandoffFilter{ConversationID: "x"}, page)) },
		"handoffs of connection": func() { ignore(s.Handoffs(ctx, handoff.HandoffFilter{ConnectionID: "x"}, page)) },
		"queue": func() {
			f := handoff.HandoffFilter{AgentID: "x", States: []handoff.State{handoff.StateWaiting}, ReadsLog: true, OldestFirst: true}
			ignore(s.Handoffs(ctx, f, of("queue")))
		},
		"changed":       func() { ignore(s.HandoffsChangedSince(ctx, []string{"x", "y"}, at, "z", 10)) },
		"open of agent": func() { ignore(s.OpenHandoffIDs(ctx, "x", "", 10)) },
		"due":           func() { ignore(s.DueHandoffs(ctx, at, 10)) },
		"notes":         func() { ignore(s.Notes(ctx, "x")) },
		"next ready":    func() { ignore(s.NextReady(ctx)) },
		"head":          func() { ignore(s.Head(ctx, "x")) },
		"delivery":      func() { ignore(s.Delivery(ctx, "x")) },
		"dead of connection": func() {
			ignore(s.Deliveries(ctx, handoff.DeliveryFilter{ConnectionID: "x", Status: "DEAD"}, of("deliveries")))
		},
		"dead of agent": func() {
			ignore(s.Deliveries(ctx, handoff.DeliveryFilter{AgentID: "x", Status: "DEAD"}, of("deliveries")))
		},
		"checks":             func() { ignore(s.ConnectionsToCheck(ctx, at, at, 10)) },
		"claim checks":       func() { ignore(s.ClaimChecks(ctx, "x", at, at, 10)) },
		"checks done":        func() { ignore(s.ChecksDone(ctx, []string{"x", "y"}, at)) },
		"desk memory":        func() { ignore(s.DeskMemory(ctx, "x", "k")) },
		"set desk memory":    func() { ignore(s.SetDeskMemory(ctx, "x", "k", "sealed", 7, at)) },
		"add desk memory":    func() { ignore(s.SetDeskMemory(ctx, "x", "k", "sealed", 0, at)) },
		"forget desk memory": func() { s.maxDeskMemory = 0; ignore(s.SetDeskMemory(ctx, "x", "k", "sealed", 0, at)) },
		"claim":              func() { ignore(s.ClaimLanes(ctx, "o", at, at, 10)) },
		"finish":             func() { ignore(s.FinishDelivery(ctx, handoff.FinishDelivery{Lane: "x", LaneSeq: 1, Owner: "o"}, at)) },
	} {
		seen := record(t, s, run)
		require.NotEmpty(t, seen, name)
		for _, q := range seen {
			for _, step := range planOf(t, s, q) {
				if strings.Contains(step, "TEMP B-TREE") && name != "changed" { // which are few
					t.Errorf("%s sorts: %s\n%s", name, step, q.text)
				}
				if strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "json_each") && !inOrder(step) {
					t.Errorf("%s walks a table: %s\n%s", name, step, q.text)
				}
			}
		}
	}
}

// The start of a process does not walk it either: every Handoff that ever was has a lane.
func TestFreeingLanesDoesNotWalkTheHistory(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	for _, step := range planOf(t, s, query{freeLanes, []any{instant(time.Now())}}) {
		require.NotContains(t, step, "SCAN")
	}
}

// inOrder: the list is read along an index from where it is continued.
func inOrder(step string) bool { return strings.Contains(step, "USING INDEX handoffs_newest") }

type query struct {
	text string
	args []any
}

// record runs fn and lists the statements that it sends to either connection.
func record(t *testing.T, s *Store, fn func()) []query {
	t.Helper()
	r := &recorder{ConnPool: s.reads.ConnPool}
	w := s.writes.(*sqliteWriter)
	own := &recorder{ConnPool: w.conn}
	reads, writes := s.reads, w.db
	s.reads = reads.Session(&gorm.Session{NewDB: true})
	s.reads.Statement.ConnPool = r
	w.db = writes.Session(&gorm.Session{NewDB: true})
	w.db.Statement.ConnPool = own
	fn()
	s.reads, w.db = reads, writes
	return append(r.seen, own.seen...)
}

type recorder struct {
	gorm.ConnPool
	seen []query
}

func (r *recorder) note(text string, args []any) { r.seen = append(r.seen, query{text, args}) }

func (r *recorder) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	r.note(text, args)
	return r.ConnPool.ExecContext(ctx, text, args...)
}

func (r *recorder) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	r.note(text, args)
	return r.ConnPool.QueryContext(ctx, text, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	r.note(text, args)
	return r.ConnPool.QueryRowContext(ctx, text, args...)
}

func planOf(t *testing.T, s *Store, q query) []string {
	t.Helper()
	rows, err := s.reads.ConnPool.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.text, q.args...)
	require.NoError(t, err, q.text)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, steps, fmt.Sprint(q))
	return steps
}
