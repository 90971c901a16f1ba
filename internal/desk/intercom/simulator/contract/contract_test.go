package contract

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func request(method, path, body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Intercom-Version", "2.15")
	return r
}

// Every documented sample of a request passes.
func TestSamplesPass(t *testing.T) {
	t.Parallel()
	for prefix, at := range map[string][2]string{
		"api.contacts.create_":         {"POST", "/contacts"},
		"api.contacts.search_":         {"POST", "/contacts/search"},
		"api.contacts.update.":         {"PUT", "/contacts/64aa0b1c2d3e4f5061728394"},
		"api.conversations.create.":    {"POST", "/conversations"},
		"api.conversations.parts.":     {"POST", "/conversations/42/parts"},
		"api.conversations.reply.":     {"POST", "/conversations/42/reply"},
		"api.conversations.search_by_": {"POST", "/conversations/search"},
	} {
		files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "intercom", prefix+"*request.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files, prefix)
		for _, name := range files {
			body, err := os.ReadFile(name)
			require.NoError(t, err)
			require.NoError(t, Check(request(at[0], at[1], string(body))), name)
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*http.Request{
		"no such operation": request("POST", "/conversations/42/shout", `{}`),
		"no such method":    request("DELETE", "/me", ``),
		"admin id a number": request("POST", "/conversations/42/reply", `{"message_type":"note","type":"admin","admin_id":7709999,"body":"x"}`),
		"no body":           request("POST", "/conversations", `{"from":{"type":"user","id":"64aa0b1c2d3e4f5061728394"}}`),
		"id too short":      request("POST", "/conversations", `{"from":{"type":"user","id":"64aa"},"body":"x"}`),
		"no such type":      request("POST", "/conversations/42/parts", `{"message_type":"shut","type":"admin","admin_id":"1"}`),
	} {
		require.Error(t, Check(r), name)
	}
}
