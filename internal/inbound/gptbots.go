package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"handoff/internal/auth"
	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// The addresses of GPTBots' API (docs/api-reference/conversation-api/human-handoff-service).
const (
	ReceivePath = "/v1/human/message/receive"
	ClosePath   = "/v1/human/close"

	// receivePrefix is what both share; the rest tells the desk which one it is.
	receivePrefix = "/v1/human/"
)

// The JSON codes of GPTBots' API that fit these addresses. GPTBots documents the
// codes, not which status comes with them: the statuses are ours.
const (
	codeOK              = 0
	codeBadParameter    = 40000
	codeRateLimited     = 40001
	codeUnauthenticated = 40127
	codeNoConversation  = 40356
	codeNotYours        = 40358
	codeInternal        = 50000
)

// gptbots serves the two addresses. The Agent key in the Authorization header
// tells the Agent; the conversation_id must be one of its sessions.
type gptbots struct {
	Options
	connections *connectionCache
}

type answer struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

func (g *gptbots) receive(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	caller, err := g.Auth.Authenticate(ctx, r.Header.Get("Authorization"))
	if err == nil && caller.Role != auth.AgentKey {
		err = fault.New(fault.Unauthenticated, "an agent key is needed")
	}
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	body, err := read(w, r, g.BodyLimit)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	if err := g.deliver(ctx, caller.AgentID, r, body); err != nil {
		g.refuse(w, r, err)
		return
	}
	writeAnswer(w, http.StatusOK, answer{Code: codeOK, Message: "success"})
}

// deliver offers the request to each of the Agent's connections that declares the
// address: the one that knows the session takes it.
func (g *gptbots) deliver(ctx context.Context, agentID string, r *http.Request, body []byte) error {
	ref, err := conversationID(body)
	if err != nil {
		return err
	}
	connections, err := g.connections.of(agentID, func() ([]handoff.Connection, error) {
		all, err := g.Business.Connections(ctx, agentID)
		return slices.DeleteFunc(all, func(c handoff.Connection) bool { return !g.declares(c.Kind, r.URL.Path) }), err
	})
	if err != nil {
		return err
	}
	var (
		unsigned error
		believed bool
	)
	for _, connection := range connections {
		d, err := g.Desks.For(ctx, connection)
		if err != nil {
			return err
		}
		events, err := d.Receive(ctx, desk.Inbound{
			Path: strings.TrimPrefix(r.URL.Path, receivePrefix), Header: r.Header, Body: body, ReceivedAt: g.Now(),
		})
		if fault.Is(err, fault.Unauthenticated) {
			unsigned = err // another connection may have signed it
			continue
		}
		if err != nil {
			return err
		}
		believed = true
		err = g.Business.FromDesk(ctx, connection, events)
		if !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	if unsigned != nil && !believed {
		return unsigned
	}
	elsewhere, err := g.Business.KnownElsewhere(ctx, ref)
	if err != nil {
		return err
	}
	if elsewhere {
		return errNotYours
	}
	return fault.Missing("conversation_id")
}

// conversationID reads the one thing of a body that this package needs itself: whose
// session it is must be told also to an Agent that has no connection to read the rest.
func conversationID(body []byte) (string, error) {
	var in struct {
		ID json.RawMessage `json:"conversation_id"`
	}
	if json.Unmarshal(body, &in) != nil {
		return "", fault.New(fault.InvalidInput, "the request must be a JSON object")
	}
	var id *string
	if len(in.ID) > 0 && json.Unmarshal(in.ID, &id) != nil {
		return "", fault.Invalid("conversation_id", "must be a string")
	}
	switch {
	case id == nil:
		return "", fault.Invalid("conversation_id", "is required")
	case strings.TrimSpace(*id) == "":
		return "", fault.Invalid("conversation_id", "must not be empty")
	case strings.ContainsRune(*id, 0):
		return "", fault.Invalid("conversation_id", "must not contain NUL")
	}
	return *id, nil
}

var errNotYours = errors.New("the conversation belongs to another agent")

func (g *gptbots) declares(kind, path string) bool {
	d, ok := g.Desks.Describe(kind)
	return ok && slices.ContainsFunc(d.Receive, func(a handoff.ReceiveAddress) bool { return a.Path == path })
}

func (g *gptbots) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, a := g.answerTo(err)
	f := fault.As(err)
	if !errors.Is(err, errNotYours) && !errors.Is(err, errTooLarge) {
		g.Log.Log(r.Context(), f.Kind.LogLevel(), "request of a webhook desk refused", "error_kind", f.Kind, "error", f.Error(), "cause", f.Cause)
	}
	writeAnswer(w, status, a)
}

func (g *gptbots) answerTo(err error) (int, answer) {
	switch {
	case errors.Is(err, errNotYours):
		return http.StatusForbidden, answer{Code: codeNotYours, Message: "conversation_id does not belong to the agent of this key"}
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge, answer{Code: codeBadParameter, Message: "the request body is too large"}
	}
	f := fault.As(err)
	status := f.Kind.HTTPStatus()
	switch f.Kind {
	case fault.Unauthenticated:
		return status, answer{Code: codeUnauthenticated, Message: "developer authentication failed"}
	case fault.InvalidInput:
		return status, answer{Code: codeBadParameter, Message: strings.TrimPrefix(f.Field+": "+f.Public, ": ")}
	case fault.NotFound:
		return status, answer{Code: codeNoConversation, Message: "conversation does not exist"}
	case fault.NotAllowedInState:
		return status, answer{Code: codeNoConversation, Message: "the human service of this conversation has ended"}
	case fault.RateLimited:
		return status, answer{Code: codeRateLimited, Message: f.Public}
	default:
		return status, answer{Code: codeInternal, Message: "internal error"}
	}
}

func writeAnswer(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // a caller that went away cannot be told
}

// connectionCache remembers an Agent's connections for a moment: every message of
// every Operator asks for them.
type connectionCache struct {
	now   func() time.Time
	mu    sync.Mutex
	items map[string]cachedConnections
}

type cachedConnections struct {
	list  []handoff.Connection
	until time.Time
}

// A changed connection is used by the next request after connectionTTL at the latest.
const (
	connectionTTL       = 2 * time.Second
	connectionCacheSize = 10_000
)

func newConnectionCache(now func() time.Time) *connectionCache {
	return &connectionCache{now: now, items: map[string]cachedConnections{}}
}

func (c *connectionCache) of(agentID string, load func() ([]handoff.Connection, error)) ([]handoff.Connection, error) {
	now := c.now()
	c.mu.Lock()
	hit, ok := c.items[agentID]
	c.mu.Unlock()
	// "None" is not remembered: right after connecting, the desk may already call.
	if ok && now.Before(hit.until) && len(hit.list) > 0 {
		return hit.list, nil
	}
	list, err := load()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.items) >= connectionCacheSize {
		clear(c.items)
	}
	c.items[agentID] = cachedConnections{list: list, until: now.Add(connectionTTL)}
	return list, nil
}
