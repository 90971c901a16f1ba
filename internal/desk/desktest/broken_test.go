package desktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
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
	receive func(desk.Inbound) ([]handoff.DeskEvent, error)
	missed  func(ref string, since time.Time) ([]handoff.DeskEvent, error)
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
		return b.receive(r)
	}
	return b.acme.Receive(ctx, r)
}

func (b *broken) Missed(ctx context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	if b.missed != nil {
		return b.missed(ref, since)
	}
	return b.acme.Missed(ctx, ref, since)
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
		{misdescribe: func(d *handoff.DeskDescription) { d.Modes = []handoff.Mode{handoff.ModeExternalToDesk} }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Channel = handoff.ChannelWidget }},
		{misdescribe: func(d *handoff.DeskDescription) { d.CatchUp = time.Millisecond }},
		{misdescribe: func(d *handoff.DeskDescription) { d.RequestsPerSecond = -1 }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Fields[0].Pattern = "(" }},
		{misdescribe: func(d *handoff.DeskDescription) { d.Receive[0].Path = "hooks" }},
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
		{misdescribe: func(d *handoff.DeskDescription) { d.CatchUp = 0 }},
		{mode: handoff.ModeDeskToDesk, spoil: func(a *acme) desk.Desk { return a }},
		{mode: handoff.ModeDeskToDesk, spoil: func(a *acme) desk.Desk { return unsure{acmeReader{a}, acmeSpeaker{a}} }, unknown: handoff.OutcomeReadBack},
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
	"note and summary arrive": {
		openingWith(func(r *desk.OpenRequest) { r.Note = "" }),
		openingWith(func(r *desk.OpenRequest) { r.Summary = "" }),
		openingWith(func(r *desk.OpenRequest) { r.Question.Body += r.Note }),
	},
	"long messages are split between characters": {
		sendingWith(func(r *desk.SendRequest) {
			r.Text.Body = string([]rune(r.Text.Body)[:min(acmeLimit, len([]rune(r.Text.Body)))])
		}),
		sendingInParts(acmeLimit - 1),
		sendingInParts(acmeLimit + 1),
		sendingCut(),
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
			b.receive = func(desk.Inbound) ([]handoff.DeskEvent, error) {
				return []handoff.DeskEvent{{Kind: handoff.DeskMessage}}, nil
			}
		}),
		spoiled(func(_ *acme, b *broken) {
			b.receive = func(desk.Inbound) ([]handoff.DeskEvent, error) {
				return nil, errors.New("unexpected end of JSON input")
			}
		}),
	},

	"the harness is complete": {
		{misuse: func(h *Harness) { h.Incoming = nil }},
		{misuse: func(h *Harness) { h.OtherFields = nil }},
		{mode: handoff.ModeDeskToDesk, misuse: func(h *Harness) { h.NewSession = nil }},
	},
	"an operator's message comes through": {
		{misuse: func(h *Harness) { h.Incoming = silent }},
		telling(func(*handoff.DeskEvent) bool { return false }),
		telling(func(e *handoff.DeskEvent) bool { e.Ref = "another"; return true }),
		telling(func(e *handoff.DeskEvent) bool { e.ID = ""; return true }),
		telling(func(e *handoff.DeskEvent) bool { e.ID = e.Text; return true }),
		telling(func(e *handoff.DeskEvent) bool { e.At = time.Time{}; return true }),
		telling(func(e *handoff.DeskEvent) bool { e.OperatorName = "Acme bot"; return true }),
		telling(func(e *handoff.DeskEvent) bool { e.Text = strings.ReplaceAll(e.Text, "\n", " "); return true }),
	},
	"an operator's files come through": {
		telling(func(e *handoff.DeskEvent) bool { e.Attachments = nil; return true }),
		{misdescribe: func(d *handoff.DeskDescription) { d.Attachments.FromDesk = false }},
	},
	"an end comes through": {
		{misuse: func(h *Harness) { h.Incoming = silent }},
		telling(func(e *handoff.DeskEvent) bool { return e.Kind != handoff.DeskEnded }),
		telling(func(e *handoff.DeskEvent) bool { e.Kind = handoff.DeskMessage; return true }),
		spoiled(func(_ *acme, b *broken) {
			b.close = func(context.Context, desk.CloseRequest) error {
				return fault.New(fault.DeskGone, "it has ended")
			}
		}),
		spoiled(func(_ *acme, b *broken) {
			b.send = func(context.Context, desk.SendRequest) (desk.Sent, error) {
				return desk.Sent{}, fault.New(fault.DeskRejected, "it has ended")
			}
		}),
	},
	"what is internal stays inside":                {gossiping(BotWrites), gossiping(PrivateNote), gossiping(OurEcho), gossiping(OperatorJoins), gossiping(UserWrites)},
	"the unfamiliar is accepted and means nothing": {gossiping(Unfamiliar), strict()},
	"repeats and disorder change nothing":          {forgetful(), counting(), telling(func(e *handoff.DeskEvent) bool { e.ID = e.Text; return true })},
	"a changed request is not believed":            {trusting(func(*acme, desk.Inbound) bool { return true }), trusting(prefixSigned), trusting(signedIfAtAll)},
	"a request of another connection is not believed": {trusting(func(a *acme, r desk.Inbound) bool {
		return r.Header.Get(acmeHeader) == acmeSignature("canary-other", r.Body)
	})},
	"a cut or huge request does no harm": {
		spoiled(func(a *acme, b *broken) {
			b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
				if len(r.Body) >= 1_000_000 {
					return []handoff.DeskEvent{{Kind: handoff.DeskMessage, Ref: "x", Text: string(r.Body)}}, nil
				}
				return a.Receive(context.Background(), r)
			}
		}),
		trusting(func(_ *acme, r desk.Inbound) bool { return len(r.Body) < 1_000 }),
		spoiled(func(a *acme, b *broken) {
			b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
				var e acmeEvent
				if err := json.Unmarshal(r.Body, &e); err != nil {
					return nil, fault.Wrap(fault.Internal, err, "no")
				}
				return a.translate(&e), nil
			}
		}),
	},
	"what was missed is told like what was received": {
		missing(func(list []handoff.DeskEvent, err error) ([]handoff.DeskEvent, error) { return nil, err }),
		missing(func(list []handoff.DeskEvent, err error) ([]handoff.DeskEvent, error) {
			for i := range list {
				list[i].ID += "x"
			}
			return list, err
		}),
		missing(func(list []handoff.DeskEvent, err error) ([]handoff.DeskEvent, error) {
			slices.Reverse(list)
			return list, err
		}),
		missing(func(list []handoff.DeskEvent, err error) ([]handoff.DeskEvent, error) { return list, nil }),
		missing(func(list []handoff.DeskEvent, err error) ([]handoff.DeskEvent, error) {
			if len(list) == 1 && list[0].Kind == handoff.DeskEnded {
				return nil, nil
			}
			return list, err
		}),
	},
	"a lost answer opens nothing twice": {
		{unknown: handoff.OutcomeReadBack, spoilReader: func(r acmeReader) desk.Desk { return blind{r} }},
		{unknown: handoff.OutcomeIdempotent, misuse: func(h *Harness) {
			h.NewFake = func() Fake { return &acmeServer{known: map[string]string{}} }
		}},
		spoiled(func(a *acme, b *broken) { // a name of its own for every try
			tries := 0
			b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
				tries++
				r.ProposedRef += fmt.Sprint(tries)
				return a.Open(ctx, r)
			}
		}),
	},
	"a failed open names what it made": {
		spoiled(func(a *acme, b *broken) {
			b.open = func(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
				opened, err := a.Open(ctx, r)
				if err != nil {
					opened.Ref = ""
				}
				return opened, err
			}
		}),
		openingWith(func(r *desk.OpenRequest) { r.Begun = "" }),
	},
	"a lost answer says nothing twice": {
		{unknown: handoff.OutcomeReadBack, spoilReader: func(r acmeReader) desk.Desk { return blind{r} }},
		{unknown: handoff.OutcomeReadBack, spoilReader: func(r acmeReader) desk.Desk { return credulous{r} }},
		{unknown: handoff.OutcomeIdempotent, misuse: func(h *Harness) {
			h.NewFake = func() Fake { return &acmeServer{known: map[string]string{}} }
		}},
	},
	"what the user writes comes through": {
		inMessenger(telling(func(e *handoff.DeskEvent) bool { return e.Kind != handoff.DeskUserWrote })),
		inMessenger(telling(func(e *handoff.DeskEvent) bool { e.Kind = handoff.DeskMessage; return true })),
		inMessenger(telling(func(e *handoff.DeskEvent) bool { e.ID = "same"; return true })),
	},
	"the agent's words arrive in order": {
		{mode: handoff.ModeDeskToDesk, spoil: func(a *acme) desk.Desk { return mumbling{acmeSpeaker{a}} }},
		{mode: handoff.ModeDeskToDesk, spoil: func(a *acme) desk.Desk { return a }},
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

// silent is a harness that has nothing to say.
func silent(Fake, map[string]string, string, Happening) (desk.Inbound, bool) {
	return desk.Inbound{}, false
}

// telling changes or drops what the right desk tells.
func telling(keep func(e *handoff.DeskEvent) bool) acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
			events, err := a.Receive(context.Background(), r)
			var kept []handoff.DeskEvent
			for _, e := range events {
				if keep(&e) {
					kept = append(kept, e)
				}
			}
			return kept, err
		}
	})
}

