package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"handoff/graph"
	"handoff/internal/auth"
	"handoff/internal/fault"
)

// RequestIDHeader carries the id of a request, in both directions.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// RequestID is the id of the request that ctx belongs to, "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID takes the caller's request id when it is harmless, else makes one.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(RequestIDHeader)
		if !harmlessID(id) {
			var b [12]byte
			_, _ = rand.Read(b[:]) // never fails since Go 1.24: the process ends instead
			id = hex.EncodeToString(b[:])
		}
		w.Header().Set(RequestIDHeader, id)
		ctx := context.WithValue(r.Context(), requestIDKey{}, id)
		next.ServeHTTP(w, r.WithContext(graph.WithRequestID(ctx, id)))
	})
}

func harmlessID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	return strings.IndexFunc(id, func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.')
	}) < 0
}

// withSecurityHeaders sets what every answer should have. Pages that need more
// (the IDE) set their own policy.
func withSecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// answer records the status of an answer. It offers Unwrap for
// http.ResponseController, Flush for streams and Hijack for websockets.
type answer struct {
	http.ResponseWriter
	status   int
	hijacked bool
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Flush() {
	if f, ok := a.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.hijacked = true
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// watched counts and logs requests and turns a panic into an answer. It runs
// inside the mux, so that the route is known.
func (a *App) watched(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.now()
		out := &answer{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				a.log.ErrorContext(r.Context(), "panic in a request", "request_id", RequestID(r.Context()), "panic", fmt.Sprint(p), "stack", stack())
				if out.status == 0 && !out.hijacked {
					http.Error(out, "internal error", http.StatusInternalServerError)
				}
			}
			a.finished(r, out, a.now().Sub(start))
		}()
		mux.ServeHTTP(out, r)
	})
}

func (a *App) finished(r *http.Request, out *answer, took time.Duration) {
	route := r.Pattern
	if _, path, found := strings.Cut(route, " "); found {
		route = path
	}
	if route == "" {
		route = "none" // never the path: it may hold a receive token, and has no bound
	}
	status := out.status
	stream := out.hijacked || strings.HasPrefix(out.Header().Get("Content-Type"), "text/event-stream")
	if out.hijacked {
		status = http.StatusSwitchingProtocols
	}
	a.metrics.HTTPRequest(route, r.Method, status, took, stream)
	a.log.DebugContext(r.Context(), "request", "request_id", RequestID(r.Context()), "route", route, "method", r.Method,
		"status", status, "took", took, "client", a.clientIP(r))
}

// clientIP is the address of the caller: the last hop that is not a trusted proxy.
func (a *App) clientIP(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && a.trusted(ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap()
	}
	return ip.String()
}

func (a *App) trusted(ip netip.Addr) bool {
	for _, network := range a.config.TrustedProxies {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// authenticated puts the caller of the Authorization header into the context. A
// request without one goes on as nobody; a wrong one is refused here.
func (a *App) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := a.authenticate(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			f := fault.As(err)
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			if f.Kind == fault.Unauthenticated {
				w.Header().Set("WWW-Authenticate", `Bearer realm="handoff"`)
			}
			w.WriteHeader(f.Kind.HTTPStatus())
			fmt.Fprintf(w, `{"errors":[{"message":%q,"extensions":{"code":%q,"requestId":%q}}]}`+"\n", f.Public, f.Kind, RequestID(r.Context()))
			return
		}
		if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			// A stream must not outlive the credential that opened it.
			var cancel context.CancelFunc
			caller := auth.From(ctx)
			if expires := caller.ExpiresAt; expires.IsZero() {
				ctx, cancel = context.WithCancel(ctx)
			} else {
				ctx, cancel = context.WithTimeout(ctx, expires.Sub(a.now()))
			}
			defer cancel()
			ctx = a.streams.follow(ctx, caller)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// browsersToIDE sends a browser that opens the address of the API to the IDE.
func browsersToIDE(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.RawQuery == "" && strings.HasPrefix(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, "ide/", http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// healthz says that the process runs.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyTimeout bounds the look at the database.
const readyTimeout = 2 * time.Second

// readyz says whether requests should be sent here: the database answers, and the
// process is not stopping.
func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if a.stopping.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := a.store.Ping(ctx); err != nil {
		a.log.WarnContext(ctx, "not ready", "error", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// guardedMetrics wants the metrics token where one is configured.
func (a *App) guardedMetrics(next http.Handler) http.Handler {
	token := a.config.MetricsToken
	if token.IsEmpty() {
		return next
	}
	want := []byte("Bearer " + token.Reveal())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
