package livechat

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/desk/livechat/simulator"
	"handoff/internal/handoff"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]map[string]string{
		"secret key": {fieldWebhookSecret: "canary-secret-key"},
		"hints":      {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desktest.Run(t, desktest.Harness{
				Driver: simulated{}, Mode: handoff.ModeExternalToDesk,
				Fields: func(baseURL string) map[string]string {
					fields := map[string]string{
						fieldOrganizationID: "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d", fieldClientID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
						fieldRedirectURI: "https://handoff.example.com/", fieldHost: baseURL,
					}
					for name, value := range more {
						fields[name] = value
					}
					return fields
				},
				NewFake: func() desktest.Fake { return &fake{simulator.New(simulator.Options{})} },
			})
		})
	}
}

// fieldHost is a field of [simulated] only.
const fieldHost = "host"

// simulated is the driver with a field for the simulator's address.
type simulated struct{}

func (simulated) Describe() handoff.DeskDescription {
	d := Driver{}.Describe()
	d.Fields = append(d.Fields, handoff.CredentialField{Name: fieldHost, Label: "Address of the servers"})
	return d
}

func (simulated) Connect(s desk.Settings) (desk.Desk, error) {
	d := At(s.Fields[fieldHost])
	d.Files = nowhere
	return d.Connect(s)
}

// fake tells what the simulator got in the words of the kit.
type fake struct{ *simulator.Simulator }

func (f *fake) Received() []desktest.Call {
	var calls []desktest.Call
	var threads []struct{ chat, thread string }
	for _, c := range f.Chats() {
		for _, t := range c.Threads {
			threads = append(threads, struct{ chat, thread string }{c.ID, t.ID})
		}
	}
	slices.SortFunc(threads, func(a, b struct{ chat, thread string }) int { return strings.Compare(a.thread, b.thread) })
	current := map[string]string{} // the thread of a chat
	email := ""
	for _, r := range f.Requests() {
		var in struct {
			ID     string `json:"id"`
			ChatID string `json:"chat_id"`
			Email  string `json:"email"`
			Event  event  `json:"event"`
			Chat   struct {
				Thread thread `json:"thread"`
			} `json:"chat"`
		}
		if r.Status != http.StatusOK || json.Unmarshal([]byte(r.Body), &in) != nil {
			continue
		}
		path, _, _ := strings.Cut(r.Path, "?")
		switch filepath.Base(path) {
		case "update_customer":
			email = in.Email
		case "start_chat", "resume_chat":
			made := threads[0]
			threads = threads[1:]
			current[made.chat] = made.thread
			calls = append(calls, desktest.Call{
				Operation: desktest.Open, Ref: newRef(made.chat, made.thread), Email: email, Texts: told(in.Chat.Thread.Events),
			})
		case "send_event":
			calls = append(calls, desktest.Call{
				Operation: desktest.Message, Ref: newRef(in.ChatID, current[in.ChatID]), Texts: []string{in.Event.Text},
			})
		case "deactivate_chat":
			calls = append(calls, desktest.Call{Operation: desktest.Close, Ref: newRef(in.ID, current[in.ID])})
		}
	}
	return calls
}

var speaker = regexp.MustCompile(`^(User|Answer)(, continued)?: `)

// told reads the rounds and the newest question out of the first events.
func told(events []event) []string {
	var list []string
	in, question := "", ""
	for i := range events {
		if in == "[Details]" {
			question += events[i].Text
			continue
		}
		for _, l := range strings.Split(events[i].Text, "\n") {
			switch m := speaker.FindStringSubmatch(l); {
			case l == "[Conversation history]" || l == "[Details]":
				in = l
			case in != "[Conversation history]":
			case m == nil:
				list[len(list)-1] += "\n" + l
			case m[2] != "":
				list[len(list)-1] += strings.TrimPrefix(l, m[0])
			default:
				list = append(list, strings.TrimPrefix(l, m[0]))
			}
		}
	}
	if question != "" {
		list = append(list, question)
	}
	return list
}
