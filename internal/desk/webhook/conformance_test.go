package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"

	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/handoff"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more      map[string]string
		signature desktest.Signature
	}{
		"plain":    {},
		"signed":   {map[string]string{fieldSigningSecret: secret1}, desktest.SignedIfAtAll},
		"extended": {map[string]string{fieldExtended: "on"}, desktest.Unsigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desktest.Run(t, desktest.Harness{
				Driver: Driver{}, Mode: handoff.ModeExternalToDesk,
				Fields: func(baseURL string) map[string]string {
					fields := map[string]string{fieldURL: baseURL + "/human/service", fieldUsername: "desk-bridge", fieldPassword: "canary-password"}
					for name, value := range c.more {
						fields[name] = value
					}
					return fields
				},
				NewFake:             func() desktest.Fake { return &fakeServer{} },
				Incoming:            incomingOf,
				Signature:           c.signature,
				OtherFields:         map[string]string{fieldSigningSecret: secret2},
				UnreadableIsSuccess: true,
			})
		})
	}
}

// fakeServer is a developer's server below /human/service.
type fakeServer struct {
	mu    sync.Mutex
	calls []desktest.Call
}

func (f *fakeServer) Received() []desktest.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]desktest.Call(nil), f.calls...)
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := r.BasicAuth(); !ok || user != "desk-bridge" || password != "canary-password" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var in struct {
		ConversationID string          `json:"conversation_id"`
		Email          string          `json:"email"`
		Body           json.RawMessage `json:"body"`
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &in)
	call := desktest.Call{Ref: in.ConversationID}
	switch r.URL.Path {
	case "/human/service/conversation/establish":
		var turns []struct{ Text string }
		_ = json.Unmarshal(in.Body, &turns)
		call.Operation, call.Email = desktest.Open, in.Email
		for _, turn := range turns {
			call.Texts = append(call.Texts, turn.Text)
		}
	case "/human/service/chat":
		var text string
		_ = json.Unmarshal(in.Body, &text)
		call.Operation, call.Texts = desktest.Message, []string{text}
	case "/human/service/conversation/close":
		call.Operation = desktest.Close
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.mu.Unlock()
	_, _ = io.WriteString(w, `{"code":200,"message":"success"}`)
}

// incomingOf makes what a developer's server sends: what humans write, and the end.
func incomingOf(_ desktest.Fake, fields map[string]string, ref string, h desktest.Happening) (desk.Inbound, bool) {
	out := map[string]any{"conversation_id": ref, "timestamp": h.At.UnixMilli()}
	r := desk.Inbound{Path: pathEnd, Header: http.Header{}, ReceivedAt: h.At}
	switch h.Kind {
	case desktest.OperatorWrites:
		r.Path = pathMessage
		out["body"], out["agent_name"], out["message_id"] = h.Text, h.Operator, h.ID
		var list []map[string]string
		for _, a := range h.Attachments {
			list = append(list, map[string]string{"url": a.URL, "name": a.Name, "content_type": a.ContentType})
		}
		out["files"] = list
	case desktest.OperatorEnds:
	default:
		return desk.Inbound{}, false
	}
	r.Body, _ = json.Marshal(out)
	if sign, err := newSigner("", fields[fieldSigningSecret]); err == nil {
		sign.sign(r.Header, h.ID, h.At, r.Body)
	}
	return r, true
}
