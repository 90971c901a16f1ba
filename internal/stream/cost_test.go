package stream

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// idle makes n idle subscriptions, each with a context of its own and, for
// Conversations, each of another one. It gives the live heap and the goroutines
// that one of them costs.
func idle(t testing.TB, n int, subscribe func(context.Context, *Hub, int)) (bytes, goroutines float64) {
	h := newHub(t, Options{Log: newFakeLog()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	measure := func() (float64, float64) {
		for range 3 {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc), float64(runtime.NumGoroutine())
	}
	heapBefore, goroutinesBefore := measure()
	for i := range n {
		own, leave := context.WithCancel(ctx)
		defer leave()
		subscribe(own, h, i)
	}
	require.Eventually(t, func() bool { // the goroutines that began them end
		return runtime.NumGoroutine() <= int(goroutinesBefore)+1
	}, 10*time.Second, time.Millisecond)
	heap, goroutinesAfter := measure()
	runtime.KeepAlive(h)
	return (heap - heapBefore) / float64(n), (goroutinesAfter - goroutinesBefore) / float64(n)
}

func idleConversation(t testing.TB) func(context.Context, *Hub, int) {
	return func(ctx context.Context, h *Hub, i int) {
		_, err := SubscribeConversation(ctx, h, fmt.Sprintf("cnv_%028d", i), 0, asIs[Update](nil))
		require.NoError(t, err)
	}
}

func idleConsole(t testing.TB) func(context.Context, *Hub, int) {
	return func(ctx context.Context, h *Hub, _ int) {
		updates, err := SubscribeHandoffs(ctx, h, "agent", asIs[*HandoffUpdate](nil))
		require.NoError(t, err)
		<-updates
	}
}

// Not parallel: it counts what the whole process has.
func TestIdleSubscriptionsAreCheap(t *testing.T) {
	for name, subscribe := range map[string]func(context.Context, *Hub, int){
		"conversation": idleConversation(t), "handoffs": idleConsole(t),
	} {
		bytes, goroutines := idle(t, 2000, subscribe)
		t.Logf("%s: %.0f bytes, %.3f goroutines", name, bytes, goroutines)
		require.Less(t, goroutines, 0.01, name)
		require.Less(t, bytes, 3000.0, name) // the race detector adds to it
	}
}

func BenchmarkIdle(b *testing.B) {
	for name, subscribe := range map[string]func(context.Context, *Hub, int){
		"conversation": idleConversation(b), "handoffs": idleConsole(b),
	} {
		b.Run(name, func(b *testing.B) {
			var bytes, goroutines float64
			for b.Loop() {
				bytes, goroutines = idle(b, 5000, subscribe)
			}
			b.ReportMetric(bytes, "B/subscription")
			b.ReportMetric(goroutines, "goroutines/subscription")
		})
	}
}

// BenchmarkPublish measures from the publisher's call until the last of n readers
// has the event. "bare" is the floor: a loop that sends to the same channels.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 2000} {
		b.Run(fmt.Sprintf("bare/%d", n), func(b *testing.B) {
			f := newFan[Update](n)
			var channels []chan Update
			for range n {
				c := make(chan Update, defaultBuffer)
				channels = append(channels, c)
				f.read(c)
			}
			e := &handoff.Event{}
			for b.Loop() {
				for _, c := range channels {
					c <- Update{Event: e}
				}
				f.wait()
			}
			for _, c := range channels {
				close(c)
			}
		})
		b.Run(fmt.Sprintf("conversation/%d", n), func(b *testing.B) {
			h := newHub(b, Options{Log: newFakeLog()})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			f := newFan[Update](n)
			for range n {
				f.read(subscribe(b, ctx, h, 0, nil))
			}
			settle(b, h, n)
			seq := int64(0)
			for b.Loop() {
				seq++
				h.Committed("agent", "conv", []handoff.Event{{ConversationID: "conv", Seq: seq}})
				f.wait()
			}
		})
		b.Run(fmt.Sprintf("handoffs/%d", n), func(b *testing.B) {
			h := newHub(b, Options{Log: newFakeLog()})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			f := newFan[*HandoffUpdate](n)
			for range n {
				f.read(watch(b, ctx, h, nil))
			}
			f.wait() // everybody has the end of the list
			version := int64(0)
			for b.Loop() {
				version++
				h.HandoffChanged(handoff.Handoff{ID: "a", AgentID: "agent", Version: version})
				f.wait()
			}
		})
	}
}

// BenchmarkHandOver is BenchmarkPublish without the scheduler: the publisher
// itself empties the channels.
func BenchmarkHandOver(b *testing.B) {
	const n = 2000
	b.Run("bare", func(b *testing.B) {
		var channels []chan Update
		for range n {
			channels = append(channels, make(chan Update, defaultBuffer))
		}
		e := &handoff.Event{}
		for b.Loop() {
			for _, c := range channels {
				c <- Update{Event: e}
			}
			for _, c := range channels {
				<-c
			}
		}
	})
	b.Run("conversation", func(b *testing.B) {
		h := newHub(b, Options{Log: newFakeLog()})
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		var channels []<-chan Update
		for range n {
			channels = append(channels, subscribe(b, ctx, h, 0, nil))
		}
		settle(b, h, n)
		seq := int64(0)
		for b.Loop() {
			seq++
			h.Committed("agent", "conv", []handoff.Event{{ConversationID: "conv", Seq: seq}})
			for _, c := range channels {
				<-c
			}
		}
	})
	b.Run("handoffs", func(b *testing.B) {
		h := newHub(b, Options{Log: newFakeLog()})
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		var channels []<-chan *HandoffUpdate
		for range n {
			c := watch(b, ctx, h, nil)
			<-c // the end of the list
			channels = append(channels, c)
		}
		version := int64(0)
		for b.Loop() {
			version++
			h.HandoffChanged(handoff.Handoff{ID: "a", AgentID: "agent", Version: version})
			for _, c := range channels {
				<-c
			}
		}
	})
}

// BenchmarkCommittedUnwatched is what a commit pays when nobody watches.
func BenchmarkCommittedUnwatched(b *testing.B) {
	h := newHub(b, Options{Log: newFakeLog()})
	events := []handoff.Event{{ConversationID: "conv", Seq: 1}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Committed("agent", "conv", events)
		}
	})
}

// BenchmarkSubscribe is a subscription from its beginning to its end.
func BenchmarkSubscribe(b *testing.B) {
	log := newFakeLog()
	log.commit("conv", 10)
	h := newHub(b, Options{Log: log})
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		updates := subscribe(b, ctx, h, 0, nil)
		for range 10 {
			<-updates
		}
		cancel()
		for range updates {
		}
	}
}

// settle waits until n subscribers of "conv" are live.
func settle(b *testing.B, h *Hub, n int) {
	t := h.topics.get("conv")
	require.Eventually(b, func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return len(t.live) == n
	}, 10*time.Second, time.Millisecond)
}

// fan counts the readers that have received.
type fan[U any] struct {
	n        int
	received chan struct{}
}

func newFan[U any](n int) *fan[U] { return &fan[U]{n: n, received: make(chan struct{}, n)} }

func (f *fan[U]) read(c <-chan U) {
	go func() {
		for range c {
			f.received <- struct{}{}
		}
	}()
}

func (f *fan[U]) wait() {
	for range f.n {
		<-f.received
	}
}
