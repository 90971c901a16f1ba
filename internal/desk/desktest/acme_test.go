package desktest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// acme is a small desk that does everything right, for the broken ones to start from.
type acme struct {
	base, token string
	http        *http.Client
}

const acmeToken = "canary-token"

type acmeDriver struct {
	// spoil turns the right desk into a broken one.
	spoil func(a *acme) desk.Desk
	// misdescribe spoils the declaration.
	misdescribe func(*handoff.DeskDescription)
}

func (acmeDriver) healthy() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind: "acme", Title: "Acme", Modes: []handoff.Mode{handoff.ModeExternalToDesk}, Steps: []string{"Sign up."},
		Fields: []handoff.CredentialField{
			{Name: "url", Label: "URL", Required: true}, {Name: "token", Label: "Token", Required: true, Secret: true},
		},
		History: true, Unknown: handoff.OutcomeRepeatMarked,
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
	a := &acme{base: s.Fields["url"], token: s.Fields["token"], http: s.HTTP}
	if d.spoil != nil {
		return d.spoil(a), nil
	}
	return a, nil
}

// acmeCall is the one shape of Acme's API.
type acmeCall struct {
	Session string   `json:"session"`
	Email   string   `json:"email,omitempty"`
	Texts   []string `json:"texts,omitempty"`
	At      int64    `json:"at"`
}

func (a *acme) call(ctx context.Context, path string, payload any, about desk.Subject) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "internal error")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Internal, "the address cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := desk.Do(a.http, req, desk.MaxAnswerBytes)
	switch {
	case err != nil:
		return err
	case answer.Status != http.StatusOK:
		return answer.Refusal(about, now)
	case string(answer.Body) != `"ok"`:
		return &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.MaybeSent, Public: "the desk gave an unreadable answer"}
	}
	return nil
}

func (a *acme) Verify(ctx context.Context) error { return a.call(ctx, "/ping", nil, desk.AboutDesk) }

func (a *acme) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	out := acmeCall{Session: r.ProposedRef, Email: r.User.Email, At: r.At.UnixMilli()}
	for _, round := range r.Rounds {
		out.Texts = append(out.Texts, round.Question.Plain(), round.Answer.Plain())
	}
	out.Texts = append(out.Texts, r.Question.Plain())
	if err := a.call(ctx, "/open", out, desk.AboutDesk); err != nil {
		return desk.Opened{}, err
	}
	return desk.Opened{Ref: r.ProposedRef}, nil
}

func (a *acme) Send(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
	return desk.Sent{}, a.call(ctx, "/send", acmeCall{Session: r.Ref, Texts: []string{r.Text.Plain()}, At: r.At.UnixMilli()}, desk.AboutSession)
}

func (a *acme) Close(ctx context.Context, r desk.CloseRequest) error {
	err := a.call(ctx, "/close", acmeCall{Session: r.Ref, At: r.At.UnixMilli()}, desk.AboutSession)
	if fault.Is(err, fault.DeskGone) {
		return nil
	}
	return err
}

func (a *acme) Receive(context.Context, desk.Inbound) ([]handoff.DeskEvent, error) {
	return nil, fault.New(fault.InvalidInput, "Acme never calls")
}

// acmeServer is the fake of Acme's API.
type acmeServer struct {
	mu    sync.Mutex
	calls []Call
}

func (s *acmeServer) Received() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

func (s *acmeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+acmeToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	operation, known := map[string]Operation{"/open": Open, "/send": Message, "/close": Close}[r.URL.Path]
	if known {
		var in acmeCall
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.calls = append(s.calls, Call{Operation: operation, Ref: in.Session, Email: in.Email, Texts: in.Texts})
		s.mu.Unlock()
	}
	_, _ = w.Write([]byte(`"ok"`))
}

func acmeHarness(d acmeDriver) Harness {
	return Harness{
		Driver: d, Mode: handoff.ModeExternalToDesk,
		Fields:  func(baseURL string) map[string]string { return map[string]string{"url": baseURL, "token": acmeToken} },
		NewFake: func() Fake { return &acmeServer{} },
	}
}

func TestTheRightDeskPasses(t *testing.T) {
	t.Parallel()
	Run(t, acmeHarness(acmeDriver{}))
}
