package simulate

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"handoff/internal/desk/intercom/simulator"
)

// intercom puts the workspace of Intercom's simulator into somebody's hands.
type intercom struct {
	*simulator.Simulator
}

// What the service has to know of the workspace.
const (
	intercomToken  = "simulated-access-token"
	intercomSecret = "simulated-client-secret"
)

// intercomTopics are those that the set-up steps have an administrator subscribe to.
var intercomTopics = []string{
	"conversation.admin.replied", "conversation.admin.closed", "conversation.admin.assigned", "conversation.admin.snoozed",
	"conversation.read", "conversation.deleted", "conversation.user.created", "conversation.user.replied", "ping",
}

func newIntercom() Desk {
	s := simulator.New(simulator.Options{Token: intercomToken, ClientSecret: intercomSecret, DefaultAssignee: simulator.App})
	for _, name := range messengerUsers {
		first := strings.ToLower(strings.Fields(name)[0])
		s.AddContact(simulator.Contact{Role: "user", ExternalID: "member-" + first, Name: name, Email: first + "@example.com"})
	}
	return intercom{s}
}

// messengerUsers write in the messenger, for DESK_TO_DESK.
var messengerUsers = []string{"Ulla User", "Viktor Visitor"}

// inbox are those who can be played in the inbox.
var inbox = []simulator.Teammate{simulator.Dana, simulator.Sam, simulator.Bot, simulator.Fin, simulator.App}

// people are the names of those in the inbox; with humans, only of these.
func people(humans bool) []string {
	var names []string
	for _, t := range inbox {
		if !humans || !t.Bot {
			names = append(names, t.Name)
		}
	}
	return names
}

func (intercom) Form() []Entry {
	return []Entry{
		{Name: "access_token", Value: intercomToken},
		{Name: "client_secret", Value: intercomSecret, Note: "or leave it empty"},
		{Name: "human_team_id", Value: simulator.Support.ID, Note: "only DESK_TO_DESK"},
	}
}

func (intercom) Commands() []Command {
	everybody, humans := people(false), people(true)
	return []Command{
		{Name: "begin", Label: "Begin in the messenger", New: true, By: messengerUsers, Text: "message"},
		{Name: "answer", Label: "Answer", By: everybody, Text: "message"},
		{Name: "note", Label: "Note", By: humans, Text: "note"},
		{Name: "assign", Label: "Assign", By: humans, To: append(people(true), simulator.Support.Name)},
		{Name: "snooze", Label: "Snooze", By: humans},
		{Name: "unsnooze", Label: "Unsnooze", By: humans},
		{Name: "close", Label: "Close", By: everybody, Text: "message"},
		{Name: "open", Label: "Reopen", By: humans},
		{Name: "delete", Label: "Delete"},
		{Name: "write", Label: "Write as the user, in the messenger", Text: "message"},
	}
}

func (d intercom) Do(o Order) error {
	by, err := d.teammate(o)
	if err != nil {
		return err
	}
	var files []simulator.Attachment
	for _, url := range o.Files {
		files = append(files, simulator.Attachment{URL: url, Name: "file", ContentType: "application/octet-stream"})
	}
	if o.Text == "" && slices.Contains([]string{"begin", "answer", "note", "write"}, o.Do) && len(files) == 0 {
		return fmt.Errorf("%s needs a text", o.Do)
	}
	switch o.Do {
	case "begin":
		for _, c := range d.Contacts() {
			if c.Name == o.By {
				_, err = d.Begin(c.ID, o.Text, o.Files...)
				return err
			}
		}
		return fmt.Errorf("nobody in the messenger is called %q", o.By)
	case "answer":
		_, err = d.Reply(o.Session, by, o.Text, files...)
	case "note":
		_, err = d.Note(o.Session, by, o.Text)
	case "assign":
		if o.To == simulator.Support.Name {
			_, err = d.AssignTeam(o.Session, by, simulator.Support)
			return err
		}
		to, unknown := d.teammate(Order{Do: "assign to", By: o.To})
		if unknown != nil {
			return unknown
		}
		_, err = d.Assign(o.Session, by, to, "")
	case "snooze":
		_, err = d.Snooze(o.Session, by)
	case "unsnooze":
		_, err = d.Unsnooze(o.Session, by)
	case "close":
		_, err = d.Close(o.Session, by, o.Text)
	case "open":
		_, err = d.Open(o.Session, by)
	case "delete":
		_, err = d.Delete(o.Session)
	case "write":
		_, err = d.Write(o.Session, o.Text, files...)
	default:
		err = fmt.Errorf("unknown command %q", o.Do)
	}
	return err
}

// teammate is who does it; nobody where nobody is needed.
func (intercom) teammate(o Order) (simulator.Teammate, error) {
	if slices.Contains([]string{"begin", "write", "delete"}, o.Do) {
		return simulator.Teammate{}, nil
	}
	i := slices.IndexFunc(inbox, func(t simulator.Teammate) bool { return t.Name == o.By })
	if i < 0 {
		return simulator.Teammate{}, fmt.Errorf("nobody in the inbox is called %q", o.By)
	}
	return inbox[i], nil
}

func (d intercom) Sessions() []Session {
	names := map[string]string{}
	for _, t := range inbox {
		names[t.ID] = t.Name
	}
	names[simulator.Support.ID] = simulator.Support.Name
	users := map[string]string{}
	for _, c := range d.Contacts() {
		users[c.ID] = c.ExternalID
		if c.Name != "" {
			users[c.ID] = c.Name
		}
	}
	list := []Session{}
	for _, c := range d.Conversations() {
		s := Session{ID: c.ID, State: c.State, User: users[c.Contact], Holder: names[c.Admin], Lines: []Line{
			{ID: "source", At: c.CreatedAt, Kind: "message", By: users[c.Contact], Side: "user", Text: c.Body, Files: c.Images},
		}}
		if s.Holder == "" {
			s.Holder = names[c.Team]
		}
		for _, p := range c.Parts {
			line := Line{ID: p.ID, At: p.CreatedAt, Kind: p.Type, By: p.Author.Name, Side: "desk", Text: p.Text, Private: p.Type == "note"}
			switch {
			case p.By == "user":
				line.By, line.Side = s.User, "user"
			case p.By == "bot" || p.API:
				line.Side = "bot"
			}
			if to := names[p.AssignedTo]; to != "" {
				line.Kind += " to " + to
			}
			for _, a := range p.Attachments {
				line.Files = append(line.Files, a.URL)
			}
			s.Lines = append(s.Lines, line)
		}
		list = append(list, s)
	}
	return list
}

func (d intercom) Webhooks() []Webhook {
	var list []Webhook
	for _, n := range d.Notifications() {
		if slices.Contains(intercomTopics, n.Topic) {
			list = append(list, Webhook{Topic: n.Topic, Header: n.Header, Body: n.Body})
		}
	}
	return list
}

// intercomCodes are what Intercom calls its refusals.
var intercomCodes = map[int]string{
	http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "api_plan_restricted", http.StatusNotFound: "not_found",
	http.StatusUnprocessableEntity: "parameter_invalid", http.StatusTooManyRequests: "rate_limit_exceeded",
}

func (intercom) Refuse(w http.ResponseWriter, status int) {
	code, known := intercomCodes[status]
	switch {
	case known:
	case status >= http.StatusInternalServerError:
		code = "server_error"
	default:
		code = "bad_request"
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Second).Unix(), 10))
	}
	answer(w, status, map[string]any{
		"type": "error.list", "request_id": "00000000-0000-4000-8000-000000000000",
		"errors": []any{map[string]string{"code": code, "message": "simulated trouble"}},
	})
}
