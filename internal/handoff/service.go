package handoff

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"handoff/internal/fault"
)

// Service offers the use cases. It authorises nobody: callers (package graph,
// package inbound) check who asks before they call.
type Service struct {
	store    Store
	desks    Desks
	feed     Feed
	alarm    Alarm
	sealer   Sealer
	counters Counters
	log      *slog.Logger
	now      func() time.Time

	defaultTimeZone string
	agents          agentCache
	owners          ownerCache
	sessions        sessionCache
	reports         reportMemory
}

// Dependencies are what a Service is built from. All are required.
type Dependencies struct {
	Store           Store
	Desks           Desks
	Feed            Feed
	Alarm           Alarm
	Sealer          Sealer
	Counters        Counters
	Log             *slog.Logger
	Now             func() time.Time
	DefaultTimeZone string // IANA name for new Agents
}

// New builds the Service.
func New(d Dependencies) *Service {
	return &Service{
		store: d.Store, desks: d.Desks, feed: d.Feed, alarm: d.Alarm, sealer: d.Sealer,
		counters: d.Counters, log: d.Log, now: d.Now, defaultTimeZone: d.DefaultTimeZone,
		agents:   agentCache{items: map[string]cachedAgent{}},
		owners:   ownerCache{items: map[string]string{}},
		sessions: sessionCache{items: map[string]session{}},
		reports:  reportMemory{items: map[string]report{}},
	}
}

// change runs one decision on a Conversation and, after the commit, tells
// subscribers and workers. See the package comment.
func (s *Service) change(ctx context.Context, conversationID, key string, decide func(*turn) error) (Committed, error) {
	agentID, err := s.AgentOf(ctx, conversationID)
	if err != nil {
		return Committed{}, err
	}
	agent, err := s.agent(ctx, agentID)
	if err != nil {
		return Committed{}, err
	}
	return s.changeWith(ctx, conversationID, key, &agent.Settings, decide)
}

// AgentOf tells whose Conversation it is. A Conversation never changes its Agent,
// so the answer is kept in memory: authorising a message costs no query.
func (s *Service) AgentOf(ctx context.Context, conversationID string) (string, error) {
	s.owners.mu.Lock()
	agentID, ok := s.owners.items[conversationID]
	s.owners.mu.Unlock()
	if ok {
		return agentID, nil
	}
	c, err := s.store.Conversation(ctx, conversationID)
	if err != nil {
		return "", err
	}
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	if len(s.owners.items) >= ownerCacheSize {
		clear(s.owners.items)
	}
	s.owners.items[conversationID] = c.AgentID
	return c.AgentID, nil
}

// changeWith is change for callers that already have the settings.
func (s *Service) changeWith(ctx context.Context, conversationID, key string, settings *Settings, decide func(*turn) error) (Committed, error) {
	now := s.now()
	var (
		before Snapshot
		worker reservation
	)
	defer worker.dismiss(s.alarm) // after a panic
	done, err := s.store.Change(ctx, conversationID, key, func(snap Snapshot) (*Change, error) {
		before = snap
		t := newTurn(now, settings, snap)
		if err := decide(t); err != nil {
			return nil, err
		}
		change := t.result()
		if change != nil && len(change.Deliveries) > 0 && change.Finish == nil && change.Drop == nil {
			change.Lease = worker.from(s.alarm)
		}
		return change, nil
	})
	worker.begin(s.alarm, done.Leased)
	if err != nil {
		return Committed{}, err
	}
	if done.Changed {
		s.announce(ctx, before, done)
	}
	return done, nil
}

// reservation is the worker who delivers what one change queues. Without him the
// delivery would wait for a claim, one more commit.
type reservation struct {
	lease Lease
	held  bool
}

func (r *reservation) from(a Alarm) *Lease {
	if !r.held {
		r.lease, r.held = a.Reserve()
	}
	if !r.held {
		return nil
	}
	lease := r.lease
	return &lease
}

// begin sends the worker off, or home when he has not got the lane.
func (r *reservation) begin(a Alarm, head *Delivery) {
	if !r.held || head == nil {
		r.dismiss(a)
		return
	}
	r.held = false
	r.lease.Lane = head.Lane
	a.Start(r.lease, *head)
}

