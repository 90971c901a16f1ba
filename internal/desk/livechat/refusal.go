package livechat

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// The types of refusals that are acted on.
const (
	errAuthentication = "authentication"
	errAccess         = "missing_access"
	errChatInactive   = "chat_inactive"
	errAnonymized     = "chat_anonymized"
	errLimitReached   = "limit_reached"
	errValidation     = "validation"
	errTimeout        = "request_timeout"
	errMisdirected    = "misdirected_request"
)

// meaning is what a type of refusal is here, and what an administrator can do.
type meaning struct {
	kind    fault.Kind
	session fault.Kind // in an open session; "" = the same
	advice  string
}

// meanings are the documented types of LiveChat's refusals. The type decides, not
// the HTTP status, which is documented for two of them only.
var meanings = map[string]meaning{
	errAuthentication: {fault.DeskUnauthorized, "", "it does not accept the token"},
	"authorization":   {fault.DeskUnauthorized, "", "the token lacks a permission; see the set-up steps"},
	errAccess:         {fault.DeskUnauthorized, fault.DeskGone, "the token may not use this chat"},
	errChatInactive:   {fault.DeskRejected, fault.DeskGone, "the chat has ended"},
	errAnonymized:     {fault.DeskRejected, fault.DeskGone, "the chat was anonymized"},
	"chat_not_found":  {fault.DeskRejected, fault.DeskGone, "there is no such chat"},
	"not_found":       {fault.DeskRejected, fault.DeskGone, "there is no such chat"},
	"customer_banned": {fault.DeskRejected, fault.DeskGone, "the customer is banned"},

	"groups_offline":    {fault.DeskRejected, "", "nobody is there to take the chat"},
	"group_offline":     {fault.DeskRejected, "", "nobody is there to take the chat"},
	"group_unavailable": {fault.DeskRejected, "", "nobody is there to take the chat"},
	errLimitReached:     {fault.DeskRejected, "", "a limit of the LiveChat account is reached, so nobody can take the chat"},
	"group_not_found":   {fault.DeskRejected, "", "there is no group with the configured id; correct it in the connection"},
	"entity_too_large":  {fault.DeskRejected, "", "the file or message is too large"},
	errValidation:       {fault.DeskRejected, "", "it does not accept this request"},

	"license_expired":       {fault.DeskUnauthorized, "", "the LiveChat subscription has expired; renew it"},
	"license_not_found":     {fault.DeskUnauthorized, "", "there is no LiveChat account with this organization id; copy it from Settings → Account"},
	"wrong_product_version": {fault.DeskUnauthorized, "", "the LiveChat account has a product version that this interface does not serve"},
	"unsupported_version":   {fault.DeskRejected, "", "LiveChat no longer offers version " + apiVersion + " of its interface"},

	"too_many_requests":   {fault.DeskRateLimited, "", "it asks for patience"},
	errTimeout:            {fault.DeskUnavailable, "", "it did not finish in time"},
	"service_unavailable": {fault.DeskUnavailable, "", "it is not working at the moment"},
	"internal":            {fault.DeskUnavailable, "", "it is not working at the moment"},
	errMisdirected:        {fault.DeskUnavailable, "", "the account is in another region"},

	// Refusals of the accounts server, which gives the tokens of customers.
	"invalid_request":         {fault.DeskUnauthorized, "", "check the organization id, the client id and the redirect URI"},
	"unauthorized_client":     {fault.DeskUnauthorized, "", "check the client id, and that the app's redirect URI whitelist contains the redirect URI of the connection"},
	"invalid_client":          {fault.DeskUnauthorized, "", "check the client id"},
	"invalid_grant":           {fault.DeskUnauthorized, "", "check the organization id and the client id"},
	"access_denied":           {fault.DeskUnauthorized, "", "the app may not use this account; install it there under Private installation"},
	"client_id_not_found":     {fault.DeskUnauthorized, "", "there is no app with this client id; copy it from the block App Authorization"},
	"redirect_uri_not_set":    {fault.DeskUnauthorized, "", "the app has no redirect URI; add the one of the connection to the whitelist in the block App Authorization"},
	"invalid_redirect_uri":    {fault.DeskUnauthorized, "", "the redirect URI of the connection is not on the app's whitelist; add exactly it in the block App Authorization"},
	"server_error":            {fault.DeskUnavailable, "", "it is not working at the moment"},
	"temporarily_unavailable": {fault.DeskUnavailable, "", "it is not working at the moment"},
}

// problem is the cause of a refusal, as far as it can be shown and acted on. It
// repeats no text of LiveChat's, which may quote what a person wrote.
type problem struct {
	status   int
	kind     string // the type, or the accounts server's details; "" = none that is known
	region   string // where to go, with errMisdirected
	noAgents bool   // a transfer found nobody
}

func (p *problem) Error() string { return fmt.Sprintf("HTTP %d, type %q", p.status, p.kind) }

var regionPattern = regexp.MustCompile(`^[a-z0-9-]{2,16}$`)

// noAgentsMessage is how a transfer is refused that would reach nobody. Its type is
// that of any malformed request.
const noAgentsMessage = "Cannot assign any agent"

// problemOf reads the body of a refusal, which is not always JSON.
func problemOf(a *desk.Answer) *problem {
	p := &problem{status: a.Status}
	var b errorBody
	if json.Unmarshal(a.Body, &b) == nil {
		for _, kind := range []string{b.Error.Type, b.Details, b.OAuth} {
			if _, known := meanings[kind]; known {
				p.kind = kind
				break
			}
		}
	}
	if p.kind == "" && a.Status == http.StatusUnauthorized {
		p.kind = errAuthentication
	}
	if p.kind == errMisdirected && regionPattern.MatchString(b.Error.Data.Region) {
		p.region = b.Error.Data.Region
	}
	p.noAgents = p.kind == errValidation && strings.HasPrefix(b.Error.Message, noAgentsMessage)
	return p
}

// refusal classifies an answer that is no success. The cause is a [problem].
func refusal(a *desk.Answer, about desk.Subject, now time.Time) *fault.Fault {
	f := a.Refusal(about, now)
	p := problemOf(a)
	f.Cause = p
	m, known := meanings[p.kind]
	if !known {
		return f
	}
	f.Kind = m.kind
	if about == desk.AboutSession && m.session != "" {
		f.Kind = m.session
	}
	f.Public = fmt.Sprintf("LiveChat refuses (HTTP %d, %s): %s", a.Status, p.kind, m.advice)
	if p.noAgents {
		f.Public = "nobody of the group takes chats in LiveChat now"
	}
	f.Sent, f.After = fault.Sent, 0
	if p.kind == errTimeout {
		f.Sent = fault.MaybeSent
	}
	if f.Retryable() {
		f.After = desk.RetryAfter(a.Header, now)
	}
	return f
}

// refusedAs reports whether an error is a refusal of one of the types.
func refusedAs(err error, kinds ...string) bool {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		return false
	}
	for _, kind := range kinds {
		if p.kind == kind {
			return true
		}
	}
	return false
}
