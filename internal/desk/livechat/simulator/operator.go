package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// File is what an agent or a customer sends besides text.
type File struct {
	Name, URL, ContentType string
}

// Answer has an agent or a bot say something to the customer.
func (s *Simulator) Answer(chat string, by Agent, text string) (Notification, error) {
	return s.say(chat, by, Event{Type: "message", Text: text})
}

// Whisper has an agent say something that only agents see.
func (s *Simulator) Whisper(chat string, by Agent, text string) (Notification, error) {
	return s.say(chat, by, Event{Type: "message", Text: text, Visibility: "agents"})
}

// SendFile has an agent send a file.
func (s *Simulator) SendFile(chat string, by Agent, f File) (Notification, error) {
	return s.say(chat, by, Event{Type: "file", URL: f.URL, Name: f.Name, ContentType: f.ContentType})
}

// SendCards has an agent send a rich message with these elements.
func (s *Simulator) SendCards(chat string, by Agent, elements string) (Notification, error) {
	return s.say(chat, by, Event{Type: "rich_message", Elements: json.RawMessage(elements)})
}

// say adds what an agent said; who says something is in the thread.
func (s *Simulator) say(chat string, by Agent, e Event) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, t, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	s.enter(t, by)
	e.Author = by.ID
	e = s.add(t, e)
	return s.notifyEvent(c, t, &e), nil
}

func (s *Simulator) enter(t *Thread, by Agent) {
	if !t.has(by) {
		t.Present, t.Was = append(t.Present, by), append(t.Was, by)
	}
}

func (s *Simulator) active(chat string) (*Chat, *Thread, error) {
	c := s.chat(chat)
	if c == nil || !c.thread().Active {
		return nil, nil, fmt.Errorf("simulator: no active chat %s", chat)
	}
	return c, c.thread(), nil
}

// Join has an agent enter the chat.
func (s *Simulator) Join(chat string, by Agent) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, t, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	s.enter(t, by)
	return s.notify(c, t, "user_added_to_chat", object{
		"chat_id": c.ID, "thread_id": t.ID, "user": agentObject(&by, true, false), "user_type": "agent", "reason": "manual", "requester_id": by.ID,
	}), nil
}

// Transfer has the chat given to an agent.
func (s *Simulator) Transfer(chat string, to Agent) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	return s.move(c, nil, []Agent{to}, Dana.ID), nil
}

// Queue has the chat wait for an agent.
func (s *Simulator) Queue(chat string) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	return s.move(c, nil, nil, Bot.ID), nil
}

// Seen has an agent read the chat.
func (s *Simulator) Seen(chat string, by Agent) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, t, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	return s.notify(c, t, "events_marked_as_seen", object{"user_id": by.ID, "chat_id": c.ID, "seen_up_to": stamp(s.o.Now())}), nil
}

// Close has an agent or a bot close the chat.
func (s *Simulator) Close(chat string, by Agent) (Notification, error) { return s.close(chat, by.ID) }

// Idle has LiveChat close the chat because nobody writes.
func (s *Simulator) Idle(chat string) (Notification, error) { return s.close(chat, "") }

func (s *Simulator) close(chat, by string) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	return s.end(c, by), nil
}

// end closes the active thread.
func (s *Simulator) end(c *Chat, by string) Notification {
	t := c.thread()
	kind := map[bool]string{true: "manual_archived_agent", false: "routing.archived_inactive"}[by != ""]
	e := s.add(t, Event{Type: "system_message", Text: "The chat was archived", SystemType: kind})
	s.notifyEvent(c, t, &e)
	t.Active = false
	payload := object{"chat_id": c.ID, "thread_id": t.ID}
	if by != "" {
		payload["user_id"] = by
	}
	n := s.notify(c, t, "chat_deactivated", payload)
	t.Present = nil
	return n
}

// Visit has a customer begin a chat in LiveChat's own messenger, saying something or
// "", which the routing gives to an agent. It gives the id of the chat.
func (s *Simulator) Visit(name, email, text string, to Agent) (string, Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	customer := s.newCustomer()
	customer.Name, customer.Email = name, email
	c := s.newChat(customer.ID)
	return c.ID, s.visit(c, text, to)
}

// Return has the customer of an ended chat begin its next thread.
func (s *Simulator) Return(chat, text string, to Agent) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chat(chat)
	if c == nil || c.thread().Active {
		return Notification{}, fmt.Errorf("simulator: no ended chat %s", chat)
	}
	return s.visit(c, text, to), nil
}

func (s *Simulator) visit(c *Chat, text string, to Agent) Notification {
	t := s.begin(c, nil, false, to)
	if text != "" {
		s.add(t, Event{Type: "message", Text: text, Author: c.Customer})
	}
	return s.notifyChat(c, t)
}

// Write has the customer say something in LiveChat's own messenger.
func (s *Simulator) Write(chat, text string) (Notification, error) {
	return s.write(chat, Event{Type: "message", Text: text})
}

// WriteFile has the customer send a file there.
func (s *Simulator) WriteFile(chat string, f File) (Notification, error) {
	return s.write(chat, Event{Type: "file", URL: f.URL, Name: f.Name, ContentType: f.ContentType})
}

