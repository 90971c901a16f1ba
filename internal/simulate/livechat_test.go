package simulate

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Everything that is offered can be done, by everybody and to everybody who is
// offered for it.
func TestLiveChatCommands(t *testing.T) {
	t.Parallel()
	d := newLiveChat()
	done := 0
	for _, c := range d.Commands() {
		for _, by := range append([]string{""}, c.By...) {
			if (by == "") != (len(c.By) == 0) {
				continue
			}
			for _, to := range append([]string{""}, c.To...) {
				if (to == "") != (len(c.To) == 0) {
					continue
				}
				require.NoError(t, d.Do(Order{Do: "begin", By: messengerUsers[0], Text: "Hello?"}))
				sessions := d.Sessions()
				session := sessions[len(sessions)-1].ID
				if c.Name == "return" {
					require.NoError(t, d.Do(Order{Do: "close", Session: session, By: "Dana Helper"}))
				}
				require.NoError(t, d.Do(Order{Do: c.Name, Session: session, By: by, To: to, Text: "x", Files: []string{"https://files.example.com/a.png"}}), c.Name)
				done++
			}
		}
	}
	require.GreaterOrEqual(t, done, len(d.Commands()))
	require.NoError(t, d.Do(Order{Do: "begin", By: "Ulla User", Text: "Hello?"}))
	sessions := d.Sessions()
	session := sessions[len(sessions)-1].ID
	for _, o := range []Order{
		{Do: "dance", Session: session}, {Do: "answer", By: "Nobody", Session: session, Text: "x"}, {Do: "answer", By: "Dana Helper", Session: "1", Text: "x"},
		{Do: "answer", By: "Dana Helper", Session: session}, {Do: "begin", By: "Nobody", Text: "x"}, {Do: "transfer", To: "Nobody", Session: session},
		{Do: "return", Session: session, Text: "x"},
	} {
		require.Error(t, d.Do(o), o)
	}
}

func TestLiveChatSessions(t *testing.T) {
	t.Parallel()
	d := newLiveChat()
	require.NoError(t, d.Do(Order{Do: "begin", By: "Ulla User", Text: "Hello?"}))
	session := d.Sessions()[0].ID
	for _, o := range []Order{
		{Do: "transfer", To: "Lee"}, {Do: "whisper", By: "Lee", Text: "a whisper"}, {Do: "answer", By: "ChatBot", Text: "I am a bot"},
		{Do: "answer", By: "Lee", Text: "Hi", Files: []string{"https://files.example.com/a.png"}}, {Do: "write", Text: "Thanks"},
		{Do: "read", By: "Lee"}, {Do: "close", By: "Lee"}, {Do: "return", Text: "Again"},
	} {
		o.Session = session
		require.NoError(t, d.Do(o), o.Do)
	}
	list := d.Sessions()
	require.Len(t, list, 2, "each thread is a session")
	require.Equal(t, []string{"archived", "active"}, []string{list[0].State, list[1].State})
	require.Equal(t, "AI Agent", list[1].Holder)
	require.Error(t, d.Do(Order{Do: "write", Session: session, Text: "x"}), "it is another session now")
	var lines []string
	for _, l := range list[0].Lines {
		text := strings.Join(append([]string{l.Side, l.By, l.Kind, l.Text}, l.Files...), "|")
		if l.Private {
			text += "|private"
		}
		lines = append(lines, text)
	}
	require.Equal(t, []string{
		"user|Ulla User|message|Hello?", "desk|Lee|message|a whisper|private", "bot|ChatBot|message|I am a bot", "desk|Lee|message|Hi",
		"desk|Lee|file||https://files.example.com/a.png", "user|Ulla User|message|Thanks", "bot|LiveChat|system_message|The chat was archived",
	}, lines)

	var topics []string
	for _, h := range d.Webhooks() {
		topics = append(topics, h.Topic)
		require.Contains(t, string(h.Body), liveChatSecret)
	}
	require.Equal(t, []string{
		"incoming_chat", "chat_transferred", "incoming_event", "incoming_event", "incoming_event", "incoming_event", "incoming_event",
		"events_marked_as_seen", "incoming_event", "chat_deactivated", "incoming_chat",
	}, topics)
	require.Empty(t, d.Webhooks())
}

func TestLiveChatRefusals(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]string{401: "authentication", 418: "validation", 429: "too_many_requests", 500: "internal", 503: "service_unavailable"} {
		w := httptest.NewRecorder()
		newLiveChat().Refuse(w, status)
		require.Equal(t, status, w.Code)
		var body struct{ Error struct{ Type string } }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
		require.Equal(t, kind, body.Error.Type)
	}
}
