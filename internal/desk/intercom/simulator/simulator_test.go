package simulator

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func ask(s *Simulator, method, path, body string, change func(http.Header)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer intercom-token")
	r.Header.Set("Intercom-Version", "2.15")
	r.Header.Set("Accept", "application/json")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r.Header)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestStrict(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	contact := s.AddContact(Contact{Role: "user", ExternalID: "x"})
	require.Len(t, contact.ID, 24)
	for name, c := range map[string]struct {
		method, path, body string
		change             func(http.Header)
		status             int
	}{
		"fine":            {"GET", "/me", "", nil, 200},
		"token":           {"GET", "/me", "", func(h http.Header) { h.Set("Authorization", "Bearer x") }, 401},
		"version":         {"GET", "/me", "", func(h http.Header) { h.Set("Intercom-Version", "2.14") }, 400},
		"accept":          {"GET", "/me", "", func(h http.Header) { h.Del("Accept") }, 406},
		"content type":    {"POST", "/conversations", `{}`, func(h http.Header) { h.Set("Content-Type", "text/plain") }, 415},
		"unknown member":  {"POST", "/conversations", `{"from":{"type":"user","id":"` + contact.ID + `"},"body":"x","bodies":1}`, nil, 400},
		"no body":         {"POST", "/conversations", `{"from":{"type":"user","id":"` + contact.ID + `"},"body":""}`, nil, 422},
		"unknown contact": {"POST", "/conversations", `{"from":{"type":"user","id":"1"},"body":"x"}`, nil, 404},
		"unknown path":    {"GET", "/chats", "", nil, 404},
		"not searchable":  {"POST", "/contacts/search", `{"query":{"field":"shoe_size","operator":"=","value":"x"}}`, nil, 400},
	} {
		require.Equal(t, c.status, ask(s, c.method, c.path, c.body, c.change).Code, name)
	}
}

// The id of a new conversation's message is not the id of the conversation.
func TestTwoIDs(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	contact := s.AddContact(Contact{Role: "user", ExternalID: "x"})
	var made struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}
	answer := ask(s, "POST", "/conversations", `{"from":{"type":"user","id":"`+contact.ID+`"},"body":"x"}`, nil)
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &made))
	require.Equal(t, 404, ask(s, "GET", "/conversations/"+made.ID, "", nil).Code)
	require.Equal(t, 200, ask(s, "GET", "/conversations/"+made.ConversationID, "", nil).Code)
}

// What the simulator writes has no member that the real server's samples lack.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	contact := s.AddContact(Contact{Role: "user", ExternalID: "x"})
	ask(s, "POST", "/conversations", `{"from":{"type":"user","id":"`+contact.ID+`"},"body":"x"}`, nil)
	hook, err := s.Reply(s.Conversations()[0].ID, Dana, "Hello!", Attachment{URL: "https://files.example.com/a"})
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "intercom", "webhook.conversation.admin.replied.attachment.json"))
	require.NoError(t, err)
	var got, want object
	require.NoError(t, json.Unmarshal(hook.Body, &got))
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Subset(t, members("", want), members("", got))
}

// members lists the paths of all members.
func members(at string, v any) []string {
	var list []string
	switch v := v.(type) {
	case object:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(append(list, at+"."+name), members(at+"."+name, v[name])...)
		}
	case []any:
		for _, one := range v {
			list = append(list, members(at+"[]", one)...)
		}
	}
	return list
}
