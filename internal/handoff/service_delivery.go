package handoff

import (
	"context"
	"time"
)

// Deliveries lists what is pending, failed or dead, newest first.
func (s *Service) Deliveries(ctx context.Context, f DeliveryFilter, p Page) (List[Delivery], error) {
	return s.store.Deliveries(ctx, f, p)
}

// Delivery reads one.
func (s *Service) Delivery(ctx context.Context, id string) (Delivery, error) {
	return s.store.Delivery(ctx, id)
}

// ReplayDelivery tries a dead delivery again from its first attempt.
func (s *Service) ReplayDelivery(ctx context.Context, id string) (Delivery, error) {
	d, err := s.store.ReplayDelivery(ctx, id, s.now())
	if err != nil {
		return Delivery{}, err
	}
	s.alarm.Deliver(d.Lane)
	return d, nil
}

// maxReplay bounds one call; a larger backlog takes several.
const maxReplay = 1_000

// ReplayConnection tries every dead delivery of a connection again, at most 1,000
// a call, and says how many.
func (s *Service) ReplayConnection(ctx context.Context, connectionID string) (int, error) {
	n, err := s.store.ReplayConnection(ctx, connectionID, s.now(), maxReplay)
	if n > 0 {
		s.alarm.Deliver()
	}
	return n, err
}

// Drain limits: how long a removal waits for the last deliveries to the desk.
const (
	drainTimeout  = 5 * time.Second
	drainInterval = 50 * time.Millisecond
)

// drain waits until nothing that can still be delivered is queued, so that the
// desk hears of the end before its credentials are removed. Best effort.
func (s *Service) drain(ctx context.Context, f DeliveryFilter) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		f.Status = DeliveryPending
		list, err := s.store.Deliveries(ctx, f, Page{First: 1})
		if err != nil || len(list.Items) == 0 {
			return
		}
		timer := time.NewTimer(drainInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