func (s *Simulator) write(chat string, e Event) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, t, err := s.active(chat)
	if err != nil {
		return Notification{}, err
	}
	e.Author = c.Customer
	e = s.add(t, e)
	return s.notifyEvent(c, t, &e), nil
}

// Installed is the app webhook that comes when the app is installed.
func (s *Simulator) Installed() Notification {
	body, err := json.Marshal(object{
		"applicationID": "apEXAMPLE1", "applicationName": "Acme handoff", "clientID": s.o.ClientID, "date": s.o.Now().Format("2006-01-02T15:04:05-07:00"),
		"event": "application_installed", "licenseID": 100200300, "organizationID": s.o.OrganizationID,
		"payload": object{"applicationID": "apEXAMPLE1"}, "userID": "1c2b3a49-5867-4655-8443-322110ffeedd",
	})
	if err != nil {
		body = nil // cannot happen: everything in it is a string, a number or a list
	}
	return Notification{Action: "application_installed", Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// notify makes a webhook about a thread.
func (s *Simulator) notify(c *Chat, t *Thread, action string, payload object) Notification {
	present := []string{c.Customer}
	for i := range t.Present {
		present = append(present, t.Present[i].ID)
	}
	body, err := json.Marshal(object{
		"webhook_id": "wh01example02id03", "secret_key": s.o.SecretKey, "action": action, "organization_id": s.o.OrganizationID,
		"payload":         payload,
		"additional_data": object{"chat_properties": object{"source": s.source(t)}, "chat_presence_user_ids": present},
	})
	if err != nil {
		body = nil // cannot happen, as above
	}
	n := Notification{Action: action, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
	s.hooks = append(s.hooks, n)
	return n
}

func (s *Simulator) source(t *Thread) object {
	if !t.Ours {
		return object{"client_id": "website"}
	}
	return object{"client_id": s.o.ClientID, "customer_client_id": s.o.ClientID}
}

func (s *Simulator) notifyEvent(c *Chat, t *Thread, e *Event) Notification {
	return s.notify(c, t, "incoming_event", object{"chat_id": c.ID, "thread_id": t.ID, "event": s.eventObject(e, false)})
}

func (s *Simulator) notifyChat(c *Chat, t *Thread) Notification {
	return s.notify(c, t, "incoming_chat", object{"chat": s.chatObject(c, t, false)})
}

// eventObject shows an event, to customers with opaque ids of agents.
func (s *Simulator) eventObject(e *Event, customer bool) object {
	o := object{"id": e.ID, "type": e.Type, "created_at": stamp(e.CreatedAt)}
	if !customer {
		o["visibility"] = e.Visibility
	}
	author := e.Author
	if customer {
		author = opaque(author)
	}
	for name, value := range map[string]string{
		"author_id": author, "custom_id": e.CustomID, "text": e.Text, "url": e.URL, "name": e.Name, "content_type": e.ContentType,
		"system_message_type": e.SystemType,
	} {
		if value != "" {
			o[name] = value
		}
	}
	if e.Elements != nil {
		o["template_id"], o["elements"] = "cards", e.Elements
	}
	return o
}

// chatObject shows a chat with one thread. Customers do not see what is for agents.
func (s *Simulator) chatObject(c *Chat, t *Thread, customer bool) object {
	events, ids := []any{}, []string{c.Customer}
	for i := range t.Events {
		if e := &t.Events[i]; !customer || e.Visibility != "agents" {
			events = append(events, s.eventObject(e, customer))
		}
	}
	for i := range t.Present {
		a := &t.Present[i]
		ids = append(ids, map[bool]string{true: opaque(a.ID), false: a.ID}[customer])
	}
	return object{
		"id": c.ID, "users": s.users(c, t, customer), "access": object{"group_ids": t.Groups},
		"properties": object{"source": s.source(t)},
		"thread": object{
			"id": t.ID, "created_at": stamp(t.CreatedAt), "active": t.Active, "user_ids": ids, "events": events,
			"properties": object{"source": s.source(t)}, "access": object{"group_ids": t.Groups},
		},
	}
}

func (s *Simulator) users(c *Chat, t *Thread, customer bool) []any {
	one := object{"id": c.Customer, "type": "customer", "present": true}
	if who := s.customer(c.Customer); who != nil && !customer {
		one["name"], one["email"] = who.Name, who.Email
		fields := []any{}
		for k, v := range who.Fields {
			fields = append(fields, object{k: v})
		}
		one["session_fields"] = fields
	}
	list := []any{one}
	seen := map[string]bool{}
	for _, a := range t.Was {
		if !seen[a.ID] {
			seen[a.ID] = true
			list = append(list, agentObject(&a, t.has(a), customer))
		}
	}
	return list
}

// agentObject shows an agent as customers or as agents see it.
func agentObject(a *Agent, present, customer bool) object {
	if customer {
		return object{
			"id": opaque(a.ID), "type": "agent", "name": a.Name, "present": present, "avatar": "https://cdn.example.com/a.png", "job_title": "Support Agent",
		}
	}
	return object{
		"id": a.ID, "type": "agent", "name": a.Name, "email": a.ID, "present": present,
		"events_seen_up_to": "1970-01-01T00:00:00.000000Z", "avatar": "cdn.livechatinc.com/avatars/1.png", "visibility": "all",
	}
}
