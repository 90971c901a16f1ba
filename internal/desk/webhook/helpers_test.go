package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

var now = time.Unix(1_760_000_006, 0)

// sample reads a documented payload and removes its white space.
func sample(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "gptbots", name))
	require.NoError(t, err)
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, raw))
	return compact.String()
}

// received is one request as the developer's server saw it.
type received struct {
	Method string
	Path   string
	Header http.Header
	Body   string
}

// developer is a developer's server that answers as told and remembers.
type developer struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(w http.ResponseWriter, r *http.Request)
}

func newDeveloper(t *testing.T, answer func(http.ResponseWriter, *http.Request)) *developer {
	t.Helper()
	d := &developer{answer: answer}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.mu.Lock()
		d.got = append(d.got, received{Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header, Body: string(body)})
		d.mu.Unlock()
		if d.answer != nil {
			d.answer(w, r)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *developer) requests() []received {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]received(nil), d.got...)
}

func answering(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// settings are those of a connection form, with its defaults.
func settings(fields map[string]string) desk.Settings {
	all := map[string]string{fieldDefaultEmail: "support@gptbots.ai", fieldExtended: "off"}
	for name, value := range fields {
		all[name] = value
	}
	return desk.Settings{
		ConnectionID: "con_1", Mode: handoff.ModeExternalToDesk, Fields: all, Now: func() time.Time { return now },
		HTTP: desk.NewHTTPClient(desk.HTTPOptions{AllowedPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}),
	}
}

func connect(t *testing.T, fields map[string]string) desk.Desk {
	t.Helper()
	d, err := Driver{}.Connect(settings(fields))
	require.NoError(t, err)
	return d
}
