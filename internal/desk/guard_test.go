package desk

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// watched records what a guard reports and observes.
type watched struct {
	mu       sync.Mutex
	reports  []fault.Kind // "" = success
	observed []string
}

func (w *watched) watch() Watch {
	return Watch{
		Report: func(_ context.Context, connectionID string, failed *fault.Fault) {
			w.mu.Lock()
			defer w.mu.Unlock()
			kind := fault.Kind("")
			if failed != nil {
				kind = failed.Kind
			}
			if connectionID != "con_1" {
				kind = "WRONG CONNECTION"
			}
			w.reports = append(w.reports, kind)
		},
		Observe: func(kind, operation, result string, _ time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.observed = append(w.observed, kind+" "+operation+" "+result)
		},
	}
}

func (w *watched) take() []fault.Kind {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.reports
	w.reports = nil
	return list
}

func failing(kind fault.Kind) func() error {
	return func() error { return fault.New(kind, "no") }
}

func TestGuardRestsAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, w := &stub{err: failing(fault.DeskUnavailable)}, &watched{}
		d := Guard(s, "stub", "con_1", time.Now, w.watch())
		ctx := t.Context()

		for range TripAfter - 1 {
			_, err := d.Send(ctx, SendRequest{})
			require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
		}
		require.Empty(t, w.take(), "a few failures are not the desk's state")
		_, err := d.Open(ctx, OpenRequest{})
		require.Error(t, err)
		require.Equal(t, []fault.Kind{fault.DeskUnavailable}, w.take())
		require.EqualValues(t, TripAfter, s.calls.Load())

		// It rests: nobody calls, and the wait that is left is told.
		time.Sleep(5 * time.Second)
		_, err = d.Open(ctx, OpenRequest{})
		f := fault.As(err)
		require.Equal(t, fault.DeskUnavailable, f.Kind)
		require.Equal(t, fault.NotSent, f.Sent)
		require.Equal(t, RestTime-5*time.Second, f.After)
		_, err = d.Send(ctx, SendRequest{})
		require.Error(t, err)
		require.Error(t, d.Close(ctx, CloseRequest{}))
		require.EqualValues(t, TripAfter, s.calls.Load())
		require.Empty(t, w.take())

		// One may try after the rest; it fails, so the rest begins again.
		time.Sleep(RestTime - 5*time.Second + time.Millisecond)
		require.Error(t, d.Close(ctx, CloseRequest{}))
		require.EqualValues(t, TripAfter+1, s.calls.Load())
		require.Equal(t, []fault.Kind{fault.DeskUnavailable}, w.take())
		_, err = d.Send(ctx, SendRequest{})
		require.Equal(t, RestTime, fault.As(err).After)

		// It is back.
		s.err = nil
		time.Sleep(RestTime + time.Millisecond)
		opened, err := d.Open(ctx, OpenRequest{})
		require.NoError(t, err)
		require.Equal(t, "ref", opened.Ref)
		sent, err := d.Send(ctx, SendRequest{})
		require.NoError(t, err)
		require.Equal(t, "id", sent.ID)
		require.Equal(t, []fault.Kind{"", ""}, w.take())
		require.Equal(t, []string{
			"stub send DESK_UNAVAILABLE", "stub send DESK_UNAVAILABLE", "stub send DESK_UNAVAILABLE", "stub send DESK_UNAVAILABLE",
			"stub open DESK_UNAVAILABLE", "stub open RESTING", "stub send RESTING", "stub close RESTING",
			"stub close DESK_UNAVAILABLE", "stub send RESTING", "stub open ok", "stub send ok",
		}, w.observed)
	})
}

func TestGuardLetsOneTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, w := &stub{err: failing(fault.DeskUnavailable)}, &watched{}
		d := Guard(s, "stub", "con_1", time.Now, w.watch())
		for range TripAfter {
			_, _ = d.Send(t.Context(), SendRequest{})
		}
		time.Sleep(RestTime + time.Millisecond)
		answer := make(chan error)
		s.err = func() error { return <-answer }
		done := make(chan error)
		go func() {
			_, err := d.Send(t.Context(), SendRequest{})
			done <- err
		}()
		synctest.Wait()
		_, err := d.Send(t.Context(), SendRequest{})
		require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
		require.Equal(t, fault.NotSent, fault.As(err).Sent)
		require.Equal(t, time.Second, fault.As(err).After)

		// The one that tries is cancelled: that says nothing, and another may try.
		answer <- fault.New(fault.Canceled, "gone")
		require.Error(t, <-done)
		s.err = nil
		_, err = d.Send(t.Context(), SendRequest{})
		require.NoError(t, err)
	})
}

