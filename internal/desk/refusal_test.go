package desk

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for status, want := range map[int]struct {
		desk, session fault.Kind
		sent          fault.Stage
	}{
		101: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		201: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		204: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		302: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		400: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		401: {fault.DeskUnauthorized, fault.DeskUnauthorized, fault.Sent},
		403: {fault.DeskUnauthorized, fault.DeskUnauthorized, fault.Sent},
		404: {fault.DeskRejected, fault.DeskGone, fault.Sent},
		405: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		408: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
		409: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		410: {fault.DeskRejected, fault.DeskGone, fault.Sent},
		413: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		422: {fault.DeskRejected, fault.DeskRejected, fault.Sent},
		425: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
		429: {fault.DeskRateLimited, fault.DeskRateLimited, fault.Sent},
		500: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
		501: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
		502: {fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent},
		503: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
		504: {fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent},
		520: {fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent},
		521: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
		524: {fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent},
		999: {fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent},
	} {
		a := Answer{Status: status, Header: http.Header{"Retry-After": {"7"}}, Body: []byte("canary")}
		for about, kind := range map[Subject]fault.Kind{AboutDesk: want.desk, AboutSession: want.session} {
			f := a.Refusal(about, now)
			require.Equal(t, kind, f.Kind, status)
			require.Equal(t, want.sent, f.Sent, status)
			require.NotContains(t, f.Error(), "canary")
			wait := time.Duration(0)
			if f.Retryable() {
				wait = 7 * time.Second
			}
			require.Equal(t, wait, f.After, status)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"1":                              time.Second,
		" 30 ":                           30 * time.Second,
		"600":                            10 * time.Minute,
		"601":                            10 * time.Minute,
		"99999999999999999999999":        10 * time.Minute,
		"-5":                             0,
		"1.5":                            0,
		"soon":                           0,
		"Fri, 02 Jan 2026 03:04:35 GMT":  30 * time.Second,
		"Fri, 02 Jan 2026 03:04:05 GMT":  0,
		"Fri, 02 Jan 2026 03:04:04 GMT":  0,
		"Fri, 02 Jan 2026 13:04:35 GMT":  10 * time.Minute,
		"Friday, 02-Jan-26 03:05:05 GMT": time.Minute, // RFC 850
		"Fri Jan  2 03:05:05 2026":       time.Minute, // asctime
		"Fri, 02 Jan 1726 03:04:35 GMT":  0,
	} {
		require.Equal(t, want, RetryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
	require.Zero(t, RetryAfter(nil, now))
}
