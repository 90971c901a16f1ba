package intercom

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
)

// One message to the desk and back over loopback; most of it is the simulator.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(simulator.New(simulator.Options{}))
	b.Cleanup(server.Close)
	d := connect(b, map[string]string{regionUS: server.URL}, nil)
	opened, err := d.Open(b.Context(), openRequest())
	require.NoError(b, err)
	for b.Loop() {
		if _, err := d.Send(b.Context(), sendRequest(opened.Ref, "Order 1182")); err != nil {
			b.Fatal(err)
		}
	}
}

// One signed webhook with an HTML answer.
func BenchmarkReceive(b *testing.B) {
	d := signedDesk(b)
	body := []byte(sample(b, "webhook.conversation.admin.replied.html.json"))
	d.knows(b, string(body))
	header := simulator.New(simulator.Options{ClientSecret: secret}).Sign(body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Receive(b.Context(), desk.Inbound{Header: header, Body: body, ReceivedAt: now}); err != nil {
			b.Fatal(err)
		}
	}
}

// A body of 100 kB.
func BenchmarkClean(b *testing.B) {
	body := strings.Repeat("<p>Hi <b>there</b>, see <a href=\"https://example.com\">this</a><br>&amp; that</p>", 1_250)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		clean(body, nil)
	}
}
