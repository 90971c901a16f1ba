package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func watch(t testing.TB, ctx context.Context, h *Hub, e *ending) <-chan *HandoffUpdate {
	t.Helper()
	updates, err := SubscribeHandoffs(ctx, h, "agent", asIs[*HandoffUpdate](e))
	require.NoError(t, err)
	return updates
}

func TestConsoleSeesOpenThenChanges(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	log.save("a", handoff.StateWaiting)
	log.save("a", handoff.StateActive)
	log.save("b", handoff.StateClosed)
	log.save("c", handoff.StateRequesting)
	h := newHub(t, Options{Log: log})
	updates := watch(t, t.Context(), h, nil)
	require.Equal(t, []string{"initial c 1", "initial a 2", "done"}, lines(t, updates, 3))

	h.HandoffChanged(log.save("a", handoff.StateClosed))
	h.HandoffChanged(log.save("d", handoff.StateRequesting))
	other := log.save("e", handoff.StateRequesting)
	other.AgentID = "other"
	h.HandoffChanged(other)
	h.HandoffChanged(log.save("c", handoff.StateWaiting))
	require.Equal(t, []string{"a 3", "d 1", "c 2"}, lines(t, updates, 3))
	wantNothing(t, updates)
}

func TestConsoleWithoutHandoffs(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	h := newHub(t, Options{Log: log})
	require.Equal(t, []string{"done"}, lines(t, watch(t, t.Context(), h, nil), 1))
}

func TestConsoleWithManyOpenHandoffs(t *testing.T) {
	t.Parallel()
	log := newFakeLog()
	const n = 2*handoff.MaxPageSize + 7
	for i := range n {
		log.save(fmt.Sprintf("%03d", i), handoff.StateWaiting)
	}
	h := newHub(t, Options{Log: log})
	got := lines(t, watch(t, t.Context(), h, nil), n+1)
	for i := range n {
		require.Equal(t, fmt.Sprintf("initial %03d 1", n-1-i), got[i])
	}
	require.Equal(t, "done", got[n])
	require.Equal(t, 3, log.count("Handoffs"))
}

func TestOlderVersionIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		updates := watch(t, t.Context(), h, nil)
		require.Equal(t, "done", next(t, updates))
		one, two, three := log.save("a", handoff.StateRequesting), log.save("a", handoff.StateWaiting), log.save("a", handoff.StateActive)
		h.HandoffChanged(two)
		h.HandoffChanged(one)
		h.HandoffChanged(two) // a note was added
		h.HandoffChanged(three)
		synctest.Wait()
		time.Sleep(versionMemory) // a very late hint
		h.HandoffChanged(two)
		require.Equal(t, []string{"a 2", "a 2", "a 3"}, lines(t, updates, 3))
		synctest.Wait()
		wantNothing(t, updates)
	})
}

// A hint from before the list was read that arrives after it is old.
func TestHintOlderThanTheList(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{true, false} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newFakeLog()
				h := newHub(t, Options{Log: log})
				one := log.save("a", handoff.StateRequesting)
				log.save("a", handoff.StateWaiting)
				if !late { // it arrives before the list is sent
					log.troubled(func(context.Context, string) error {
						h.HandoffChanged(one)
						return nil
					})
				}
				updates := watch(t, t.Context(), h, nil)
				require.Equal(t, []string{"initial a 2", "done"}, lines(t, updates, 2))
				if late {
					h.HandoffChanged(one)
				}
				synctest.Wait()
				wantNothing(t, updates)
			})
		})
	}
}

func TestChangeWhileTheListIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.save("a", handoff.StateWaiting)
		h := newHub(t, Options{Log: log})
		log.then(func(string) {
			h.HandoffChanged(log.save("a", handoff.StateActive))
			h.HandoffChanged(log.save("b", handoff.StateRequesting))
			h.HandoffChanged(log.save("b", handoff.StateWaiting))
			h.HandoffChanged(log.save("a", handoff.StateClosed))
		})
		updates := watch(t, t.Context(), h, nil)
		require.Equal(t, []string{"initial a 1", "done", "a 3", "b 2"}, lines(t, updates, 4))
		h.HandoffChanged(log.save("b", handoff.StateActive))
		require.Equal(t, []string{"b 3"}, lines(t, updates, 1))
		synctest.Wait()
		wantNothing(t, updates)
	})
}