func (r *reservation) dismiss(a Alarm) {
	if r.held {
		r.held = false
		a.Dismiss()
	}
}

// announce tells everybody what was committed: hints only, in no transaction.
func (s *Service) announce(ctx context.Context, before Snapshot, done Committed) {
	if len(done.Events) > 0 {
		s.feed.Committed(done.Conversation.AgentID, done.Conversation.ID, done.Events)
	}
	if len(done.Lanes) > 0 && done.Leased == nil {
		s.alarm.Deliver(done.Lanes...)
	}
	if done.Conversation.AwaitsAgent() && asksAgent(done.Events) {
		s.feed.ConversationAwaits(done.Conversation)
	}
	h := done.Handoff
	if h == nil {
		return
	}
	if !h.DeadlineAt.IsZero() {
		s.alarm.DeadlineAt(h.DeadlineAt)
	}
	entered := false
	for i := range done.Events {
		e := &done.Events[i]
		if e.Kind != EventHandoffChanged || e.HandoffID != h.ID {
			continue
		}
		entered = true
		s.log.InfoContext(ctx, "handoff changed state", "handoff_id", h.ID, "conversation_id", h.ConversationID,
			"agent_id", h.AgentID, "desk", h.DeskKind, "state", e.State, "reason", e.Reason)
		if e.State == StateClosed {
			s.counters.HandoffClosed(h.DeskKind, e.Reason)
		}
	}
	b := before.Handoff
	if entered || (b != nil && b.ID == h.ID && (b.ClaimedBy != h.ClaimedBy || b.Operator != h.Operator)) {
		s.feed.HandoffChanged(*h)
	}
}

// asksAgent reports whether the events turn to the Agent: the User wrote, or
// control changed.
func asksAgent(events []Event) bool {
	return slices.ContainsFunc(events, func(e Event) bool {
		return e.Kind == EventControlChanged || e.Kind == EventMessage && e.Author == AuthorUser
	})
}

// agentCacheTTL bounds how long a replica speaks with settings that another
// replica has changed.
const (
	agentCacheTTL  = 2 * time.Second
	agentCacheSize = 10_000
)

// ownerCacheSize bounds the memory of which Agent a Conversation belongs to; about 10 MB.
const ownerCacheSize = 100_000

type ownerCache struct {
	mu    sync.Mutex
	items map[string]string
}

type cachedAgent struct {
	agent Agent
	until time.Time
}

type agentCache struct {
	mu    sync.Mutex
	items map[string]cachedAgent
}

// agent reads an Agent, from memory where it is fresh: the relay asks for it with
// every message, only to know the texts.
func (s *Service) agent(ctx context.Context, id string) (Agent, error) {
	now := s.now()
	s.agents.mu.Lock()
	hit, ok := s.agents.items[id]
	s.agents.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.agent, nil
	}
	agent, err := s.store.Agent(ctx, id)
	if err != nil {
		return Agent{}, err
	}
	s.remember(agent)
	return agent, nil
}

func (s *Service) remember(agent Agent) {
	s.agents.mu.Lock()
	defer s.agents.mu.Unlock()
	if len(s.agents.items) >= agentCacheSize {
		clear(s.agents.items)
	}
	s.agents.items[agent.ID] = cachedAgent{agent: agent, until: s.now().Add(agentCacheTTL)}
}

func (s *Service) forgetAgent(id string) {
	s.agents.mu.Lock()
	defer s.agents.mu.Unlock()
	delete(s.agents.items, id)
}

// once runs create unless the key was used before in the scope; then it returns
// the id that was made then.
func (s *Service) once(ctx context.Context, scope, key string) (*OnceKey, string, error) {
	if key == "" {
		return nil, "", nil
	}
	if err := validKey(key); err != nil {
		return nil, "", err
	}
	made, err := s.store.Once(ctx, scope, key)
	if err != nil {
		return nil, "", err
	}
	return &OnceKey{Scope: scope, Key: key, At: s.now()}, made, nil
}

// closedFault is what a caller gets who needs an open Handoff where none is.
func closedFault() error {
	return &fault.Fault{Kind: fault.NotAllowedInState, State: string(StateClosed), Public: "no handoff is open"}
}
