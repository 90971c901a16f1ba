package livechat

import (
	"bytes"
	"encoding/json"
)

// What is sent and read. Members that mean nothing here are left out of what is
// read; both interfaces and the webhooks share most shapes.

// object is a body that is sent.
type object = map[string]any

// event is one entry of a thread.
type event struct {
	ID          string    `json:"id,omitempty"`
	CustomID    string    `json:"custom_id,omitempty"`
	Type        string    `json:"type"`
	Text        string    `json:"text,omitempty"`
	Visibility  string    `json:"visibility,omitempty"`
	AuthorID    string    `json:"author_id,omitempty"`
	CreatedAt   string    `json:"created_at,omitempty"`
	Name        string    `json:"name,omitempty"`
	URL         string    `json:"url,omitempty"`
	ContentType string    `json:"content_type,omitempty"`
	Size        float64   `json:"size,omitempty"`
	Elements    []element `json:"elements,omitempty"`
}

// The types of events that carry something a person said.
const (
	eventMessage = "message"
	eventFile    = "file"
	eventRich    = "rich_message"
)

// The visibilities of events.
const (
	toAll    = "all"
	toAgents = "agents" // whispers and private notes
)

// element is one card of a rich message.
type element struct {
	Title    string `json:"title"`
	Subtitle string `json:"subtitle"`
	Image    struct {
		URL         string `json:"url"`
		Name        string `json:"name"`
		ContentType string `json:"content_type"`
	} `json:"image"`
	Buttons []struct {
		Text  string `json:"text"`
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"buttons"`
}

// user is a participant of a chat. In the customer's interface agents have opaque
// ids; elsewhere their id is their e-mail address.
type user struct {
	ID            string           `json:"id"`
	Type          string           `json:"type"`
	Name          string           `json:"name"`
	Email         string           `json:"email"`
	Present       bool             `json:"present"`
	IsBot         bool             `json:"is_bot"`
	SessionFields []map[string]any `json:"session_fields"`
}

// userAgent is the type of users who are no customers. Bots have it too.
const userAgent = "agent"

// thread is one conversation inside of a chat.
type thread struct {
	ID     string  `json:"id"`
	Active bool    `json:"active"`
	Events []event `json:"events"`
}

// chat is the container of one customer's threads, with one of them.
type chat struct {
	ID     string `json:"id"`
	Thread thread `json:"thread"`
	Users  []user `json:"users"`
}

// summary is a chat in a list.
type summary struct {
	ID           string `json:"id"`
	LastThreadID string `json:"last_thread_id"`
	Active       bool   `json:"active"`
}

type chatList struct {
	Summaries []summary `json:"chats_summary"`
	Total     *int      `json:"total_chats"` // always there
}

// begun is the answer to starting or resuming a chat.
type begun struct {
	ChatID   string `json:"chat_id"` // not when resuming
	ThreadID string `json:"thread_id"`
}

type eventSent struct {
	EventID string `json:"event_id"`
}

type uploaded struct {
	URL string `json:"url"`
}

type groupStatuses struct {
	Statuses map[string]string `json:"groups_status"`
}

// The statuses of groups. The third is online_for_queue.
const groupOffline = "offline"

type dynamicConfiguration struct {
	OrganizationID string `json:"organization_id"`
	Active         bool   `json:"livechat_active"`
}

// granted is the answer to asking for a customer's token.
type granted struct {
	AccessToken string `json:"access_token"`
	EntityID    string `json:"entity_id"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
}

// errorBody is the body of a refusal, of the chat interfaces or of the accounts'.
type errorBody struct {
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Data    struct {
			Region string `json:"region"`
		} `json:"data"`
	} `json:"error"`
	OAuth   string `json:"oauth_exception"`
	Details string `json:"exception_details"`
}

// notification is the body of a webhook, or of an app webhook, which has the
// members of the second part instead.
type notification struct {
	SecretKey      string          `json:"secret_key"`
	Action         string          `json:"action"`
	OrganizationID string          `json:"organization_id"`
	Payload        json.RawMessage `json:"payload"`
	Additional     struct {
		Present []string `json:"chat_presence_user_ids"`
	} `json:"additional_data"`

	AppEvent string `json:"event"`
	ClientID string `json:"clientID"`
}

// happened is the payload of the webhooks about one thing in a chat.
type happened struct {
	ChatID        string `json:"chat_id"`
	ThreadID      string `json:"thread_id"`
	Event         event  `json:"event"`   // incoming_event
	Chat          chat   `json:"chat"`    // incoming_chat
	UserID        string `json:"user_id"` // who closed, or has seen; "" = LiveChat itself
	User          user   `json:"user"`    // user_added_to_chat
	TransferredTo struct {
		AgentIDs []string `json:"agent_ids"`
	} `json:"transferred_to"`
	Queue *struct {
		Position int `json:"position"`
	} `json:"queue"`
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
