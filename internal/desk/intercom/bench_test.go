package intercom

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
)

// What the desk adds to the calls of Intercom that an operation consists of: each is
// measured beside the same calls made bare, both against the simulator over loopback.
func BenchmarkAdds(b *testing.B) {
	server := simulator.New(simulator.Options{})
	at := httptest.NewServer(server)
	b.Cleanup(at.Close)
	d := connect(b, map[string]string{regionUS: at.URL}, nil)
	opened, err := d.Open(b.Context(), openRequest()) // knows the contact and itself from here on
	require.NoError(b, err)
	quiet, err := d.Open(b.Context(), openRequest())
	require.NoError(b, err)
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"open", func() error { _, err := d.Open(b.Context(), openRequest()); return err }},
		{"send", func() error { _, err := d.Send(b.Context(), sendRequest(opened.Ref, "Order 1182")); return err }},
		{"missed", func() error { _, err := d.Missed(b.Context(), quiet.Ref, now); return err }},
	} {
		before := len(server.Requests())
		require.NoError(b, c.call())
		calls := server.Requests()[before:]
		b.Run(c.name+"/desk", func(b *testing.B) {
			for b.Loop() {
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/bare", func(b *testing.B) {
			for b.Loop() {
				for i := range calls {
					if err := bare(b.Context(), d.http, at.URL, &calls[i]); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// bare makes one call and reads its answer.
func bare(ctx context.Context, client *http.Client, base string, r *simulator.Request) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Authorization": {"Bearer intercom-token"}, "Intercom-Version": {apiVersion}, "Accept": {"application/json"}}
	if r.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
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