func TestGuardCounts(t *testing.T) {
	t.Parallel()
	trips := map[fault.Kind]bool{fault.DeskUnavailable: true, fault.DeskUnauthorized: true}
	resets := map[fault.Kind]bool{"": true, fault.DeskRejected: true, fault.DeskGone: true}
	for _, kind := range append([]fault.Kind{""}, fault.Kinds...) {
		t.Run("kind "+string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, w := &stub{}, &watched{}
				d := Guard(s, "stub", "con_1", time.Now, w.watch())
				call := func(kind fault.Kind, times int) {
					s.err = nil
					if kind != "" {
						s.err = failing(kind)
					}
					for range times {
						_, _ = d.Send(t.Context(), SendRequest{})
					}
				}
				call(kind, 3*TripAfter)
				if trips[kind] {
					require.EqualValues(t, TripAfter, s.calls.Load())
					return
				}
				require.EqualValues(t, 3*TripAfter, s.calls.Load())
				reports := w.take()
				if kind == "" {
					require.Len(t, reports, 3*TripAfter)
				} else {
					require.Empty(t, reports)
				}
				// Does it interrupt a row of failures?
				call(fault.DeskUnavailable, TripAfter-1)
				call(kind, 1)
				before := s.calls.Load()
				call(fault.DeskUnavailable, 2)
				want := int32(1)
				if resets[kind] {
					want = 2
				}
				require.Equal(t, want, s.calls.Load()-before)
			})
		})
	}
}

func TestGuardReportsRefusedCredentialsAtOnce(t *testing.T) {
	t.Parallel()
	w := &watched{}
	d := Guard(&stub{err: failing(fault.DeskUnauthorized)}, "stub", "con_1", time.Now, w.watch())
	require.Error(t, d.Close(t.Context(), CloseRequest{}))
	require.Equal(t, []fault.Kind{fault.DeskUnauthorized}, w.take())
}

func TestGuardVerifyIsNeverHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, w := &stub{err: failing(fault.DeskUnavailable)}, &watched{}
		d := Guard(s, "stub", "con_1", time.Now, w.watch())
		for range TripAfter {
			_, _ = d.Send(t.Context(), SendRequest{})
		}
		require.Error(t, d.Verify(t.Context()))
		require.EqualValues(t, TripAfter+1, s.calls.Load())
		_, err := d.Send(t.Context(), SendRequest{})
		require.Error(t, err)
		require.EqualValues(t, TripAfter+1, s.calls.Load(), "still resting")
		w.take()

		s.err = nil
		require.NoError(t, d.Verify(t.Context()))
		_, err = d.Send(t.Context(), SendRequest{})
		require.NoError(t, err, "the rest is over")
		require.Equal(t, []fault.Kind{""}, w.take(), "whoever verifies has the answer already")
	})
}

// rememberer is a desk that can be asked what was missed.
type rememberer struct{ stub }

func (r *rememberer) Missed(context.Context, string, time.Time) ([]handoff.DeskEvent, error) {
	if r.calls.Add(1); r.err != nil {
		return nil, r.err()
	}
	return []handoff.DeskEvent{{ID: "missed"}}, nil
}

func TestMissedGoesThroughTheGuard(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(Desk) Desk{
		"the guard":                    func(d Desk) Desk { return d },
		"something that has the guard": func(d Desk) Desk { return struct{ *guard }{d.(*guard)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, w := &rememberer{}, &watched{}
				r.err = failing(fault.DeskUnavailable)
				d := wrap(Guard(r, "stub", "con_1", time.Now, w.watch()))
				for range TripAfter {
					_, err := Missed(t.Context(), d, "s", time.Now())
					require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
				}
				require.Equal(t, []fault.Kind{fault.DeskUnavailable}, w.take())
				_, err := Missed(t.Context(), d, "s", time.Now())
				require.Error(t, err)
				require.EqualValues(t, TripAfter, r.calls.Load(), "it rests")
				r.err = nil
				time.Sleep(RestTime + time.Millisecond)
				events, err := Missed(t.Context(), d, "s", time.Now())
				require.NoError(t, err)
				require.Equal(t, "missed", events[0].ID)
				require.Contains(t, w.observed, "stub missed ok")
			})
		})
	}
}

func TestMissedOfADeskThatCannotTell(t *testing.T) {
	t.Parallel()
	_, err := Missed(t.Context(), Guard(&stub{}, "stub", "con_1", time.Now, Watch{}), "s", time.Now())
	require.Equal(t, fault.Unsupported, fault.KindOf(err))
	events, err := Missed(t.Context(), &rememberer{}, "s", time.Now())
	require.NoError(t, err, "also without a guard")
	require.Len(t, events, 1)
}

func TestGuardPassesReceiveThrough(t *testing.T) {
	t.Parallel()
	s, w := &stub{}, &watched{}
	d := Guard(s, "stub", "con_1", time.Now, w.watch())
	events, err := d.Receive(t.Context(), Inbound{})
	require.NoError(t, err)
	require.Equal(t, "event", events[0].ID)
	s.err = failing(fault.Unauthenticated)
	_, err = d.Receive(t.Context(), Inbound{})
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
	require.Equal(t, []string{"stub receive ok", "stub receive UNAUTHENTICATED"}, w.observed)
	require.Empty(t, w.take())
}

func TestGuardWithoutWatch(t *testing.T) {
	t.Parallel()
	d := Guard(&stub{err: func() error { return errors.New("not a fault") }}, "stub", "con_1", time.Now, Watch{})
	require.NotPanics(t, func() { _, _ = d.Open(t.Context(), OpenRequest{}) })
}

func TestAs(t *testing.T) {
	t.Parallel()
	inner := &typist{}
	d := Guard(Guard(inner, "", "", time.Now, Watch{}), "", "", time.Now, Watch{})
	found, ok := As[TypingSender](d)
	require.True(t, ok)
	require.Same(t, inner, found)
	_, ok = As[ReadSender](d)
	require.False(t, ok)
	_, ok = As[TypingSender](nil)
	require.False(t, ok)
}
