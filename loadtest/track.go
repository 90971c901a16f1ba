package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// track is one direction of one conversation: what is posted at one end must come
// out at the other once and in order. The messages carry their numbers.
type track struct {
	// name is for errors.
	name string
	// send brings a text to the server, and returns when the server has answered.
	send func(ctx context.Context, text string) error

	mu       sync.Mutex
	meter    *meter
	posted   int64       // number of the newest message that was sent
	waiting  []time.Time // when each of those that have not arrived was due to be sent
	backlog  int         // how many of waiting are not sent yet
	draining bool        // somebody is sending
	arrived  int64       // number of the newest message that arrived
}

// Marks of messages, so that a reader of frames need not parse them. A text is the
// mark, the number, and words up to a usual length.
const (
	toUser = '#'
	toDesk = '@'
)

// filling makes a text 200 characters long: frames then have 200 to 400 bytes.
var filling = strings.Repeat(" Thank you for waiting, I am looking at it.", 5)

const textLength = 200

func numbered(mark rune, number int64) string {
	return (string(mark) + strconv.FormatInt(number, 10) + filling)[:textLength]
}

// measured begins a measurement.
func (t *track) measured(m *meter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter = m
}

// post queues a message behind those that are not answered yet, without waiting:
// only what is sent after an answer is certain to be in order.
func (t *track) post(ctx context.Context, mark rune) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, time.Now())
	t.backlog++
	if !t.draining {
		t.draining = true
		go t.drain(ctx, mark)
	}
}

func (t *track) drain(ctx context.Context, mark rune) {
	for {
		t.mu.Lock()
		if t.backlog == 0 {
			t.draining = false
			t.mu.Unlock()
			return
		}
		t.backlog--
		t.posted++
		number, meter := t.posted, t.meter
		t.mu.Unlock()
		if err := t.send(ctx, numbered(mark, number)); err != nil {
			meter.fail(fmt.Errorf("%s: message %d: %w", t.name, number, err))
			return
		}
	}
}

// postNow sends a message and waits for the answer.
func (t *track) postNow(ctx context.Context, mark rune) error {
	t.mu.Lock()
	t.waiting = append(t.waiting, time.Now())
	t.posted++
	number := t.posted
	t.mu.Unlock()
	if err := t.send(ctx, numbered(mark, number)); err != nil {
		return fmt.Errorf("%s: message %d: %w", t.name, number, err)
	}
	return nil
}

// arrive notes that the message of a number has come out at the other end.
func (t *track) arrive(number int64) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case number <= t.arrived:
		t.meter.fail(fmt.Errorf("%s: message %d arrived twice, or out of order: the newest before was %d", t.name, number, t.arrived))
	case number > t.arrived+1:
		t.meter.fail(fmt.Errorf("%s: message %d arrived after message %d", t.name, number, t.arrived))
	case len(t.waiting) == 0:
		t.meter.fail(fmt.Errorf("%s: message %d arrived, but was never sent", t.name, number))
	default:
		t.arrived = number
		took := now.Sub(t.waiting[0])
		t.waiting = t.waiting[1:]
		t.meter.note(now, took)
	}
}

// broken notes that nothing more can arrive, if anything is awaited.
func (t *track) broken(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.meter != nil && len(t.waiting) > 0 {
		t.meter.fail(err)
	}
}

// numberAfter reads the number of the message whose text begins with the mark, in
// a JSON document; false = there is none.
func numberAfter(document []byte, mark rune) (int64, bool) {
	return digitsAfter(document, `"`+string(mark))
}

func digitsAfter(document []byte, prefix string) (int64, bool) {
	at := bytes.Index(document, []byte(prefix))
	if at < 0 {
		return 0, false
	}
	var n int64
	digits := 0
	for _, c := range document[at+len(prefix):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
		digits++
	}
	return n, digits > 0
}

// meter collects one measurement over many tracks.
type meter struct {
	mu        sync.Mutex
	latencies []time.Duration
	last      time.Time // of the newest arrival
	expected  int       // -1 = still sending
	err       error     // the first failure
	done      chan struct{}
}

func newMeter() *meter { return &meter{expected: -1, done: make(chan struct{})} }

func (m *meter) note(at time.Time, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latencies = append(m.latencies, took)
	m.last = at
	m.settle()
}

func (m *meter) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
	m.settle()
}

// settle ends the measurement when there is nothing left to wait for. The mutex is held.
func (m *meter) settle() {
	if m.err == nil && len(m.latencies) != m.expected {
		return
	}
	select {
	case <-m.done:
	default:
		close(m.done)
	}
}

// failed reports whether it makes sense to go on.
func (m *meter) failed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err != nil
}

// arrivalTimeout is how long the last messages of a measurement may take.
const arrivalTimeout = 20 * time.Second

// wait waits until as many messages as were sent have arrived.
func (m *meter) wait(ctx context.Context, sent int) error {
	m.mu.Lock()
	m.expected = sent
	m.settle()
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	select {
	case <-m.done:
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && len(m.latencies) < sent {
		return fmt.Errorf("%d of %d messages did not arrive: %w", sent-len(m.latencies), sent, ctx.Err())
	}
	return m.err
}

// percentile gives the latency that so many hundredths of the messages kept, in
// milliseconds. It sorts the latencies.
func percentile(latencies []time.Duration, hundredths int) float64 {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	index := (len(latencies)*hundredths+99)/100 - 1
	return float64(latencies[max(index, 0)]) / float64(time.Millisecond)
}