// gossiping takes happenings of a kind for messages of an operator.
func gossiping(kind HappeningKind) acmeDriver {
	return trustingAs(func(e *acmeEvent) {
		if e.Type == kind {
			e.Type = OperatorWrites
		}
	}, func(a *acme, r desk.Inbound) bool { return true })
}

// trusting believes what it likes.
func trusting(believes func(*acme, desk.Inbound) bool) acmeDriver {
	return trustingAs(func(*acmeEvent) {}, believes)
}

func trustingAs(change func(*acmeEvent), believes func(*acme, desk.Inbound) bool) acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
			if !believes(a, r) {
				return a.Receive(context.Background(), r)
			}
			var e acmeEvent
			if err := json.Unmarshal(r.Body, &e); err != nil {
				return []handoff.DeskEvent{{Kind: handoff.DeskMessage}}, nil
			}
			change(&e)
			return a.translate(&e), nil
		}
	})
}

// prefixSigned checks the signature over all but the end.
func prefixSigned(a *acme, r desk.Inbound) bool {
	body := bytes.TrimRight(r.Body, " ")
	return r.Header.Get(acmeHeader) == acmeSignature(a.token, body)
}

func signedIfAtAll(_ *acme, r desk.Inbound) bool { return r.Header.Get(acmeHeader) == "" }

