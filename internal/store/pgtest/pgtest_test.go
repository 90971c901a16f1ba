package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// needBinaries skips a test of starting a server where URL would skip too.
func needBinaries(t *testing.T) {
	t.Helper()
	if _, err := findBinaries(debianBinaries); err != nil {
		giveUp(t, err, os.Getenv(requireVariable) != "" || os.Getenv(ciVariable) != "")
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func value[T any](t *testing.T, conn *pgx.Conn, query string, arguments ...any) T {
	t.Helper()
	var v T
	require.NoError(t, conn.QueryRow(context.Background(), query, arguments...).Scan(&v))
	return v
}

func TestURLGivesAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	first, second := connect(t, URL(t)), connect(t, URL(t))
	_, err := first.Exec(t.Context(), "CREATE TABLE only_here (id int)")
	require.NoError(t, err)
	const tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
	require.Equal(t, 1, value[int](t, first, tables))
	require.Equal(t, 0, value[int](t, second, tables))
}

func TestDatabaseIsDroppedWhenTheTestEndsEvenIfConnected(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("inner", func(t *testing.T) {
		url := URL(t)
		conn, err := pgx.Connect(context.Background(), url)
		require.NoError(t, err) // stays connected
		name = value[string](t, conn, "SELECT current_database()")
	})
	require.NotEmpty(t, name)
	conn := connect(t, URL(t))
	require.Equal(t, 0, value[int](t, conn, "SELECT count(*) FROM pg_database WHERE datname = $1", name))
}

func TestTemplateIsPreparedOnceAndCopied(t *testing.T) {
	t.Parallel()
	name := rand.Text() // another one with -count
	var prepared atomic.Int32
	prepare := func(url string) error {
		prepared.Add(1)
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(context.Background(), "CREATE TABLE t (id int); INSERT INTO t VALUES (7)")
		return errors.Join(err, conn.Close(context.Background()))
	}
	t.Run("copies", func(t *testing.T) {
		for i := range 4 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				conn := connect(t, Template(t, name, prepare))
				_, err := conn.Exec(t.Context(), "UPDATE t SET id = id + 1")
				require.NoError(t, err)
				require.Equal(t, 8, value[int](t, conn, "SELECT id FROM t"))
			})
		}
	})
	require.Equal(t, int32(1), prepared.Load())
}

func TestTemplateThatFailsFailsEveryTestThatAsks(t *testing.T) {
	t.Parallel()
	s := server(t)
	name, broken := rand.Text(), errors.New("broken migration")
	_, err := s.template(name, func(string) error { return broken })
	require.ErrorIs(t, err, broken)
	_, err = s.template(name, func(string) error { return nil })
	require.ErrorIs(t, err, broken)
}

func TestTemplateWhosePreparationEndsItsTestStaysFailed(t *testing.T) {
	t.Parallel()
	s, name := server(t), rand.Text()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.template(name, func(string) error { runtime.Goexit(); return nil })
	}()
	<-done
	_, err := s.template(name, func(string) error { return nil })
	require.ErrorContains(t, err, "did not end")
}

func TestOptionsDecideDurability(t *testing.T) {
	t.Parallel()
	needBinaries(t)
	for _, tt := range []struct {
		opts Options
		want string
		dir  string
	}{
		{Options{}, "off", "/tmp"},
		{Options{Durable: true}, "on", "/var/tmp"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			s, err := Start(tt.opts)
			require.NoError(t, err)
			url, drop, err := s.Database()
			require.NoError(t, err)
			conn := connect(t, url)
			for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
				require.Equal(t, tt.want, value[string](t, conn, "SELECT current_setting($1)", setting), setting)
			}
			require.Empty(t, value[string](t, conn, "SHOW listen_addresses"))
			require.Equal(t, tt.dir, filepath.Dir(s.process.dir))
			info, err := os.Stat(s.process.dir)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
			require.NoError(t, drop())
			require.NoError(t, s.Stop())
			require.NoDirExists(t, s.process.dir)
		})
	}
}

