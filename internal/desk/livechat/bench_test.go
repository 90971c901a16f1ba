package livechat

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"handoff/internal/desk/livechat/simulator"
)

// What the desk adds to the calls of LiveChat that an operation consists of: the time
// that is not spent waiting for the simulator over loopback.
func BenchmarkAdds(b *testing.B) {
	for name, operation := range map[string]func(b *testing.B, d *externalDesk) func() error{
		"send": func(b *testing.B, d *externalDesk) func() error {
			ref := open(b, d, openRequest())
			return func() error { _, err := d.Send(b.Context(), sendRequest(ref, "dlv_2", "Order 1182")); return err }
		},
		"open and close": func(b *testing.B, d *externalDesk) func() error {
			return func() error {
				opened, err := d.Open(b.Context(), openRequest())
				if err != nil {
					return err
				}
				return d.Close(b.Context(), closeRequest(opened.Ref))
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			d := newAccount(b, simulator.Options{}).external(b, nil)
			waiting := &waiting{to: d.http.Transport}
			d.http = &http.Client{Transport: waiting}
			call := operation(b, d)
			waiting.calls, waiting.took = 0, 0
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N)
			b.ReportMetric(float64(waiting.calls)/n, "calls/op")
			b.ReportMetric(float64(waiting.took.Nanoseconds())/n, "waiting-ns/op")
			b.ReportMetric(float64((b.Elapsed()-waiting.took).Nanoseconds())/n, "added-ns/op")
		})
	}
}

// waiting counts the calls and how long their answers, bodies included, took.
type waiting struct {
	to    http.RoundTripper
	calls int
	took  time.Duration
}

func (w *waiting) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	defer func() { w.calls++; w.took += time.Since(begin) }()
	resp, err := w.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// One webhook with an answer.
func BenchmarkReceive(b *testing.B) {
	d := newAccount(b, simulator.Options{}).external(b, nil)
	body := sample(b, "webhook.incoming_event.message.human_agent.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Receive(b.Context(), inbound(body)); err != nil {
			b.Fatal(err)
		}
	}
}
