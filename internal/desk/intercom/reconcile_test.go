package intercom

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// again is what the relay does with an attempt that may have arrived.
func (w *workspace) again(t *testing.T, r desk.OpenRequest) string {
	t.Helper()
	r.Repeat = true
	opened, found, err := w.desk.FindOpened(t.Context(), r)
	require.NoError(t, err)
	if !found {
		opened, err = w.desk.Open(t.Context(), r)
		require.NoError(t, err)
	}
	return opened.Ref
}

// Wherever the opening is cut off, its repeat completes the same conversation.
func TestOpenIsCompleted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		done bool
	}{
		"contact not made":       {"/contacts", false},
		"contact made":           {"/contacts", true},
		"conversation not made":  {"/conversations", false},
		"conversation made":      {"/conversations", true},
		"note or rest not there": {"/reply", false},
		"note or rest there":     {"/reply", true},
	} {
		for cause, f := range map[string]simulator.Failure{"hung up": {Done: c.done}, "500": {Status: 500, Done: c.done}} {
			t.Run(name+", "+cause, func(t *testing.T) {
				t.Parallel()
				w := newWorkspace(t, simulator.Options{}, nil)
				r := openRequest()
				r.Question.Body = strings.Repeat("long ", 3_000) // two pieces
				w.Fail(failing(1, "POST", c.path, f))
				opened, err := w.desk.Open(t.Context(), r)
				require.Error(t, err)
				require.Equal(t, c.path == "/reply", opened.Ref != "")
				if c.path == "/reply" {
					require.Equal(t, fault.MaybeSent, fault.As(err).Sent, "the conversation is there")
					require.Equal(t, w.Conversations()[0].ID, opened.Ref)
				}
				require.NotEmpty(t, w.again(t, r))
				require.NotEmpty(t, w.again(t, r), "and once more")
				require.Len(t, w.Contacts(), 1)
				require.Len(t, w.Conversations(), 1)
				got := w.Conversations()[0]
				require.Len(t, got.Parts, 2)
				require.Equal(t, []string{"user", "admin"}, []string{got.Parts[0].By, got.Parts[1].By})
				require.Equal(t, r.Question.Body, got.Body+got.Parts[0].Text)
			})
		}
	}
}

// What an earlier attempt has begun needs no search, which may not know it yet.
func TestOpenGoesOnWhereItBegan(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]bool{"looked for": true, "opened again": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, simulator.Options{}, nil)
			r := openRequest()
			r.Question.Body = strings.Repeat("long ", 3_000) // two pieces
			w.Fail(failing(1, "POST", "/reply", simulator.Failure{Done: true}))
			opened, err := w.desk.Open(t.Context(), r)
			require.Error(t, err)
			w.Fail(failing(-1, "POST", "/search", simulator.Failure{Status: 500}))
			r.Begun, r.Repeat = opened.Ref, true
			if find {
				var found bool
				opened, found, err = w.desk.FindOpened(t.Context(), r)
				require.True(t, found)
			} else {
				opened, err = w.desk.Open(t.Context(), r)
			}
			require.NoError(t, err)
			require.Equal(t, r.Begun, opened.Ref)
			require.Len(t, w.Conversations(), 1)
			require.Len(t, w.Conversations()[0].Parts, 2)
		})
	}
}

// The conversation of an earlier Handoff that asked the same is not this one's.
func TestFindOpenedKeepsHandoffsApart(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	first := w.open(t)
	r := openRequest()
	r.HandoffID = "hof_2"
	_, found, err := w.desk.FindOpened(t.Context(), r)
	require.NoError(t, err)
	require.False(t, found)
	require.NotEqual(t, first, w.again(t, r))

	r.HandoffID = "hof_" // the beginning of another's
	_, found, err = w.desk.FindOpened(t.Context(), r)
	require.NoError(t, err)
	require.False(t, found)
}

func TestFindOpenedWithPictures(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	r := openRequest()
	r.Question = desk.Text{Attachments: []handoff.Attachment{{URL: "https://files.example.com/a.png", ContentType: "image/png"}}}
	w.Fail(failing(1, "POST", "/conversations", simulator.Failure{Done: true}))
	_, err := w.desk.Open(t.Context(), r)
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	w.again(t, r)
	require.Len(t, w.Conversations(), 1)
	require.Equal(t, []string{"https://files.example.com/a.png"}, w.Conversations()[0].Images)
}

func TestFindSent(t *testing.T) {
	t.Parallel()
	clock := now
	w := newWorkspace(t, simulator.Options{Now: func() time.Time { return clock }}, nil)
	ref := w.open(t)
	at := func(seconds int, text string) desk.SendRequest {
		r := sendRequest(ref, text)
		r.At, r.Repeat = now.Add(time.Duration(seconds)*time.Second), true
		return r
	}
	find := func(r desk.SendRequest) bool {
		t.Helper()
		sent, found, err := w.desk.FindSent(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, found, sent.ID != "")
		return found
	}
	send := func(r desk.SendRequest) {
		t.Helper()
		clock = r.At
		_, err := w.desk.Send(t.Context(), r)
		require.NoError(t, err)
	}
	require.False(t, find(at(20, "yes")))
	send(at(20, "yes"))
	require.True(t, find(at(20, "yes")))
	require.False(t, find(at(40, "yes")), "said again, later")
	_, err := w.Reply(ref, simulator.Dana, "yes?")
	require.NoError(t, err)
	require.True(t, find(at(20, "yes")), "an answer in between does not matter")
	send(at(50, "no"))
	require.False(t, find(at(20, "yes")), "only the newest can be in doubt")
	send(at(55, "<p>tags &amp; all</p>"))
	require.True(t, find(at(55, "<p>tags &amp; all</p>")))

	long := strings.Repeat("long ", 5_000) // three pieces
	w.Fail(failing(1, "POST", "/reply", simulator.Failure{Done: true}))
	clock = now.Add(time.Minute)
	_, err = w.desk.Send(t.Context(), at(60, long))
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	require.False(t, find(at(60, long)), "only its beginning")
	send(at(60, long))
	require.True(t, find(at(60, long)))
	var said strings.Builder
	for _, p := range w.Conversations()[0].Parts {
		if p.By == "user" && strings.Contains(p.Text, "long") {
			said.WriteString(p.Text)
		}
	}
	require.Equal(t, long, said.String())
}
