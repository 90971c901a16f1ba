package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
)

// BenchmarkSend is one message through the guarded desk; BenchmarkFloor is the
// same bytes posted with a bare client to the same server. Their ratio is what
// the contract, the address check and the guard cost.
func BenchmarkSend(b *testing.B) {
	server := benchServer(b)
	inner, err := Driver{}.Connect(settings(map[string]string{fieldURL: server.URL, fieldUsername: "u", fieldPassword: "p"}))
	require.NoError(b, err)
	d := desk.Guard(inner, Kind, "con_1", time.Now, desk.Watch{})
	r := desk.SendRequest{Ref: "68e778000fa31d1ef64f5301", Attempt: desk.Attempt{At: now}, Text: desk.Text{Body: "Is the blue one in stock?"}}
	for b.Loop() {
		if _, err := d.Send(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloor(b *testing.B) {
	server := benchServer(b)
	body := []byte(`{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000006000,"body":"Is the blue one in stock?"}`)
	client := server.Client()
	for b.Loop() {
		resp, err := client.Post(server.URL+pathChat, "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

func benchServer(b *testing.B) *httptest.Server {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"code":200,"message":"success"}`)
	}))
	b.Cleanup(server.Close)
	return server
}
