package desktest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

var onceRules = []rule{
	{name: "a lost answer opens nothing twice", calls: true, check: lostAnswerOpensNothingTwice},
	{name: "a failed open names what it made", calls: true, check: failedOpenNamesWhatItMade},
	{name: "a lost answer says nothing twice", calls: true, check: lostAnswerSaysNothingTwice},
}

// maxRequests bounds how many requests one call of a desk is thought to make.
const maxRequests = 30

// lostAnswers are the ways in which something happens and we do not learn of it.
func (b *bench) lostAnswers() map[string]http.HandlerFunc {
	stored := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			b.fake.ServeHTTP(httptest.NewRecorder(), r)
			then(w, r)
		}
	}
	return map[string]http.HandlerFunc{"stored, then 500": stored(status(500)), "stored, then cut": stored(raw(""))}
}

// failNth makes the n-th request from now go wrong; reached tells whether there was one.
func (b *bench) failNth(n int, wrong http.HandlerFunc) (reached func() bool) {
	var count atomic.Int64
	b.make(func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) == int64(n) {
			wrong(w, r)
			return
		}
		b.fake.ServeHTTP(w, r)
	})
	return func() bool { return count.Load() >= int64(n) }
}

// fullRequest is the n-th request to open, of another User each time, with
// everything that one can hold.
func (b *bench) fullRequest(n int) desk.OpenRequest {
	r := b.request()
	r.HandoffID = fmt.Sprintf("hof_%d", n)
	if !b.inside() {
		r.ProposedRef = fmt.Sprintf("68e778000fa31d1ef64e%04d", n)
	}
	r.User.ID, r.User.Email = fmt.Sprintf("u%d", n), fmt.Sprintf("mei%d@example.com", n)
	r.Note, r.Summary = "note for the operator", "summary for the operator"
	return r
}

// made are the sessions that the desk has opened after the first n.
func (b *bench) made(after int) (sessions []Call) {
	for _, c := range b.fake.Received() {
		if c.Operation == Open {
			sessions = append(sessions, c)
		}
	}
	return sessions[after:]
}

// openAgain opens as the relay does after a failure.
func (b *bench) openAgain(t tester, r desk.OpenRequest, failed desk.Opened) desk.Opened {
	t.Helper()
	r.Repeat, r.Begun = true, failed.Ref
	if reconciler, ok := desk.As[desk.Reconciler](b.desk); ok {
		opened, found, err := reconciler.FindOpened(t.Context(), r)
		require.NoError(t, err)
		if found {
			return opened
		}
	}
	opened, err := b.desk.Open(t.Context(), r)
	require.NoError(t, err)
	return opened
}

func lostAnswerOpensNothingTwice(t tester, b *bench) {
	opened := 0
	for name, lost := range b.lostAnswers() {
		for n := 1; ; n++ {
			require.Less(t, n, maxRequests)
			r := b.fullRequest(opened)
			reached := b.failNth(n, lost)
			first, err := b.desk.Open(t.Context(), r)
			b.make(nil)
			if err != nil {
				first = b.openAgain(t, r, first)
			}
			sessions := b.made(opened)
			opened += len(sessions)
			if b.description.Unknown != handoff.OutcomeRepeatMarked {
				require.Len(t, sessions, 1, "%s: request %d", name, n)
			}
			for _, s := range sessions { // a repeat that is marked has the same name
				require.Equal(t, first.Ref, s.Ref, "%s: request %d", name, n)
			}
			if !reached() {
				break
			}
		}
	}
}

func failedOpenNamesWhatItMade(t tester, b *bench) {
	opened := 0
	for n := 1; ; n++ {
		require.Less(t, n, maxRequests)
		r := b.fullRequest(opened)
		reached := b.failNth(n, status(500))
		first, err := b.desk.Open(t.Context(), r)
		b.make(nil)
		sessions := b.made(opened)
		if err != nil && len(sessions) > 0 {
			require.Equal(t, sessions[0].Ref, first.Ref, "request %d failed after a session was made", n)
		}
		if err != nil {
			first = b.openAgain(t, r, first)
		}
		sessions = b.made(opened)
		require.Len(t, sessions, 1, "request %d failed: the next attempt goes on where it began", n)
		require.Equal(t, sessions[0].Ref, first.Ref)
		require.NoError(t, b.desk.Close(t.Context(), closeRequest(first.Ref, handoff.ReasonTransferFailed)))
		opened++
		if !reached() {
			return
		}
	}
}

func lostAnswerSaysNothingTwice(t tester, b *bench) {
	if b.description.Unknown == handoff.OutcomeRepeatMarked {
		return // it is said twice, and marked
	}
	ref := b.dialogue(t)
	sent := 0
	for name, lost := range b.lostAnswers() {
		for n := 1; ; n++ {
			require.Less(t, n, maxRequests)
			r := sendRequest(ref, fmt.Sprintf("message %d", sent))
			reached := b.failNth(n, lost)
			err := b.tell(t.Context(), r)
			b.make(nil)
			if err != nil {
				b.sendAgain(t, r)
			}
			var got []string
			for _, c := range b.fake.Received() {
				if c.Operation == b.words() {
					got = append(got, c.Texts...)
				}
			}
			sent++
			require.Len(t, got, sent, "%s: request %d", name, n)
			require.Equal(t, r.Text.Body, got[sent-1])
			if !reached() {
				break
			}
		}
	}
}

// sendAgain sends as the relay does after a failure.
func (b *bench) sendAgain(t tester, r desk.SendRequest) {
	t.Helper()
	r.Repeat = true
	if reconciler, ok := desk.As[desk.SpeakerReconciler](b.desk); ok && b.inside() {
		_, found, err := reconciler.FindSaid(t.Context(), asSaid(r))
		require.NoError(t, err)
		if found {
			return
		}
	} else if reconciler, ok := desk.As[desk.Reconciler](b.desk); ok {
		_, found, err := reconciler.FindSent(t.Context(), r)
		require.NoError(t, err)
		if found {
			return
		}
	}
	require.NoError(t, b.tell(t.Context(), r))
}
