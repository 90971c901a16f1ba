package pgtest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Environment variables that decide where the server comes from.
const (
	urlVariable     = "HANDOFF_TEST_POSTGRES_URL"
	requireVariable = "HANDOFF_TEST_REQUIRE_POSTGRES"
	ciVariable      = "CI"
)

// URL returns the address (postgres://…) of a fresh, empty database, which is
// dropped when the test ends.
func URL(t testing.TB) string {
	t.Helper()
	return database(t, server(t), "")
}

// Template returns the address of a fresh copy of a prepared database, which is
// dropped when the test ends. The first call with a name makes the original and
// calls prepare with its address; later calls in the same process only copy,
// and their prepare is not called. If prepare fails, every test that asks for
// the name fails with its error. prepare must close its connections.
func Template(t testing.TB, name string, prepare func(url string) error) string {
	t.Helper()
	s := server(t)
	original, err := s.template(name, prepare)
	if err != nil {
		t.Fatalf("pgtest: prepare template %q: %v", name, err)
	}
	return database(t, s, original)
}

// Main runs the tests of a package and ends the process; it stops the shared
// server first. Packages without it leave that to the guard of the server.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has more to do afterwards: it stops the
// shared server and returns the exit code.
func Run(m interface{ Run() int }) int {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest: stop:", err)
		return max(code, 1)
	}
	return code
}

// shared is the server of this test binary.
var shared sharedServer

type sharedServer struct {
	mu     sync.Mutex
	tried  bool
	server *Server
	err    error
}

func (s *sharedServer) get() (*Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tried {
		s.tried = true
		if url := os.Getenv(urlVariable); url != "" {
			s.server, s.err = connectTo(url)
		} else {
			s.server, s.err = Start(Options{})
		}
	}
	return s.server, s.err
}

func (s *sharedServer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	server := s.server
	s.server, s.err = nil, errors.New("the server was stopped")
	return server.Stop()
}

func server(t testing.TB) *Server {
	t.Helper()
	s, err := shared.get()
	if err != nil {
		giveUp(t, err, os.Getenv(requireVariable) != "" || os.Getenv(ciVariable) != "")
	}
	return s
}

// giveUp ends a test that cannot have a server. Only missing binaries are a
// reason to skip: a server that is there and does not work is a failure.
func giveUp(t testing.TB, err error, required bool) {
	t.Helper()
	if errors.Is(err, ErrNoBinaries) && !required {
		t.Skipf("NOT TESTED ON POSTGRES: %v", err)
	}
	t.Fatalf("pgtest: %v", err)
}

// database makes a database for one test.
func database(t testing.TB, s *Server, template string) string {
	t.Helper()
	name, err := s.create(template)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.drop(name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s.urlOf(name)
}
