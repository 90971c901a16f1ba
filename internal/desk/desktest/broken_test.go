package desktest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// watcher is a tester whose failures are watched instead of reported.
type watcher struct {
	*testing.T
	failed bool
	first  string
}

func (w *watcher) Errorf(format string, args ...any) {
	if w.first == "" {
		w.first = fmt.Sprintf(format, args...)
	}
	w.failed = true
}

func (w *watcher) FailNow() {
	w.failed = true
	runtime.Goexit()
}

// watch asks one question and tells whether the desk failed it.
func watch(t *testing.T, h Harness, name string) *watcher {
	t.Helper()
	w := &watcher{T: t}
	for _, r := range rules() {
		if r.name != name {
			continue
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.check(w, newBench(w, h))
		}()
		<-done
		return w
	}
	t.Fatalf("there is no rule %q", name)
	return nil
}

// broken does what its functions say, and the rest like the right desk.
type broken struct {
	*acme
	verify  func(context.Context) error
	open    func(context.Context, desk.OpenRequest) (desk.Opened, error)
	send    func(context.Context, desk.SendRequest) (desk.Sent, error)
	close   func(context.Context, desk.CloseRequest) error
	receive func() ([]handoff.DeskEvent, error)
}

func (b *broken) Verify(ctx context.Context) error {
	if b.verify != nil {
		return b.verify(ctx)
	}
	return b.acme.Verify(ctx)
}

func (b *broken) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	if b.open != nil {
		return b.open(ctx, r)
	}
	return b.acme.Open(ctx, r)
}

func (b *broken) Send(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
	if b.send != nil {
		return b.send(ctx, r)
	}
	return b.acme.Send(ctx, r)
}

func (b *broken) Close(ctx context.Context, r desk.CloseRequest) error {
	if b.close != nil {
		return b.close(ctx, r)
	}
	return b.acme.Close(ctx, r)
}

func (b *broken) Receive(ctx context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	if b.receive != nil {
		return b.receive()
	}
	return b.acme.Receive(ctx, r)
}

// spoiled makes a driver whose desk is broken in some functions.
func spoiled(spoil func(a *acme, b *broken)) acmeDriver {
	return acmeDriver{spoil: func(a *acme) desk.Desk {
		b := &broken{acme: a}
		spoil(a, b)
		return b
	}}
}

// misjudging changes every fault that the right desk gives.
func misjudging(change func(f *fault.Fault) error) acmeDriver {
	judge := func(err error) error {
		if err == nil {
			return nil
		}
		f := *fault.As(err)
		return change(&f)
	}
	return spoiled(func(a *acme, b *broken) {
		b.verify = func(ctx context.Context) error { return judge(a.Verify(ctx)) }
		b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
			opened, err := a.Open(ctx, r)
			return opened, judge(err)
		}
		b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
			sent, err := a.Send(ctx, r)
			return sent, judge(err)
		}
		b.close = func(ctx context.Context, r desk.CloseRequest) error { return judge(a.Close(ctx, r)) }
	})
}

// becomes takes every failure of one kind for another.
func becomes(from, to fault.Kind) acmeDriver {
	return misjudging(func(f *fault.Fault) error {
		if f.Kind == from {
			f.Kind = to
		}
		return f
	})
}

func stageIs(stage fault.Stage) acmeDriver {
	return misjudging(func(f *fault.Fault) error { f.Sent = stage; return f })
}

func swallowing() acmeDriver { return misjudging(func(*fault.Fault) error { return nil }) }

func impatient() acmeDriver {
	return misjudging(func(f *fault.Fault) error { f.After = 0; return f })
}

type typing struct{ *acme }

func (typing) SendTyping(context.Context, string) error { return nil }

// followsRedirects uses a client of its own, as a careless desk would.
func followsRedirects() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/send", http.NoBody)
			if err != nil {
				return desk.Sent{}, err
			}
			resp, err := new(http.Client).Do(req)
			if err != nil {
				return desk.Sent{}, fault.Wrap(fault.DeskUnavailable, err, "no")
			}
			return desk.Sent{}, resp.Body.Close()
		}
	})
}

