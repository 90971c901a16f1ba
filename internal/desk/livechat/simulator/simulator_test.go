package simulator

import (
	"context"
	"encoding/base64"
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

func ask(s *Simulator, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const (
	org      = "?organization_id=7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d"
	grant    = `{"grant_type":"cookie","client_id":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","organization_id":"7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d","response_type":"token","redirect_uri":"https://handoff.example.com/"}`
	customer = "/v3.6/customer/action/"
	agent    = "/v3.6/agent/action/"
)

// login gives the headers of a new customer.
func login(t *testing.T, s *Simulator) http.Header {
	t.Helper()
	w := ask(s, "POST", "/v2/customer/token", grant, http.Header{"Content-Type": {"application/json"}})
	require.Equal(t, 200, w.Code)
	var got struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + got.AccessToken}}
}

func TestStrict(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	h := login(t, s)
	pat := http.Header{
		"Content-Type":  {"application/json"},
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a:livechat-token"))},
	}
	long := strings.Repeat("x", maxText+1)
	for name, c := range map[string]struct {
		path, body string
		header     http.Header
		status     int
		says       string
	}{
		"fine":              {customer + "list_chats" + org, `{"limit":1}`, h, 200, ""},
		"no organization":   {customer + "list_chats", `{}`, h, 400, "validation"},
		"no token":          {customer + "list_chats" + org, `{}`, http.Header{"Content-Type": {"application/json"}}, 401, "authentication"},
		"agent's token":     {customer + "list_chats" + org, `{}`, pat, 401, "authentication"},
		"customer's token":  {agent + "get_chat", `{}`, h, 401, "authentication"},
		"no JSON":           {customer + "list_chats" + org, `{}`, http.Header{"Authorization": h["Authorization"]}, 400, "validation"},
		"empty body":        {customer + "list_chats" + org, ``, h, 400, "validation"},
		"unknown member":    {customer + "list_chats" + org, `{"limits":1}`, h, 400, "validation"},
		"limit":             {customer + "list_chats" + org, `{"limit":26}`, h, 400, "validation"},
		"unknown action":    {customer + "list_everything" + org, `{}`, h, 404, "not_found"},
		"closing of agents": {agent + "close_chat", `{}`, pat, 404, "not_found"},
		"old version":       {"/v3.5/customer/action/list_chats" + org, `{}`, h, 404, "unsupported_version"},
		"nothing to update": {customer + "update_customer" + org, `{}`, h, 400, "validation"},
		"text too long":     {customer + "start_chat" + org, `{"active":true,"chat":{"thread":{"events":[{"type":"message","text":"` + long + `"}]}}}`, h, 400, "validation"},
		"visibility":        {customer + "start_chat" + org, `{"active":true,"chat":{"thread":{"events":[{"type":"message","text":"x","visibility":"agents"}]}}}`, h, 400, "validation"},
		"foreign file":      {customer + "start_chat" + org, `{"active":true,"chat":{"thread":{"events":[{"type":"file","url":"https://x/y"}]}}}`, h, 400, "validation"},
		"unknown group":     {customer + "start_chat" + org, `{"active":true,"chat":{"access":{"group_ids":[77]}}}`, h, 400, "group_not_found"},
		"foreign chat":      {customer + "get_chat" + org, `{"chat_id":"TA1"}`, h, 403, "missing_access"},
		"nothing to resume": {customer + "resume_chat" + org, `{"chat":{"id":"TA1"},"active":true}`, h, 403, "missing_access"},
		"no such chat":      {agent + "get_chat", `{"chat_id":"TA1"}`, pat, 404, "not_found"},
		"no form":           {customer + "upload_file" + org, `{}`, h, 400, "validation"},
		"other client":      {"/v2/customer/token", strings.Replace(grant, "0f1e", "0000", 1), h, 401, "client_id_not_found"},
		"other redirect":    {"/v2/customer/token", strings.Replace(grant, "handoff.", "other.", 1), h, 401, "invalid_redirect_uri"},
		"other grant":       {"/v2/customer/token", strings.Replace(grant, "cookie", "agent_token", 1), h, 401, "invalid_request"},
	} {
		w := ask(s, "POST", c.path, c.body, c.header)
		require.Equal(t, c.status, w.Code, name)
		require.Contains(t, w.Body.String(), c.says, name)
	}
	s.SetOffline(true)
	w := ask(s, "POST", customer+"start_chat"+org, `{"active":true,"chat":{}}`, h)
	require.Contains(t, w.Body.String(), "groups_offline", "without continuous")
	require.Empty(t, s.Chats())
}

