package webhook

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Kind is the stable key of this desk.
const Kind = "webhook"

// The fields of a connection.
const (
	fieldURL           = "url"
	fieldUsername      = "username"
	fieldPassword      = "password"
	fieldDefaultEmail  = "default_email"
	fieldExtended      = "extended"
	fieldSigningSecret = "signing_secret"
)

// The paths below the base URL.
const (
	pathEstablish = "/conversation/establish"
	pathChat      = "/chat"
	pathClose     = "/conversation/close"
)

// Driver is the webhook desk.
type Driver struct{}

var _ desk.Driver = Driver{}

// Describe declares what the webhook contract can do.
func (Driver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind:  Kind,
		Title: "Webhook",
		Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Fields: []handoff.CredentialField{
			{
				Name: fieldURL, Label: "Base URL", Required: true, Pattern: `^https?://`,
				Hint: "The address of your server, such as https://desk.example.com/human/service. /conversation/establish, /chat and /conversation/close are added to it.",
			},
			{Name: fieldUsername, Label: "User name", Hint: "For HTTP Basic authentication, if your server wants it."},
			{Name: fieldPassword, Label: "Password", Secret: true, Hint: "For HTTP Basic authentication, if your server wants it."},
			{
				Name: fieldDefaultEmail, Label: "Default e-mail", Default: "support@gptbots.ai", MaxRunes: handoff.MaxEmailLength,
				Hint: "Stands in the field email when the user's address is unknown. GPTBots sends support@gptbots.ai.",
			},
			{
				Name: fieldExtended, Label: "Extended fields", Default: "off", Options: []string{"off", "on"},
				Hint: "Also send the channel, files, the note and summary for the operator, language, custom fields and the handoff's id, which the GPTBots contract does not have.",
			},
			{
				Name: fieldSigningSecret, Label: "Signing secret", Secret: true,
				Hint: "whsec_ followed by 24 to 64 random bytes as base64. Every request is then signed by Standard Webhooks and carries a delivery id. Two secrets separated by a space while you change over.",
			},
		},
		Steps: []string{
			"Build the three endpoints below your base URL, or start with the example in examples/webhook-desk.",
			"Create an Agent key for your server.",
			"Let your server send the operator's messages and the end of a session to the message receiving addresses, with the Agent key as Bearer token.",
		},
		Receive: []handoff.ReceiveAddress{
			{Label: "Operator's message", Path: "/v1/human/message/receive"},
			{Label: "Operator ends the session", Path: "/v1/human/close"},
		},
		Attachments: handoff.AttachmentSupport{ToDesk: false, FromDesk: true},
		History:     true,
		// The contract has no field for them; extended mode sends them all the same.
		Notes:      false,
		EndsByDesk: true,
		Unknown:    handoff.OutcomeRepeatMarked,
		Retry: map[handoff.DeliveryKind]handoff.RetryPolicy{
			// A second session would ring twice, and the User waits for the answer.
			handoff.DeliverOpen: {Attempts: 2, Base: time.Second, Max: time.Second, OnlyUnsent: true},
			// GPTBots' behaviour is unknown; three tries within 4 s is the usual advice
			// for it, and loses messages whenever a developer restarts a server. Eight
			// last a minute and a half.
			handoff.DeliverMessage: {Attempts: 8, Base: time.Second, Max: 30 * time.Second},
			handoff.DeliverClose:   {Attempts: 8, Base: time.Second, Max: 30 * time.Second},
		},
	}
}

// Connect makes the desk of one connection. Its faults name the field.
func (Driver) Connect(s desk.Settings) (desk.Desk, error) {
	base, err := parseBase(s.Fields[fieldURL])
	if err != nil {
		return nil, err
	}
	if strings.Contains(s.Fields[fieldUsername], ":") {
		return nil, fault.Invalid("fields."+fieldUsername, "must not contain a colon, which ends the user name in HTTP Basic authentication")
	}
	email, err := handoff.ParseEmail("fields."+fieldDefaultEmail, s.Fields[fieldDefaultEmail])
	if err != nil {
		return nil, err
	}
	signs, err := newSigner("fields."+fieldSigningSecret, s.Fields[fieldSigningSecret])
	if err != nil {
		return nil, err
	}
	return &webhookDesk{
		base:     base,
		username: s.Fields[fieldUsername],
		password: s.Fields[fieldPassword],
		email:    email,
		extended: s.Fields[fieldExtended] == "on",
		signer:   signs,
		http:     s.HTTP,
		now:      s.Now,
	}, nil
}

// parseBase checks the base URL and takes one slash off its end.
func parseBase(text string) (string, error) {
	const at = "fields." + fieldURL
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return "", fault.Invalid(at, "is not a URL such as https://desk.example.com/human/service")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fault.Invalid(at, "must begin with https:// or http://")
	case u.Hostname() == "":
		return "", fault.Invalid(at, "has no host name")
	case !validPort(u.Port()):
		return "", fault.Invalid(at, "has a port outside 1 to 65535")
	case u.User != nil:
		return "", fault.Invalid(at, "must not contain a user name or password; there are fields for them")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return "", fault.Invalid(at, "must not have a query or a fragment, since paths are added to its end")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65_535
}

