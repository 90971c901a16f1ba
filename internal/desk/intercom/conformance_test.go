package intercom

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/desk/intercom/simulator"
	"handoff/internal/desk/intercom/simulator/contract"
	"handoff/internal/handoff"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	require.NoError(t, contract.Load())
	for name, c := range map[string]struct {
		more      map[string]string
		signature desktest.Signature
	}{
		"signed": {map[string]string{fieldClientSecret: "canary-client-secret"}, desktest.SignedAlways},
		"hints":  {nil, desktest.Unsigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desktest.Run(t, desktest.Harness{
				Driver: at{}, Mode: handoff.ModeExternalToDesk,
				Fields: func(baseURL string) map[string]string {
					fields := map[string]string{fieldAccessToken: "canary-access-token", fieldHost: baseURL}
					for name, value := range c.more {
						fields[name] = value
					}
					return fields
				},
				Incoming: incomingOf, Signature: c.signature, OtherFields: map[string]string{fieldClientSecret: "canary-other"},
				NewFake: func() desktest.Fake {
					return &fake{simulator.New(simulator.Options{Token: "canary-access-token", Check: contract.Check})}
				},
			})
		})
	}
}

// fieldHost is a field of [at] only.
const fieldHost = "host"

// at is the driver with a field for the simulator's address.
type at struct{}

func (at) Describe() handoff.DeskDescription {
	d := Driver{}.Describe()
	d.Fields = append(d.Fields, handoff.CredentialField{Name: fieldHost, Label: "Address of the API"})
	return d
}

func (at) Connect(s desk.Settings) (desk.Desk, error) {
	return Driver{Hosts: map[string]string{regionUS: s.Fields[fieldHost]}}.Connect(s)
}

// fake tells what the simulator got in the words of the kit.
type fake struct{ *simulator.Simulator }

func (f *fake) Received() []desktest.Call {
	var calls []desktest.Call
	conversations := map[string]simulator.Conversation{}
	var order []string
	for _, c := range f.Conversations() {
		conversations[c.ID] = c
		order = append(order, c.ID)
	}
	emails := f.emails()
	for _, r := range f.Requests() {
		path := strings.Split(strings.Trim(r.Path, "/"), "/")
		if r.Method != http.MethodPost || r.Status != http.StatusOK || path[0] != "conversations" {
			continue
		}
		switch {
		case len(path) == 1:
			c := conversations[order[0]]
			order = order[1:]
			call := desktest.Call{Operation: desktest.Open, Ref: c.ID, Email: emails[c.ID], Texts: told(&c)}
			if c.Body != noQuestion {
				call.Texts = append(call.Texts, c.Body)
			}
			calls = append(calls, call)
		case path[len(path)-1] == "reply" && strings.Contains(r.Body, `"type":"user"`):
			c := conversations[path[1]]
			n := 0
			for i := range calls {
				if calls[i].Operation == desktest.Message && calls[i].Ref == c.ID {
					n++
				}
			}
			var said []string
			for _, p := range c.Parts {
				if p.By == "user" {
					said = append(said, p.Text)
				}
			}
			calls = append(calls, desktest.Call{Operation: desktest.Message, Ref: c.ID, Texts: said[n : n+1]})
		case path[len(path)-1] == "parts":
			calls = append(calls, desktest.Call{Operation: desktest.Close, Ref: path[1]})
		}
	}
	return calls
}

// emails are the addresses that the contacts had when their conversations began.
func (f *fake) emails() map[string]string {
	found := map[string]string{}
	n, address := 0, ""
	list := f.Conversations()
	for _, r := range f.Requests() {
		if m := emailPattern.FindStringSubmatch(r.Body); m != nil && r.Status == http.StatusOK && !strings.Contains(r.Path, "search") {
			address = m[1]
		}
		if r.Method == http.MethodPost && r.Path == "/conversations" && r.Status == http.StatusOK {
			found[list[n].ID] = address
			n++
		}
	}
	return found
}

var (
	emailPattern = regexp.MustCompile(`"email":"([^"]*)"`)
	paragraph    = regexp.MustCompile(`<p><b>(User|Answer)([^<]*):</b> (.*?)</p>`)
)

// told reads the rounds out of the notes.
func told(c *simulator.Conversation) []string {
	var texts []string
	for _, p := range c.Parts {
		if p.Type != partNote {
			continue
		}
		for _, m := range paragraph.FindAllStringSubmatch(p.HTML, -1) {
			text := html.UnescapeString(strings.ReplaceAll(m[3], "<br>", "\n"))
			if strings.HasSuffix(m[2], ", continued") {
				texts[len(texts)-1] += text
			} else {
				texts = append(texts, text)
			}
		}
	}
	return texts
}
