package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is a track whose messages come out by what the test says.
func wire(deliver func(t *track, number int64)) *track {
	t := &track{name: "wire"}
	t.send = func(_ context.Context, text string) error {
		number, _ := digitsAfter([]byte(text), string(toUser))
		deliver(t, number)
		return nil
	}
	return t
}

func TestSteady(t *testing.T) {
	t.Parallel()
	const every, lasting = 10 * time.Millisecond, 100 * time.Millisecond
	for _, tt := range []struct {
		name    string
		deliver func(t *track, number int64)
		wrong   string // part of the error; "" = none
	}{
		{"once and in order", func(t *track, n int64) { t.arrive(n) }, ""},
		{"twice", func(t *track, n int64) { t.arrive(n); t.arrive(n) }, "arrived twice"},
		{"one is missing", func(t *track, n int64) {
			if n != 4 {
				t.arrive(n)
			}
		}, "message 5 arrived after message 3"},
		{"the last is missing", func(t *track, n int64) {
			if n != 10 {
				t.arrive(n)
			}
		}, "1 of 10 messages did not arrive"},
		{"out of order", func(t *track, n int64) {
			if n == 4 {
				t.arrive(5)
			}
			t.arrive(n)
		}, "message 5 arrived after message 3"},
		{"never sent", func(t *track, n int64) {
			t.arrive(n)
			if n == 10 {
				t.arrive(11)
			}
		}, "message 11 arrived, but was never sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, err := steady(t.Context(), []*track{wire(tt.deliver)}, toUser, pace{float64(time.Second / every), lasting})
				if tt.wrong != "" {
					require.ErrorContains(t, err, tt.wrong)
					return
				}
				require.NoError(t, err)
				require.Len(t, m.latencies, int(lasting/every))
			})
		})
	}
}

func TestSteadyMeasuresFromTheMomentAMessageIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Every answer takes as long as two messages are apart: the queue grows.
		slow := wire(func(t *track, n int64) {
			time.Sleep(20 * time.Millisecond)
			t.arrive(n)
		})
		m, err := steady(t.Context(), []*track{slow}, toUser, pace{100, 30 * time.Millisecond})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{20 * time.Millisecond, 30 * time.Millisecond, 40 * time.Millisecond}, m.latencies)
	})
}

func TestSteadyEndsAtAFailedPost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("status 500")
		broken := &track{name: "broken", send: func(context.Context, string) error { return refused }}
		begin := time.Now()
		_, err := steady(t.Context(), []*track{broken}, toUser, pace{100, time.Hour})
		require.ErrorIs(t, err, refused)
		require.Less(t, time.Since(begin), time.Second)
	})
}

func TestSaturated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tracks []*track
		for range 3 {
			tracks = append(tracks, wire(func(t *track, n int64) {
				time.Sleep(10 * time.Millisecond)
				t.arrive(n)
			}))
		}
		rate, messages, err := saturated(t.Context(), tracks, toUser, time.Second)
		require.NoError(t, err)
		require.Equal(t, 300, messages)
		require.InDelta(t, 300, rate, 1)
	})
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	text := numbered(toUser, 4711)
	require.Len(t, text, textLength)
	number, ok := numberAfter([]byte(`{"author":"OPERATOR","text":"`+text+`"}`), toUser)
	require.True(t, ok)
	require.EqualValues(t, 4711, number)
	_, ok = numberAfter([]byte(`{"text":"`+numbered(toDesk, 1)+`"}`), toUser)
	require.False(t, ok)
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	require.InDelta(t, 50, percentile(hundred, 50), 0)
	require.InDelta(t, 99, percentile(hundred, 99), 0)
	require.InDelta(t, 1, percentile(hundred[:1], 99), 0)
	require.InDelta(t, 0, percentile(nil, 99), 0)
}
