package livechat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// Limits of the answers that are read. A thread comes with all its events.
const (
	maxAnswer = 1 << 20
	maxThread = 8 << 20
)

// client speaks HTTP with LiveChat, for both modes.
type client struct {
	accounts string // the address of the accounts server
	api      string // the address of the chat interfaces
	http     *http.Client
	now      func() time.Time

	// region is where LiveChat said that the account is; nil = it did not have to.
	region atomic.Pointer[string]
}

// request is one call.
type request struct {
	method, url   string
	authorization string // the header; "" = none
	cookie        string // the header; "" = none
	in            any    // JSON; nil = see body
	body          []byte
	contentType   string // of body
	about         desk.Subject
	limit         int64 // of the answer; 0 = maxAnswer
}

// call makes a request and reads a success into out, if that is not nil. A success
// that cannot be read may come from somebody in between, so whether it was done is
// unknown.
func (c *client) call(ctx context.Context, r request, out any) (http.Header, error) {
	answer, err := c.answer(ctx, &r)
	if p, ok := errors.AsType[*problem](err); ok && p.region != "" {
		// The account is in another region than the request went to.
		c.region.Store(&p.region)
		answer, err = c.answer(ctx, &r)
	}
	if err != nil {
		return nil, err
	}
	if out != nil && (answer.Truncated || json.Unmarshal(answer.Body, out) != nil) {
		return nil, unreadable()
	}
	return answer.Header, nil
}

func (c *client) answer(ctx context.Context, r *request) (*desk.Answer, error) {
	body, contentType := r.body, r.contentType
	if r.in != nil {
		var err error
		if body, err = encode(r.in); err != nil {
			return nil, fault.Wrap(fault.Internal, err, "internal error")
		}
		contentType = "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Internal, "the address of LiveChat cannot be used")
	}
	for name, value := range map[string]string{
		"Content-Type": contentType, "Authorization": r.authorization, "Cookie": r.cookie,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if region := c.region.Load(); region != nil {
		req.Header.Set("X-Region", *region)
	}
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	answer, err := desk.Do(c.http, req, limit)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, refusal(answer, r.about, c.now())
	}
	return answer, nil
}

func unreadable() error {
	return &fault.Fault{
		Kind: fault.DeskUnavailable, Sent: fault.MaybeSent,
		Public: "the desk answered HTTP 200 with something that is not LiveChat's answer",
	}
}

// gone is the fault of a session that does not exist any more.
func gone() error {
	return &fault.Fault{Kind: fault.DeskGone, Sent: fault.Sent, Public: "the desk no longer has this session"}
}

// unclear marks a failure behind something that did arrive.
func unclear(err error) error {
	f := *fault.As(err)
	f.Sent = fault.MaybeSent
	return &f
}
