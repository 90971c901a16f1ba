package simulate

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"handoff/internal/desk/livechat/simulator"
)

// liveChat puts the account of LiveChat's simulator into somebody's hands.
type liveChat struct {
	*simulator.Simulator
}

// What the service has to know of the account; the ids are like real ones.
const (
	liveChatOrganization = "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d"
	liveChatClient       = "simulated-client-id"
	liveChatRedirect     = "https://handoff.example.com/"
	liveChatSecret       = "simulated-secret-key"
	liveChatAccount      = "9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a"
	liveChatToken        = "simulated-personal-access-token"
	liveChatHumans       = "19" // the group of people who take over
)

// liveChatTriggers are those for which the set-up steps have an administrator make
// webhooks.
var liveChatTriggers = []string{
	"incoming_chat", "incoming_event", "chat_deactivated", "user_added_to_chat", "chat_transferred", "events_marked_as_seen",
}

// liveChatAgents are those who can be played; the Agent's seat plays itself.
var liveChatAgents = []simulator.Agent{simulator.Dana, simulator.Lee, simulator.Bot}

func newLiveChat() Desk {
	return liveChat{simulator.New(simulator.Options{
		OrganizationID: liveChatOrganization, ClientID: liveChatClient, RedirectURIs: []string{liveChatRedirect},
		SecretKey: liveChatSecret, AccountID: liveChatAccount, Token: liveChatToken,
	})}
}

func (liveChat) Form() []Entry {
	const external, inside = "only EXTERNAL_TO_DESK", "only DESK_TO_DESK"
	return []Entry{
		{Name: "organization_id", Value: liveChatOrganization, Note: external},
		{Name: "client_id", Value: liveChatClient, Note: external},
		{Name: "redirect_uri", Value: liveChatRedirect, Note: external},
		{Name: "webhook_secret", Value: liveChatSecret, Note: external + "; or leave it empty"},
		{Name: "agent_email", Value: simulator.Seat.ID, Note: inside},
		{Name: "account_id", Value: liveChatAccount, Note: inside},
		{Name: "token", Value: liveChatToken, Note: inside},
		{Name: "secret_key", Value: liveChatSecret, Note: inside},
		{Name: "human_group_id", Value: liveChatHumans, Note: inside},
	}
}

func (liveChat) Commands() []Command {
	everybody, humans := agentNames(liveChatAgents), agentNames(liveChatAgents[:2])
	return []Command{
		{Name: "begin", Label: "Begin in the messenger", New: true, By: messengerUsers, Text: "message"},
		{Name: "answer", Label: "Answer", By: everybody, Text: "message"},
		{Name: "whisper", Label: "Whisper", By: humans, Text: "message"},
		{Name: "join", Label: "Enter the chat", By: humans},
		{Name: "read", Label: "Read the chat", By: humans},
		{Name: "transfer", Label: "Transfer", To: append(agentNames(liveChatAgents[:2]), simulator.Seat.Name)},
		{Name: "queue", Label: "Put into the queue"},
		{Name: "close", Label: "Close", By: everybody},
		{Name: "idle", Label: "Let time run out"},
		{Name: "write", Label: "Write as the user, in the messenger", Text: "message"},
		{Name: "return", Label: "Come back as the user, in the messenger", Text: "message"},
	}
}

func agentNames(agents []simulator.Agent) []string {
	var names []string
	for i := range agents {
		names = append(names, agents[i].Name)
	}
	return names
}

func (d liveChat) Do(o Order) error {
	if o.Text == "" && len(o.Files) == 0 && slices.Contains([]string{"begin", "answer", "whisper", "write", "return"}, o.Do) {
		return fmt.Errorf("%s needs a text", o.Do)
	}
	if o.Do == "begin" {
		if !slices.Contains(messengerUsers, o.By) {
			return fmt.Errorf("nobody in the messenger is called %q", o.By)
		}
		d.Visit(o.By, strings.ToLower(strings.Fields(o.By)[0])+"@example.com", o.Text, simulator.Seat)
		return nil
	}
	chat, err := d.chatOf(o.Session)
	if err != nil {
		return err
	}
	var by, to simulator.Agent
	if slices.Contains([]string{"answer", "whisper", "join", "read", "close"}, o.Do) {
		by, err = liveChatAgent(o.By)
	}
	if o.Do == "transfer" {
		to, err = liveChatAgent(o.To)
	}
	if err != nil {
		return err
	}
	switch o.Do {
	case "answer":
		err = d.say(o, func() error { _, err := d.Answer(chat, by, o.Text); return err }, func(f simulator.File) error {
			_, err := d.SendFile(chat, by, f)
			return err
		})
	case "write":
		err = d.say(o, func() error { _, err := d.Write(chat, o.Text); return err }, func(f simulator.File) error {
			_, err := d.WriteFile(chat, f)
			return err
		})
	case "whisper":
		_, err = d.Whisper(chat, by, o.Text)
	case "join":
		_, err = d.Join(chat, by)
	case "read":
		_, err = d.Seen(chat, by)
	case "transfer":
		_, err = d.Transfer(chat, to)
	case "queue":
		_, err = d.Queue(chat)
	case "close":
		_, err = d.Close(chat, by)
	case "idle":
		_, err = d.Idle(chat)
	case "return":
		_, err = d.Return(chat, o.Text, simulator.Seat)
	default:
		err = fmt.Errorf("unknown command %q", o.Do)
	}
	return err
}

