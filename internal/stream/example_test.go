package stream_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"handoff/internal/handoff"
	"handoff/internal/stream"
)

// A chat shows the texts of a Conversation. It keeps the number of the last one,
// and subscribes after it when the stream ends early.
func ExampleSubscribeConversation() {
	log := &memory{}
	log.commit("one")
	log.commit("two")
	log.commit("three")
	hub := stream.New(stream.Options{Log: log, Now: time.Now, PollInterval: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	texts, err := stream.SubscribeConversation(ctx, hub, "cnv_1", 1, stream.Output[stream.Update, string]{
		Convert: func(u stream.Update) (string, bool) {
			if u.Event == nil {
				return "", false // a signal
			}
			return fmt.Sprint(u.Event.Seq, " ", u.Event.Text), true
		},
		Ended: func(reason error) { fmt.Println("ended:", reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-texts)
	fmt.Println(<-texts)
	hub.Committed("agt_1", "cnv_1", log.commit("live"))
	fmt.Println(<-texts)

	if err := hub.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	_, open := <-texts
	fmt.Println("open:", open)
	// Output:
	// 2 two
	// 3 three
	// 4 live
	// ended: RESYNC: the stream ended early: subscribe again after what was received last
	// open: false
}

// memory is the log of one Conversation.
type memory struct {
	stream.LogReader
	mu     sync.Mutex
	events []handoff.Event
}

func (m *memory) commit(text string) []handoff.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, handoff.Event{Seq: int64(len(m.events) + 1), Text: text})
	return m.events[len(m.events)-1:]
}

func (m *memory) Events(_ context.Context, _ string, after int64, limit int) ([]handoff.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := min(int(after), len(m.events))
	return m.events[from:min(from+limit, len(m.events))], nil
}
