package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type contactBody struct {
	Role       string `json:"role"`
	ExternalID string `json:"external_id"`
	Email      string `json:"email"`
	Name       string `json:"name"`
}

type filter struct {
	Field    string          `json:"field"`
	Operator string          `json:"operator"`
	Value    json.RawMessage `json:"value"`
}

type search struct {
	Query      filter `json:"query"`
	Pagination struct {
		PerPage int `json:"per_page"`
	} `json:"pagination"`
}

// matches judges one thing by a filter; field gives a value by name, nil = the
// field cannot be searched.
func matches(f filter, field func(string) any) (matched bool, refused *answer) {
	if f.Operator == "AND" {
		var all []filter
		if json.Unmarshal(f.Value, &all) != nil || len(all) == 0 || len(all) > 15 {
			return false, refuse(400, "parameter_invalid", "value of AND must have 1 to 15 filters")
		}
		for _, one := range all {
			if matched, refused := matches(one, field); !matched {
				return false, refused
			}
		}
		return true, nil
	}
	switch have := field(f.Field).(type) {
	case string:
		var want string
		if json.Unmarshal(f.Value, &want) != nil || f.Operator != "=" {
			return false, refuse(400, "parameter_invalid", "only = with a string is simulated")
		}
		return strings.EqualFold(have, want), nil
	case int64:
		var want int64
		if json.Unmarshal(f.Value, &want) != nil || f.Operator != ">" {
			return false, refuse(400, "parameter_invalid", "only > with a number is simulated")
		}
		return have > want, nil
	}
	return false, refuse(400, "parameter_invalid", "not searchable: "+f.Field)
}

func (s *Simulator) searchContacts(body []byte) *answer {
	var in search
	if refused := read(body, &in); refused != nil {
		return refused
	}
	data := []any{}
	for _, c := range s.contacts {
		matched, refused := matches(in.Query, func(name string) any {
			switch name {
			case "external_id":
				return c.ExternalID
			case "email":
				return c.Email
			case "role":
				return c.Role
			}
			return nil
		})
		switch {
		case refused != nil:
			return refused
		case !matched || c.Archived:
		case c.misses > 0:
			c.misses--
		default:
			data = append(data, s.contactObject(c))
		}
	}
	return ok(object{
		"type": "list", "data": data, "total_count": len(data),
		"pages": object{"type": "pages", "page": 1, "per_page": 10, "total_pages": 1},
	})
}

// clash is the contact, other than that of id, that already has the key or address.
func (s *Simulator) clash(id string, in *contactBody) *Contact {
	for _, c := range s.contacts {
		if c.ID != id && c.Role == "user" &&
			(in.ExternalID != "" && c.ExternalID == in.ExternalID || in.Email != "" && strings.EqualFold(c.Email, in.Email)) {
			return c
		}
	}
	return nil
}

func conflict(c *Contact) *answer {
	message := "A contact matching those details already exists with id=" + c.ID
	if c.Archived {
		message = "An archived contact matching those details already exists with id=" + c.ID
	}
	return refuse(http.StatusConflict, "conflict", message)
}

func (s *Simulator) createContact(body []byte) *answer {
	var in contactBody
	if refused := read(body, &in); refused != nil {
		return refused
	}
	if in.Role != "user" || in.ExternalID == "" && in.Email == "" {
		return refuse(400, "parameter_invalid", "a user needs an email or an external_id")
	}
	if c := s.clash("", &in); c != nil {
		return conflict(c)
	}
	return ok(s.contactObject(s.addContact(Contact{
		ExternalID: in.ExternalID, Email: in.Email, Name: in.Name, Role: in.Role,
		misses: s.o.SearchMisses, notReady: s.o.NotReady,
	})))
}

