package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestReplayThenLive(t *testing.T) {
	t.Parallel()
	for _, after := range []int64{0, 1, 199, 200} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			log := newFakeLog()
			log.commit("conv", 200)
			h := newHub(t, Options{Log: log})
			updates := subscribe(t, t.Context(), h, after, nil)
			wantSeqs(t, updates, after+1, 200)
			h.Committed("agent", "conv", log.commit("conv", 2))
			h.Committed("agent", "conv", log.commit("conv", 1))
			h.Committed("agent", "other", log.commit("other", 1))
			wantSeqs(t, updates, 201, 203)
			wantNothing(t, updates)
		})
	}
}

func TestLiveEventsAreNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		updates := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		before := log.count("Events")
		for seq := int64(1); seq <= 100; seq++ {
			h.Committed("agent", "conv", log.commit("conv", 1))
			require.Len(t, updates, 1, "delivered by the committer, with no goroutine between")
			wantSeqs(t, updates, seq, seq)
		}
		require.Equal(t, before, log.count("Events"))
	})
}

func TestAfterIsChecked(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	log.commit("conv", 3)
	h := newHub(t, Options{Log: log})
	for _, after := range []int64{-1, 4, 1 << 62} {
		_, err := SubscribeConversation(t.Context(), h, "conv", after, asIs[Update](nil))
		f := fault.As(err)
		require.Equal(t, fault.InvalidInput, f.Kind)
		require.Equal(t, "after", f.Field)
		require.Contains(t, f.Public, fmt.Sprint(after))
	}
	require.Empty(t, h.topics.keys(nil))
}

// What is committed while the first read is under way, seen by it or not, comes
// exactly once.
func TestCommitDuringFirstRead(t *testing.T) {
	t.Parallel()
	for _, hinted := range []bool{true, false} {
		for _, seen := range []bool{true, false} {
			t.Run(fmt.Sprintf("hinted=%v seen=%v", hinted, seen), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					log := newFakeLog()
					log.commit("conv", 5)
					h := newHub(t, Options{Log: log, PollInterval: time.Minute})
					commit := func() {
						events := log.commit("conv", 3)
						if hinted {
							h.Committed("agent", "conv", events)
						}
					}
					log.troubled(func(ctx context.Context, call string) error {
						if call == "Events" && log.count(call) == 1 && seen {
							commit()
						}
						return nil
					})
					updates := subscribe(t, t.Context(), h, 2, nil)
					if !seen {
						commit()
					}
					wantSeqs(t, updates, 3, 8)
					h.Committed("agent", "conv", log.commit("conv", 1))
					wantSeqs(t, updates, 9, 9)
					synctest.Wait()
					wantNothing(t, updates)
				})
			})
		}
	}
}

func TestHintsInAnyOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		updates := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		a, b, c := log.commit("conv", 1), log.commit("conv", 1), log.commit("conv", 2)
		for _, events := range [][]handoff.Event{c, b, a, b, c, a} {
			h.Committed("agent", "conv", events)
		}
		h.Committed("agent", "conv", nil)
		wantSeqs(t, updates, 1, 4)
		synctest.Wait()
		wantNothing(t, updates)
	})
}

func TestGapIsReadOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		var gaps atomic.Int64
		h := newHub(t, Options{Log: log, Metrics: Metrics{Replayed: func(c Cause) {
			if c == CauseGap {
				gaps.Add(1)
			}
		}}})
		var readers []<-chan Update
		for range 100 {
			readers = append(readers, subscribe(t, t.Context(), h, 0, nil))
		}
		synctest.Wait()
		before := log.count("Events")
		log.commit("conv", 1) // this hint is lost
		h.Committed("agent", "conv", log.commit("conv", 1))
		for _, updates := range readers {
			wantSeqs(t, updates, 1, 2)
		}
		require.Equal(t, before+1, log.count("Events"))
		require.EqualValues(t, 1, gaps.Load())
	})
}

func TestLostHintIsFoundByPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, PollInterval: time.Second})
		updates := subscribe(t, t.Context(), h, 0, nil)
		for i := range 1200 { // more than one batch
			_, err := SubscribeConversation(t.Context(), h, fmt.Sprint("idle", i), 0, asIs[Update](nil))
			require.NoError(t, err)
		}
		synctest.Wait()
		log.commit("conv", 2)
		start := time.Now()
		wantSeqs(t, updates, 1, 2)
		require.LessOrEqual(t, time.Since(start), time.Second)
		synctest.Wait()
		require.Equal(t, 3, log.count("LastSeqs"))

		log.troubled(func(_ context.Context, call string) error {
			if call == "LastSeqs" {
				return errors.New("down")
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		log.troubled(nil)
		log.commit("conv", 1)
		wantSeqs(t, updates, 3, 3)
	})
}

// A subscriber that stops reading gets every event once it reads again, costs the
// others no time, and has no more than its buffer and a page of the log in memory.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		var slowTimes atomic.Int64
		h := newHub(t, Options{Log: log, Metrics: Metrics{Replayed: func(c Cause) {
			if c == CauseSlow {
				slowTimes.Add(1)
			}
		}}})
		slow := subscribe(t, t.Context(), h, 0, nil)
		quick := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		for seq := int64(1); seq <= 1000; seq++ {
			h.Committed("agent", "conv", log.commit("conv", 1))
			require.Len(t, quick, 1, "the quick reader waits for the slow one")
			wantSeqs(t, quick, seq, seq)
		}
		synctest.Wait()
		require.Len(t, slow, defaultBuffer)
		require.EqualValues(t, 1, slowTimes.Load())
		require.Equal(t, 3, log.count("Events"), "a reader that does not read had more than one page read for it")

		wantSeqs(t, slow, 1, 1000)
		synctest.Wait()
		reads := log.count("Events")
		h.Committed("agent", "conv", log.commit("conv", 1))
		wantSeqs(t, slow, 1001, 1001)
		wantSeqs(t, quick, 1001, 1001)
		require.Equal(t, reads, log.count("Events"), "the slow reader did not become live again")
	})
}

func TestReadsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		var readers []<-chan Update
		for range 200 {
			readers = append(readers, subscribe(t, t.Context(), h, 0, nil))
		}
		synctest.Wait()
		log.troubled(func(context.Context, string) error {
			time.Sleep(time.Millisecond)
			return nil
		})
		h.Committed("agent", "conv", log.commit("conv", defaultBuffer+1))
		for _, updates := range readers {
			wantSeqs(t, updates, 1, defaultBuffer+1)
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		require.Equal(t, maxReads, log.mostBusy)
	})
}

func TestSignals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, Buffer: 4})
		updates := subscribe(t, t.Context(), h, 0, nil)
		typing := handoff.Signal{ConversationID: "conv", Author: handoff.AuthorUser, Kind: handoff.SignalTyping, At: time.Now()}
		synctest.Wait()

		h.Signalled(typing)
		require.Equal(t, typing, *signal(t, updates))
		h.Signalled(handoff.Signal{ConversationID: "other"})
		wantNothing(t, updates)

		for range 10 {
			h.Signalled(typing)
		}
		require.Len(t, updates, 2, "signals may take half of the buffer")
		h.Committed("agent", "conv", log.commit("conv", 2))
		require.NotNil(t, signal(t, updates))
		require.NotNil(t, signal(t, updates))
		wantSeqs(t, updates, 1, 2)

		h.Committed("agent", "conv", log.commit("conv", 6)) // 5 and 6 come from the log
		synctest.Wait()
		wantSeqs(t, updates, 3, 6)
		h.Signalled(typing)
		wantSeqs(t, updates, 7, 8)
		synctest.Wait()
		wantNothing(t, updates)
		h.Signalled(typing)
		require.NotNil(t, signal(t, updates))
	})
}

