package livechat

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/livechat/simulator"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// again is what the relay does with an opening that may have arrived.
func again(t *testing.T, d desk.Desk, r desk.OpenRequest) string {
	t.Helper()
	r.Repeat = true
	opened, found, err := d.(desk.Reconciler).FindOpened(t.Context(), r)
	require.NoError(t, err)
	if !found {
		opened, err = d.Open(t.Context(), r)
		require.NoError(t, err)
	}
	return opened.Ref
}

// Wherever the opening is cut off, its repeat gives one thread.
func TestOpenIsFound(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"token", "update_customer", "start_chat"} {
		for _, done := range []bool{false, true} {
			for cause, f := range map[string]simulator.Failure{"hung up": {Done: done}, "500": {Status: 500, Done: done}} {
				t.Run(fmt.Sprint(action, " ", cause, " ", done), func(t *testing.T) {
					t.Parallel()
					a := newAccount(t, simulator.Options{})
					d := a.external(t, nil)
					a.Fail(failing(1, action, f))
					_, err := d.Open(t.Context(), openRequest())
					require.Error(t, err)
					ref := again(t, a.external(t, nil), openRequest())
					require.Len(t, a.Chats(), 1)
					require.Len(t, a.Chats()[0].Threads, 1)
					_, err = d.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
					require.NoError(t, err)
					require.Equal(t, ref, again(t, d, openRequest()), "and once more")
				})
			}
		}
	}
}

// The thread of an earlier Handoff is not this one's.
func TestFindOpenedKeepsHandoffsApart(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	open(t, d, opening("hof_1", openRequest().User))
	_, found, err := d.FindOpened(t.Context(), opening("hof_2", openRequest().User))
	require.NoError(t, err)
	require.False(t, found)
	other := opening("hof_1", openRequest().User)
	other.DeliveryID = "dlv_other"
	_, found, err = d.FindOpened(t.Context(), other)
	require.NoError(t, err)
	require.False(t, found)
}

// A long message that broke off is completed, and not said twice.
func TestSendIsCompleted(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.external(t, nil)
			r := sendRequest(open(t, d, openRequest()), "dlv_2", strings.Repeat("long ", 7_000)) // three events
			n := 0
			a.Fail(func(q *http.Request) *simulator.Failure {
				if strings.Contains(q.URL.Path, "send_event") {
					if n++; n == 2 {
						return &simulator.Failure{Done: done}
					}
				}
				return nil
			})
			_, err := d.Send(t.Context(), r)
			require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
			r.Repeat = true
			_, found, err := d.FindSent(t.Context(), r)
			require.NoError(t, err)
			require.False(t, found)
			_, err = d.Send(t.Context(), r)
			require.NoError(t, err)
			require.Equal(t, r.Text.Body, strings.Join(texts(&a.Chats()[0].Threads[0])[2:], ""))
			sent, found, err := d.FindSent(t.Context(), r)
			require.NoError(t, err)
			require.True(t, found)
			require.NotEmpty(t, sent.ID)
		})
	}
}

// fileServer offers what Users attached.
func fileServer(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

func TestFiles(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", maxFileBytes+1)
	base := fileServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a.png", "/run.exe":
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, "picture")
		case "/big":
			_, _ = io.WriteString(w, big)
		case "/empty":
		default:
			http.NotFound(w, r)
		}
	})
	a := newAccount(t, simulator.Options{})
	a.files = loopback(t)
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	for i, c := range []struct {
		file   handoff.Attachment
		upload string // the name; "" = the address is said
	}{
		{handoff.Attachment{URL: base + "/a.png"}, "a.png"},
		{handoff.Attachment{URL: base + "/a.png", Name: "Größe \"1\"/x.png", ContentType: "image/x"}, "x.png"},
		{handoff.Attachment{URL: base + "/big"}, ""},
		{handoff.Attachment{URL: base + "/empty"}, ""},
		{handoff.Attachment{URL: base + "/none"}, ""},
		{handoff.Attachment{URL: base + "/run.exe"}, ""},
		{handoff.Attachment{URL: base + "/a.png", SizeBytes: maxFileBytes + 1}, ""},
		{handoff.Attachment{URL: "http://127.0.0.1:1/x"}, ""},
	} {
		before := len(a.Uploads())
		_, err := d.Send(t.Context(), sendRequest(ref, fmt.Sprint("dlv_f", i), "", c.file))
		require.NoError(t, err)
		thread := a.Chats()[0].Threads[0]
		last := thread.Events[len(thread.Events)-1]
		if c.upload == "" {
			require.Equal(t, c.file.URL, last.Text)
			require.Len(t, a.Uploads(), before)
			continue
		}
		up := a.Uploads()[before]
		require.Equal(t, "file", last.Type)
		require.Equal(t, up.URL, last.URL)
		require.Equal(t, "picture", string(up.Content))
		require.True(t, strings.HasSuffix(up.Name, c.upload), up.Name)
		if c.file.ContentType != "" {
			require.Equal(t, c.file.ContentType, up.ContentType)
		}
	}
}

// The addresses are the Users': by default nothing in a private network is fetched,
// even where desks may be in one.
func TestFilesOfPrivateNetworks(t *testing.T) {
	t.Parallel()
	asked := false
	base := fileServer(t, func(http.ResponseWriter, *http.Request) { asked = true })
	a := newAccount(t, simulator.Options{})
	a.files = nil
	d := a.external(t, nil)
	_, err := d.Send(t.Context(), sendRequest(open(t, d, openRequest()), "dlv_2", "see", handoff.Attachment{URL: base + "/a.png"}))
	require.NoError(t, err)
	require.False(t, asked)
	require.Equal(t, []string{"see", base + "/a.png"}, texts(&a.Chats()[0].Threads[0])[2:])
}

// The files of the newest question come with it, those of the history as addresses.
func TestOpenWithFiles(t *testing.T) {
	t.Parallel()
	base := fileServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "picture") })
	a := newAccount(t, simulator.Options{})
	a.files = loopback(t)
	r := openRequest()
	r.Rounds[0].Question.Attachments = []handoff.Attachment{{URL: base + "/old.png"}}
	r.Question.Attachments = []handoff.Attachment{{URL: base + "/new.png"}}
	open(t, a.external(t, nil), r)
	require.Len(t, a.Uploads(), 1)
	events := a.Chats()[0].Threads[0].Events
	require.Contains(t, events[0].Text, base+"/old.png")
	require.Equal(t, "file", events[2].Type)
}

// An upload that fails for a while is not given up for an address.
func TestUploadFails(t *testing.T) {
	t.Parallel()
	base := fileServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "picture") })
	a := newAccount(t, simulator.Options{})
	a.files = loopback(t)
	d := a.external(t, nil)
	r := sendRequest(open(t, d, openRequest()), "dlv_2", "see", handoff.Attachment{URL: base + "/a.png"})
	a.Fail(failing(1, "upload_file", simulator.Failure{Status: 503, Type: "service_unavailable"}))
	_, err := d.Send(t.Context(), r)
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent, "the text has arrived")
	r.Repeat = true
	_, err = d.Send(t.Context(), r)
	require.NoError(t, err)
	events := a.Chats()[0].Threads[0].Events[2:]
	require.Len(t, events, 2)
	require.Equal(t, "file", events[1].Type)
}
