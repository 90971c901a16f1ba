package desktest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// acme is a small desk that does everything right, for the broken ones to start from.
type acme struct {
	base, token string
	mode        handoff.Mode
	http        *http.Client
}

const acmeToken = "canary-token"

type acmeDriver struct {
	mode    handoff.Mode           // "" = EXTERNAL_TO_DESK
	unknown handoff.UnknownOutcome // "" = REPEAT_MARKED
	// spoil turns the right desk into a broken one.
	spoil func(a *acme) desk.Desk
	// misdescribe spoils the declaration.
	misdescribe func(*handoff.DeskDescription)
	// misuse spoils the harness.
	misuse func(*Harness)
	// spoilReader turns the reading back of the right desk into a broken one.
	spoilReader func(r acmeReader) desk.Desk
}

const acmeLimit = 5_000

func (d acmeDriver) healthy() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind: "acme", Title: "Acme", Modes: []handoff.Mode{handoff.ModeExternalToDesk, handoff.ModeDeskToDesk},
		Channel: handoff.ChannelLiveChat, Steps: []string{"Sign up."},
		Fields: []handoff.CredentialField{
			{Name: "url", Label: "URL", Required: true}, {Name: "token", Label: "Token", Required: true, Secret: true},
		},
		Receive:      []handoff.ReceiveAddress{{Label: "Webhook", Path: "/hooks/{token}"}},
		MaxTextRunes: acmeLimit, Attachments: handoff.AttachmentSupport{FromDesk: true}, History: true, Notes: true, EndsByDesk: true,
		Unknown: cmp.Or(d.unknown, handoff.OutcomeRepeatMarked), CatchUp: time.Minute,
	}
}

func (d acmeDriver) Describe() handoff.DeskDescription {
	description := d.healthy()
	if d.misdescribe != nil {
		d.misdescribe(&description)
	}
	return description
}

func (d acmeDriver) Connect(s desk.Settings) (desk.Desk, error) {
	a := &acme{base: s.Fields["url"], token: s.Fields["token"], mode: s.Mode, http: s.HTTP}
	switch {
	case d.spoil != nil:
		return d.spoil(a), nil
	case d.spoilReader != nil:
		return d.spoilReader(acmeReader{a}), nil
	case s.Mode == handoff.ModeDeskToDesk:
		return acmeSpeaker{a}, nil
	case d.unknown == handoff.OutcomeReadBack:
		return acmeReader{a}, nil
	}
	return a, nil
}