// say says a text, and files, which are events of their own in LiveChat.
func (liveChat) say(o Order, text func() error, file func(simulator.File) error) error {
	if o.Text != "" {
		if err := text(); err != nil {
			return err
		}
	}
	for _, url := range o.Files {
		if err := file(simulator.File{URL: url, Name: "file", ContentType: "application/octet-stream"}); err != nil {
			return err
		}
	}
	return nil
}

// chatOf is the chat of a session. Only its newest thread can be used.
func (d liveChat) chatOf(session string) (string, error) {
	for _, c := range d.Chats() {
		if liveChatSession(c.ID, c.Threads[len(c.Threads)-1].ID) == session {
			return c.ID, nil
		}
	}
	return "", fmt.Errorf("%q is not the newest thread of a chat", session)
}

func liveChatSession(chat, thread string) string { return chat + "/" + thread }

func liveChatAgent(name string) (simulator.Agent, error) {
	all := append(slices.Clone(liveChatAgents), simulator.Seat)
	i := slices.IndexFunc(all, func(a simulator.Agent) bool { return a.Name == name })
	if i < 0 {
		return simulator.Agent{}, fmt.Errorf("no agent is called %q", name)
	}
	return all[i], nil
}

// Sessions are the threads.
func (d liveChat) Sessions() []Session {
	users := map[string]string{}
	for _, c := range d.Customers() {
		users[c.ID] = cmp.Or(c.Name, c.ID)
	}
	list := []Session{}
	for _, c := range d.Chats() {
		for i := range c.Threads {
			t := &c.Threads[i]
			s := Session{ID: liveChatSession(c.ID, t.ID), User: users[c.Customer], Lines: []Line{}}
			s.State = map[bool]string{true: "active", false: "archived"}[t.Active]
			if len(t.Present) > 0 {
				s.Holder = t.Present[len(t.Present)-1].Name
			}
			for j := range t.Events {
				s.Lines = append(s.Lines, liveChatLine(&t.Events[j], c.Customer, s.User))
			}
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Session) int { return strings.Compare(threadOf(a.ID), threadOf(b.ID)) })
	return list
}

// threadOf is the id of a thread, which the simulator counts up.
func threadOf(session string) string { return session[strings.IndexByte(session, '/')+1:] }

func liveChatLine(e *simulator.Event, customer, user string) Line {
	line := Line{ID: e.ID, At: e.CreatedAt, Kind: e.Type, Text: e.Text, Side: "desk", Private: e.Visibility == "agents"}
	if e.URL != "" {
		line.Files = []string{e.URL}
	}
	if e.Author == customer {
		line.By, line.Side = user, "user"
		return line
	}
	line.By = "LiveChat"
	all := append(slices.Clone(liveChatAgents), simulator.Seat)
	i := slices.IndexFunc(all, func(a simulator.Agent) bool { return a.ID == e.Author })
	if i >= 0 {
		line.By = all[i].Name
	}
	if i < 0 || all[i].Bot || e.Author == simulator.Seat.ID {
		line.Side = "bot"
	}
	return line
}

func (d liveChat) Webhooks() []Webhook {
	var list []Webhook
	for _, n := range d.Notifications() {
		if slices.Contains(liveChatTriggers, n.Action) {
			list = append(list, Webhook{Topic: n.Action, Header: n.Header, Body: n.Body})
		}
	}
	return list
}

// liveChatTypes are what LiveChat calls its refusals.
var liveChatTypes = map[int]string{
	http.StatusUnauthorized: "authentication", http.StatusForbidden: "authorization", http.StatusNotFound: "not_found",
	http.StatusRequestEntityTooLarge: "entity_too_large", http.StatusTooManyRequests: "too_many_requests",
	http.StatusServiceUnavailable: "service_unavailable", http.StatusGatewayTimeout: "request_timeout",
}

func (liveChat) Refuse(w http.ResponseWriter, status int) {
	kind := liveChatTypes[status]
	switch {
	case kind != "":
	case status >= http.StatusInternalServerError:
		kind = "internal"
	default:
		kind = "validation"
	}
	answer(w, status, map[string]any{"error": map[string]string{"type": kind, "message": "simulated trouble"}})
}
