package webhook

import (
	"bytes"
	"encoding/json"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// The order of the fields is that of the documented samples, and so are the
// bytes: some receivers compare or log them. Fields with omitempty are sent in
// extended mode only.

// establish is POST {base}/conversation/establish.
type establish struct {
	ConversationID   string   `json:"conversation_id"` // of the human session, not of the Conversation
	Timestamp        int64    `json:"timestamp"`       // Unix milliseconds
	Email            string   `json:"email"`
	BotID            string   `json:"bot_id"`
	ConversationType string   `json:"conversation_type,omitempty"`
	Body             []turn   `json:"body"`
	UserInfo         userInfo `json:"user_info"`

	HandoffID    string            `json:"handoff_id,omitempty"`
	Language     string            `json:"language,omitempty"`
	Note         string            `json:"note,omitempty"`
	Summary      string            `json:"summary,omitempty"`
	CustomFields map[string]string `json:"custom_fields,omitempty"`
}

// turn is one entry of the transferred dialogue.
type turn struct {
	MessageType string `json:"message_type"`
	Text        string `json:"text"`
	Files       files  `json:"files,omitempty"`
}

const (
	question = "QUESTION" // the User's
	answer   = "ANSWER"   // the Agent's
)

// userInfo sends null for what is unknown, as the documented sample does.
type userInfo struct {
	UserName    *string `json:"user_name,omitempty"`
	Phone       *string `json:"phone"`
	Email       *string `json:"email"`
	UserID      *string `json:"user_id"`
	AnonymousID *string `json:"anonymous_id"`
}

// chat is POST {base}/chat.
type chat struct {
	ConversationID string `json:"conversation_id"`
	Timestamp      int64  `json:"timestamp"`
	Body           string `json:"body"`
	Files          files  `json:"files,omitempty"`
}

// closing is POST {base}/conversation/close.
type closing struct {
	ConversationID string `json:"conversation_id"`
	Timestamp      int64  `json:"timestamp"`
	Type           string `json:"type"`
}

const (
	timedOut   = "TIMEOUT"
	userClosed = "USER_CLOSED"
)

// file is an attachment. Public clients of GPTBots know content_type and url.
type file struct {
	ContentType string `json:"content_type,omitempty"`
	URL         string `json:"url"`
	Name        string `json:"name,omitempty"`
}

// files is written as public clients of GPTBots read it: one file as an object.
// Several, which they never see, are an array. Both forms are read.
type files []file

// MarshalJSON writes one file as an object, several as an array.
func (f files) MarshalJSON() ([]byte, error) {
	if len(f) == 1 {
		return encode(f[0])
	}
	return encode([]file(f))
}

// UnmarshalJSON reads an object, an array or null.
func (f *files) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var one file
		err := json.Unmarshal(b, &one)
		*f = files{one}
		return err
	}
	return json.Unmarshal(b, (*[]file)(f))
}

// conversationTypes are GPTBots' names of the channels.
var conversationTypes = map[handoff.Channel]string{
	handoff.ChannelWidget:      "WIDGET",
	handoff.ChannelIframe:      "EMBED",
	handoff.ChannelShare:       "SHARE",
	handoff.ChannelAPI:         "API",
	handoff.ChannelWhatsApp:    "WHATSAPP_META",
	handoff.ChannelLine:        "LINE",
	handoff.ChannelIntercom:    "INTERCOM",
	handoff.ChannelLiveChat:    "LIVECHAT",
	handoff.ChannelLivedesk:    "LIVEDESK", // ours; GPTBots documents none
	handoff.ChannelZohoSalesIQ: "ZOHO_SALES_IQ",
	handoff.ChannelSobot:       "SO_BOT",
}

// newEstablish renders an open request. email is what stands in the field of
// that name when the request has no address.
func newEstablish(r *desk.OpenRequest, email string, extended bool) establish {
	out := establish{
		ConversationID: r.ProposedRef,
		Timestamp:      r.At.UnixMilli(),
		Email:          email,
		BotID:          r.AgentID,
		Body:           make([]turn, 0, 2*len(r.Rounds)+2),
		UserInfo: userInfo{
			Phone:       orNull(r.User.Phone),
			UserID:      orNull(r.User.ID),
			AnonymousID: orNull(r.User.AnonymousID),
		},
	}
	if r.User.Email != "" {
		out.Email = r.User.Email
	}
	if r.EmailGiven {
		out.UserInfo.Email = orNull(r.User.Email)
	}
	add := func(kind string, t *desk.Text) {
		entry := turn{MessageType: kind, Text: t.Plain()}
		if extended {
			entry.Files = filesOf(t.Attachments)
		}
		out.Body = append(out.Body, entry)
	}
	for i := range r.Rounds {
		add(question, &r.Rounds[i].Question)
		add(answer, &r.Rounds[i].Answer)
	}
	// Receivers read the last QUESTION as the request, so there always is one, and
	// the documented sample ends with an empty ANSWER: nothing was answered to it.
	add(question, &r.Question)
	add(answer, &r.Answer)
	if extended {
		out.ConversationType = conversationTypes[r.Channel]
		out.UserInfo.UserName = orNull(r.User.Name)
		out.HandoffID, out.Language, out.CustomFields = r.HandoffID, r.Language, r.CustomFields
		out.Note, out.Summary = r.Note, r.Summary
	}
	return out
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// filesOf lists attachments. Their addresses stand in the text as well, so a
// receiver that knows nothing of files loses none.
func filesOf(list []handoff.Attachment) files {
	var out files
	for _, a := range list {
		out = append(out, file{ContentType: a.ContentType, URL: a.URL, Name: a.Name})
	}
	return out
}

// encode writes JSON as the samples have it: compact, with & and < as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
