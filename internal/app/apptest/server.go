package apptest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app"
	"handoff/internal/config"
	"handoff/internal/desk"
)

// Options say how a service in the process of the test differs from the usual.
type Options struct {
	Environ map[string]string // on top of [Database.Environ]
	Clock   *Clock            // nil = time passes by itself
	Drivers []desk.Driver     // desks besides those of every process
	Pace    app.Pace          // what is zero is what [Start] says
}

// Server is a service in the process of the test.
type Server struct {
	*Service
	Log *Log

	t        testing.TB
	database *Database
	options  Options
	app      *app.App
}

// Start runs the service until the test ends. It looks for events of other replicas
// every 100 ms. With a Clock it looks at it every 20 ms, since moving the Clock wakes
// nobody.
func Start(t testing.TB, d *Database, o Options) *Server {
	t.Helper()
	s := &Server{Service: newService(d.AdminToken), Log: &Log{}, t: t, database: d, options: o}
	s.Start()
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("log of the service:\n%s", s.Log.tail())
		}
	})
	return s
}

// Start runs a service that was stopped again, on the same database.
func (s *Server) Start() {
	s.t.Helper()
	environ := s.database.Environ()
	maps.Copy(environ, s.options.Environ)
	c, err := config.Load(environ)
	require.NoError(s.t, err)
	o := app.Options{Log: app.NewLogger(c, s.Log), Version: "test", Drivers: s.options.Drivers, Pace: s.options.Pace}
	o.Pace.Poll = cmp.Or(o.Pace.Poll, 100*time.Millisecond)
	if s.options.Clock != nil {
		o.Now = s.options.Clock.Now
		o.Pace.Sweep = cmp.Or(o.Pace.Sweep, 20*time.Millisecond)
		o.Pace.Recheck = cmp.Or(o.Pace.Recheck, 50*time.Millisecond)
	}
	s.app, err = app.New(context.Background(), c, o)
	require.NoError(s.t, err)
	s.app.Start(context.Background())
	s.at(s.app.URL())
}

// Stop ends the service as SIGTERM would. Stopping twice is fine.
func (s *Server) Stop() {
	s.t.Helper()
	if s.app == nil {
		return
	}
	stopping := s.app
	s.app = nil
	require.NoError(s.t, stopping.Stop(context.Background()))
	s.http.CloseIdleConnections()
}

// Restart stops the service and runs it again with other variables.
func (s *Server) Restart(environ map[string]string) {
	s.t.Helper()
	s.Stop()
	merged := maps.Clone(s.options.Environ)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, environ)
	s.options.Environ = merged
	s.Start()
}

// Log is everything that a process has written.
type Log struct {
	mu      sync.Mutex
	content bytes.Buffer
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.content.Write(p)
}

// String is what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.content.String()
}

// tail is the end of the log, for the message of a failure.
func (l *Log) tail() string {
	const most = 8 << 10
	text := l.String()
	return text[max(0, len(text)-most):]
}