// acmeCall is the one shape of Acme's API.
type acmeCall struct {
	Session  string   `json:"session"`
	Delivery string   `json:"delivery,omitempty"`
	Email    string   `json:"email,omitempty"`
	Texts    []string `json:"texts,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	At       int64    `json:"at"`
}

// acmeEvent is what Acme tells us.
type acmeEvent struct {
	Session string               `json:"session"`
	ID      string               `json:"id"`
	Type    HappeningKind        `json:"type"`
	Text    string               `json:"text"`
	By      string               `json:"by"`
	Files   []handoff.Attachment `json:"files"`
	At      int64                `json:"at"`
}

func (a *acme) call(ctx context.Context, path string, payload any, about desk.Subject) error {
	var ok string
	return a.ask(ctx, path, payload, about, &ok)
}

func (a *acme) ask(ctx context.Context, path string, payload any, about desk.Subject, into any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "internal error")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Internal, "the address cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := desk.Do(a.http, req, 1<<20)
	switch {
	case err != nil:
		return err
	case answer.Status != http.StatusOK:
		return answer.Refusal(about, now)
	case json.Unmarshal(answer.Body, into) != nil:
		return &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.MaybeSent, Public: "the desk gave an unreadable answer"}
	}
	return nil
}

func (a *acme) Verify(ctx context.Context) error { return a.call(ctx, "/ping", nil, desk.AboutDesk) }

func (a *acme) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	ref := cmp.Or(r.Begun, r.ProposedRef)
	if r.Begun == "" {
		out := acmeCall{Session: ref, Delivery: r.DeliveryID, Email: r.User.Email, At: r.At.UnixMilli()}
		for _, round := range r.Rounds {
			out.Texts = append(out.Texts, round.Question.Plain(), round.Answer.Plain())
		}
		out.Texts = append(out.Texts, r.Question.Plain())
		about := desk.AboutDesk
		if a.mode == handoff.ModeDeskToDesk {
			about = desk.AboutSession
		}
		if err := a.call(ctx, "/open", out, about); err != nil {
			return desk.Opened{}, err
		}
	}
	if r.Note == "" && r.Summary == "" {
		return desk.Opened{Ref: ref}, nil
	}
	note := acmeCall{Session: ref, Notes: []string{r.Note, r.Summary}, At: r.At.UnixMilli()}
	return desk.Opened{Ref: ref}, a.call(ctx, "/note", note, desk.AboutDesk)
}

func (a *acme) Send(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
	for i, part := range handoff.SplitText(r.Text.Plain(), acmeLimit) {
		out := acmeCall{Session: r.Ref, Delivery: fmt.Sprint(r.DeliveryID, ".", i), Texts: []string{part}, At: r.At.UnixMilli()}
		if err := a.call(ctx, "/send", out, desk.AboutSession); err != nil {
			return desk.Sent{}, err
		}
	}
	return desk.Sent{}, nil
}

func (a *acme) Close(ctx context.Context, r desk.CloseRequest) error {
	err := a.call(ctx, "/close", acmeCall{Session: r.Ref, At: r.At.UnixMilli()}, desk.AboutSession)
	if fault.Is(err, fault.DeskGone) {
		return nil
	}
	return err
}

func acmeSignature(token string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

const acmeHeader = "Acme-Signature"

func (a *acme) Receive(_ context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	if !hmac.Equal([]byte(r.Header.Get(acmeHeader)), []byte(acmeSignature(a.token, r.Body))) {
		return nil, fault.New(fault.Unauthenticated, "the signature is wrong")
	}
	var e acmeEvent
	if json.Unmarshal(r.Body, &e) != nil || e.Session == "" {
		return nil, fault.New(fault.InvalidInput, "this is no event of Acme")
	}
	return a.translate(&e), nil
}

func (a *acme) translate(e *acmeEvent) []handoff.DeskEvent {
	out := handoff.DeskEvent{
		Ref: e.Session, ID: e.ID, At: time.UnixMilli(e.At), OperatorName: e.By, Attachments: e.Files,
		Text: handoff.SplitText(e.Text, handoff.MaxTextRunes)[0],
	}
	switch {
	case e.Type == OperatorWrites:
		out.Kind = handoff.DeskMessage
	case e.Type == OperatorEnds:
		out.Kind = handoff.DeskEnded
	case e.Type == OperatorJoins:
		out.Kind = handoff.DeskJoined
	case e.Type == UserWrites && a.mode == handoff.ModeDeskToDesk:
		out.Kind = handoff.DeskUserWrote
	default:
		return nil
	}
	return []handoff.DeskEvent{out}
}

func (a *acme) Missed(ctx context.Context, ref string, since time.Time) ([]handoff.DeskEvent, error) {
	var list []acmeEvent
	err := a.ask(ctx, "/missed", acmeCall{Session: ref, At: since.UnixMilli()}, desk.AboutSession, &list)
	if fault.Is(err, fault.DeskGone) {
		return []handoff.DeskEvent{{Kind: handoff.DeskEnded, Ref: ref}}, nil
	}
	if err != nil {
		return nil, err
	}
	var events []handoff.DeskEvent
	for i := range list {
		events = append(events, a.translate(&list[i])...)
	}
	return events, nil
}

// acmeReader is Acme with an API to look up what has arrived.
type acmeReader struct{ *acme }

func (a acmeReader) find(ctx context.Context, delivery string) (ref string, err error) {
	err = a.ask(ctx, "/find", acmeCall{Delivery: delivery}, desk.AboutDesk, &ref)
	return ref, err
}

func (a acmeReader) FindOpened(ctx context.Context, r desk.OpenRequest) (desk.Opened, bool, error) {
	ref, err := a.find(ctx, r.DeliveryID)
	if err != nil || ref == "" {
		return desk.Opened{}, false, err
	}
	r.Begun = ref // what came after it may be missing
	opened, err := a.Open(ctx, r)
	return opened, err == nil, err
}

func (a acmeReader) FindSent(ctx context.Context, r desk.SendRequest) (desk.Sent, bool, error) {
	ref, err := a.find(ctx, r.DeliveryID+".0")
	return desk.Sent{}, ref != "", err
}

// acmeSpeaker is Acme in whose messenger the User is.
type acmeSpeaker struct{ *acme }

func (a acmeSpeaker) Say(ctx context.Context, r desk.SayRequest) (desk.Sent, error) {
	for i, part := range handoff.SplitText(r.Text.Plain(), acmeLimit) {
		out := acmeCall{Session: r.Ref, Delivery: fmt.Sprint(r.DeliveryID, ".", i), Texts: []string{part}, At: r.At.UnixMilli()}
		if err := a.call(ctx, "/say", out, desk.AboutSession); err != nil {
			return desk.Sent{}, err
		}
	}
	return desk.Sent{}, nil
}

// acmeServer is the fake of Acme's API.
type acmeServer struct {
	idempotent bool // drops what it has already got

	mu       sync.Mutex
	calls    []Call
	known    map[string]string // session by delivery
	happened []acmeEvent
	sessions int
}

func (s *acmeServer) Received() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *acmeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+acmeToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var in acmeCall
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer any = "ok"
	operation, known := map[string]Operation{"/open": Open, "/send": Message, "/close": Close, "/say": Said}[r.URL.Path]
	_, repeat := s.known[in.Delivery]
	switch {
	case r.URL.Path == "/find":
		answer = s.known[in.Delivery]
	case r.URL.Path == "/missed":
		answer = slices.DeleteFunc(slices.Clone(s.happened), func(e acmeEvent) bool { return e.Session != in.Session || e.At < in.At })
	case known && (!repeat || !s.idempotent):
		s.calls = append(s.calls, Call{Operation: operation, Ref: in.Session, Email: in.Email, Texts: in.Texts})
		if in.Delivery != "" {
			s.known[in.Delivery] = in.Session
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func acmeIncoming(fake Fake, fields map[string]string, ref string, h Happening) (desk.Inbound, bool) {
	s := fake.(*acmeServer)
	e := acmeEvent{Session: ref, ID: h.ID, Type: h.Kind, Text: h.Text, By: h.Operator, Files: h.Attachments, At: h.At.UnixMilli()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.happened = append(s.happened, e)
	body, _ := json.Marshal(e)
	return desk.Inbound{Header: http.Header{acmeHeader: {acmeSignature(fields["token"], body)}}, Body: body, ReceivedAt: h.At}, true
}

func acmeHarness(d acmeDriver) Harness {
	h := Harness{
		Driver: d, Mode: cmp.Or(d.mode, handoff.ModeExternalToDesk),
		Fields: func(baseURL string) map[string]string { return map[string]string{"url": baseURL, "token": acmeToken} },
		NewFake: func() Fake {
			return &acmeServer{known: map[string]string{}, idempotent: d.unknown == handoff.OutcomeIdempotent}
		},
		Incoming: acmeIncoming, Signature: SignedAlways, OtherFields: map[string]string{"token": "canary-other"},
		NewSession: func(fake Fake) string {
			s := fake.(*acmeServer)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sessions++
			return fmt.Sprint("messenger-", s.sessions)
		},
	}
	if d.misuse != nil {
		d.misuse(&h)
	}
	return h
}

func TestTheRightDeskPasses(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]acmeDriver{
		"repeats are marked":   {},
		"repeats are dropped":  {unknown: handoff.OutcomeIdempotent},
		"it is read back":      {unknown: handoff.OutcomeReadBack},
		"in its own messenger": {mode: handoff.ModeDeskToDesk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Run(t, acmeHarness(d))
		})
	}
}