func TestOutputMayLeaveOut(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	log.commit("conv", 100)
	h := newHub(t, Options{Log: log})
	even, err := SubscribeConversation(t.Context(), h, "conv", 0, Output[Update, int64]{
		Convert: func(u Update) (int64, bool) { return u.Event.Seq, u.Event.Seq%2 == 0 },
	})
	require.NoError(t, err)
	for seq := int64(2); seq <= 100; seq += 2 {
		require.Equal(t, seq, <-even)
	}
	for range 50 {
		h.Committed("agent", "conv", log.commit("conv", 2))
	}
	for seq := int64(102); seq <= 200; seq += 2 {
		require.Equal(t, seq, <-even)
	}
}

func TestSubscriberLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.commit("conv", 200)
		var open atomic.Int64
		h := newHub(t, Options{Log: log, Metrics: Metrics{Subscriptions: func(k Kind, delta int) {
			require.Equal(t, KindConversation, k)
			open.Add(int64(delta))
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		var e ending
		stuck := subscribe(t, ctx, h, 0, &e) // a goroutine waits for this reader
		live := subscribe(t, ctx, h, 200, &e)
		other := subscribe(t, t.Context(), h, 200, nil)
		synctest.Wait()
		require.EqualValues(t, 3, open.Load())
		cancel()
		synctest.Wait()
		require.EqualValues(t, 1, open.Load())
		wantClosed(t, live)
		wantSeqs(t, stuck, 1, defaultBuffer)
		wantClosed(t, stuck)
		require.Empty(t, e.reasons, "a subscriber that left needs no reason")

		h.Committed("agent", "conv", log.commit("conv", 1))
		wantSeqs(t, other, 201, 201)

		_, err := SubscribeConversation(ctx, h, "conv", 0, asIs[Update](nil))
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestNobodyIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{Log: newFakeLog()})
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			subscribe(t, ctx, h, 0, nil)
			_, err := SubscribeHandoffs(ctx, h, "agent", asIs[*HandoffUpdate](nil))
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Equal(t, []string{"conv"}, h.topics.keys(nil))
		require.Equal(t, []string{"agent"}, h.handoffs.boards.keys(nil))
		cancel()
		synctest.Wait()
		require.Empty(t, h.topics.keys(nil))
		require.Empty(t, h.handoffs.boards.keys(nil))
	})
}

func TestFirstReadFails(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	log := newFakeLog()
	h := newHub(t, Options{Log: log})
	stays := watch(t, t.Context(), h, nil)
	require.Equal(t, "done", next(t, stays))
	log.troubled(func(context.Context, string) error { return down })
	_, err := SubscribeConversation(t.Context(), h, "conv", 0, asIs[Update](nil))
	require.ErrorIs(t, err, down)
	_, err = SubscribeHandoffs(t.Context(), h, "agent", asIs[*HandoffUpdate](nil))
	require.ErrorIs(t, err, down)
	require.Empty(t, h.topics.keys(nil))
	b := h.handoffs.boards.get("agent")
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.consoles, 1)
}

// A log that cannot be read for a while delays; one that stays unreadable ends
// the subscription with the advice to subscribe again.
func TestLogFails(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"gap", "slow"} {
		for _, back := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s back=%v", how, back), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					log := newFakeLog()
					h := newHub(t, Options{Log: log})
					var e ending
					updates := subscribe(t, t.Context(), h, 0, &e)
					synctest.Wait()
					start := time.Now()
					log.troubled(func(context.Context, string) error {
						if back && time.Since(start) > 3*time.Second {
							return nil
						}
						return errors.New("down")
					})
					n := int64(defaultBuffer)
					if how == "gap" {
						n = 0
						log.commit("conv", 1)
						h.Committed("agent", "conv", log.commit("conv", 4))
					} else {
						h.Committed("agent", "conv", log.commit("conv", defaultBuffer+5))
					}
					if back {
						wantSeqs(t, updates, 1, n+5)
						h.Committed("agent", "conv", log.commit("conv", 1))
						wantSeqs(t, updates, n+6, n+6)
						return
					}
					wantSeqs(t, updates, 1, n)
					wantClosed(t, updates)
					e.resync(t)
					require.InDelta(t, 6.35, time.Since(start).Seconds(), 0.01)
				})
			})
		}
	}
}

