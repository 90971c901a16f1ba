package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// toy is a desk with one command, whose webhooks are the texts of the orders.
type toy struct {
	mu    sync.Mutex
	hooks []Webhook
	calls int
}

func (d *toy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	d.hooks = append(d.hooks, Webhook{Topic: "call"})
	fmt.Fprint(w, "vendor")
}

func (*toy) Form() []Entry       { return []Entry{{Name: "token", Value: "t"}} }
func (*toy) Commands() []Command { return []Command{{Name: "say", Label: "Say", Text: "message"}} }
func (*toy) Sessions() []Session { return []Session{} }

func (d *toy) Do(o Order) error {
	if o.Do != "say" {
		return fmt.Errorf("unknown command %q", o.Do)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hooks = append(d.hooks, Webhook{Topic: "said", Header: http.Header{"X-Toy": {"1"}}, Body: []byte(o.Text)})
	return nil
}

func (d *toy) Webhooks() []Webhook {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.hooks
	d.hooks = nil
	return list
}

func (*toy) Refuse(w http.ResponseWriter, status int) { w.WriteHeader(status) }

// stage is a room with somebody who takes its webhooks.
type stage struct {
	t      *testing.T
	desk   *toy
	server *httptest.Server
	hook   string
	bodies chan string
	status chan int // of the next answers; empty = 200
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, desk: &toy{}, bodies: make(chan string, 100), status: make(chan int, 100)}
	r := newRoom(s.desk, "Toy")
	s.server = httptest.NewServer(r.handler())
	taker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		select {
		case status := <-s.status:
			w.WriteHeader(status)
		default:
		}
		s.bodies <- q.Header.Get("X-Toy") + string(body)
	}))
	s.hook = taker.URL + "/hooks/x"
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.sender.run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		s.server.Close()
		taker.Close()
	})
	return s
}

func (s *stage) call(method, path, body string) (status int, answer map[string]any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+"/simulator"+path, strings.NewReader(body))
	require.NoError(s.t, err)
	resp, err := s.server.Client().Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer
}

func (s *stage) set(path, format string, args ...any) {
	s.t.Helper()
	method := http.MethodPut
	if path == "/do" {
		method = http.MethodPost
	}
	status, answer := s.call(method, path, fmt.Sprintf(format, args...))
	require.Equal(s.t, http.StatusOK, status, answer)
}

func (s *stage) say(texts ...string) {
	for _, text := range texts {
		s.set("/do", `{"do": "say", "text": %q}`, text)
	}
}

func (s *stage) hear(n int) []string {
	s.t.Helper()
	var list []string
	for range n {
		select {
		case text := <-s.bodies:
			list = append(list, text)
		case <-time.After(10 * time.Second):
			require.Fail(s.t, "no webhook", "after %v", list)
		}
	}
	return list
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.say("nobody listens")
	s.set("/webhooks", `{"address": %q}`, s.hook)
	s.say("a", "b", "c")
	require.Equal(t, []string{"1a", "1b", "1c"}, s.hear(3))

	s.set("/webhooks", `{"address": %q, "copies": 3}`, s.hook)
	s.say("twice")
	require.Equal(t, []string{"1twice", "1twice", "1twice"}, s.hear(3))

	s.set("/webhooks", `{"address": %q, "reorder": 3, "delayMillis": 1}`, s.hook)
	s.say("a", "b", "c")
	require.Equal(t, []string{"1c", "1b", "1a"}, s.hear(3))
	s.say("alone") // goes after a second
	require.Equal(t, []string{"1alone"}, s.hear(1))

	s.set("/webhooks", `{"address": %q, "lose": 2}`, s.hook)
	s.say("a", "b", "c")
	require.Equal(t, []string{"1c"}, s.hear(1))

	s.set("/webhooks", `{"address": %q, "retryMillis": 1}`, s.hook)
	s.status <- 503
	s.say("again")
	require.Equal(t, []string{"1again", "1again"}, s.hear(2))
	s.status <- 503
	s.status <- 503
	s.say("given up")
	require.Equal(t, []string{"1given up", "1given up"}, s.hear(2))
	s.say("next")
	require.Equal(t, []string{"1next"}, s.hear(1))

	require.Eventually(t, func() bool {
		_, state := s.call(http.MethodGet, "/state", "")
		count := state["sent"].(map[string]any)
		return count["waiting"] == 0.0 && count["taken"] == 13.0 && count["refused"] == 3.0 && count["lost"] == 4.0
	}, 10*time.Second, time.Millisecond)
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ask := func() string {
		// Not GET, which the client repeats by itself when the connection breaks.
		resp, err := s.server.Client().Post(s.server.URL+"/me", "", nil)
		if err != nil {
			return "hung up"
		}
		defer resp.Body.Close()
		return fmt.Sprint(resp.StatusCode)
	}
	several := func() (list []string) {
		for range 4 {
			list = append(list, ask())
		}
		return list
	}
	require.Equal(t, []string{"200", "200", "200", "200"}, several())
	s.set("/trouble", `{"every": 2, "status": 503}`)
	require.Equal(t, []string{"200", "503", "200", "503"}, several())
	s.set("/trouble", `{"every": 1, "times": 1, "status": 0, "done": true, "delayMillis": 1}`)
	before := s.desk.calls
	require.Equal(t, []string{"hung up", "200", "200", "200"}, several())
	require.Equal(t, 4, s.desk.calls-before, "done all the same")
	s.set("/trouble", `{"every": 1, "status": 500}`)
	before = s.desk.calls
	require.Equal(t, []string{"500", "500", "500", "500"}, several())
	require.Equal(t, before, s.desk.calls)
}

