package desk

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// recordingTransport notes when calls are made, and answers them at once.
type recordingTransport struct {
	begin time.Time
	at    chan time.Duration
}

func (r *recordingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r.at <- time.Since(r.begin)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// pacing is a client of so many calls a second, each of which may take 10 s.
func pacing(perSecond int) (*http.Client, *recordingTransport) {
	r := &recordingTransport{begin: time.Now(), at: make(chan time.Duration, 1_000)}
	return paced(&http.Client{Transport: r, Timeout: CallTimeout}, perSecond, time.Now), r
}

func (r *recordingTransport) calls() (at []time.Duration) {
	for range len(r.at) {
		at = append(at, <-r.at)
	}
	return at
}

func callDesk(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://desk.example.com/x", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	_, err = Do(client, req, MaxAnswerBytes)
	return err
}

func TestNoMoreCallsInAnySecondThanDeclared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, r := pacing(3)
		time.Sleep(700 * time.Millisecond)
		for range 7 {
			go func() { _ = callDesk(t.Context(), client) }()
		}
		time.Sleep(time.Minute)
		ms := time.Millisecond
		require.Equal(t, []time.Duration{700 * ms, 700 * ms, 700 * ms, 1_700 * ms, 1_700 * ms, 1_700 * ms, 2_700 * ms}, r.calls())
		require.NoError(t, callDesk(t.Context(), client))
		require.Equal(t, []time.Duration{60_700 * ms}, r.calls(), "who was quiet does not wait")
	})
}

func TestACallThatWouldWaitTooLongIsNotMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, r := pacing(1)
		require.NoError(t, callDesk(t.Context(), client))
		ctx, cancel := context.WithTimeout(t.Context(), 1_500*time.Millisecond)
		defer cancel()
		f := fault.As(callDesk(ctx, client))
		require.Equal(t, fault.DeskRateLimited, f.Kind, "half of its time is for the call itself")
		require.Equal(t, fault.NotSent, f.Sent)
		require.Equal(t, time.Second, f.After)
		require.True(t, f.Retryable())
		require.Len(t, r.calls(), 1)

		time.Sleep(f.After)
		require.NoError(t, callDesk(t.Context(), client), "it has taken no turn")
		require.Len(t, r.calls(), 1)

		for range 5 { // the client's own limit counts where the caller has none
			go func() { _ = callDesk(t.Context(), client) }()
		}
		synctest.Wait()
		f = fault.As(callDesk(t.Context(), client))
		require.Equal(t, fault.DeskRateLimited, f.Kind)
		require.Equal(t, 6*time.Second, f.After)
		time.Sleep(time.Minute)
		require.Len(t, r.calls(), 5)
	})
}

func TestACancelledCallDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, r := pacing(1)
		require.NoError(t, callDesk(t.Context(), client))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- callDesk(ctx, client) }()
		synctest.Wait()
		cancel()
		f := fault.As(<-done)
		require.Equal(t, fault.Canceled, f.Kind)
		require.Equal(t, fault.NotSent, f.Sent)
		require.Len(t, r.calls(), 1)
	})
}

func TestADeskThatDeclaresNoLimitIsNotPaced(t *testing.T) {
	t.Parallel()
	client := &http.Client{}
	require.Same(t, client, paced(client, 0, time.Now))
}

func TestTheCatalogPacesEachConnection(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub", perSecond: 5}
	c := newCatalog(t, driver)
	for _, id := range []string{"con_1", "con_2"} {
		_, err := c.For(t.Context(), connection(id))
		require.NoError(t, err)
	}
	first, second := driver.connected[0].HTTP.Transport, driver.connected[1].HTTP.Transport
	require.Len(t, first.(*pacedTransport).turns.starts, 5)
	require.NotSame(t, first, second)
}