type webhookDesk struct {
	base               string
	username, password string
	email              string // what the wire carries when no address is known
	extended           bool
	signer             signer
	http               *http.Client
	now                func() time.Time
}

// Verify asks for the base URL itself. Any answer below 500 shows that a server
// is there: the contract puts nothing at that address, so "not found" is as good
// as any. 401 and 403 mean that it does not take the credentials, or wants some.
func (d *webhookDesk) Verify(ctx context.Context) error {
	answer, err := d.look(ctx, http.MethodHead)
	if err == nil && (answer.Status == http.StatusMethodNotAllowed || answer.Status == http.StatusNotImplemented) {
		answer, err = d.look(ctx, http.MethodGet)
	}
	if err != nil {
		return err
	}
	if answer.Status >= 500 || answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden {
		return answer.Refusal(desk.AboutDesk, d.now())
	}
	return nil
}

func (d *webhookDesk) look(ctx context.Context, method string) (*desk.Answer, error) {
	// A delivery id of its own each time, so that a receiver which drops repeats answers.
	return d.do(ctx, method, "", "verify_"+strconv.FormatInt(d.now().UnixNano(), 10), nil)
}

// Open requests a session under the proposed id.
func (d *webhookDesk) Open(ctx context.Context, r desk.OpenRequest) (desk.Opened, error) {
	err := d.post(ctx, pathEstablish, r.Attempt, newEstablish(&r, d.email, d.extended), desk.AboutDesk)
	if err != nil {
		return desk.Opened{}, err
	}
	return desk.Opened{Ref: r.ProposedRef}, nil
}

// Send brings a message. Files are sent as their addresses below the text.
func (d *webhookDesk) Send(ctx context.Context, r desk.SendRequest) (desk.Sent, error) {
	out := chat{ConversationID: r.Ref, Timestamp: r.At.UnixMilli(), Body: r.Text.Plain()}
	if d.extended {
		out.Files = filesOf(r.Text.Attachments)
	}
	return desk.Sent{}, d.post(ctx, pathChat, r.Attempt, out, desk.AboutSession)
}

// Close tells the server that the session ended on our side. That the server no
// longer has it is what we wanted.
func (d *webhookDesk) Close(ctx context.Context, r desk.CloseRequest) error {
	out := closing{ConversationID: r.Ref, Timestamp: r.At.UnixMilli(), Type: closeType(r.Reason)}
	err := d.post(ctx, pathClose, r.Attempt, out, desk.AboutSession)
	if fault.Is(err, fault.DeskGone) {
		return nil
	}
	return err
}

// closeType picks one of the two types that the contract has. A transfer that
// failed without an answer is a timeout; everything that somebody on our side
// decided is a close by the user.
func closeType(reason handoff.CloseReason) string {
	switch reason {
	case handoff.ReasonSessionTimeout, handoff.ReasonWaitTimeout, handoff.ReasonTransferFailed:
		return timedOut
	default:
		return userClosed
	}
}

func (d *webhookDesk) post(ctx context.Context, path string, a desk.Attempt, payload any, about desk.Subject) error {
	body, err := encode(payload)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "internal error")
	}
	answer, err := d.do(ctx, http.MethodPost, path, a.DeliveryID, body)
	if err != nil {
		return err
	}
	if f := refusal(answer, about, d.now()); f != nil {
		return f
	}
	return nil
}

func (d *webhookDesk) do(ctx context.Context, method, path, id string, body []byte) (*desk.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, bytes.NewReader(body))
	if err != nil {
		// The error would repeat the whole address.
		return nil, fault.New(fault.Internal, "the address of the desk cannot be used")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if d.username != "" || d.password != "" {
		req.SetBasicAuth(d.username, d.password)
	}
	d.signer.sign(req.Header, id, d.now(), body)
	return desk.Do(d.http, req, desk.MaxAnswerBytes)
}

// refusal judges an answer by the rule of the package comment; nil = success.
func refusal(a *desk.Answer, about desk.Subject, now time.Time) *fault.Fault {
	if a.Status != http.StatusOK {
		return a.Refusal(about, now)
	}
	code, found := codeOf(a.Body)
	if !found || code == 0 || code == http.StatusOK {
		return nil
	}
	f := (&desk.Answer{Status: statusOf(code), Header: a.Header}).Refusal(about, now)
	f.Public = fmt.Sprintf("the desk answered HTTP 200 with code %d in its body", code)
	return f
}

// statusOf finds the HTTP status that a refusing code stands for: many servers
// always answer 200 and put the status, or one of GPTBots' codes, into the body.
func statusOf(code int64) int {
	switch code {
	case 40127: // developer authentication failed
		return http.StatusUnauthorized
	case 40356, 40358: // no such conversation, or not this one's
		return http.StatusNotFound
	case 40001: // rate limited
		return http.StatusTooManyRequests
	case 50000: // internal error
		return http.StatusInternalServerError
	}
	if code >= 400 && code < 600 {
		return int(code)
	}
	return http.StatusBadRequest
}
