package desk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"

	"handoff/internal/fault"
)

// Answer is what a desk answered, whatever its status.
type Answer struct {
	Status    int
	Header    http.Header
	Body      []byte
	Truncated bool // the body was longer than the limit; Body is its beginning
}

// Do sends a request and reads the answer, at most limit bytes of its body. It
// always closes the body. An answer of any status is no error: the desk decides
// what it means, see [Answer.Refusal].
//
// Everything else is a *fault.Fault: Canceled when the caller's context was
// cancelled, DeskRateLimited when its turn is too far away (see
// [handoff.DeskDescription] RequestsPerSecond), else DeskUnavailable, with the stage
// that the request reached. A
// success (2xx) whose body was cut off is MaybeSent. Neither its text nor its
// cause contains more of the address than scheme and host, or any part of the
// answer.
func Do(client *http.Client, req *http.Request, limit int64) (*Answer, error) {
	var p progress
	ctx := httptrace.WithClientTrace(req.Context(), p.trace(repeatable(req)))
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, p.failure(req, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is left to lose
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil && resp.StatusCode/100 == 2 {
		return nil, p.failure(req, err)
	}
	a := &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if int64(len(body)) > limit {
		a.Body, a.Truncated = body[:limit], true
	}
	return a, nil
}

// progress watches how far a request gets.
type progress struct {
	begun           atomic.Bool
	handshakeFailed atomic.Bool
}

// trace counts a request as begun once it has a connection: what follows is
// writing it. GetConn comes a second time when net/http starts over by itself. It
// does that with a POST only when no byte of the first try was written, but with
// a repeatable request also afterwards.
func (p *progress) trace(repeatable bool) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			if !repeatable {
				p.begun.Store(false)
			}
		},
		GotConn: func(httptrace.GotConnInfo) { p.begun.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				p.handshakeFailed.Store(true)
			}
		},
	}
}

// repeatable reports whether net/http may send the request twice without telling.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}

func (p *progress) failure(req *http.Request, err error) *fault.Fault {
	f := &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.NotSent}
	if p.begun.Load() {
		f.Sent = fault.MaybeSent
	}
	// A *url.Error repeats the whole address.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(req.Context().Err(), context.Canceled) {
		f.Kind, f.Public, f.Cause = fault.Canceled, "the call to the desk was cancelled", context.Canceled
		return f
	}
	if own, ok := errors.AsType[*fault.Fault](err); ok {
		return own // the call was not made; see paced
	}
	var known bool
	f.Public, known = p.explain(err)
	f.Public = place(req.URL) + " " + f.Public
	if known {
		f.Cause = err
	} else {
		// The text of other errors may quote what the other side sent.
		f.Cause = fmt.Errorf("%T", err)
	}
	return f
}

// explain says in words for the administrator what went wrong on the way.
// known means that the error's own text is safe to log.
func (p *progress) explain(err error) (text string, known bool) {
	if _, ok := errors.AsType[*unreachableError](err); ok {
		return "is in a private or reserved network, which desks may not be in unless the operator of this service lists the network in HANDOFF_ALLOWED_PRIVATE_NETWORKS", true
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "does not exist: its name is unknown", true
		}
		return "could not be resolved", true
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "did not answer in time", true
	}
	if p.handshakeFailed.Load() {
		return "could not be trusted: its TLS version or certificate was not accepted", true
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "refused the connection", true
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "closed the connection before the answer was complete", true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "could not be reached, or broke the connection", true
	}
	return "did not answer as HTTP wants it", false
}

// place is as much of an address as may be shown: no user, path or query.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host }
