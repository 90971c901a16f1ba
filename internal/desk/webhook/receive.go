package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// The paths below /v1/human.
const (
	pathMessage = "message/receive"
	pathEnd     = "close"
)

// maxTime is the last millisecond of the year 9999; JSON has no later time.
const maxTime = 253_402_300_799_999

// maxID is the longest id, in bytes, that is kept as it is; a longer one is
// replaced by its hash.
const maxID = 72

// incoming is what the developer's server sends. Fields are raw so that a wrong
// type is reported with the field's name.
type incoming struct {
	ConversationID json.RawMessage `json:"conversation_id"`
	Timestamp      json.RawMessage `json:"timestamp"`
	Body           json.RawMessage `json:"body"`

	// Not in the contract, and optional.
	AgentName json.RawMessage `json:"agent_name"`
	MessageID json.RawMessage `json:"message_id"`
	Files     json.RawMessage `json:"files"`
}

// Receive reads what the developer's server tells. Its key was checked before.
// A signature is checked when there is one and a secret is configured.
func (d *webhookDesk) Receive(_ context.Context, r desk.Inbound) ([]handoff.DeskEvent, error) {
	if d.signer.enabled() && r.Header.Get(headerSignature) != "" {
		if err := d.signer.verify(r.Header, r.Body, r.ReceivedAt); err != nil {
			return nil, err
		}
	}
	var in incoming
	if err := json.Unmarshal(r.Body, &in); err != nil {
		return nil, fault.New(fault.InvalidInput, "the request must be a JSON object")
	}
	e, err := in.head()
	if err != nil {
		return nil, err
	}
	switch r.Path {
	case pathMessage:
		e.Kind = handoff.DeskMessage
		err = in.message(&e)
	case pathEnd:
		e.Kind = handoff.DeskEnded
	default:
		return nil, fault.Missing("endpoint")
	}
	if err != nil {
		return nil, err
	}
	if e.ID, err = in.id(&e, r); err != nil {
		return nil, err
	}
	return []handoff.DeskEvent{e}, nil
}

// head reads what both requests have.
func (in *incoming) head() (handoff.DeskEvent, error) {
	ref, err := text("conversation_id", in.ConversationID, true)
	if err != nil {
		return handoff.DeskEvent{}, err
	}
	at, err := timestamp(in.Timestamp)
	return handoff.DeskEvent{Ref: ref, At: at}, err
}

func (in *incoming) message(e *handoff.DeskEvent) error {
	var err error
	if e.Attachments, err = attachments(in.Files); err != nil {
		return err
	}
	if e.Text, err = text("body", in.Body, len(e.Attachments) == 0); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(e.Text); n > handoff.MaxTextRunes {
		return fault.Invalid("body", "has %d characters, at most %d are allowed", n, handoff.MaxTextRunes)
	}
	if e.OperatorName, err = text("agent_name", in.AgentName, false); err != nil {
		return err
	}
	e.OperatorName = strings.TrimSpace(e.OperatorName)
	if n := utf8.RuneCountInString(e.OperatorName); n > handoff.MaxIdentityRunes {
		return fault.Invalid("agent_name", "has %d characters, at most %d are allowed", n, handoff.MaxIdentityRunes)
	}
	if strings.ContainsFunc(e.OperatorName, unicode.IsControl) {
		return fault.Invalid("agent_name", "must be one line without control characters")
	}
	return nil
}

// text reads a string. NUL is refused because no database takes it.
func text(field string, raw json.RawMessage, required bool) (string, error) {
	if absent(raw) {
		if required {
			return "", fault.Invalid(field, "is required")
		}
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fault.Invalid(field, "must be a string")
	}
	if required && strings.TrimSpace(s) == "" {
		return "", fault.Invalid(field, "must not be empty")
	}
	if strings.ContainsRune(s, 0) {
		return "", fault.Invalid(field, "must not contain NUL")
	}
	return s, nil
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// timestamp reads Unix milliseconds, also in quotes.
func timestamp(raw json.RawMessage) (time.Time, error) {
	if absent(raw) {
		return time.Time{}, fault.Invalid("timestamp", "is required")
	}
	digits := string(raw)
	if digits[0] == '"' {
		digits = strings.Trim(digits, `"`)
	}
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || ms < 0 || ms > maxTime {
		return time.Time{}, fault.Invalid("timestamp", "must be Unix time in milliseconds, from 0 to %d", int64(maxTime))
	}
	return time.UnixMilli(ms).UTC(), nil
}

func attachments(raw json.RawMessage) ([]handoff.Attachment, error) {
	if absent(raw) {
		return nil, nil
	}
	var given files
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, fault.Invalid("files", "must be an array of objects with url and, optionally, content_type and name")
	}
	var list []handoff.Attachment
	for _, f := range given {
		list = append(list, handoff.Attachment{URL: f.URL, Name: f.Name, ContentType: f.ContentType})
	}
	return list, handoff.ValidAttachments("files", list)
}

// id is what a repeat of the request has in common with it: the delivery id of
// Standard Webhooks, else the id of the message, else all that it says. By the
// last, two messages are the same if they have the same text and files and come
// from the same millisecond.
func (in *incoming) id(e *handoff.DeskEvent, r desk.Inbound) (string, error) {
	if id := r.Header.Get(headerID); id != "" {
		return short("delivery:", id), nil
	}
	id, err := messageID(in.MessageID)
	if err != nil {
		return "", err
	}
	if id != "" {
		return short("message:", id), nil
	}
	// The lengths keep the parts apart: no two requests give the same bytes.
	hash := sha256.New()
	parts := []string{string(e.Kind), e.Ref, strconv.FormatInt(e.At.UnixMilli(), 10), e.Text}
	for _, a := range e.Attachments {
		parts = append(parts, a.URL)
	}
	for _, part := range parts {
		hash.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return "content:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// messageID reads a string or a number.
func messageID(raw json.RawMessage) (string, error) {
	if absent(raw) {
		return "", nil
	}
	if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		return string(raw), nil
	}
	return text("message_id", raw, false)
}

func short(prefix, id string) string {
	if len(id) <= maxID && utf8.ValidString(id) && !strings.ContainsFunc(id, unicode.IsControl) {
		return prefix + id
	}
	sum := sha256.Sum256([]byte(id))
	return prefix + "sha256:" + hex.EncodeToString(sum[:])
}
