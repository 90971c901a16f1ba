package desktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// trouble is one thing that goes wrong at the desk, and what has to come of it.
// A kind of "" is success.
type trouble struct {
	name    string
	serve   http.HandlerFunc
	open    fault.Kind
	session fault.Kind // of a message, and of a close unless the session is gone
	sent    fault.Stage
	after   time.Duration
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(`{"message":"` + personalText + `"}`))
	}
}

// raw answers with bytes of its own and hangs up.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}
}

// stall answers nothing until the client gives up.
func stall(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

var troubles = []trouble{
	{"400", status(400), fault.DeskRejected, fault.DeskRejected, fault.Sent, 0},
	{"401", status(401), fault.DeskUnauthorized, fault.DeskUnauthorized, fault.Sent, 0},
	{"403", status(403), fault.DeskUnauthorized, fault.DeskUnauthorized, fault.Sent, 0},
	{"404", status(404), fault.DeskRejected, fault.DeskGone, fault.Sent, 0},
	{"409", status(409), fault.DeskRejected, fault.DeskRejected, fault.Sent, 0},
	{"429", status(429), fault.DeskRateLimited, fault.DeskRateLimited, fault.Sent, 0},
	{"429 with Retry-After", status(429, "Retry-After", "7"), fault.DeskRateLimited, fault.DeskRateLimited, fault.Sent, 7 * time.Second},
	{"500", status(500), fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent, 0},
	{"503 with Retry-After", status(503, "Retry-After", "9"), fault.DeskUnavailable, fault.DeskUnavailable, fault.Sent, 9 * time.Second},
	{"redirect", status(302, "Location", "/elsewhere"), fault.DeskRejected, fault.DeskRejected, fault.Sent, 0},
	{"no HTTP", raw("+OK ready\r\n"), fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent, 0},
	{"no answer", raw(""), fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent, 0},
	{"cut success", raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent, 0},
	{"slow", stall, fault.DeskUnavailable, fault.DeskUnavailable, fault.MaybeSent, 0},
}

func troubleRules() []rule {
	var list []rule
	for _, trouble := range troubles {
		list = append(list, rule{name: "trouble: " + trouble.name, calls: true, check: func(t tester, b *bench) {
			ref := b.open(t)
			b.make(trouble.serve)
			_, err := b.desk.Open(t.Context(), b.request())
			b.fails(t, err, b.openKind(&trouble), trouble.sent, trouble.after)
			err = b.tell(t.Context(), sendRequest(ref, personalText))
			b.fails(t, err, trouble.session, trouble.sent, trouble.after)
			err = b.desk.Close(t.Context(), closeRequest(ref, handoff.ReasonUserEnded))
			if trouble.session == fault.DeskGone {
				require.NoError(t, err, "a session that is gone is closed")
				return
			}
			b.fails(t, err, trouble.session, trouble.sent, trouble.after)
		}})
	}
	return append(list,
		rule{name: "trouble: unreadable success", calls: true, check: unreadableSuccess},
		rule{name: "trouble: connection refused", calls: true, check: connectionRefused},
		rule{name: "trouble: cancelled before", calls: true, check: cancelledBefore},
		rule{name: "trouble: cancelled meanwhile", calls: true, check: cancelledMeanwhile},
		rule{name: "trouble: verify says so", calls: true, check: verifySaysSo},
		rule{name: "trouble: it passes", calls: true, check: troublePasses},
	)
}

// openKind is what has to come of opening: in the desk's messenger it is about a
// session that is there.
func (b *bench) openKind(trouble *trouble) fault.Kind {
	if b.inside() && trouble.session == fault.DeskGone {
		return fault.DeskGone
	}
	return trouble.open
}

// everything makes one call of each kind, about an open session.
func (b *bench) everything(ctx context.Context, ref string) map[string]error {
	_, openErr := b.desk.Open(ctx, b.request())
	sendErr := b.tell(ctx, sendRequest(ref, personalText))
	return map[string]error{
		"open": openErr, "send": sendErr,
		"close":  b.desk.Close(ctx, closeRequest(ref, handoff.ReasonUserEnded)),
		"verify": b.desk.Verify(ctx),
	}
}

// fails checks that an error is the fault that it has to be and tells no secret.
func (b *bench) fails(t tester, err error, kind fault.Kind, sent fault.Stage, after time.Duration) {
	t.Helper()
	require.Error(t, err)
	f, ok := errors.AsType[*fault.Fault](err)
	require.True(t, ok, "%v is no *fault.Fault", err)
	require.Equal(t, kind, f.Kind, f.Public)
	require.Equal(t, sent.String(), f.Sent.String(), f.Public)
	require.Equal(t, after, f.After)
	b.tellsNoSecret(t, err)
}

// tellsNoSecret looks at everything that a log line about the error could show.
func (b *bench) tellsNoSecret(t tester, err error) {
	t.Helper()
	var log strings.Builder
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(&log, "%v\n%+v\n%#v\n", e, e, e)
		shown, _ := json.Marshal(e)
		log.Write(shown)
		slog.New(slog.NewTextHandler(&log, nil)).Info("failed", "error", e)
	}
	for _, secret := range b.secrets() {
		require.NotContains(t, log.String(), secret)
	}
}

