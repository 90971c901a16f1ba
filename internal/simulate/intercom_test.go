package simulate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Everything that is offered can be done, by everybody who is offered for it.
func TestIntercomCommands(t *testing.T) {
	t.Parallel()
	d := newIntercom()
	require.NoError(t, d.Do(Order{Do: "begin", By: messengerUsers[1], Text: "Hello?"}))
	session := d.Sessions()[0].ID
	var last Command
	for _, c := range d.Commands() {
		if c.Name == "delete" {
			last = c
			continue
		}
		for _, by := range append([]string{""}, c.By...) {
			if (by == "") != (len(c.By) == 0) {
				continue
			}
			for _, to := range append([]string{""}, c.To...) {
				if (to == "") != (len(c.To) == 0) {
					continue
				}
				require.NoError(t, d.Do(Order{Do: c.Name, Session: session, By: by, To: to, Text: "x", Files: []string{"https://files.example.com/a.png"}}), c.Name)
			}
		}
	}
	require.NoError(t, d.Do(Order{Do: last.Name, Session: session}))
	for _, o := range []Order{
		{Do: "dance", By: "Dana Helper"}, {Do: "answer", By: "Nobody", Session: "1", Text: "x"}, {Do: "answer", By: "Dana Helper", Session: "1", Text: "x"},
		{Do: "answer", By: "Dana Helper"}, {Do: "begin", By: "Nobody", Text: "x"}, {Do: "assign", By: "Dana Helper", To: "Nobody"}, {Do: "delete", Session: session},
	} {
		require.Error(t, d.Do(o), o)
	}
}

func TestIntercomSessions(t *testing.T) {
	t.Parallel()
	d := newIntercom()
	require.NoError(t, d.Do(Order{Do: "begin", By: "Ulla User", Text: "Hello?"}))
	session := d.Sessions()[0].ID
	for _, o := range []Order{
		{Do: "assign", By: "Dana Helper", To: "Dana Helper"}, {Do: "note", By: "Dana Helper", Text: "a note"},
		{Do: "answer", By: "Fin", Text: "I am a bot"}, {Do: "answer", By: "Dana Helper", Text: "Hi"}, {Do: "close", By: "Dana Helper"},
		{Do: "write", Text: "Wait"},
	} {
		o.Session = session
		require.NoError(t, d.Do(o))
	}
	s := d.Sessions()[0]
	require.Equal(t, "open", s.State)
	require.Equal(t, "Dana Helper", s.Holder)
	require.Equal(t, "Ulla User", s.User)
	var lines []string
	for _, l := range s.Lines {
		text := strings.Join([]string{l.Side, l.By, l.Kind, l.Text}, "|")
		if l.Private {
			text += "|private"
		}
		lines = append(lines, text)
	}
	require.Equal(t, []string{
		"user|Ulla User|message|Hello?", "desk|Dana Helper|assignment to Dana Helper|", "desk|Dana Helper|note|a note|private",
		"bot|Fin|comment|I am a bot", "desk|Dana Helper|comment|Hi", "desk|Dana Helper|close|", "user|Ulla User|open|Wait",
	}, lines)

	var topics []string
	for _, h := range d.Webhooks() {
		topics = append(topics, strings.TrimPrefix(h.Topic, "conversation."))
		require.NotEmpty(t, h.Header.Get("X-Hub-Signature"))
	}
	require.Equal(t, []string{
		"user.created", "admin.assigned", "admin.replied", "admin.replied", "admin.closed", "user.replied",
	}, topics, "a note is not subscribed to")
	require.Empty(t, d.Webhooks())
}

func TestIntercomRefusals(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]string{401: "unauthorized", 418: "bad_request", 429: "rate_limit_exceeded", 503: "server_error"} {
		w := httptest.NewRecorder()
		newIntercom().Refuse(w, status)
		require.Equal(t, status, w.Code)
		var body struct {
			Errors []struct{ Code string }
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
		require.Equal(t, code, body.Errors[0].Code)
		require.Equal(t, status == http.StatusTooManyRequests, w.Header().Get("X-RateLimit-Reset") != "")
	}
}
