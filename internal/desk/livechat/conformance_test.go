package livechat

import (
	"encoding/json"
	"maps"
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
	for name, c := range map[string]struct {
		mode handoff.Mode
		more map[string]string
	}{
		"secret key":   {handoff.ModeExternalToDesk, map[string]string{fieldWebhookSecret: "canary-secret-key"}},
		"hints":        {handoff.ModeExternalToDesk, nil},
		"desk to desk": {handoff.ModeDeskToDesk, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desktest.Run(t, desktest.Harness{
				Driver: simulated{}, Mode: c.mode,
				Fields: func(baseURL string) map[string]string {
					fields := maps.Clone(modeFields[c.mode])
					maps.Copy(fields, c.more)
					fields[fieldHost] = baseURL
					return fields
				},
				NewFake:    func() desktest.Fake { return &fake{simulator.New(simulator.Options{Token: "canary-access-token"})} },
				Incoming:   incomingOf,
				NewSession: newSession,
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
	d := At(s.Fields[fieldHost], "")
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
			Target struct {
				Type string `json:"type"`
			} `json:"target"`
			Chat struct {
				Thread thread `json:"thread"`
			} `json:"chat"`
		}
		if r.Status != http.StatusOK || json.Unmarshal([]byte(r.Body), &in) != nil {
			continue
		}
		path, _, _ := strings.Cut(r.Path, "?")
		if strings.Contains(path, "/agent/") {
			if call, ok := f.byAgent(filepath.Base(path), in.ID+in.ChatID, in.Target.Type, &in.Event); ok {
				calls = append(calls, call)
			}
			continue
		}
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

// byAgent tells what an agent did. In the tests of the kit a chat has one thread.
func (f *fake) byAgent(action, chat, target string, said *event) (desktest.Call, bool) {
	ref := ""
	for _, c := range f.Chats() {
		if c.ID == chat {
			ref = newRef(chat, c.Threads[0].ID)
		}
	}
	switch {
	case action == "transfer_chat" && target == "group":
		return desktest.Call{Operation: desktest.Open, Ref: ref}, true
	case action == "transfer_chat":
		return desktest.Call{Operation: desktest.Close, Ref: ref}, true
	case action == "send_event" && said.Visibility == toAll:
		return desktest.Call{Operation: desktest.Said, Ref: ref, Texts: []string{said.Text}}, true
	}
	return desktest.Call{}, false
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