// Every rule has desks that are broken in exactly what it asks.
var brokenDesks = map[string][]acmeDriver{
	"describes itself": {
		{misdescribe: func(d *handoff.DeskDescription) { d.Title = "" }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Kind = "Acme Desk" }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Modes = []handoff.Mode{handoff.ModeDeskToDesk} }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Unknown = "" }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Fields[0].Label = "" }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Fields = append(d.Fields, d.Fields[0]) }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Title = time.Now().String() }},
		{misdescribe: func(d *handoff.DeskDescription) {
			d.Retry = map[handoff.DeliveryKind]handoff.RetryPolicy{handoff.DeliverClose: {Base: time.Second, Max: time.Second}}
		}},
	},
	"declares what it implements": {
		{misdescribe: func(d *handoff.DeskDescription) { d.Typing = true }},
		{misdescribe: func(d *handoff.DeskDescription) { d.ReadReceipts = true }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Unknown = handoff.OutcomeReadBack }},
		{spoil: func(a *acme) desk.Desk { return typing{a} }},
	},
	"connects without a call": {{spoil: func(a *acme) desk.Desk {
		_ = a.Verify(context.Background())
		return a
	}}},
	"verify changes nothing": {
		swallowAll(func(*acme) error { return nil }),
		swallowAll(func(a *acme) error { _, err := a.Open(context.Background(), openRequest()); return err }),
		swallowAll(func(*acme) error { return errors.New("no") }),
	},
	"open answers with an id": {spoiled(func(a *acme, b *broken) {
		b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
			_, err := a.Open(ctx, r)
			return desk.Opened{}, err
		}
	})},
	"open brings the context": {
		openingWith(func(r *desk.OpenRequest) { r.Rounds = nil }),
		openingWith(func(r *desk.OpenRequest) { r.Question = desk.Text{} }),
		openingWith(func(r *desk.OpenRequest) { r.User.Email = "" }),
		openingWith(func(r *desk.OpenRequest) { r.Question.Body = strings.ToLower(r.Question.Body[:len(r.Question.Body)/2]) }),
		openingWith(func(r *desk.OpenRequest) {
			for i := range r.Rounds {
				r.Rounds[i].Answer.Body = r.Rounds[i].Answer.Body[:min(1_000, len(r.Rounds[i].Answer.Body))]
			}
		}),
		spoiled(func(a *acme, b *broken) { // asks twice
			b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
				_, _ = a.Open(ctx, r)
				return a.Open(ctx, r)
			}
		}),
	},
	"messages keep their order": {
		sendingWith(func(r *desk.SendRequest) { r.Text.Body = strings.TrimSpace(r.Text.Body) }),
		sendingWith(func(r *desk.SendRequest) { r.Text.Body = strings.ReplaceAll(r.Text.Body, "&", "&amp;") }),
		sendingWith(func(r *desk.SendRequest) { r.Text.Body = r.Text.Body[:min(500, len(r.Text.Body))] }),
		spoiled(func(a *acme, b *broken) { // sends the one before
			var before desk.SendRequest
			b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
				r, before = before, r
				r.Ref = before.Ref
				return a.Send(ctx, r)
			}
		}),
	},
	"files arrive": {sendingWith(func(r *desk.SendRequest) { r.Text.Attachments = nil })},
	"close arrives for every reason": {spoiled(func(a *acme, b *broken) {
		b.close = func(ctx context.Context, r desk.CloseRequest) error {
			if r.Reason == handoff.ReasonAdminEnded {
				return nil
			}
			return a.Close(ctx, r)
		}
	})},
	"a repeat can be recognised": {sendingWith(func(r *desk.SendRequest) {
		if r.Repeat {
			r.At = r.At.Add(time.Second)
		}
	})},
	"garbage gives no event": {
		spoiled(func(_ *acme, b *broken) {
			b.receive = func() ([]handoff.DeskEvent, error) { return []handoff.DeskEvent{{Kind: handoff.DeskMessage}}, nil }
		}),
		spoiled(func(_ *acme, b *broken) {
			b.receive = func() ([]handoff.DeskEvent, error) { return nil, errors.New("unexpected end of JSON input") }
		}),
	},

	"trouble: 400":                  {swallowing(), becomes(fault.DeskRejected, fault.DeskUnavailable), stageIs(fault.NotSent)},
	"trouble: 401":                  {swallowing(), becomes(fault.DeskUnauthorized, fault.DeskRejected)},
	"trouble: 403":                  {swallowing(), becomes(fault.DeskUnauthorized, fault.DeskRejected)},
	"trouble: 404":                  {swallowing(), becomes(fault.DeskGone, fault.DeskRejected), closingGone()},
	"trouble: 409":                  {swallowing(), becomes(fault.DeskRejected, fault.DeskGone)},
	"trouble: 429":                  {swallowing(), becomes(fault.DeskRateLimited, fault.DeskRejected)},
	"trouble: 429 with Retry-After": {impatient()},
	"trouble: 500":                  {swallowing(), becomes(fault.DeskUnavailable, fault.DeskRejected), stageIs(fault.MaybeSent), leaking()},
	"trouble: 503 with Retry-After": {impatient(), misjudging(func(f *fault.Fault) error { return errors.New(f.Public) })},
	"trouble: redirect":             {swallowing(), becomes(fault.DeskRejected, fault.DeskUnavailable), followsRedirects()},
	"trouble: no HTTP":              {swallowing(), stageIs(fault.NotSent), leaking()},
	"trouble: no answer":            {swallowing(), stageIs(fault.NotSent), stageIs(fault.Sent)},
	"trouble: cut success":          {swallowing(), stageIs(fault.Sent), stageIs(fault.NotSent)},
	"trouble: slow":                 {becomes(fault.DeskUnavailable, fault.Canceled), stageIs(fault.NotSent)},
	"trouble: unreadable success":   {swallowing(), stageIs(fault.Sent)},
	"trouble: connection refused":   {swallowing(), stageIs(fault.MaybeSent), leaking()},
	"trouble: cancelled before":     {becomes(fault.Canceled, fault.DeskUnavailable), stageIs(fault.MaybeSent), deaf()},
	"trouble: cancelled meanwhile":  {becomes(fault.Canceled, fault.DeskUnavailable), stageIs(fault.NotSent)},
	"trouble: verify says so":       {swallowing(), becomes(fault.DeskUnauthorized, fault.DeskRejected), leaking()},
	"trouble: it passes":            {sulking()},
}

