package desk

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// rawServer hands every connection to serve, which closes it by returning.
func rawServer(t *testing.T, serve func(n int, conn net.Conn, r *bufio.Reader)) (url string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(n, conn, bufio.NewReader(conn))
			_ = conn.Close()
		}
	}()
	var stopped atomic.Bool
	stop = func() {
		if stopped.CompareAndSwap(false, true) {
			_ = listener.Close()
			<-done
		}
	}
	t.Cleanup(stop)
	return "http://" + listener.Addr().String(), stop
}

func readRequest(r *bufio.Reader) {
	if req, err := http.ReadRequest(r); err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	const quick = 200 * time.Millisecond
	closed, stop := rawServer(t, func(int, net.Conn, *bufio.Reader) {})
	stop()
	answering := func(text string) string {
		url, _ := rawServer(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			_, _ = conn.Write([]byte(text))
		})
		return url
	}
	silent := log.New(io.Discard, "", 0)
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = silent
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	oldTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	oldTLS.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} // what must be refused
	oldTLS.Config.ErrorLog = silent
	oldTLS.StartTLS()
	t.Cleanup(oldTLS.Close)
	hung := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hung) })

	for name, c := range map[string]struct {
		url  string
		dns  *net.Resolver
		sent fault.Stage
		says string
	}{
		"connection refused":   {closed, nil, fault.NotSent, "refused the connection"},
		"unknown name":         {"http://nowhere.example", fakeDNS(t, func(int) netip.Addr { return netip.Addr{} }), fault.NotSent, "its name is unknown"},
		"silent name server":   {"http://nowhere.example", fakeDNS(t, nil), fault.NotSent, "in time"},
		"unknown certificate":  {tlsServer.URL, nil, fault.NotSent, "could not be trusted"},
		"old TLS":              {oldTLS.URL, nil, fault.NotSent, "could not be trusted"},
		"HTTP where TLS is":    {strings.Replace(hanging.URL, "http:", "https:", 1), nil, fault.NotSent, "could not be trusted"},
		"no answer":            {hanging.URL, nil, fault.MaybeSent, "in time"},
		"closed":               {answering(""), nil, fault.MaybeSent, "closed the connection"},
		"cut in the header":    {answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), nil, fault.MaybeSent, "closed the connection"},
		"cut in the body":      {answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), nil, fault.MaybeSent, "closed the connection"},
		"cut in a chunk":       {answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), nil, fault.MaybeSent, "closed the connection"},
		"unreadable chunk":     {answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"), nil, fault.MaybeSent, "as HTTP wants it"},
		"not HTTP":             {answering("+OK ready\r\n"), nil, fault.MaybeSent, "as HTTP wants it"},
		"endless header":       {answering("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHeaderBytes+1024)), nil, fault.MaybeSent, "as HTTP wants it"},
		"private address":      {"http://10.0.0.1", nil, fault.NotSent, "private or reserved"},
		"cut in a small chunk": {answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), nil, fault.MaybeSent, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback, Timeout: 5 * time.Second, resolver: c.dns})
			if c.says == "in time" {
				client.Timeout = quick
			}
			_, err := Do(client, post(t, c.url+"/path?token=canary"), MaxAnswerBytes)
			f := fault.As(err)
			require.Equal(t, fault.DeskUnavailable, f.Kind)
			require.Equal(t, c.sent.String(), f.Sent.String())
			require.Contains(t, f.Public, c.says)
			require.Contains(t, f.Public, c.url[:strings.Index(c.url, "://")+3], "the place is named")
			require.NotContains(t, f.Error()+f.Cause.Error(), "canary")
			require.NotContains(t, f.Error()+f.Cause.Error(), "/path")
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	url, _ := rawServer(t, func(_ int, _ net.Conn, r *bufio.Reader) {
		readRequest(r)
		arrived <- struct{}{}
		_, _ = r.ReadByte() // until the client goes away
	})
	client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := Do(client, post(t, url).WithContext(ctx), MaxAnswerBytes)
	require.Equal(t, fault.Canceled, fault.KindOf(err))
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	require.ErrorIs(t, err, context.Canceled)

	_, err = Do(client, post(t, url).WithContext(ctx), MaxAnswerBytes)
	require.Equal(t, fault.Canceled, fault.KindOf(err))
	require.Equal(t, fault.NotSent, fault.As(err).Sent)

	// A deadline of the caller is a slow desk, not a caller that went away.
	late, done := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer done()
	_, err = Do(client, post(t, url).WithContext(late), MaxAnswerBytes)
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
	require.Equal(t, fault.NotSent, fault.As(err).Sent)
}

func TestErrorsRepeatNothingThatTheOtherSideSent(t *testing.T) {
	t.Parallel()
	// An echo server sends back what it got: the credentials with it.
	url, _ := rawServer(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		line, _ := r.ReadString('\n')
		_, _ = conn.Write([]byte(line))
		_, _ = io.CopyN(conn, r, 64)
	})
	client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback})
	req := get(t, strings.Replace(url, "http://", "http://user:canary@", 1)+"/canary?canary=canary")
	req.Header.Set("Canary", "canary")
	_, err := Do(client, req, MaxAnswerBytes)
	require.Error(t, err)
	for ; err != nil; err = errors.Unwrap(err) {
		require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "canary")
		require.NotContains(t, err.Error(), "user")
	}
}

func TestBodyIsCapped(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for _, size := range []int{0, limit - 1, limit, limit + 1, 10 * limit} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("x", size)))
		}))
		answer, err := Do(NewHTTPClient(HTTPOptions{AllowedPrivate: loopback}), get(t, server.URL), limit)
		require.NoError(t, err)
		require.Len(t, answer.Body, min(size, limit))
		require.Equal(t, size > limit, answer.Truncated, size)
		server.Close()
	}
}

func TestRefusalWithACutBodyIsStillARefusal(t *testing.T) {
	t.Parallel()
	url, _ := rawServer(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		_, _ = conn.Write([]byte("HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\n{"))
	})
	answer, err := Do(NewHTTPClient(HTTPOptions{AllowedPrivate: loopback}), post(t, url), MaxAnswerBytes)
	require.NoError(t, err)
	require.Equal(t, 500, answer.Status)
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback})
	for range 5 {
		_, err := Do(client, post(t, server.URL), MaxAnswerBytes)
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, connections.Load())
}

// A server that takes a request on a kept connection and hangs up may have done
// what was asked. net/http repeats such a request by itself when a header says
// that it is repeatable, and then the stage must not forget the first try.
func TestHangingUpOnAKeptConnection(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	start := func() (*http.Client, string) {
		var stop func()
		url, stop := rawServer(t, func(n int, conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			readRequest(r)
			requests.Add(1)
			go stop() // a repeat finds nobody
		})
		client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback})
		_, err := Do(client, post(t, url), MaxAnswerBytes)
		require.NoError(t, err)
		return client, url
	}
	client, url := start()
	_, err := Do(client, post(t, url), MaxAnswerBytes)
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	require.EqualValues(t, 1, requests.Load(), "a POST is not repeated behind our back")

	client, url = start()
	req := post(t, url)
	req.Header.Set("Idempotency-Key", "k")
	_, err = Do(client, req, MaxAnswerBytes)
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, repeatable := range []bool{false, true} {
		var p progress
		trace := p.trace(repeatable)
		trace.GetConn("")
		require.False(t, p.begun.Load())
		trace.GotConn(httptrace.GotConnInfo{})
		require.True(t, p.begun.Load())
		trace.GetConn("") // net/http starts over
		require.Equal(t, repeatable, p.begun.Load())
	}
}
