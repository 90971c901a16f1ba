package simulator

import (
	"encoding/json"
	"fmt"
	"strconv"
)

func id(n int64) string { return strconv.FormatInt(n, 10) }

// Reply has a teammate or a bot answer in public.
func (s *Simulator) Reply(conversation string, by Teammate, text string, files ...Attachment) (Notification, error) {
	return s.ReplyHTML(conversation, by, asHTML(text), files...)
}

// ReplyHTML answers with formatted text.
func (s *Simulator) ReplyHTML(conversation string, by Teammate, body string, files ...Attachment) (Notification, error) {
	return s.act(conversation, "conversation.admin.replied", Part{Type: "comment", Author: by, HTML: body, Attachments: files})
}

// Note has a teammate write what the contact does not see.
func (s *Simulator) Note(conversation string, by Teammate, text string) (Notification, error) {
	return s.act(conversation, "conversation.admin.noted", Part{Type: "note", Author: by, HTML: asHTML(text)})
}

// Assign has a teammate give the conversation to a teammate, saying something or "".
func (s *Simulator) Assign(conversation string, by, to Teammate, text string) (Notification, error) {
	p := Part{Type: "assignment", Author: by, AssignedTo: to.ID}
	if text != "" {
		p.HTML = asHTML(text)
	}
	return s.act(conversation, "conversation.admin.assigned", p)
}

// AssignTeam has a teammate give the conversation to a team, beside whoever has it.
func (s *Simulator) AssignTeam(conversation string, by Teammate, to Team) (Notification, error) {
	return s.act(conversation, "conversation.admin.assigned", Part{Type: "assignment", Author: by, AssignedTo: to.ID})
}

// Snooze has a teammate put the conversation aside.
func (s *Simulator) Snooze(conversation string, by Teammate) (Notification, error) {
	return s.act(conversation, "conversation.admin.snoozed", Part{Type: "snoozed", Author: by})
}

// Unsnooze has a teammate take the conversation up again.
func (s *Simulator) Unsnooze(conversation string, by Teammate) (Notification, error) {
	return s.act(conversation, "conversation.admin.unsnoozed", Part{Type: "unsnoozed", Author: by})
}

// Close has a teammate or a bot close the conversation, saying something or "".
func (s *Simulator) Close(conversation string, by Teammate, text string) (Notification, error) {
	p := Part{Type: "close", Author: by}
	if text != "" {
		p.HTML = asHTML(text)
	}
	return s.act(conversation, "conversation.admin.closed", p)
}

// Open has a teammate reopen the conversation.
func (s *Simulator) Open(conversation string, by Teammate) (Notification, error) {
	return s.act(conversation, "conversation.admin.opened", Part{Type: "open", Author: by})
}

// Delete removes the conversation.
func (s *Simulator) Delete(conversation string) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.conversations {
		if c.ID == conversation {
			s.conversations = append(s.conversations[:i:i], s.conversations[i+1:]...)
			n := s.wrap("conversation.deleted", object{"type": "conversation", "conversation_id": c.ID})
			s.hooks = append(newest(s.hooks), n)
			return n, nil
		}
	}
	return Notification{}, fmt.Errorf("simulator: no conversation %s", conversation)
}

// Ping is the webhook that the Developer Hub sends as a test.
func (s *Simulator) Ping() Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrap("ping", object{"type": "ping", "message": "hello"})
}

// Again is another topic about the newest part of the conversation: Intercom tells
// of one part under several.
func (s *Simulator) Again(conversation, topic string) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(conversation)
	if c == nil || len(c.Parts) == 0 {
		return Notification{}, fmt.Errorf("simulator: no conversation %s", conversation)
	}
	return s.notify(topic, c, c.Parts[len(c.Parts)-1]), nil
}

// act adds a part and moves the state as the topic says.
func (s *Simulator) act(conversation, topic string, p Part) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(conversation)
	if c == nil {
		return Notification{}, fmt.Errorf("simulator: no conversation %s", conversation)
	}
	p.By, p.Text = "admin", plain(p.HTML)
	if p.Author.Bot {
		p.By = "bot"
	}
	switch p.Type {
	case "assignment":
		if p.AssignedTo == Support.ID {
			c.Team = p.AssignedTo
		} else {
			c.Admin = p.AssignedTo
		}
	case "close":
		c.State = "closed"
	case "snoozed":
		c.State = "snoozed"
	case "unsnoozed", "open":
		c.State = "open"
	}
	return s.notify(topic, c, s.add(c, p)), nil
}

// notify makes the webhook about one part.
func (s *Simulator) notify(topic string, c *Conversation, p Part) Notification {
	n := s.wrap(topic, s.conversationObject(c, []Part{p}, s.o.Plain))
	s.hooks = append(newest(s.hooks), n)
	return n
}

func (s *Simulator) wrap(topic string, item object) Notification {
	at := s.o.Now().Unix()
	body, err := json.Marshal(object{
		"type": "notification_event", "app_id": s.o.AppID, "topic": topic, "id": fmt.Sprintf("notif_%d", s.next()),
		"data": object{"type": "notification_event_data", "item": item}, "links": object{}, "self": nil,
		"delivery_status": "pending", "delivery_attempts": 1, "delivered_at": 0, "first_sent_at": at, "created_at": at,
	})
	if err != nil {
		body = nil // cannot happen: everything in it is a string, a number or a list
	}
	return Notification{Topic: topic, Header: s.Sign(body), Body: body}
}