// Hints that come while a gap is being read start no second read.
func TestGapIsReadByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, Buffer: 64})
		updates := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		before := log.count("Events")
		log.troubled(func(context.Context, string) error {
			time.Sleep(time.Second)
			return nil
		})
		log.commit("conv", 1) // this hint is lost
		for range 20 {
			h.Committed("agent", "conv", log.commit("conv", 1))
		}
		synctest.Wait()
		require.Equal(t, before+1, log.count("Events"))
		wantSeqs(t, updates, 1, 21)
	})
}

// A subscription that is over by the time it could turn live does not.
func TestOverBeforeLive(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"reader", "hub"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newFakeLog()
				h := newHub(t, Options{Log: log})
				ctx, cancel := context.WithCancel(t.Context())
				log.then(func(string) {
					if how == "reader" {
						cancel()
					} else {
						h.cancel()
					}
				})
				updates := subscribe(t, ctx, h, 0, nil)
				wantClosed(t, updates)
				cancel()
			})
		})
	}
}

// A subscriber that comes while a gap cannot be read is not ended with the others.
func TestJoinAfterFailedFill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		var e ending
		first := subscribe(t, t.Context(), h, 0, &e)
		synctest.Wait()
		log.troubled(func(context.Context, string) error { return errors.New("down") })
		log.commit("conv", 1)
		h.Committed("agent", "conv", log.commit("conv", 1))
		wantClosed(t, first)
		e.resync(t)
		log.troubled(nil)
		again := subscribe(t, t.Context(), h, 0, nil)
		wantSeqs(t, again, 1, 2)
		h.Committed("agent", "conv", log.commit("conv", 1))
		wantSeqs(t, again, 3, 3)
	})
}

// brokenLog loses an event for good.
type brokenLog struct{ *fakeLog }

func (l brokenLog) Events(ctx context.Context, id string, after int64, limit int) ([]handoff.Event, error) {
	events, err := l.fakeLog.Events(ctx, id, after, limit)
	for i := range events {
		if events[i].Seq == 7 {
			return append(events[:i], events[i+1:]...), err
		}
	}
	return events, err
}

func TestHoleInTheLogIsNotSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.commit("conv", 3)
		h := newHub(t, Options{Log: brokenLog{log}})
		var e ending
		updates := subscribe(t, t.Context(), h, 0, &e)
		wantSeqs(t, updates, 1, 3)
		synctest.Wait()
		log.commit("conv", 4)
		h.Committed("agent", "conv", log.commit("conv", 4))
		wantClosed(t, updates)
		e.resync(t)
	})
}

// A read of the database that hangs is cut off and repeated.
func TestHangingReadIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		updates := subscribe(t, t.Context(), h, 0, nil)
		synctest.Wait()
		log.troubled(func(ctx context.Context, call string) error {
			if log.count(call) == 2 {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		log.commit("conv", 1)
		start := time.Now()
		h.Committed("agent", "conv", log.commit("conv", 1))
		wantSeqs(t, updates, 1, 2)
		require.InDelta(t, readTimeout.Seconds(), time.Since(start).Seconds(), 0.1)
	})
}

func TestRelayedMetric(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		var relayed []time.Duration
		h := newHub(t, Options{Log: log, Metrics: Metrics{Relayed: func(d time.Duration) { relayed = append(relayed, d) }}})
		h.Committed("agent", "conv", log.commit("conv", 1))
		require.Empty(t, relayed, "nobody watches")
		updates := subscribe(t, t.Context(), h, 1, nil)
		synctest.Wait()
		events := log.commit("conv", 2)
		time.Sleep(5 * time.Millisecond)
		events[1].At = time.Now().Add(time.Second) // another replica's clock
		h.Committed("agent", "conv", events)
		wantSeqs(t, updates, 2, 3)
		require.Equal(t, []time.Duration{5 * time.Millisecond, 0}, relayed)
	})
}