// A console that does not read holds each Handoff once, in its newest state.
func TestSlowConsole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, Buffer: 2})
		slow, quick := watch(t, t.Context(), h, nil), watch(t, t.Context(), h, nil)
		require.Equal(t, "done", next(t, slow))
		require.Equal(t, "done", next(t, quick))
		synctest.Wait()
		for version := 1; version <= 100; version++ {
			for _, id := range []string{"a", "b", "c"} {
				h.HandoffChanged(log.save(id, handoff.StateWaiting))
				require.Equal(t, fmt.Sprintf("%s %d", id, version), next(t, quick))
			}
			synctest.Wait()
		}
		// Two in the channel, one in the hand of the goroutine that waits.
		require.Equal(t, []string{"a 1", "b 1", "c 1", "a 100", "b 100", "c 100"}, lines(t, slow, 6))
		synctest.Wait()
		wantNothing(t, slow)
		h.HandoffChanged(log.save("a", handoff.StateActive))
		require.Len(t, slow, 1, "the console did not become live again")
	})
}

func TestConsoleTooFarBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log, Buffer: 1})
		var e ending
		updates := watch(t, t.Context(), h, &e)
		require.Equal(t, "done", next(t, updates))
		synctest.Wait()
		for i := range maxPending + 2 { // two of them are no longer pending
			h.HandoffChanged(log.save(fmt.Sprint(i), handoff.StateWaiting))
			synctest.Wait()
		}
		require.Empty(t, e.reasons)
		h.HandoffChanged(log.save("one more", handoff.StateWaiting))
		require.Equal(t, []string{"0 1", "1 1"}, lines(t, updates, 2))
		wantClosed(t, updates)
		e.resync(t)
		require.Empty(t, h.handoffs.boards.keys(nil))
	})
}

func TestConsoleLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.save("a", handoff.StateWaiting)
		h := newHub(t, Options{Log: log, Buffer: 1})
		ctx, cancel := context.WithCancel(t.Context())
		var e ending
		stuck, calm, stays := watch(t, ctx, h, &e), watch(t, ctx, h, &e), watch(t, t.Context(), h, nil)
		lines(t, calm, 2)
		lines(t, stays, 2)
		synctest.Wait()
		cancel()
		synctest.Wait()
		wantClosed(t, calm)
		require.Equal(t, "initial a 1", next(t, stuck))
		wantClosed(t, stuck)
		require.Empty(t, e.reasons)
		h.HandoffChanged(log.save("a", handoff.StateActive))
		require.Equal(t, "a 2", next(t, stays))
	})
}

func TestListFails(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{true, false} {
		t.Run(fmt.Sprintf("back=%v", back), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newFakeLog()
				for i := range handoff.MaxPageSize + 1 {
					log.save(fmt.Sprintf("%03d", i), handoff.StateWaiting)
				}
				h := newHub(t, Options{Log: log})
				start := time.Now()
				log.troubled(func(context.Context, string) error {
					if log.count("Handoffs") > 1 && !(back && time.Since(start) > time.Second) {
						return errors.New("down")
					}
					return nil
				})
				var e ending
				updates := watch(t, t.Context(), h, &e)
				lines(t, updates, handoff.MaxPageSize)
				if back {
					require.Equal(t, []string{"initial 000 1", "done"}, lines(t, updates, 2))
					return
				}
				wantClosed(t, updates)
				e.resync(t)
			})
		})
	}
}

func TestPollFindsHandoffs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		log.save("old", handoff.StateWaiting)
		time.Sleep(time.Hour)
		h := newHub(t, Options{Log: sharedLog{log}, PollInterval: time.Second})
		updates := watch(t, t.Context(), h, nil)
		require.Equal(t, []string{"initial old 1", "done"}, lines(t, updates, 2))

		start := time.Now()
		for i := range pollBatch + 10 { // all at one instant: the cursor needs the id
			log.save(fmt.Sprintf("%03d", i), handoff.StateWaiting)
		}
		for i := range pollBatch + 10 {
			require.Equal(t, fmt.Sprintf("%03d 1", i), next(t, updates))
		}
		require.LessOrEqual(t, time.Since(start), time.Second)

		time.Sleep(time.Minute)
		wantNothing(t, updates)

		late := log.save("late", handoff.StateWaiting)
		log.mu.Lock() // the clock of the other replica is 8 s behind
		late.UpdatedAt = late.UpdatedAt.Add(-8 * time.Second)
		log.handoffs["late"] = late
		log.mu.Unlock()
		require.Equal(t, "late 1", next(t, updates))

		log.troubled(func(context.Context, string) error { return errors.New("down") })
		log.save("late", handoff.StateClosed)
		time.Sleep(time.Hour)
		log.troubled(nil)
		require.Equal(t, "late 2", next(t, updates))
	})
}

// A version that one console read from the list, and whose hint was lost, is not
// old news to the others.
func TestPollFindsWhatOnlyANewcomerKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: sharedLog{log}, PollInterval: time.Second})
		old := watch(t, t.Context(), h, nil)
		require.Equal(t, "done", next(t, old))
		log.save("a", handoff.StateWaiting)
		newer := watch(t, t.Context(), h, nil)
		require.Equal(t, []string{"initial a 1", "done"}, lines(t, newer, 2))
		require.Equal(t, "a 1", next(t, old))
	})
}