// A proxy or a wrong address may answer 200 with a page of its own.
func unreadableSuccess(t tester, b *bench) {
	ref := b.open(t)
	b.make(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>" + personalText)) })
	_, openErr := b.desk.Open(t.Context(), b.request())
	sendErr := b.tell(t.Context(), sendRequest(ref, personalText))
	for _, err := range []error{openErr, sendErr} {
		if b.h.UnreadableIsSuccess {
			require.NoError(t, err)
			continue
		}
		require.Error(t, err)
		require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
		require.Equal(t, fault.MaybeSent, fault.As(err).Sent, "200 may mean that it was done")
		b.tellsNoSecret(t, err)
	}
}

func connectionRefused(t tester, b *bench) {
	ref := b.open(t)
	b.client.CloseIdleConnections() // a closed one would leave it open whether the request arrived
	b.server.Close()
	for _, err := range b.everything(t.Context(), ref) {
		b.fails(t, err, fault.DeskUnavailable, fault.NotSent, 0)
	}
}

func cancelledBefore(t tester, b *bench) {
	ref := b.open(t)
	before := len(b.arrived())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range b.everything(ctx, ref) {
		b.fails(t, err, fault.Canceled, fault.NotSent, 0)
	}
	require.Len(t, b.arrived(), before)
}

func cancelledMeanwhile(t tester, b *bench) {
	ref := b.open(t)
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := b.desk.Open(ctx, b.request()); return err },
		func(ctx context.Context) error {
			return b.tell(ctx, sendRequest(ref, personalText))
		},
		func(ctx context.Context) error { return b.desk.Close(ctx, closeRequest(ref, handoff.ReasonUserEnded)) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		b.make(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		b.fails(t, call(ctx), fault.Canceled, fault.MaybeSent, 0)
		cancel()
	}
}

func verifySaysSo(t tester, b *bench) {
	for code, kind := range map[int]fault.Kind{
		401: fault.DeskUnauthorized, 403: fault.DeskUnauthorized, 500: fault.DeskUnavailable, 503: fault.DeskUnavailable,
	} {
		b.make(status(code))
		err := b.desk.Verify(t.Context())
		require.Equal(t, kind, fault.KindOf(err), code)
		b.tellsNoSecret(t, err)
	}
	b.make(raw(""))
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(b.desk.Verify(t.Context())))
}

// Nothing of a failure may stick to the desk.
func troublePasses(t tester, b *bench) {
	for range desk.TripAfter - 2 {
		b.make(status(500))
		_, err := b.desk.Open(t.Context(), b.request())
		require.Error(t, err)
	}
	b.make(nil)
	ref := b.open(t)
	said := ref
	if b.inside() {
		said = b.dialogue(t)
	}
	require.NoError(t, b.tell(t.Context(), sendRequest(said, "hello")))
	require.NoError(t, b.desk.Close(t.Context(), closeRequest(ref, handoff.ReasonUserEnded)))
	require.Len(t, b.fake.Received(), 3)
}