// One chat for each customer: started once, then resumed, and only when it is not active.
func TestOneChat(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	h := login(t, s)
	start := `{"active":true,"continuous":true,"chat":{"thread":{"events":[{"type":"message","text":"x"}]}}}`
	require.Equal(t, 200, ask(s, "POST", customer+"start_chat"+org, start, h).Code)
	require.Equal(t, 400, ask(s, "POST", customer+"start_chat"+org, start, h).Code)
	id := s.Chats()[0].ID
	resume := strings.Replace(start, `"chat":{`, `"chat":{"id":"`+id+`",`, 1)
	require.Equal(t, 400, ask(s, "POST", customer+"resume_chat"+org, resume, h).Code)
	require.Equal(t, 200, ask(s, "POST", customer+"deactivate_chat"+org, `{"id":"`+id+`"}`, h).Code)
	require.Contains(t, ask(s, "POST", customer+"send_event"+org, `{"chat_id":"`+id+`","event":{"type":"message","text":"x"}}`, h).Body.String(), "chat_inactive")
	require.Equal(t, 200, ask(s, "POST", customer+"resume_chat"+org, resume, h).Code)
	require.Len(t, s.Chats()[0].Threads, 2)
	other := login(t, s)
	require.Equal(t, 403, ask(s, "POST", customer+"get_chat"+org, `{"chat_id":"`+id+`"}`, other).Code)
}

// What the simulator writes has no member that the real servers' samples lack.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	h := login(t, s)
	ask(s, "POST", customer+"update_customer"+org, `{"name":"Robin","email":"robin@example.com","session_fields":[{"channel":"line"}]}`, h)
	ask(s, "POST", customer+"start_chat"+org, `{"active":true,"continuous":true,"chat":{"thread":{"events":[{"type":"message","text":"x","custom_id":"c"}]}}}`, h)
	chat := s.Chats()[0].ID
	begun := s.Notifications()[0]
	joined, err := s.Join(chat, Dana)
	require.NoError(t, err)
	answered, err := s.Answer(chat, Dana, "Hello!")
	require.NoError(t, err)
	read := ask(s, "POST", customer+"get_chat"+org, `{"chat_id":"`+chat+`"}`, h).Body.Bytes()
	file, err := s.SendFile(chat, Dana, File{Name: "a.png", URL: "https://cdn.example.com/a.png", ContentType: "image/png"})
	require.NoError(t, err)
	seen, err := s.Seen(chat, Dana)
	require.NoError(t, err)
	listed := ask(s, "POST", customer+"list_chats"+org, `{}`, h).Body.Bytes()
	moved, err := s.Transfer(chat, Lee)
	require.NoError(t, err)
	queued, err := s.Queue(chat)
	require.NoError(t, err)
	closed, err := s.Close(chat, Dana)
	require.NoError(t, err)
	for name, body := range map[string][]byte{
		"webhook.incoming_chat.json":                      begun.Body,
		"webhook.user_added_to_chat.agent.json":           joined.Body,
		"webhook.incoming_event.message.human_agent.json": answered.Body,
		"webhook.incoming_event.file.human_agent.json":    file.Body,
		"webhook.events_marked_as_seen.json":              seen.Body,
		"webhook.chat_transferred.to_agent.json":          moved.Body,
		"webhook.chat_transferred.queued.json":            queued.Body,
		"webhook.chat_deactivated.by_agent.json":          closed.Body,
		"appwebhook.application_installed.json":           s.Installed().Body,
		"api.customer.get_chat.response.json":             read,
		"api.customer.list_chats.response_inactive.json":  listed,
	} {
		raw, err := os.ReadFile(filepath.Join("..", "testdata", name))
		require.NoError(t, err)
		var got, want any
		require.NoError(t, json.Unmarshal(body, &got), name)
		require.NoError(t, json.Unmarshal(raw, &want), name)
		for _, m := range members("", got) {
			if strings.HasPrefix(m, ".additional_data.") && !slices.Contains(members("", want), ".additional_data.chat_properties") {
				continue // some samples were made without
			}
			require.Contains(t, append(members("", want), ".properties.source", ".properties.source.client_id", ".properties.source.customer_client_id"), m, name)
		}
	}
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
