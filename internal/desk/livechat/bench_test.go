package livechat

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk/livechat/simulator"
)

// One message to the desk and back over loopback; most of it is the simulator.
func BenchmarkSend(b *testing.B) {
	d := newAccount(b, simulator.Options{}).external(b, nil)
	ref := open(b, d, openRequest())
	for b.Loop() {
		if _, err := d.Send(b.Context(), sendRequest(ref, "dlv_2", "Order 1182")); err != nil {
			b.Fatal(err)
		}
	}
}

// One handoff, with the end of the one before.
func BenchmarkOpen(b *testing.B) {
	d := newAccount(b, simulator.Options{}).external(b, nil)
	for b.Loop() {
		opened, err := d.Open(b.Context(), openRequest())
		require.NoError(b, err)
		require.NoError(b, d.Close(b.Context(), closeRequest(opened.Ref)))
	}
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