// swallowAll replaces Verify.
func swallowAll(verify func(*acme) error) acmeDriver {
	return spoiled(func(a *acme, b *broken) { b.verify = func(context.Context) error { return verify(a) } })
}

func openingWith(change func(*desk.OpenRequest)) acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
			r.Rounds = append([]desk.Round(nil), r.Rounds...)
			change(&r)
			return a.Open(ctx, r)
		}
	})
}

func sendingWith(change func(*desk.SendRequest)) acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
			change(&r)
			return a.Send(ctx, r)
		}
	})
}

// closingGone takes it for a failure that the session to close is gone.
func closingGone() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.close = func(ctx context.Context, r desk.CloseRequest) error {
			return a.call(ctx, "/close", acmeCall{Session: r.Ref}, desk.AboutSession)
		}
	})
}

// leaking puts the token into the cause, which logs show.
func leaking() acmeDriver {
	return misjudging(func(f *fault.Fault) error {
		f.Cause = fmt.Errorf("POST with Authorization: Bearer %s: %w", acmeToken, errors.New("failed"))
		return f
	})
}

// deaf goes on although the caller went away.
func deaf() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
			_, _ = a.Send(context.WithoutCancel(ctx), r)
			return desk.Sent{}, &fault.Fault{Kind: fault.Canceled, Public: "cancelled", Cause: context.Canceled}
		}
	})
}

// sulking gives up for good after one failure.
func sulking() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		var failed error
		b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
			if failed != nil {
				return desk.Opened{}, failed
			}
			opened, err := a.Open(ctx, r)
			failed = err
			return opened, err
		}
	})
}

func TestEveryRuleCanFail(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		require.NotEmpty(t, brokenDesks[r.name], "no broken desk proves that %q can fail", r.name)
	}
	require.Len(t, brokenDesks, len(rules()), "a broken desk for a rule that does not exist")
	for name, drivers := range brokenDesks {
		for i, driver := range drivers {
			t.Run(fmt.Sprintf("%s %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				w := watch(t, acmeHarness(driver), name)
				require.True(t, w.failed, "the broken desk passed")
				t.Log(w.first)
			})
		}
	}
}
