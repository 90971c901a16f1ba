package intercom

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// apiVersion is the version of the REST API that every call asks for. It does not
// govern webhooks: those have the version that is chosen for the app.
const apiVersion = "2.15"

// Limits of the bodies that are read. A conversation has up to 500 parts.
const (
	maxAnswer       = 1 << 20
	maxConversation = 8 << 20
)

// The longest and shortest wait that the end of a rate limit window means.
const (
	minWindow = time.Second
	maxWindow = time.Minute
)

// request is one call of the API.
type request struct {
	base, method, path string
	in                 any // nil = no body
	about              desk.Subject
	limit              int64 // of the answer; 0 = maxAnswer
}

// call makes a request and reads a success into out. A success that cannot be read
// may come from somebody in between, so whether it was done is unknown.
func (d *intercomDesk) call(ctx context.Context, r request, out any) error {
	var body []byte
	if r.in != nil {
		var err error
		if body, err = encode(r.in); err != nil {
			return fault.Wrap(fault.Internal, err, "internal error")
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.base+r.path, bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Internal, "the address of Intercom cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Intercom-Version", apiVersion)
	req.Header.Set("Accept", "application/json")
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	answer, err := desk.Do(d.http, req, limit)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return refusal(answer, r.about, d.now())
	}
	if answer.Truncated || json.Unmarshal(answer.Body, out) != nil {
		return unreadable()
	}
	return nil
}

func unreadable() error {
	return &fault.Fault{
		Kind: fault.DeskUnavailable, Sent: fault.MaybeSent,
		Public: "the desk answered HTTP 200 with something that is not Intercom's answer",
	}
}

// problem is the cause of a refusal, as far as it can be shown and acted on. It
// repeats no text of Intercom's, which may quote what a person wrote.
type problem struct {
	status    int
	code      string // "" = none, or none that can be shown
	requestID string // for Intercom's support
	contactID string // of the contact that is in the way
	archived  bool   // that contact is archived
}

func (p *problem) Error() string {
	return fmt.Sprintf("HTTP %d, code %q, request %q", p.status, p.code, p.requestID)
}

var (
	codePattern    = regexp.MustCompile(`^[a-z_]{1,64}$`)
	requestPattern = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
	contactPattern = regexp.MustCompile(`id=([0-9a-f]{24})\b`)
)

// problemOf reads the body of a refusal, which is not always JSON.
func problemOf(a *desk.Answer) *problem {
	p := &problem{status: a.Status}
	var list errorList
	if json.Unmarshal(a.Body, &list) != nil {
		return p
	}
	if requestPattern.MatchString(list.RequestID) {
		p.requestID = list.RequestID
	}
	if len(list.Errors) == 0 {
		return p
	}
	first := &list.Errors[0]
	if first.Code == "" {
		first.Code = first.Type
	}
	if codePattern.MatchString(first.Code) {
		p.code = first.Code
	}
	if a.Status == http.StatusConflict {
		if found := contactPattern.FindStringSubmatch(first.Message); found != nil {
			p.contactID = found[1]
		}
		p.archived = strings.HasPrefix(first.Message, "An archived contact")
	}
	return p
}

// advice says what an administrator can do about a code.
var advice = map[string]string{
	"unauthorized":             "copy the access token from the Developer Hub again",
	"token_unauthorized":       "the access token lacks a permission; see the set-up steps",
	"token_not_found":          "the access token does not exist; copy it from the Developer Hub again",
	"token_revoked":            "the access token was revoked; copy the new one from the Developer Hub",
	"token_suspended":          "the access token is suspended; look at the app in the Developer Hub",
	"api_plan_restricted":      "the workspace has no active subscription",
	"forbidden":                "the app lacks a permission; see the set-up steps",
	"admin_not_found":          "the workspace has no teammate with the configured admin id",
	"intercom_version_invalid": "Intercom no longer offers version " + apiVersion + " of its API",
}

// refusal classifies an answer that is no success. The cause is a [problem].
func refusal(a *desk.Answer, about desk.Subject, now time.Time) *fault.Fault {
	p := problemOf(a)
	if p.code == "admin_not_found" {
		about = desk.AboutDesk // the session is still there
	}
	f := a.Refusal(about, now)
	f.Cause = p
	if text, ok := advice[p.code]; ok {
		f.Public += ": " + text
	}
	if f.Kind == fault.DeskRateLimited && f.After == 0 {
		f.After = windowEnd(a.Header, now)
	}
	return f
}

// windowEnd is the wait until the rate limit allows calls again; 0 = not told.
func windowEnd(h http.Header, now time.Time) time.Duration {
	seconds, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64)
	if err != nil {
		return 0
	}
	if seconds > now.Add(maxWindow).Unix() {
		return maxWindow
	}
	return max(time.Unix(max(seconds, 0), 0).Sub(now), minWindow)
}
