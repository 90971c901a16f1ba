package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Limits of what is sent.
const (
	hookTimeout = 5 * time.Second // for the answer; more counts as a failure
	maxQueue    = 10_000          // webhooks that wait
	maxCopies   = 10
	maxReorder  = 100
	maxDelay    = time.Minute
	reorderWait = time.Second // for webhooks that are still missing to be reordered
)

// sending says how webhooks are sent.
type sending struct {
	// Address is the message receiving address; "" = nothing is sent.
	Address string `json:"address"`
	// Copies is how often each is sent, all at once; 0 = once.
	Copies int `json:"copies"`
	// Reorder is how many are held back, to be sent in reverse order; 0 = none. Those that
	// are held go after a second in any case.
	Reorder int `json:"reorder"`
	// DelayMillis is how long each waits before it is sent.
	DelayMillis int `json:"delayMillis"`
	// Lose is how many of the next get lost.
	Lose int `json:"lose"`
	// RetryMillis is the wait before the one repeat of a webhook that was not taken;
	// 0 = a minute, -1 = there is none.
	RetryMillis int `json:"retryMillis"`
}

func (s *sending) validate() error {
	within := func(name string, n, least, most int) error {
		if n < least || n > most {
			return fmt.Errorf("%s must be from %d to %d", name, least, most)
		}
		return nil
	}
	if s.Address != "" {
		if u, err := url.Parse(s.Address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("address must begin with http:// or https://")
		}
	}
	return errors.Join(
		within("copies", s.Copies, 0, maxCopies), within("reorder", s.Reorder, 0, maxReorder),
		within("delayMillis", s.DelayMillis, 0, int(maxDelay/time.Millisecond)), within("lose", s.Lose, 0, maxQueue),
		within("retryMillis", s.RetryMillis, -1, 10*int(maxDelay/time.Millisecond)),
	)
}

// tally counts webhooks.
type tally struct {
	Waiting int    `json:"waiting"` // also for their repeat
	Taken   int    `json:"taken"`   // answered with 2xx
	Refused int    `json:"refused"` // attempts with another answer, or none
	Lost    int    `json:"lost"`    // on purpose, without an address, or given up
	Newest  string `json:"newest"`  // the newest answer
}

// sender brings webhooks to the message receiving address, one after another.
type sender struct {
	client *http.Client

	mu    sync.Mutex
	how   sending
	queue []attempt
	count tally
	woken chan struct{}
}

type attempt struct {
	hook   Webhook
	due    time.Time
	repeat bool
}

func newSender() *sender {
	return &sender{
		woken: make(chan struct{}, 1),
		client: &http.Client{
			Timeout:       hookTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (s *sender) configure(how sending) error {
	if err := how.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.how = how
	s.wake()
	return nil
}

func (s *sender) state() (sending, tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := s.count
	count.Waiting += len(s.queue)
	return s.how, count
}

// add queues webhooks in order.
func (s *sender) add(hooks []Webhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hooks {
		switch {
		case s.how.Lose > 0:
			s.how.Lose--
			s.count.Lost++
		case s.how.Address == "" || len(s.queue) >= maxQueue:
			s.count.Lost++
		default:
			s.queue = append(s.queue, attempt{hook: h, due: time.Now().Add(time.Duration(s.how.DelayMillis) * time.Millisecond)})
		}
	}
	s.wake()
}

// wake needs the lock.
func (s *sender) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// run sends until ctx ends.
func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		batch, how, wait := s.take(time.Now())
		for i := range batch {
			s.send(ctx, how, &batch[i])
		}
		if len(batch) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.woken:
		case <-timer.C:
		}
	}
}

// take gives the webhooks that are to be sent now, in that order, or how long there
// is nothing to do.
func (s *sender) take(now time.Time) (batch []attempt, how sending, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := 0
	next := now.Add(time.Hour)
	for i := range s.queue {
		if !s.queue[i].due.After(now) {
			due++
		} else if s.queue[i].due.Before(next) {
			next = s.queue[i].due
		}
	}
	if oldest := now.Add(-reorderWait); due > 0 && due < s.how.Reorder {
		first := slices.MinFunc(s.queue, func(a, b attempt) int { return a.due.Compare(b.due) }).due
		if first.After(oldest) {
			return nil, s.how, min(first.Sub(oldest), next.Sub(now)) + time.Millisecond
		}
	}
	if due == 0 {
		return nil, s.how, next.Sub(now) + time.Millisecond
	}
	var rest []attempt
	for _, a := range s.queue {
		switch {
		case a.due.After(now), s.how.Reorder == 0 && len(batch) > 0:
			rest = append(rest, a)
		default:
			batch = append(batch, a)
		}
	}
	if s.how.Reorder > 0 {
		slices.Reverse(batch)
	}
	s.queue = rest
	s.count.Waiting += len(batch)
	return batch, s.how, 0
}

// send posts one webhook, all its copies at once, and plans its repeat.
func (s *sender) send(ctx context.Context, how sending, a *attempt) {
	answers := make([]string, max(how.Copies, 1))
	taken := make([]bool, len(answers))
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i], taken[i] = s.post(ctx, how.Address, &a.hook) })
	}
	group.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Waiting--
	s.count.Newest = a.hook.Topic + ": " + answers[len(answers)-1]
	for _, ok := range taken {
		if ok {
			s.count.Taken++
		} else {
			s.count.Refused++
		}
	}
	switch {
	case slices.Contains(taken, true):
	case a.repeat || how.RetryMillis < 0 || len(s.queue) >= maxQueue:
		s.count.Lost++
	default:
		wait := time.Minute
		if how.RetryMillis > 0 {
			wait = time.Duration(how.RetryMillis) * time.Millisecond
		}
		s.queue = append(s.queue, attempt{hook: a.hook, due: time.Now().Add(wait), repeat: true})
	}
}

// post makes one request and tells the answer.
func (s *sender) post(ctx context.Context, address string, h *Webhook) (answer string, taken bool) {
	if h.Path != "" {
		address += "/" + h.Path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(h.Body))
	if err != nil {
		return "the address cannot be used", false
	}
	req.Header = h.Header.Clone()
	resp, err := s.client.Do(req)
	if err != nil {
		return "no answer", false
	}
	_ = resp.Body.Close()
	return resp.Status, resp.StatusCode/100 == 2
}
