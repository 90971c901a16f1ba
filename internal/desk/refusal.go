package desk

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"handoff/internal/fault"
)

// Subject is what a call was about, which decides the meaning of "not found".
type Subject int

// The subjects.
const (
	AboutDesk    Subject = iota // opening a session, verifying: nothing is there
	AboutSession                // an open session: the desk no longer has it
)

// MaxRetryAfter is the longest wait that a desk may ask for; more is taken as this.
const MaxRetryAfter = 10 * time.Minute

// Refusal classifies an answer that is not the desk's success. It reads the
// status and Retry-After only, so it repeats nothing that the desk wrote.
func (a *Answer) Refusal(about Subject, now time.Time) *fault.Fault {
	f := &fault.Fault{Sent: fault.Sent}
	var why string
	f.Kind, why = meaning(a.Status, about)
	f.Public = fmt.Sprintf("the desk answered HTTP %d: %s", a.Status, why)
	if gatewayGaveUp(a.Status) {
		f.Sent = fault.MaybeSent
	}
	if f.Retryable() {
		f.After = RetryAfter(a.Header, now)
	}
	return f
}

func meaning(status int, about Subject) (fault.Kind, string) {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.DeskUnauthorized, "it does not accept the credentials"
	case status == http.StatusNotFound || status == http.StatusGone:
		if about == AboutSession {
			return fault.DeskGone, "it no longer has this session"
		}
		return fault.DeskRejected, "there is nothing at the configured address"
	case status == http.StatusTooManyRequests:
		return fault.DeskRateLimited, "it asks for patience"
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status >= 500:
		return fault.DeskUnavailable, "it is not working at the moment"
	case status >= 300 && status < 400:
		return fault.DeskRejected, "a redirect, which is not followed; configure the address that it leads to"
	case status >= 200 && status < 300:
		return fault.DeskRejected, "not the success that it has to answer with"
	default:
		return fault.DeskRejected, "it refuses this request"
	}
}

// gatewayGaveUp reports whether a gateway in front of the desk answered because
// it lost the desk: the desk may have got the request. 502 and 504 are RFC 9110;
// 520 and 524 are Cloudflare's "unknown error" and "a timeout occurred".
func gatewayGaveUp(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, 520, 524:
		return true
	}
	return false
}

// RetryAfter is the wait that an answer asks for, in seconds or as a date (RFC
// 9110 §10.2.3), from 0 (none, past or unreadable) to [MaxRetryAfter].
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if isDigits(value) {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) { // err: more than fits
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