func TestServerOfSomebodyElse(t *testing.T) {
	t.Parallel()
	host := server(t)
	s, err := connectTo(host.urlOf("postgres"))
	require.NoError(t, err)
	original, err := s.template("theirs", func(string) error { return nil })
	require.NoError(t, err)
	url, drop, err := s.Database()
	require.NoError(t, err)
	conn := connect(t, url)
	const count = "SELECT count(*) FROM pg_database WHERE datname = $1"
	require.Equal(t, 1, value[int](t, conn, count, original))
	require.NoError(t, drop())
	require.NoError(t, s.Stop())
	conn = connect(t, URL(t))
	require.Equal(t, 0, value[int](t, conn, count, original), "Stop drops the templates, and the server lives on")
}

func TestBadServerAddressIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"mysql://u:hunter2@h/db", "postgres://u:hunter2@%zz/db", "hunter2"} {
		_, err := connectTo(address)
		require.ErrorContains(t, err, urlVariable)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestServerThatCannotStartTellsWhy(t *testing.T) {
	t.Parallel()
	p := &process{dir: t.TempDir()}
	require.NoError(t, p.launch(p.newCommand(nil, "/bin/sh", "-c", guard, "guard", p.dir, "sh", "-c", "echo no room; exit 1")))
	require.ErrorContains(t, p.awaitReady(), "no room")
	require.NoError(t, p.stop(stopTimeout))
	require.NoDirExists(t, p.dir)
}

func TestServerThatIgnoresItsEndIsKilled(t *testing.T) {
	t.Parallel()
	p := &process{dir: t.TempDir()}
	require.NoError(t, p.launch(p.newCommand(nil, "/bin/sh", "-c", guard, "guard", p.dir,
		"sh", "-c", `trap "" TERM QUIT; : >ready; while :; do sleep 1; done`)))
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(p.dir, "ready"))
		return err == nil
	}, startTimeout, time.Millisecond)
	require.ErrorContains(t, p.stop(50*time.Millisecond), "did not end in time")
	require.NoDirExists(t, p.dir)
}

func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	install := func(version string, names ...string) string {
		bin := filepath.Join(dir, version, "bin")
		require.NoError(t, os.MkdirAll(bin, 0o755))
		for _, name := range names {
			require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o755))
		}
		return bin
	}
	debian := filepath.Join(dir, "*", "bin")
	t.Setenv("PATH", t.TempDir())

	_, err := findBinaries(debian)
	require.ErrorIs(t, err, ErrNoBinaries)

	install("17", "initdb") // a client package without the server
	_, err = findBinaries(debian)
	require.ErrorIs(t, err, ErrNoBinaries)

	install("9", "initdb", "postgres")
	newest := install("16", "initdb", "postgres")
	got, err := findBinaries(debian)
	require.NoError(t, err)
	require.Equal(t, newest, got, "by number, not by text")

	onPath := install("12", "initdb", "postgres")
	link := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(onPath, "initdb"), filepath.Join(link, "initdb")))
	t.Setenv("PATH", link)
	got, err = findBinaries(debian)
	require.NoError(t, err)
	require.Equal(t, onPath, got, "PATH comes first, and links are followed")
}

// verdict is a testing.TB that remembers how a test was ended.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) {
	v.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestOnlyMissingBinariesAreAReasonToSkip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err      error
		required bool
		skips    bool
	}{
		{ErrNoBinaries, false, true},
		{ErrNoBinaries, true, false},
		{errors.New("disk full"), false, false},
		{errors.New("disk full"), true, false},
	} {
		v := &verdict{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			giveUp(v, tt.err, tt.required)
		}()
		<-done
		if tt.skips {
			require.True(t, strings.HasPrefix(v.skipped, "NOT TESTED ON POSTGRES"), v.skipped)
			require.Empty(t, v.failed)
		} else {
			require.Contains(t, v.failed, tt.err.Error())
			require.Empty(t, v.skipped)
		}
	}
}
