package simulator

import "fmt"

// Begin has a contact, whom [Simulator.AddContact] made, begin a conversation in the
// messenger.
func (s *Simulator) Begin(contact, text string, images ...string) (Notification, error) {
	return s.begin("conversation", contact, text, images)
}

// BeginByEmail has a contact begin a conversation by writing an e-mail.
func (s *Simulator) BeginByEmail(contact, text string) (Notification, error) {
	return s.begin("email", contact, text, nil)
}

func (s *Simulator) begin(kind, contact, text string, images []string) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contact(contact) == nil {
		return Notification{}, fmt.Errorf("simulator: no contact %s", contact)
	}
	c := &Conversation{
		ID: id(s.next()), Contact: contact, Kind: kind, Body: text, Images: images, State: "open",
		Admin: s.o.DefaultAssignee.ID, CreatedAt: s.o.Now(),
	}
	s.conversations = append(s.conversations, c)
	n := s.wrap("conversation.user.created", s.conversationObject(c, nil, s.o.Plain))
	s.hooks = append(newest(s.hooks), n)
	return n, nil
}

// Write has the contact of a conversation write in the messenger, which opens a
// closed one again.
func (s *Simulator) Write(conversation, text string, files ...Attachment) (Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(conversation)
	if c == nil {
		return Notification{}, fmt.Errorf("simulator: no conversation %s", conversation)
	}
	p := Part{Type: "comment", By: "user", Text: text, HTML: asHTML(text), Attachments: files}
	if c.State == "closed" {
		p.Type = "open"
	}
	c.State = "open"
	return s.notify("conversation.user.replied", c, s.add(c, p)), nil
}
