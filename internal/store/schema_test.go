package store_test

import (
	"database/sql"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"handoff/internal/store"
)

// schema is what both databases must have in common.
type schema struct {
	Columns map[string][]column // by table
	Indexes map[string]string   // what is unique or sorted by what, and where, by name
	Checks  map[string]int      // how many per table
}

type column struct {
	Name     string
	Type     string // text, integer
	Required bool
}

func TestBothDatabasesHaveTheSameSchema(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	pg, err := sql.Open("pgx", url)
	require.NoError(t, err)
	defer pg.Close()
	file := filepath.Join(t.TempDir(), "test.db")
	open(t, store.Options{SQLitePath: file})
	lite, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer lite.Close()

	want, got := postgresSchema(t, pg), sqliteSchema(t, lite)

	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-Postgres +SQLite)\n%s", diff)
	}
	require.Len(t, want.Columns, len(tables))
	for table, columns := range store.Rows() {
		var names []string
		for _, c := range want.Columns[table] {
			names = append(names, c.Name)
		}
		require.Equal(t, names, columns, "the row type of %s", table)
	}
	require.Len(t, store.Rows(), len(tables))
}

func postgresSchema(t *testing.T, db *sql.DB) schema {
	t.Helper()
	s := schema{Columns: map[string][]column{}, Indexes: map[string]string{}, Checks: map[string]int{}}
	types := map[string]string{
		"text": "text", "bigint": "integer", "boolean": "integer", "timestamp with time zone": "integer",
	}
	each(t, db, `SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name <> 'goose_db_version' ORDER BY table_name, ordinal_position`,
		func(v []string) {
			require.Contains(t, types, v[2])
			s.Columns[v[0]] = append(s.Columns[v[0]], column{v[1], types[v[2]], v[3] == "NO"})
		})
	each(t, db, `SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'`,
		func(v []string) { s.Indexes[v[1]] = indexForm(v[2]) })
	each(t, db, `SELECT c.relname, '', '' FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'c' AND c.relnamespace = 'public'::regnamespace`,
		func(v []string) { s.Checks[v[0]]++ })
	return s
}

func sqliteSchema(t *testing.T, db *sql.DB) schema {
	t.Helper()
	s := schema{Columns: map[string][]column{}, Indexes: map[string]string{}, Checks: map[string]int{}}
	each(t, db, `SELECT m.name, c.name, c.type, c."notnull" FROM sqlite_schema m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.cid`,
		func(v []string) {
			s.Columns[v[0]] = append(s.Columns[v[0]], column{v[1], strings.ToLower(v[2]), v[3] == "1"})
		})
	each(t, db, `SELECT m.name, i.name, coalesce(x.sql, ''), i."unique", i.origin,
			(SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
		FROM sqlite_schema m, pragma_index_list(m.name) i LEFT JOIN sqlite_schema x ON x.name = i.name
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> 'goose_db_version'`,
		func(v []string) {
			form := indexForm(v[2])
			if v[2] == "" { // of a constraint, which has no statement and no name of its own
				form = "unique (" + v[5] + ")"
			}
			name := v[1]
			switch v[4] {
			case "pk":
				name = v[0] + "_pkey"
			case "u":
				name = v[0] + "_" + v[5]
			}
			s.Indexes[name] = form
		})
	each(t, db, `SELECT name, sql, '' FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'`,
		func(v []string) {
			if n := strings.Count(v[1], "CHECK"); n > 0 {
				s.Checks[v[0]] = n
			}
		})
	return s
}

var (
	predicate = regexp.MustCompile(`(?i) where (.*)$`)
	list      = regexp.MustCompile(`\((.*?)\)( WHERE|$)`)
)

// indexForm is the meaning of a CREATE INDEX statement, without its dialect.
func indexForm(statement string) string {
	form := ""
	if strings.Contains(statement, "UNIQUE") {
		form = "unique "
	}
	if m := list.FindStringSubmatch(statement); m != nil {
		form += "(" + m[1] + ")"
	}
	if m := predicate.FindStringSubmatch(statement); m != nil {
		form += " where " + strings.NewReplacer("::text", "", "(", "", ")", "").Replace(m[1])
	}
	return form
}

// each calls fn with the columns of every row as text.
func each(t *testing.T, db *sql.DB, query string, fn func([]string)) {
	t.Helper()
	rows, err := db.Query(query)
	require.NoError(t, err)
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		require.NoError(t, rows.Scan(targets...))
		texts := make([]string, len(names))
		for i, v := range values {
			texts[i] = v.String
		}
		fn(texts)
	}
	require.NoError(t, rows.Err())
}