func (s *Simulator) updateContact(id string, body []byte) *answer {
	var in contactBody
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.contact(id)
	if c == nil {
		return refuse(404, "not_found", "User Not Found")
	}
	if other := s.clash(id, &in); other != nil {
		return conflict(other)
	}
	for to, value := range map[*string]string{&c.ExternalID: in.ExternalID, &c.Email: in.Email, &c.Name: in.Name} {
		if value != "" {
			*to = value
		}
	}
	return ok(s.contactObject(c))
}

func (s *Simulator) unarchive(id string) *answer {
	for _, c := range s.contacts {
		if c.ID == id {
			c.Archived = false
			return ok(object{"type": "contact", "id": c.ID, "external_id": c.ExternalID, "archived": false})
		}
	}
	return refuse(404, "not_found", "User Not Found")
}

func (s *Simulator) contactObject(c *Contact) object {
	return object{
		"type": "contact", "id": c.ID, "workspace_id": s.o.AppID, "external_id": orNull(c.ExternalID), "role": c.Role,
		"email": orNull(c.Email), "phone": nil, "name": orNull(c.Name),
		"created_at": c.CreatedAt.Unix(), "updated_at": c.CreatedAt.Unix(), "custom_attributes": object{},
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func badImages(urls []string) *answer {
	if len(urls) > 10 {
		return refuse(400, "parameter_invalid", "at most 10 attachment_urls")
	}
	for _, text := range urls {
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" && u.Scheme != "http" {
			return refuse(400, "parameter_invalid", "attachment_urls must be addresses")
		}
	}
	return nil
}

func (s *Simulator) createConversation(body []byte) *answer {
	var in struct {
		From struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"from"`
		Body           string   `json:"body"`
		AttachmentURLs []string `json:"attachment_urls"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.contact(in.From.ID)
	switch {
	case in.Body == "":
		return refuse(422, "parameter_invalid", "body is not valid")
	case c == nil:
		return refuse(404, "not_found", "User Not Found")
	case c.notReady > 0:
		c.notReady--
		return refuse(404, "not_found", "User Not Found")
	}
	if refused := badImages(in.AttachmentURLs); refused != nil {
		return refused
	}
	conversation := &Conversation{
		ID: id(s.next()), Contact: c.ID, Kind: "conversation", Body: in.Body, Images: in.AttachmentURLs, State: "open", CreatedAt: s.o.Now(),
	}
	s.conversations = append(s.conversations, conversation)
	return ok(object{
		"type": "user_message", "id": id(s.next()), "created_at": conversation.CreatedAt.Unix(), "body": in.Body,
		"message_type": "inapp", "conversation_id": conversation.ID,
	})
}

func (s *Simulator) searchConversations(body []byte) *answer {
	var in search
	if refused := read(body, &in); refused != nil {
		return refused
	}
	list := []any{}
	for _, c := range s.conversations {
		matched, refused := matches(in.Query, func(name string) any {
			switch name {
			case "contact_ids":
				return c.Contact
			case "created_at":
				return c.CreatedAt.Unix()
			case "state":
				return c.State
			}
			return nil
		})
		if refused != nil {
			return refused
		}
		if matched {
			o := s.conversationObject(c, nil, false)
			delete(o, "conversation_parts")
			list = append(list, o)
		}
	}
	return ok(object{"type": "conversation.list", "conversations": list, "total_count": len(list)})
}

func (s *Simulator) getConversation(id string, plain bool) *answer {
	c := s.find(id)
	if c == nil {
		return errConversation
	}
	parts := c.Parts
	if len(parts) > 500 {
		parts = parts[len(parts)-500:]
	}
	return ok(s.conversationObject(c, parts, plain))
}

func (s *Simulator) reply(id string, body []byte) *answer {
	var in struct {
		MessageType    string   `json:"message_type"`
		Type           string   `json:"type"`
		IntercomUserID string   `json:"intercom_user_id"`
		AdminID        string   `json:"admin_id"`
		Body           string   `json:"body"`
		AttachmentURLs []string `json:"attachment_urls"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.find(id)
	if c == nil {
		return errConversation
	}
	if refused := badImages(in.AttachmentURLs); refused != nil {
		return refused
	}
	p := Part{Type: in.MessageType, API: true, Text: in.Body, HTML: asHTML(in.Body)}
	for _, u := range in.AttachmentURLs {
		p.Attachments = append(p.Attachments, Attachment{Name: u[strings.LastIndex(u, "/")+1:], URL: u, ContentType: "image/png"})
	}
	switch {
	case in.Body == "":
		return refuse(422, "parameter_invalid", "body is not valid")
	case in.Type == "user" && in.MessageType == "comment" && in.AdminID == "":
		if in.IntercomUserID != c.Contact || s.contact(c.Contact) == nil {
			return refuse(404, "not_found", "User Not Found")
		}
		p.By = "user"
		if c.State == "closed" {
			p.Type = "open"
		}
		c.State = "open"
	case in.Type == "admin" && (in.MessageType == "comment" || in.MessageType == "note") && in.IntercomUserID == "":
		if !isTeammate(in.AdminID) {
			return refuse(404, "admin_not_found", "Admin Not Found")
		}
		p.By, p.Author = "admin", teammate(in.AdminID)
		if p.Type == "note" {
			p.HTML, p.Text = in.Body, plain(in.Body)
		}
	default:
		return refuse(400, "parameter_invalid", "type, message_type and author do not fit together")
	}
	topic := "conversation.user.replied"
	switch {
	case p.Type == "note":
		topic = "conversation.admin.noted"
	case p.By == "admin":
		topic = "conversation.admin.replied"
	}
	return s.done(c, p, topic)
}

func (s *Simulator) manage(id string, body []byte) *answer {
	var in struct {
		MessageType string `json:"message_type"`
		Type        string `json:"type"`
		AdminID     string `json:"admin_id"`
		AssigneeID  string `json:"assignee_id"`
		Body        string `json:"body"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	c := s.find(id)
	switch {
	case c == nil:
		return errConversation
	case !isTeammate(in.AdminID):
		return refuse(404, "admin_not_found", "Admin Not Found")
	}
	p := Part{By: "admin", Author: teammate(in.AdminID), API: true}
	if in.Body != "" {
		p.Text, p.HTML = in.Body, asHTML(in.Body)
	}
	switch {
	case in.MessageType == "close" && in.Type == "admin" && in.AssigneeID == "":
		if c.State == "closed" {
			return refuse(400, "parameter_invalid", "the conversation is already closed")
		}
		c.State = "closed"
		p.Type = "close"
		return s.done(c, p, "conversation.admin.closed")
	case in.MessageType == "assignment":
		return s.assign(c, p, in.Type, in.AssigneeID)
	}
	return refuse(400, "parameter_invalid", "only close and assignment are simulated")
}

// assign gives a conversation to a teammate or a team, beside one another; "0" takes
// it from them, which makes no webhook.
func (s *Simulator) assign(c *Conversation, p Part, kind, to string) *answer {
	p.Type, p.AssignedTo = "assignment", to
	holder := &c.Admin
	switch {
	case kind == "admin" && (isTeammate(to) || to == "0"):
	case kind == "team" && (to == Support.ID || to == "0"):
		holder = &c.Team
	case kind == "admin":
		return refuse(404, "admin_not_found", "Admin Not Found")
	case kind == "team":
		return refuse(404, "not_found", "Resource Not Found")
	default:
		return refuse(400, "parameter_invalid", "type must be admin or team")
	}
	if to == "0" {
		*holder, p.AssignedTo = "", ""
		return ok(s.conversationObject(c, []Part{s.add(c, p)}, false))
	}
	*holder = to
	return s.done(c, p, "conversation.admin.assigned")
}

// done adds the part of a request, and tells of it.
func (s *Simulator) done(c *Conversation, p Part, topic string) *answer {
	added := s.add(c, p)
	s.notify(topic, c, added)
	return ok(s.conversationObject(c, []Part{added}, false))
}

func teammate(id string) Teammate {
	for _, t := range teammates {
		if t.ID == id {
			return t
		}
	}
	return Teammate{ID: id}
}

func isTeammate(id string) bool { return teammate(id).Name != "" }

// add appends a part and gives it with its id and time.
func (s *Simulator) add(c *Conversation, p Part) Part {
	p.ID, p.CreatedAt = id(s.next()), s.o.Now()
	c.Parts = append(c.Parts, p)
	return p
}

func unix(t time.Time) int64 { return t.Unix() }

// conversationObject renders a conversation with some of its parts.
func (s *Simulator) conversationObject(c *Conversation, parts []Part, plain bool) object {
	body := c.Body
	if !plain {
		body = asHTML(body)
	}
	var person object
	var externalID any
	for _, contact := range s.contacts {
		if contact.ID == c.Contact {
			person = object{"type": contact.Role, "id": contact.ID, "name": orNull(contact.Name), "email": orNull(contact.Email)}
			externalID = orNull(contact.ExternalID)
		}
	}
	images := []any{}
	for _, u := range c.Images {
		images = append(images, attachmentObject(Attachment{URL: u, ContentType: "image/png"}))
	}
	list := []any{}
	for i := range parts {
		list = append(list, s.partObject(c, &parts[i], plain, person))
	}
	return object{
		"type": "conversation", "id": c.ID, "created_at": unix(c.CreatedAt), "updated_at": unix(s.o.Now()),
		"waiting_since": nil, "snoozed_until": nil,
		"source": object{
			"type": c.Kind, "id": c.ID + "1", "delivered_as": "customer_initiated", "subject": "", "body": body,
			"author": person, "attachments": images, "url": nil, "redacted": false,
		},
		"contacts": object{"type": "contact.list", "contacts": []any{
			object{"type": "contact", "id": c.Contact, "external_id": externalID},
		}},
		"admin_assignee_id": number(c.Admin), "team_assignee_id": number(c.Team), "open": c.State != "closed", "state": c.State, "read": false,
		"ai_agent": nil, "ai_agent_participated": false,
		"conversation_parts": object{"type": "conversation_part.list", "conversation_parts": list, "total_count": len(list)},
	}
}

func (s *Simulator) partObject(c *Conversation, p *Part, plain bool, person object) object {
	by := person
	if p.By != "user" {
		by = object{"type": p.By, "id": p.Author.ID, "name": p.Author.Name, "email": p.Author.Email}
		if p.Author.Bot {
			by["from_ai_agent"], by["is_ai_answer"] = p.Author.AI, p.Author.AI
		}
	}
	body := any(nil)
	if p.HTML != "" {
		body = p.HTML
		if plain {
			body = strings.TrimSpace(strings.Repeat("[Image]\n", len(p.Attachments)) + p.Text)
		}
	}
	files := []any{}
	for _, a := range p.Attachments {
		files = append(files, attachmentObject(a))
	}
	var assigned, code any
	switch p.AssignedTo {
	case "":
	case Support.ID:
		assigned = object{"type": "team", "id": p.AssignedTo}
	default:
		assigned = object{"type": "admin", "id": p.AssignedTo}
	}
	if p.API {
		code = s.o.Package
	}
	return object{
		"type": "conversation_part", "id": p.ID, "part_type": p.Type, "body": body,
		"created_at": unix(p.CreatedAt), "updated_at": unix(p.CreatedAt), "notified_at": unix(p.CreatedAt),
		"assigned_to": assigned, "author": by, "attachments": files, "external_id": nil, "redacted": p.Redacted,
		"metadata": object{}, "state": c.State, "tags": []any{}, "event_details": object{}, "app_package_code": code,
	}
}

func attachmentObject(a Attachment) object {
	return object{
		"type": "upload", "name": a.Name, "url": a.URL, "content_type": a.ContentType, "filesize": a.Size, "width": nil, "height": nil,
	}
}