func TestMistakesOfThePlayer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, c := range [][3]string{
		{"POST", "/do", `{"do": "dance"}`}, {"POST", "/do", `{"act": "say"}`}, {"POST", "/do", `x`},
		{"PUT", "/webhooks", `{"address": "ftp://x"}`}, {"PUT", "/webhooks", `{"copies": 11}`}, {"PUT", "/webhooks", `{"reorder": -1}`},
		{"PUT", "/trouble", `{"every": -1}`}, {"PUT", "/trouble", `{"status": 200}`}, {"PUT", "/trouble", `{"delayMillis": 60001}`},
		{"POST", "/do", `{"text": "` + strings.Repeat("x", maxOrder) + `"}`},
	} {
		status, answer := s.call(c[0], c[1], c[2])
		require.Equal(t, http.StatusBadRequest, status, "%.60s", c)
		require.NotEmpty(t, answer["error"])
	}
}

// Another site cannot play through the browser of whoever has the page open.
func TestOtherSitesCannotPlay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL+"/simulator/do", strings.NewReader(`{"do":"say"}`))
	require.NoError(t, err)
	req.Header.Set("Origin", "https://evil.example.com")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := s.server.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	resp, err := s.server.Client().Get(s.server.URL + "/simulator")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, page, body)
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	_, state := s.call(http.MethodGet, "/state", "")
	// Every setting has its input on the page.
	for name := range state["webhooks"].(map[string]any) {
		require.Contains(t, string(page), `id="`+name+`"`)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), nil, &out, &out))
	for _, d := range desks {
		require.Contains(t, out.String(), d.kind)
	}
	require.ErrorContains(t, Run(t.Context(), []string{"fax"}, &out, &out), `"fax"`)
	require.ErrorContains(t, Run(t.Context(), []string{"intercom", "-hook", "x"}, &out, &out), "-hook")
	require.ErrorContains(t, Run(t.Context(), []string{"intercom", "-addr", "x"}, &out, &out), "-addr")
	require.NoError(t, Run(t.Context(), []string{"intercom", "-h"}, &out, &out))

	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, []string{"intercom", "-addr", "127.0.0.1:0", "-hook", "http://127.0.0.1:1/hooks/x"}, writer, io.Discard)
		_ = writer.Close()
	}()
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(reader)
		read <- string(all)
	}()
	stop()
	require.NoError(t, <-ended)
	text := <-read
	require.Regexp(t, `Intercom is simulated at http://127\.0\.0\.1:\d+\.`, text)
	require.Regexp(t, `HANDOFF_DESK_HOSTS=intercom=http://127\.0\.0\.1:\d+\n`, text)
	for _, e := range newIntercom().Form() {
		require.Contains(t, text, e.Value)
	}
}
