package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// statementTimeout bounds each statement that makes or drops a database.
const statementTimeout = time.Minute

// Options say what kind of server Start makes.
type Options struct {
	// Durable leaves fsync, synchronous_commit and full_page_writes on, as a
	// production server has them, and keeps the data below /var/tmp, because
	// /tmp may be memory. Off, the server is faster and loses its data in a
	// crash of the machine: right for tests, meaningless for benchmarks.
	Durable bool
}

// Server is a Postgres server for tests. It is safe for concurrent use.
type Server struct {
	admin   url.URL // any database that is not a template
	process *process

	mu        sync.Mutex
	templates map[string]*template
}

type template struct {
	once     sync.Once
	database string
	err      error
}

// Start starts a server of its own, apart from the one that tests share. The
// caller stops it. The error is ErrNoBinaries where there is no Postgres.
func Start(opts Options) (*Server, error) {
	p, err := startProcess(opts)
	if err != nil {
		return nil, err
	}
	return newServer(p.url(), p), nil
}

// connectTo uses a server that somebody else runs.
func connectTo(address string) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// Not quoted: it may hold a password.
		return nil, fmt.Errorf("%s is not a postgres:// URL", urlVariable)
	}
	s := newServer(*u, nil)
	if err := s.exec("SELECT 1"); err != nil {
		return nil, fmt.Errorf("the server of %s does not answer: %w", urlVariable, err)
	}
	return s, nil
}

func newServer(admin url.URL, p *process) *Server {
	return &Server{admin: admin, process: p, templates: map[string]*template{}}
}

// Database makes an empty database and returns its address and a function that
// drops it, with whoever is still connected.
func (s *Server) Database() (address string, drop func() error, err error) {
	name, err := s.create("")
	if err != nil {
		return "", nil, err
	}
	return s.urlOf(name), func() error { return s.drop(name) }, nil
}

// Stop drops the templates and, if Start started it, ends the server with all
// its data. Databases on somebody else's server are dropped by their tests.
func (s *Server) Stop() error {
	if s.process != nil {
		return s.process.stop(stopTimeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, t := range s.templates {
		if t.database != "" {
			errs = append(errs, s.drop(t.database))
		}
	}
	clear(s.templates)
	return errors.Join(errs...)
}

// template gives the name of the prepared database.
func (s *Server) template(name string, prepare func(url string) error) (string, error) {
	s.mu.Lock()
	t, ok := s.templates[name]
	if !ok {
		t = &template{}
		s.templates[name] = t
	}
	s.mu.Unlock()
	t.once.Do(func() {
		// Stays if prepare panics or ends its test: once does not run again.
		t.err = errors.New("its preparation did not end")
		database, err := s.create("")
		if err == nil {
			t.database = database
			err = s.prepare(database, prepare)
		}
		t.err = err
	})
	return t.database, t.err
}

// prepare fills a template and closes it: a database with connections cannot be copied.
func (s *Server) prepare(name string, prepare func(url string) error) error {
	if err := prepare(s.urlOf(name)); err != nil {
		return err
	}
	return s.exec("ALTER DATABASE " + quote(name) + " WITH ALLOW_CONNECTIONS false")
}

func (s *Server) create(template string) (name string, err error) {
	name = "handoff_test_" + strings.ToLower(rand.Text())
	statement := "CREATE DATABASE " + quote(name)
	if template != "" {
		statement += " TEMPLATE " + quote(template)
	}
	if err := s.exec(statement); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return name, nil
}

func (s *Server) drop(name string) error {
	if err := s.exec("DROP DATABASE IF EXISTS " + quote(name) + " WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database: %w", err)
	}
	return nil
}

// exec runs one statement on a connection of its own, so that nothing is left
// open between tests.
func (s *Server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.admin.String())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func (s *Server) urlOf(database string) string {
	u := s.admin
	u.Path = "/" + database
	return u.String()
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
