package livechat

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// The cookies that stand for a customer.
const (
	cookieCustomer = "__lc_cid"
	cookieSecret   = "__lc_cst"
)

// Bounds of what the accounts server gives, so that a record fits into the memory.
const (
	maxTokenBytes  = 4_096
	maxCookieBytes = 1_024
	maxTokenLife   = 30 * 24 * time.Hour
)

// printable is the form of tokens and cookies: what may stand in a header.
var printable = regexp.MustCompile(`^[!#-+\--:<-\[\]-~]+$`)

// customerID is the form of a customer's id, a UUID. Bots have 32 hexadecimal digits.
var customerID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// grant asks for a token of the customer, or of a new one if the identity has no
// cookies, and writes it into the identity. A customer whose cookies do not count
// any more becomes a new one, without a chat.
func (d *externalDesk) grant(ctx context.Context, i *identity) error {
	r := request{
		method: http.MethodPost, url: d.accounts + "/v2/customer/token", about: desk.AboutDesk,
		in: object{
			"grant_type": "cookie", "client_id": d.clientID, "organization_id": d.organizationID,
			"response_type": "token", "redirect_uri": d.redirectURI,
		},
	}
	if i.CustomerC != "" {
		r.cookie = cookieCustomer + "=" + i.CustomerC + "; " + cookieSecret + "=" + i.SecretC
	}
	var g granted
	header, err := d.call(ctx, r, &g)
	if err != nil {
		return err
	}
	life := time.Duration(g.ExpiresIn) * time.Second
	// The colon behind the name of the data centre may come encoded.
	token := strings.ReplaceAll(strings.ReplaceAll(g.AccessToken, "%3A", ":"), "%3a", ":")
	if len(token) > maxTokenBytes || !printable.MatchString(token) || !customerID.MatchString(g.EntityID) ||
		life <= 0 || life > maxTokenLife {
		return unreadable()
	}
	if g.EntityID != i.EntityID {
		*i = identity{EntityID: g.EntityID, Holder: i.Holder, ClaimedAt: i.ClaimedAt, Once: i.Once}
	}
	i.Token = token
	i.RefreshAt = d.now().Add(life / 10 * 9)
	for _, c := range (&http.Response{Header: header}).Cookies() {
		if len(c.Value) > maxCookieBytes || !printable.MatchString(c.Value) {
			continue
		}
		switch c.Name {
		case cookieCustomer:
			i.CustomerC = c.Value
		case cookieSecret:
			i.SecretC = c.Value
		}
	}
	if i.CustomerC == "" || i.SecretC == "" {
		return unreadable() // such a customer could not be met again
	}
	return nil
}

// Renewing.
const (
	renewTime = 30 * time.Second       // how long one may take; it is longer than a call
	renewWait = 100 * time.Millisecond // between two looks whether another has finished
)

// renew gets a new token for the customer of a record and keeps it. Only one request
// at a time does so, in all replicas: should LiveChat take back the cookies that it
// replaces, the slower of two would become another customer and lose the chat.
func (d *externalDesk) renew(ctx context.Context, r *record) error {
	old := r.Token
	for {
		mine, err := d.change(ctx, r, func(i *identity) bool {
			if i.Token != old || d.now().Before(i.RenewingUntil) {
				return false
			}
			i.RenewingUntil = d.now().Add(renewTime)
			return true
		})
		switch {
		case err != nil:
			return err
		case mine:
			return d.renewAlone(ctx, r)
		case r.Token != old:
			return nil // somebody else has done it
		}
		select {
		case <-time.After(renewWait):
		case <-ctx.Done():
			f := &fault.Fault{Kind: fault.DeskUnavailable, Sent: fault.NotSent, Public: "another request is still asking LiveChat for a token"}
			if errors.Is(ctx.Err(), context.Canceled) {
				f.Kind = fault.Canceled
			}
			return f
		}
		newest, err := d.load(ctx, r.key)
		if err != nil {
			return err
		}
		*r = *newest
	}
}

func (d *externalDesk) renewAlone(ctx context.Context, r *record) error {
	fresh := r.identity
	failed := d.grant(ctx, &fresh)
	// Whoever wrote meanwhile has not touched what belongs to the token.
	_, err := d.change(context.WithoutCancel(ctx), r, func(i *identity) bool {
		i.RenewingUntil = time.Time{}
		if failed != nil {
			return true
		}
		if i.EntityID != fresh.EntityID {
			i.Chat, i.Thread = "", ""
		}
		i.EntityID, i.CustomerC, i.SecretC, i.Token, i.RefreshAt = fresh.EntityID, fresh.CustomerC, fresh.SecretC, fresh.Token, fresh.RefreshAt
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// as makes a call of the customer's interface. It gets a token first when there is
// none or nine tenths of its life are over, and once more when it is not accepted.
func (d *externalDesk) as(ctx context.Context, r *record, action string, c request, out any) error {
	renewed := false
	if r.Token == "" || !d.now().Before(r.RefreshAt) {
		if err := d.renewFor(ctx, r, c.about); err != nil {
			return err
		}
		renewed = true
	}
	err := d.act(ctx, r.Token, action, c, out)
	if refusedAs(err, errAuthentication) && !renewed {
		if err := d.renewFor(ctx, r, c.about); err != nil {
			return err
		}
		err = d.act(ctx, r.Token, action, c, out)
	}
	return err
}

// renewFor renews, and ends a session whose customer was lost by that.
func (d *externalDesk) renewFor(ctx context.Context, r *record, about desk.Subject) error {
	before := r.EntityID
	if err := d.renew(ctx, r); err != nil {
		return err
	}
	if about == desk.AboutSession && r.EntityID != before {
		return gone()
	}
	return nil
}

// act makes a call of the customer's interface with a token.
func (d *externalDesk) act(ctx context.Context, token, action string, c request, out any) error {
	c.method = http.MethodPost
	c.url = d.api + "/v" + apiVersion + "/customer/action/" + action + "?organization_id=" + d.organizationID
	c.authorization = "Bearer " + token
	if c.in == nil && c.body == nil {
		c.in = struct{}{}
	}
	_, err := d.call(ctx, c, out)
	return err
}