// strict refuses what it does not know.
func strict() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
			events, err := a.Receive(context.Background(), r)
			if err == nil && len(events) == 0 {
				err = fault.New(fault.InvalidInput, "unknown event")
			}
			return events, err
		}
	})
}

// forgetful numbers messages by itself, which another replica does not know.
func forgetful() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		n := 0
		b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
			events, err := a.Receive(context.Background(), r)
			for i := range events {
				n++
				events[i].ID = fmt.Sprint(n)
			}
			return events, err
		}
	})
}

// counting tells each thing once, by a memory of its own.
func counting() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		newest := time.Time{}
		b.receive = func(r desk.Inbound) ([]handoff.DeskEvent, error) {
			events, err := a.Receive(context.Background(), r)
			for i := range events {
				if !events[i].At.After(newest) {
					return nil, err
				}
				newest = events[i].At
			}
			return events, err
		}
	})
}

func missing(change func([]handoff.DeskEvent, error) ([]handoff.DeskEvent, error)) acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.missed = func(ref string, since time.Time) ([]handoff.DeskEvent, error) {
			return change(a.Missed(context.Background(), ref, since))
		}
	})
}

// inMessenger puts a broken desk into DESK_TO_DESK.
func inMessenger(d acmeDriver) acmeDriver {
	d.mode = handoff.ModeDeskToDesk
	return d
}

// blind never finds what has arrived.
type blind struct{ acmeReader }

func (blind) FindOpened(context.Context, desk.OpenRequest) (desk.Opened, bool, error) {
	return desk.Opened{}, false, nil
}

func (blind) FindSent(context.Context, desk.SendRequest) (desk.Sent, bool, error) {
	return desk.Sent{}, false, nil
}

// credulous finds more than there is of what it is asked for.
type credulous struct{ acmeReader }

func (c credulous) FindSent(ctx context.Context, r desk.SendRequest) (desk.Sent, bool, error) {
	_, _ = c.Send(ctx, r)
	return desk.Sent{}, true, nil
}

// unsure speaks, but cannot tell whether it was heard.
type unsure struct {
	acmeReader
	speaker acmeSpeaker
}

func (u unsure) Say(ctx context.Context, r desk.SayRequest) (desk.Sent, error) {
	return u.speaker.Say(ctx, r)
}

// mumbling swallows what it has said before.
type mumbling struct{ acmeSpeaker }

func (m mumbling) Say(ctx context.Context, r desk.SayRequest) (desk.Sent, error) {
	r.Text.Body = strings.TrimPrefix(r.Text.Body, "first")
	return m.acmeSpeaker.Say(ctx, r)
}

// sendingInParts cuts at another limit than it declares.
func sendingInParts(limit int) acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
			for _, part := range handoff.SplitText(r.Text.Body, limit) {
				if err := a.call(ctx, "/send", acmeCall{Session: r.Ref, Texts: []string{part}}, desk.AboutSession); err != nil {
					return desk.Sent{}, err
				}
			}
			return desk.Sent{}, nil
		}
	})
}

// sendingCut cuts at the limit, whatever is there.
func sendingCut() acmeDriver {
	return spoiled(func(a *acme, b *broken) {
		b.send = func(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
			for part := range slices.Chunk([]rune(r.Text.Body), acmeLimit) {
				if err := a.call(ctx, "/send", acmeCall{Session: r.Ref, Texts: []string{string(part)}}, desk.AboutSession); err != nil {
					return desk.Sent{}, err
				}
			}
			return desk.Sent{}, nil
		}
	})
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
