package intercom

import (
	"bytes"
	"encoding/json"
	"strings"
)

// What is sent. Every body is valid against Intercom's OpenAPI file of 2.15.

// contactBody creates or changes a contact.
type contactBody struct {
	Role       string `json:"role,omitempty"`
	ExternalID string `json:"external_id,omitempty"`
	Email      string `json:"email,omitempty"`
	Name       string `json:"name,omitempty"`
}

// roleUser is the role of contacts that have an e-mail address or an id of ours.
const roleUser = "user"

// filter is one condition of a search, or several with the operator AND.
type filter struct {
	Field    string `json:"field,omitempty"`
	Operator string `json:"operator"`
	Value    any    `json:"value"`
}

type search struct {
	Query      filter     `json:"query"`
	Pagination pagination `json:"pagination"`
}

type pagination struct {
	PerPage int `json:"per_page"`
}

// create opens a conversation. HTML is not supported in its body.
type create struct {
	From           from     `json:"from"`
	Body           string   `json:"body"`
	AttachmentURLs []string `json:"attachment_urls,omitempty"`
}

type from struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// userReply says something as the contact.
type userReply struct {
	MessageType    string   `json:"message_type"`
	Type           string   `json:"type"`
	IntercomUserID string   `json:"intercom_user_id"`
	Body           string   `json:"body"`
	AttachmentURLs []string `json:"attachment_urls,omitempty"`
}

// adminAction is a note, or the closing of a conversation, by a teammate.
type adminAction struct {
	MessageType string `json:"message_type"`
	Type        string `json:"type"`
	AdminID     string `json:"admin_id"`
	Body        string `json:"body,omitempty"`
}

// adminReply says something to the contact as a teammate.
type adminReply struct {
	MessageType    string   `json:"message_type"`
	Type           string   `json:"type"`
	AdminID        string   `json:"admin_id"`
	Body           string   `json:"body"`
	AttachmentURLs []string `json:"attachment_urls,omitempty"`
}

// assignment gives a conversation to a teammate or a team.
type assignment struct {
	MessageType string `json:"message_type"`
	Type        string `json:"type"` // admin or team
	AdminID     string `json:"admin_id"`
	AssigneeID  string `json:"assignee_id"`
}

// nobody is the assignee who takes a conversation from its teammate.
const nobody = "0"

// What is read. Members that nobody needs are left out, and every member may be
// absent. Versions of Intercom's API older than 2 lack the same members.

// id is written as a string, a number or null.
type id string

// UnmarshalJSON reads a string, a number or null.
func (i *id) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		return nil
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(i))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*i = id(n)
	return nil
}

// me is the answer of GET /me.
type me struct {
	ID  id `json:"id"`
	App struct {
		IDCode string `json:"id_code"`
		Region string `json:"region"`
	} `json:"app"`
}

type contact struct {
	ID         string `json:"id"`
	ExternalID string `json:"external_id"`
	Email      string `json:"email"`
	Name       string `json:"name"`
	Role       string `json:"role"`
	UpdatedAt  int64  `json:"updated_at"`
}

type contactList struct {
	Type string    `json:"type"`
	Data []contact `json:"data"`
}

// created is the answer of POST /conversations. Its member id is that of the
// message, and of no use here.
type created struct {
	ConversationID id `json:"conversation_id"`
}

type conversation struct {
	ID             id     `json:"id"`
	ConversationID id     `json:"conversation_id"` // of conversation.deleted
	CreatedAt      int64  `json:"created_at"`
	State          string `json:"state"`
	AdminAssignee  id     `json:"admin_assignee_id"` // 0 and absent = nobody
	TeamAssignee   id     `json:"team_assignee_id"`
	Source         struct {
		Type        string   `json:"type"`
		Body        string   `json:"body"`
		Author      author   `json:"author"`
		Attachments []upload `json:"attachments"`
		Redacted    bool     `json:"redacted"`
	} `json:"source"`
	Contacts struct {
		Contacts []contact `json:"contacts"`
	} `json:"contacts"`
	Parts struct {
		Parts []part `json:"conversation_parts"`
	} `json:"conversation_parts"`
}

const stateClosed = "closed"

// adminList and teamList say who there is.
type adminList struct {
	Type   string `json:"type"`
	Admins []struct {
		ID      id     `json:"id"`
		Name    string `json:"name"`
		HasSeat *bool  `json:"has_inbox_seat"`
	} `json:"admins"`
}

type teamList struct {
	Type  string `json:"type"`
	Teams []struct {
		ID   id     `json:"id"`
		Name string `json:"name"`
	} `json:"teams"`
}

type conversationList struct {
	Type          string         `json:"type"`
	Conversations []conversation `json:"conversations"`
}

// part is one entry of a conversation: something said, or something that happened.
type part struct {
	ID             id              `json:"id"`
	Type           string          `json:"part_type"`
	Body           string          `json:"body"`
	CreatedAt      int64           `json:"created_at"`
	AssignedTo     author          `json:"assigned_to"`
	Author         author          `json:"author"`
	Attachments    []upload        `json:"attachments"`
	Redacted       bool            `json:"redacted"`
	AppPackageCode json.RawMessage `json:"app_package_code"`
}

// The types of parts that mean something here.
const (
	partComment    = "comment"
	partNote       = "note"
	partAssignment = "assignment"
	partClose      = "close"
)

type author struct {
	Type        string `json:"type"`
	ID          id     `json:"id"`
	Name        string `json:"name"`
	Email       string `json:"email"`
	FromAIAgent bool   `json:"from_ai_agent"`
	IsAIAnswer  bool   `json:"is_ai_answer"`
}

// The types of authors that mean something here. Bots and teams have others.
const (
	authorAdmin = "admin"
	authorUser  = "user"
	authorTeam  = "team"
)

// isContact reports whether the author is the User's side of the conversation.
func (a *author) isContact() bool {
	return a.Type == authorUser || a.Type == "lead" || a.Type == "contact"
}

type upload struct {
	Name        string  `json:"name"`
	URL         string  `json:"url"`
	ContentType string  `json:"content_type"`
	Size        float64 `json:"filesize"`
}

// notification is the body of a webhook.
type notification struct {
	Type  string `json:"type"`
	AppID string `json:"app_id"`
	Topic string `json:"topic"`
	Data  struct {
		Item json.RawMessage `json:"item"`
	} `json:"data"`
}

// errorList is the body of every refusal.
type errorList struct {
	RequestID string `json:"request_id"`
	Errors    []struct {
		Code    string `json:"code"`
		Type    string `json:"type"` // in place of code, at older endpoints
		Message string `json:"message"`
	} `json:"errors"`
}

// encode writes JSON with & and < as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// present reports whether a raw member says anything.
func present(raw json.RawMessage) bool {
	text := strings.TrimSpace(string(raw))
	return text != "" && text != "null" && text != `""`
}
