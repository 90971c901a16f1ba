package main

import (
	"context"
	"sync"
	"time"
)

// steady posts at a pace, whatever the answers take, to one track after the other.
// It returns once everything has arrived.
func steady(ctx context.Context, tracks []*track, mark rune, p pace) (*meter, error) {
	m := newMeter()
	for _, t := range tracks {
		t.measured(m)
	}
	var (
		start    = time.Now()
		interval = time.Duration(float64(time.Second) / p.perSecond)
		timer    = time.NewTimer(0)
		sent     = 0
	)
	defer timer.Stop()
	for due := start; due.Sub(start) < p.during; due = due.Add(interval) {
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if m.failed() {
			break
		}
		// A stride that shares no factor with the number of tracks visits all of them in
		// an order that no cache likes.
		tracks[sent*stride%len(tracks)].post(ctx, mark)
		sent++
	}
	return m, m.wait(ctx, sent)
}

const stride = 7919 // a prime

// saturated lets every track post its next message as soon as the one before was
// answered, and gives how many messages arrived per second.
func saturated(ctx context.Context, tracks []*track, mark rune, during time.Duration) (perSecond float64, messages int, err error) {
	m := newMeter()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		sent  = 0
		start = time.Now()
	)
	for _, t := range tracks {
		t.measured(m)
		group.Go(func() {
			n := 0
			for time.Since(start) < during && !m.failed() {
				if err := t.postNow(ctx, mark); err != nil {
					m.fail(err)
					break
				}
				n++
			}
			mu.Lock()
			defer mu.Unlock()
			sent += n
		})
	}
	group.Wait()
	if err := m.wait(ctx, sent); err != nil {
		return 0, 0, err
	}
	return float64(sent) / m.last.Sub(start).Seconds(), sent, nil
}

// forEach runs fn for every index below n, so many at a time, and gives the first error.
func forEach(ctx context.Context, n, atOnce int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			if err := fn(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