// A poll that read before a newcomer's list was read does not turn its time back.
func TestPollOlderThanTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: sharedLog{log}, PollInterval: time.Second})
		old := watch(t, t.Context(), h, nil)
		require.Equal(t, "done", next(t, old))
		log.save("a", handoff.StateWaiting)
		var newer <-chan *HandoffUpdate
		log.then(func(call string) {
			if call == "HandoffsChangedSince" && newer == nil {
				log.save("a", handoff.StateActive)
				newer = watch(t, t.Context(), h, nil)
				time.Sleep(time.Millisecond) // it gets the list
			}
		})
		require.Equal(t, "a 2", next(t, old))
		require.Equal(t, []string{"initial a 2", "done", "a 2"}, lines(t, newer, 3))
	})
}

func TestManyConsoles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: log})
		var consoles []<-chan *HandoffUpdate
		for range 2000 {
			updates := watch(t, t.Context(), h, nil)
			require.Equal(t, "done", next(t, updates))
			consoles = append(consoles, updates)
		}
		synctest.Wait()
		h.HandoffChanged(log.save("a", handoff.StateWaiting))
		first, _ := receive(t, consoles[0])
		for _, updates := range consoles[1:] {
			u, _ := receive(t, updates)
			require.Same(t, first, u)
		}
		require.Equal(t, len(consoles), log.count("Handoffs"), "one list per console")
		require.Zero(t, log.count("Handoff"), "a change is not read")
	})
}

// Many changes with hints lost, late and repeated: what a console is told of a
// Handoff never goes back, and ends at the newest.
func TestConsolesUnderStress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		h := newHub(t, Options{Log: sharedLog{log}, Buffer: 2, PollInterval: time.Second})
		writers := make(chan struct{})
		for w := range 4 {
			go func() {
				r := rand.New(rand.NewPCG(uint64(w), 1))
				for range 500 {
					changed := log.save(fmt.Sprint(r.IntN(40)), handoff.States[r.IntN(len(handoff.States))])
					switch r.IntN(4) {
					case 0: // lost
					case 1: // late
						time.AfterFunc(time.Duration(r.IntN(3000))*time.Millisecond, func() { h.HandoffChanged(changed) })
					default:
						h.HandoffChanged(changed)
					}
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
				writers <- struct{}{}
			}()
		}
		type picture map[string]int64
		pictures := make(chan picture)
		ctx, cancel := context.WithCancel(t.Context())
		const consoles = 20
		for c := range consoles {
			go func() {
				r := rand.New(rand.NewPCG(uint64(c), 2))
				var p picture
				defer func() { pictures <- p }()
				for ctx.Err() == nil {
					own, leave := context.WithCancel(ctx)
					if c%2 == 0 { // comes and goes, until it stays
						time.AfterFunc(time.Duration(r.IntN(4000))*time.Millisecond, func() {
							if time.Since(start2000) < time.Minute {
								leave()
							}
						})
					}
					p = make(picture)
					updates, err := SubscribeHandoffs(own, h, "agent", asIs[*HandoffUpdate](nil))
					if err != nil {
						leave()
						continue
					}
					for u := range updates {
						if u.InitialDone {
							continue
						}
						if u.Item.Version < p[u.Item.ID] {
							t.Errorf("%s went back from %d to %d", u.Item.ID, p[u.Item.ID], u.Item.Version)
						}
						p[u.Item.ID] = u.Item.Version
						time.Sleep(time.Duration(r.IntN(1+c*5)) * time.Millisecond)
					}
					leave()
				}
			}()
		}
		for range 4 {
			<-writers
		}
		time.Sleep(2 * time.Minute)
		cancel()
		for range consoles {
			p := <-pictures
			for id, seen := range p {
				require.Equal(t, log.handoffs[id].Version, seen, id)
			}
			for id, h := range log.handoffs {
				if h.Open() {
					require.Contains(t, p, id)
				}
			}
		}
	})
}

// start2000 is when time begins in a synctest bubble.
var start2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestVersionsAreForgotten(t *testing.T) {
	t.Parallel()
	var v versions
	now := start2000
	for i := range 10_000 {
		id := fmt.Sprint(i)
		v.sawTold(id, 3, now)
		v.sawListed(id, 4, now)
		v.sawListed(id, 2, now)
		v.sawTold(id, 2, now)
		require.Equal(t, version{seen: 4, told: 3}, v.of(id))
		now = now.Add(time.Second)
		require.LessOrEqual(t, len(v.young)+len(v.old), int(2*versionMemory/time.Second)+3)
		if i > 60 {
			require.Equal(t, version{seen: 4, told: 3}, v.of(fmt.Sprint(i-59)))
		}
	}
}
