package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits that LiveChat documents.
const (
	maxText   = 16 << 10
	maxFile   = 10 << 20
	maxFields = 100
	tokenLife = 8 * time.Hour
)

func refuseToken(exception, details string) *answer {
	body := object{"oauth_exception": exception, "exception_description": "The request is not accepted."}
	if details != "" {
		body["exception_details"] = details
	}
	return &answer{status: http.StatusUnauthorized, body: body}
}

// grant gives a customer's token for cookies; without cookies it makes a customer.
func (s *Simulator) grant(r *http.Request, body []byte) *answer {
	var in struct {
		GrantType      string `json:"grant_type"`
		ClientID       string `json:"client_id"`
		OrganizationID string `json:"organization_id"`
		ResponseType   string `json:"response_type"`
		RedirectURI    string `json:"redirect_uri"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	switch {
	case r.Header.Get("Content-Type") != "application/json" || d.Decode(&in) != nil || in.GrantType != "cookie" || in.ResponseType != "token":
		return refuseToken("invalid_request", "")
	case in.ClientID != s.o.ClientID:
		return refuseToken("unauthorized_client", "client_id_not_found")
	case len(s.o.RedirectURIs) == 0:
		return refuseToken("invalid_request", "redirect_uri_not_set")
	case !slices.Contains(s.o.RedirectURIs, in.RedirectURI):
		return refuseToken("unauthorized_client", "invalid_redirect_uri")
	case in.OrganizationID != s.o.OrganizationID:
		return refuse(http.StatusBadRequest, "license_not_found", "License not found")
	}
	var c *Customer
	if id, err := r.Cookie("__lc_cid"); err == nil {
		secret, err := r.Cookie("__lc_cst")
		if known := s.customer(id.Value); err == nil && known != nil && known.secret != "" && known.secret == secret.Value {
			c = known
		}
	}
	if c == nil {
		c = s.newCustomer()
	}
	c.secret = fmt.Sprintf("cst%d", s.next())
	issued := fmt.Sprintf("dal:token_%d", s.next())
	s.tokens[issued] = token{customer: c.ID, until: s.o.Now().Add(tokenLife)}
	a := ok(object{
		"access_token": issued, "entity_id": c.ID, "expires_in": int(tokenLife / time.Second), "token_type": "Bearer",
		"organization_id": s.o.OrganizationID,
	})
	for name, value := range map[string]string{"__lc_cid": c.ID, "__lc_cst": c.secret} {
		a.cookies = append(a.cookies, &http.Cookie{
			Name: name, Value: value, Path: "/v2/customer", MaxAge: 63_072_000, HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode,
		})
	}
	return a
}

func (s *Simulator) newCustomer() *Customer {
	c := &Customer{ID: fmt.Sprintf("3d9f7c52-6b1e-4f0a-9c2d-%012x", s.next()), Fields: map[string]string{}}
	s.customers = append(s.customers, c)
	return c
}

func (s *Simulator) dynamicConfiguration(r *http.Request) *answer {
	if r.URL.Query().Get("organization_id") != s.o.OrganizationID {
		return refuse(http.StatusNotFound, "license_not_found", "License not found")
	}
	online := []int{0}
	if s.offline {
		online = nil
	}
	return ok(object{
		"organization_id": s.o.OrganizationID, "default_widget": "livechat", "livechat_active": !s.inactive,
		"livechat": object{
			"group_id": 0, "client_limit_exceeded": false, "domain_allowed": true, "online_group_ids": online,
			"config_version": "cfg0001", "localization_version": "loc0001", "language": "en",
		},
	})
}

// wireEvent is an event as it is sent to the simulator.
type wireEvent struct {
	Type            string `json:"type"`
	Text            string `json:"text"`
	CustomID        string `json:"custom_id"`
	Recipients      string `json:"recipients"`
	Visibility      string `json:"visibility"`
	URL             string `json:"url"`
	AlternativeText string `json:"alternative_text"`
}

// event judges an event. Visibility is for agents only, recipients for customers only.
func (s *Simulator) event(in *wireEvent, author string, agent bool) (Event, *answer) {
	e := Event{Type: in.Type, Text: in.Text, CustomID: in.CustomID, Author: author, Visibility: in.Visibility}
	switch {
	case len(in.CustomID) > 64:
		return e, invalid("custom_id is too long")
	case !agent && in.Visibility != "" || agent && in.Recipients != "" || in.Recipients != "" && in.Recipients != "all":
		return e, invalid("unknown member of an event")
	case agent && in.Visibility != "all" && in.Visibility != "agents":
		return e, invalid("visibility must be all or agents")
	case in.Type == "message" && in.URL == "" && in.AlternativeText == "":
		if in.Text == "" || len(in.Text) > maxText || !utf8.ValidString(in.Text) {
			return e, invalid("text must have 1 to %d bytes", maxText)
		}
		return e, nil
	case in.Type == "file" && in.Text == "":
		i := slices.IndexFunc(s.uploads, func(u Upload) bool { return u.URL == in.URL })
		if i < 0 {
			return e, invalid("url must be on the LiveChat CDN")
		}
		e.URL, e.Name, e.ContentType = in.URL, s.uploads[i].Name, s.uploads[i].ContentType
		return e, nil
	}
	return e, invalid("type of event is not simulated")
}

// wireChat is a chat as it is started or resumed.
type wireChat struct {
	Chat struct {
		ID     string `json:"id"`
		Access struct {
			GroupIDs []int `json:"group_ids"`
		} `json:"access"`
		Thread struct {
			Properties struct {
				Routing struct {
					IgnoreBots bool `json:"ignore_bots"`
				} `json:"routing"`
			} `json:"properties"`
			Events []wireEvent `json:"events"`
		} `json:"thread"`
	} `json:"chat"`
	Active     *bool `json:"active"`
	Continuous bool  `json:"continuous"`
}

// customerAction serves the customers' interface.
func (s *Simulator) customerAction(r *http.Request, action string, body []byte) *answer {
	bearer, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, known := s.tokens[bearer]
	switch {
	case r.URL.Query().Get("organization_id") != s.o.OrganizationID:
		return invalid("organization_id is required")
	case !found || !known || !s.o.Now().Before(t.until):
		return refuse(http.StatusUnauthorized, "authentication", "Authentication error")
	}
	c := s.customer(t.customer)
	if c.Banned {
		return refuse(http.StatusForbidden, "customer_banned", "Customer is banned")
	}
	if action == "upload_file" {
		return s.upload(r)
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return invalid("Content-Type must be application/json")
	}
	switch action {
	case "update_customer":
		return s.updateCustomer(c, body)
	case "list_group_statuses":
		return s.groupStatuses(body)
	case "list_chats":
		return s.listChats(c, body)
	case "start_chat", "resume_chat":
		return s.startChat(c, action, body)
	case "send_event":
		return s.sendEvent(c, body)
	case "get_chat":
		return s.getChat(c, body)
	case "deactivate_chat":
		return s.deactivate(c, body)
	case "mark_events_as_seen":
		var in struct {
			ChatID   string `json:"chat_id"`
			SeenUpTo string `json:"seen_up_to"`
		}
		if refused := read(body, &in); refused != nil {
			return refused
		}
		if _, err := time.Parse(time.RFC3339Nano, in.SeenUpTo); err != nil || s.own(c, in.ChatID) == nil {
			return invalid("seen_up_to must be a time")
		}
		return ok(object{})
	}
	return refuse(http.StatusNotFound, "not_found", "Unknown action")
}

// own finds a chat that the customer may see.
func (s *Simulator) own(c *Customer, id string) *Chat {
	if found := s.chat(id); found != nil && found.Customer == c.ID {
		return found
	}
	return nil
}

var (
	errAccess   = refuse(http.StatusForbidden, "missing_access", "Insufficient access")
	errInactive = refuse(http.StatusBadRequest, "chat_inactive", "Chat is inactive")
)

func (s *Simulator) updateCustomer(c *Customer, body []byte) *answer {
	var in struct {
		Name          string              `json:"name"`
		Email         string              `json:"email"`
		SessionFields []map[string]string `json:"session_fields"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	if in.Name == "" && in.Email == "" && len(in.SessionFields) == 0 || len(in.SessionFields) > maxFields {
		return invalid("at least one of name, email, session_fields is required")
	}
	if in.Email != "" && (strings.Count(in.Email, "@") != 1 || strings.ContainsAny(in.Email, " <>")) {
		return invalid("email is wrong")
	}
	for _, f := range in.SessionFields {
		if len(f) != 1 {
			return invalid("session_fields must have one key each")
		}
		for k, v := range f {
			c.Fields[k] = v
		}
	}
	if in.Name != "" {
		c.Name = in.Name
	}
	if in.Email != "" {
		c.Email = in.Email
	}
	return ok(object{})
}

// group reports whether there is one.
func (s *Simulator) group(id int) bool {
	return id == 0 || slices.ContainsFunc(s.o.Agents, func(a Agent) bool { return slices.Contains(a.Groups, id) })
}

func (s *Simulator) groupStatuses(body []byte) *answer {
	var in struct {
		All      bool  `json:"all"`
		GroupIDs []int `json:"group_ids"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	if in.All == (len(in.GroupIDs) > 0) {
		return invalid("all or group_ids is required")
	}
	if in.All {
		in.GroupIDs = []int{0, 19}
	}
	list := object{}
	for _, id := range in.GroupIDs {
		if !s.group(id) {
			return refuse(http.StatusBadRequest, "group_not_found", "Group not found")
		}
		list[fmt.Sprint(id)] = map[bool]string{false: "online", true: "offline"}[s.offline]
	}
	return ok(object{"groups_status": list})
}

func (s *Simulator) listChats(c *Customer, body []byte) *answer {
	var in struct {
		Limit int `json:"limit"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	if in.Limit < 0 || in.Limit > 25 {
		return invalid("limit must be at most 25")
	}
	list := []any{}
	if found := s.chatOf(c.ID); found != nil {
		t := found.thread()
		list = append(list, object{
			"id": found.ID, "last_thread_id": t.ID, "last_thread_created_at": stamp(t.CreatedAt), "last_event_per_type": object{},
			"users": s.users(found, t, true), "access": object{"group_ids": t.Groups}, "properties": object{}, "active": t.Active,
		})
	}
	return ok(object{"total_chats": len(list), "chats_summary": list})
}

func (s *Simulator) startChat(c *Customer, action string, body []byte) *answer {
	var in wireChat
	if refused := read(body, &in); refused != nil {
		return refused
	}
	existing := s.chatOf(c.ID)
	switch {
	case action == "start_chat" && in.Chat.ID != "":
		return invalid("unknown member id")
	case action == "start_chat" && existing != nil:
		return invalid("the customer already has a chat")
	case action == "resume_chat" && (existing == nil || existing.ID != in.Chat.ID):
		return errAccess
	case action == "resume_chat" && existing.thread().Active:
		return invalid("the chat is active")
	case in.Active == nil || !*in.Active:
		return invalid("archived threads are not simulated")
	case !in.Continuous && s.offline:
		return refuse(http.StatusBadRequest, "groups_offline", "Groups offline")
	}
	for _, id := range in.Chat.Access.GroupIDs {
		if !s.group(id) {
			return refuse(http.StatusBadRequest, "group_not_found", "Group not found")
		}
	}
	var events []Event
	for i := range in.Chat.Thread.Events {
		e, refused := s.event(&in.Chat.Thread.Events[i], c.ID, false)
		if refused != nil {
			return refused
		}
		events = append(events, e)
	}
	if existing == nil {
		existing = s.newChat(c.ID)
	}
	t := s.begin(existing, in.Chat.Access.GroupIDs, true)
	ids := []string{}
	for _, e := range events {
		ids = append(ids, s.add(t, e).ID)
	}
	s.notifyChat(existing, t)
	out := object{"thread_id": t.ID, "event_ids": ids}
	if action == "start_chat" {
		out["chat_id"] = existing.ID
	}
	return ok(out)
}

func (s *Simulator) sendEvent(c *Customer, body []byte) *answer {
	var in struct {
		ChatID             string    `json:"chat_id"`
		Event              wireEvent `json:"event"`
		AttachToLastThread bool      `json:"attach_to_last_thread"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	found := s.own(c, in.ChatID)
	if found == nil {
		return errAccess
	}
	if !found.thread().Active {
		return errInactive
	}
	e, refused := s.event(&in.Event, c.ID, false)
	if refused != nil {
		return refused
	}
	e = s.add(found.thread(), e)
	s.notifyEvent(found, found.thread(), &e)
	return ok(object{"event_id": e.ID})
}

func (s *Simulator) getChat(c *Customer, body []byte) *answer {
	var in struct {
		ChatID   string `json:"chat_id"`
		ThreadID string `json:"thread_id"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	found := s.own(c, in.ChatID)
	if found == nil {
		return errAccess
	}
	t := found.find(in.ThreadID)
	if t == nil {
		return refuse(http.StatusNotFound, "not_found", "Thread not found")
	}
	return ok(s.chatObject(found, t, true))
}

func (s *Simulator) deactivate(c *Customer, body []byte) *answer {
	var in struct {
		ID string `json:"id"`
	}
	if refused := read(body, &in); refused != nil {
		return refused
	}
	found := s.own(c, in.ID)
	if found == nil {
		return errAccess
	}
	if !found.thread().Active {
		return errInactive
	}
	s.end(found, c.ID)
	return ok(object{})
}

// upload takes one file in a multipart form.
func (s *Simulator) upload(r *http.Request) *answer {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return invalid("a multipart form is required")
	}
	part, err := multipart.NewReader(r.Body, params["boundary"]).NextPart()
	if err != nil || part.FormName() != "file" || part.FileName() == "" {
		return invalid("the form must have a file")
	}
	content, err := io.ReadAll(part)
	if err != nil {
		return invalid("the form is broken")
	}
	if len(content) > maxFile {
		return refuse(http.StatusRequestEntityTooLarge, "entity_too_large", "Upload limit exceeded (10MB).")
	}
	name := part.FileName()
	if ext := path.Ext(name); ext == ".exe" || ext == ".bat" {
		return invalid("executables are refused")
	}
	up := Upload{
		Name: name, ContentType: part.Header.Get("Content-Type"), Content: content,
		URL: fmt.Sprintf("https://cdn.livechat-files.com/api/file/lc/att/1002003/%032x/%s", s.next(), url.PathEscape(name)),
	}
	s.uploads = append(s.uploads, up)
	return ok(object{"url": up.URL})
}
