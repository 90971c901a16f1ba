package handoff_test

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Log(args ...any)
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
}

// fakeStore is a [handoff.Store] in memory. It decides like the real stores: on a
// snapshot, committing only when the Conversation still has the version of the
// snapshot. It also keeps the rules that their schema keeps, and fails the test
// when a change breaks one.
//
// Every decision is rehearsed before it counts, on the snapshot before the newest
// one: a store may decide out of a memory that somebody has overtaken, even before
// it looks a key up. Whatever the rehearsal leaves behind shows up in what follows.
type fakeStore struct {
	handoff.Store // methods that only the relay uses are not here; calling one panics

	t  tester
	mu sync.Mutex

	agents        map[string]handoff.Agent
	deleted       map[string]bool
	keys          []handoff.AgentKey
	connections   []handoff.Connection
	conversations map[string]handoff.Conversation
	events        map[string][]handoff.Event
	handoffs      []handoff.Handoff // in the order of their requests
	notes         []handoff.OperatorNote
	once          map[[2]string]string
	lanes         map[string]*fakeLane

	// previous are the snapshots that were true before the newest change.
	previous map[string]handoff.Snapshot

	// stale makes that many decisions outdated before they commit.
	stale int
	// meanwhile runs once between the next decision and its commit.
	meanwhile func()
	// decided counts the decisions that were not rehearsals.
	decided int
	// broken is what every Change answers, nil = it works.
	broken error
}

// fakeLane holds the deliveries of a lane in order, dead ones included.
type fakeLane struct {
	rows    []handoff.Delivery
	lastSeq int64
	queued  []handoff.Delivery // everything that was ever queued, for the invariants
}

func newFakeStore(t tester) *fakeStore {
	return &fakeStore{
		t:             t,
		agents:        map[string]handoff.Agent{},
		deleted:       map[string]bool{},
		conversations: map[string]handoff.Conversation{},
		events:        map[string][]handoff.Event{},
		once:          map[[2]string]string{},
		lanes:         map[string]*fakeLane{},
		previous:      map[string]handoff.Snapshot{},
	}
}

// makeStale lets the next n decisions lose against somebody faster.
func (s *fakeStore) makeStale(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale, s.decided = n, 0
}

// interrupt runs f between the next decision and its commit.
func (s *fakeStore) interrupt(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meanwhile = f
}

func (s *fakeStore) decisions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.decided
}

// Change implements [handoff.Store].
func (s *fakeStore) Change(_ context.Context, conversationID, key string, decide handoff.Decide) (handoff.Committed, error) {
	for {
		snapshot, known, err := s.snapshot(conversationID, key)
		if err != nil {
			return handoff.Committed{}, err
		}
		s.rehearse(snapshot, decide)
		if known != nil {
			return handoff.Committed{
				Conversation: snapshot.Conversation, Handoff: snapshot.Handoff, Events: known, Duplicate: true,
			}, nil
		}
		change, refused := s.decide(snapshot, decide)
		s.disturb(conversationID)
		done, fresh, err := s.commit(snapshot, change, refused)
		if fresh {
			return done, err
		}
	}
}

func (s *fakeStore) snapshot(conversationID, key string) (handoff.Snapshot, []handoff.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return handoff.Snapshot{}, nil, s.broken
	}
	c, ok := s.conversations[conversationID]
	if !ok {
		return handoff.Snapshot{}, nil, fault.Missing("conversation")
	}
	snapshot := handoff.Snapshot{Conversation: cloneConversation(c)}
	if i := s.indexOfHandoff(c.OpenHandoffID); i >= 0 {
		h := cloneHandoff(s.handoffs[i])
		snapshot.Handoff = &h
	}
	if key != "" {
		for _, e := range s.events[conversationID] {
			if e.Key == key {
				return snapshot, []handoff.Event{cloneEvent(e)}, nil
			}
		}
	}
	return snapshot, nil, nil
}

func (s *fakeStore) rehearse(snapshot handoff.Snapshot, decide handoff.Decide) {
	s.mu.Lock()
	if before, ok := s.previous[snapshot.Conversation.ID]; ok {
		snapshot = before
	}
	s.mu.Unlock()
	_, _ = decide(cloneSnapshot(snapshot))
}

// decide asks with a snapshot that must come back unchanged.
func (s *fakeStore) decide(snapshot handoff.Snapshot, decide handoff.Decide) (*handoff.Change, error) {
	own := cloneSnapshot(snapshot)
	change, err := decide(own)
	if !reflect.DeepEqual(snapshot, own) {
		s.t.Errorf("a decision modified its snapshot:\nbefore %+v\nafter  %+v", snapshot, own)
	}
	s.mu.Lock()
	s.decided++
	s.mu.Unlock()
	return change, err
}

// disturb does what others do while a decision is on its way to its commit.
func (s *fakeStore) disturb(conversationID string) {
	s.mu.Lock()
	f := s.meanwhile
	s.meanwhile = nil
	if s.stale > 0 {
		s.stale--
		c := s.conversations[conversationID]
		c.Version++
		s.conversations[conversationID] = c
	}
	s.mu.Unlock()
	if f != nil {
		f()
	}
}

// commit applies a change; fresh is false when the snapshot was outdated.
func (s *fakeStore) commit(snapshot handoff.Snapshot, change *handoff.Change, refused error) (done handoff.Committed, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := snapshot.Conversation.ID
	stored := s.conversations[id]
	if stored.Version != snapshot.Conversation.Version {
		return handoff.Committed{}, false, nil
	}
	if refused != nil {
		return handoff.Committed{}, true, refused
	}
	if change == nil {
		return handoff.Committed{Conversation: snapshot.Conversation, Handoff: snapshot.Handoff}, true, nil
	}
	if err := s.conflict(id, change); err != nil {
		return handoff.Committed{}, true, err
	}

	next := stored
	if change.Conversation != nil {
		next = cloneConversation(*change.Conversation)
	}
	next.Version = stored.Version + 1
	next.LastSeq = stored.LastSeq + int64(len(change.Events))
	s.conversations[id] = next
	s.previous[id] = snapshot
	done = handoff.Committed{Conversation: cloneConversation(next), Handoff: snapshot.Handoff, Changed: true}

	for i, e := range change.Events {
		seq := stored.LastSeq + int64(i) + 1
		if e.Seq != seq || e.ConversationID != id {
			s.t.Errorf("event %d of %s was decided as event %d of %s", seq, id, e.Seq, e.ConversationID)
		}
		s.events[id] = append(s.events[id], cloneEvent(e))
		done.Events = append(done.Events, cloneEvent(e))
	}
	if change.Handoff != nil {
		h := cloneHandoff(*change.Handoff)
		h.Version++
		if i := s.indexOfHandoff(h.ID); i >= 0 {
			s.handoffs[i] = h
		} else {
			s.handoffs = append(s.handoffs, h)
		}
		s.checkHandoff(&next, &h)
		written := cloneHandoff(h)
		done.Handoff = &written
	}
	s.applyDeliveries(change, stored.LastSeq, &done)
	if change.Once != nil {
		s.once[[2]string{change.Once.Scope, change.Once.Key}] = change.Once.Result
	}
	s.checkConversation(&next)
	return done, true, nil
}

// applyDeliveries ends the delivery that caused the change, drops the lane, and
// queues what is new, in this order.
func (s *fakeStore) applyDeliveries(change *handoff.Change, lastSeq int64, done *handoff.Committed) {
	if f := change.Finish; f != nil {
		s.finish(*f)
		done.Lanes = append(done.Lanes, f.Lane)
	}
	if change.Drop != nil {
		s.lane(change.Drop.Lane).drop(change.Drop.HandoffID)
		done.Lanes = append(done.Lanes, change.Drop.Lane)
	}
	for _, q := range change.Deliveries {
		d := q.Delivery
		if q.EventIndex >= 0 {
			d.EventSeq = lastSeq + int64(q.EventIndex) + 1
		}
		lane := s.lane(d.Lane)
		lane.lastSeq++
		d.LaneSeq = lane.lastSeq
		lane.rows = append(lane.rows, d)
		lane.queued = append(lane.queued, d)
		done.Lanes = append(done.Lanes, d.Lane)
	}
	slices.Sort(done.Lanes)
	done.Lanes = slices.DeleteFunc(slices.Compact(done.Lanes), func(lane string) bool { return s.lane(lane).head() < 0 })
}

// finish ends a delivery; one that is gone is not an error.
func (s *fakeStore) finish(f handoff.FinishDelivery) {
	lane := s.lane(f.Lane)
	for i := range lane.rows {
		if lane.rows[i].LaneSeq != f.LaneSeq {
			continue
		}
		if f.Dead != nil {
			lane.rows[i] = *f.Dead
			lane.rows[i].Status = handoff.DeliveryDead
			return
		}
		lane.rows = slices.Delete(lane.rows, i, i+1)
		return
	}
}

func (s *fakeStore) lane(key string) *fakeLane {
	if s.lanes[key] == nil {
		s.lanes[key] = &fakeLane{}
	}
	return s.lanes[key]
}

func (l *fakeLane) drop(handoffID string) {
	l.rows = slices.DeleteFunc(l.rows, func(d handoff.Delivery) bool {
		return d.Status != handoff.DeliveryDead && d.HandoffID == handoffID && d.Kind != handoff.DeliverSay
	})
}

// head is the index of the first delivery that is not dead, -1 = none.
func (l *fakeLane) head() int {
	return slices.IndexFunc(l.rows, func(d handoff.Delivery) bool { return d.Status != handoff.DeliveryDead })
}

// conflict is the unique rules of the schema.
func (s *fakeStore) conflict(conversationID string, change *handoff.Change) error {
	if o := change.Once; o != nil {
		if _, used := s.once[[2]string{o.Scope, o.Key}]; used {
			return fault.New(fault.Conflict, "it exists already")
		}
	}
	for _, e := range change.Events {
		if e.Key != "" && slices.ContainsFunc(s.events[conversationID], func(old handoff.Event) bool { return old.Key == e.Key }) {
			return fault.New(fault.Conflict, "an event with this key exists already")
		}
	}
	h := change.Handoff
	if h == nil {
		return nil
	}
	i := s.indexOfHandoff(h.ID)
	if (i < 0) != change.NewHandoff || (i >= 0 && s.handoffs[i].Version != h.Version) {
		return fault.New(fault.Conflict, "the handoff was changed meanwhile")
	}
	for _, other := range s.handoffs {
		if other.ID == h.ID || !other.Open() || !h.Open() {
			continue
		}
		if other.ConversationID == h.ConversationID {
			return fault.New(fault.Conflict, "a handoff is open already")
		}
		if other.ConnectionID == h.ConnectionID && other.DeskRef == h.DeskRef {
			return fault.Wrap(fault.Conflict, handoff.ErrSessionTaken, "another open handoff has this session at the desk")
		}
	}
	return nil
}

// checkConversation is the CHECK rules of the table conversations.
func (s *fakeStore) checkConversation(c *handoff.Conversation) {
	open := -1
	for i := range s.handoffs {
		if s.handoffs[i].ConversationID == c.ID && s.handoffs[i].Open() {
			open = i
		}
	}
	id := ""
	if open >= 0 {
		id = s.handoffs[open].ID
	}
	if c.OpenHandoffID != id || (c.Control == handoff.ControlHandoff) != (open >= 0) {
		s.t.Errorf("control of %s is %s with the open handoff %q, open is %q", c.ID, c.Control, c.OpenHandoffID, id)
	}
}

// deadlines says which deadline belongs to which state; ACTIVE may also have none.
var deadlines = map[handoff.State]handoff.DeadlineKind{
	handoff.StateCollectingEmail: handoff.DeadlineEmail,
	handoff.StateRequesting:      handoff.DeadlineNone,
	handoff.StateWaiting:         handoff.DeadlineWait,
	handoff.StateWaitExpired:     handoff.DeadlineAnswer,
	handoff.StateActive:          handoff.DeadlineSession,
	handoff.StateClosed:          handoff.DeadlineNone,
}

// checkHandoff is the CHECK rules of the table handoffs, and that a deadline fits its state.
func (s *fakeStore) checkHandoff(c *handoff.Conversation, h *handoff.Handoff) {
	closed := !h.Open()
	if closed != !h.ClosedAt.IsZero() || closed != (h.Reason != "") || closed != (h.EndSeq != 0) {
		s.t.Errorf("handoff in %s has the reason %q, closed at %v, end seq %d", h.State, h.Reason, h.ClosedAt, h.EndSeq)
	}
	if (h.DeadlineKind == handoff.DeadlineNone) != h.DeadlineAt.IsZero() {
		s.t.Errorf("handoff has the deadline %q at %v", h.DeadlineKind, h.DeadlineAt)
	}
	if want := deadlines[h.State]; h.DeadlineKind != want && (h.State != handoff.StateActive || h.DeadlineKind != handoff.DeadlineNone) {
		s.t.Errorf("handoff in %s has the deadline %q", h.State, h.DeadlineKind)
	}
	if h.ConversationID != c.ID || h.AgentID != c.AgentID {
		s.t.Errorf("handoff %s of %s belongs to %s", h.ID, c.ID, h.ConversationID)
	}
}

func (s *fakeStore) indexOfHandoff(id string) int {
	return slices.IndexFunc(s.handoffs, func(h handoff.Handoff) bool { return h.ID == id })
}

// Agents

// CreateAgent implements [handoff.Store].
func (s *fakeStore) CreateAgent(_ context.Context, a handoff.Agent, once *handoff.OnceKey) (handoff.Agent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.made(once); made != "" {
		return s.agents[made], nil
	}
	s.agents[a.ID] = cloneAgent(a)
	return a, nil
}

// made looks a key up and, when it is new, remembers its result.
func (s *fakeStore) made(once *handoff.OnceKey) string {
	if once == nil {
		return ""
	}
	key := [2]string{once.Scope, once.Key}
	if made := s.once[key]; made != "" {
		return made
	}
	s.once[key] = once.Result
	return ""
}

// Agent implements [handoff.Store].
func (s *fakeStore) Agent(_ context.Context, id string) (handoff.Agent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agent(id)
}

func (s *fakeStore) agent(id string) (handoff.Agent, error) {
	a, ok := s.agents[id]
	if !ok || s.deleted[id] {
		return handoff.Agent{}, fault.Missing("agent")
	}
	return cloneAgent(a), nil
}

// Agents implements [handoff.Store].
func (s *fakeStore) Agents(_ context.Context, p handoff.Page) (handoff.List[handoff.Agent], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := slices.Sorted(maps.Keys(s.agents))
	slices.Reverse(ids)
	var all []handoff.Agent
	for _, id := range ids {
		if a, err := s.agent(id); err == nil {
			all = append(all, a)
		}
	}
	return page(all, p), nil
}

// UpdateAgent implements [handoff.Store]. Like a store that was overtaken, it asks twice.
func (s *fakeStore) UpdateAgent(_ context.Context, id string, now time.Time, change func(*handoff.Agent) error) (handoff.Agent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.agent(id)
	if err != nil {
		return handoff.Agent{}, err
	}
	rehearsal := cloneAgent(a)
	_ = change(&rehearsal)
	if err := change(&a); err != nil {
		return handoff.Agent{}, err
	}
	a.UpdatedAt = now
	s.agents[id] = cloneAgent(a)
	return a, nil
}

// DeleteAgent implements [handoff.Store].
func (s *fakeStore) DeleteAgent(_ context.Context, id string, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.agent(id); err != nil {
		return err
	}
	s.deleted[id] = true
	s.connections = slices.DeleteFunc(s.connections, func(c handoff.Connection) bool { return c.AgentID == id })
	for i := range s.keys {
		if s.keys[i].AgentID == id && s.keys[i].RevokedAt == nil {
			s.keys[i].RevokedAt = &now
		}
	}
	return nil
}

// CreateKey implements [handoff.Store].
func (s *fakeStore) CreateKey(_ context.Context, k handoff.AgentKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, k)
	return nil
}

// Keys implements [handoff.Store].
func (s *fakeStore) Keys(_ context.Context, agentID string) ([]handoff.AgentKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []handoff.AgentKey
	for _, k := range s.keys {
		if k.AgentID == agentID {
			list = append(list, k)
		}
	}
	return list, nil
}

// RevokeKey implements [handoff.Store].
func (s *fakeStore) RevokeKey(_ context.Context, agentID, keyID string, now time.Time) (handoff.AgentKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.keys {
		k := &s.keys[i]
		if k.ID != keyID || k.AgentID != agentID {
			continue
		}
		if k.RevokedAt == nil {
			k.RevokedAt = &now
		}
		return *k, nil
	}
	return handoff.AgentKey{}, fault.Missing("key")
}

// Connections

// CreateConnection implements [handoff.Store].
func (s *fakeStore) CreateConnection(_ context.Context, c handoff.Connection, once *handoff.OnceKey) (handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.made(once); made != "" {
		found, err := s.connection(made)
		return cloneConnection(*found), err
	}
	s.connections = append(s.connections, cloneConnection(c))
	return c, nil
}

func (s *fakeStore) connection(id string) (*handoff.Connection, error) {
	for i := range s.connections {
		if s.connections[i].ID == id {
			return &s.connections[i], nil
		}
	}
	return &handoff.Connection{}, fault.Missing("connection")
}

// Connection implements [handoff.Store].
func (s *fakeStore) Connection(_ context.Context, id string) (handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.connection(id)
	return cloneConnection(*c), err
}

// Connections implements [handoff.Store].
func (s *fakeStore) Connections(_ context.Context, agentID string) ([]handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []handoff.Connection
	for _, c := range s.connections {
		if c.AgentID == agentID {
			list = append(list, cloneConnection(c))
		}
	}
	return list, nil
}

// ConnectionByToken implements [handoff.Store].
func (s *fakeStore) ConnectionByToken(_ context.Context, token string) (handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.connections {
		if c.ReceiveToken == token {
			return cloneConnection(c), nil
		}
	}
	return handoff.Connection{}, fault.Missing("connection")
}

// UpdateConnection implements [handoff.Store]. Like a store that was overtaken, it asks twice.
func (s *fakeStore) UpdateConnection(_ context.Context, id string, now time.Time, change func(*handoff.Connection) error) (handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, err := s.connection(id)
	if err != nil {
		return handoff.Connection{}, err
	}
	rehearsal := cloneConnection(*stored)
	_ = change(&rehearsal)
	c := cloneConnection(*stored)
	if err := change(&c); err != nil {
		return handoff.Connection{}, err
	}
	c.UpdatedAt = now
	c.Version++
	*stored = cloneConnection(c)
	return c, nil
}

// ActivateConnection implements [handoff.Store].
func (s *fakeStore) ActivateConnection(_ context.Context, id string, now time.Time) (handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	chosen, err := s.connection(id)
	if err != nil {
		return handoff.Connection{}, err
	}
	for i := range s.connections {
		c := &s.connections[i]
		if c.AgentID == chosen.AgentID && c.Mode == chosen.Mode {
			c.Active = c.ID == id
		}
	}
	chosen.UpdatedAt = now
	chosen.Version++
	return cloneConnection(*chosen), nil
}

// DeleteConnection implements [handoff.Store].
func (s *fakeStore) DeleteConnection(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.connection(id); err != nil {
		return err
	}
	s.connections = slices.DeleteFunc(s.connections, func(c handoff.Connection) bool { return c.ID == id })
	for _, lane := range s.lanes {
		lane.rows = slices.DeleteFunc(lane.rows, func(d handoff.Delivery) bool { return d.ConnectionID == id })
	}
	return nil
}

// ConnectionsToCheck implements [handoff.Store].
func (s *fakeStore) ConnectionsToCheck(_ context.Context, now, next time.Time, limit int) ([]handoff.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []handoff.Connection
	for i := range s.connections {
		c := &s.connections[i]
		if len(list) < limit && !c.NextCheckAt.IsZero() && !c.NextCheckAt.After(now) {
			c.NextCheckAt = next
			list = append(list, cloneConnection(*c))
		}
	}
	return list, nil
}

// Conversations

// CreateConversation implements [handoff.Store].
func (s *fakeStore) CreateConversation(_ context.Context, c handoff.Conversation, once *handoff.OnceKey) (handoff.Conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.made(once); made != "" {
		return cloneConversation(s.conversations[made]), nil
	}
	for _, other := range s.conversations {
		if c.ConnectionID != "" && other.ConnectionID == c.ConnectionID && other.DeskRef == c.DeskRef {
			return handoff.Conversation{}, fault.New(fault.Conflict, "the session has a conversation already")
		}
	}
	s.conversations[c.ID] = cloneConversation(c)
	return c, nil
}

// ConversationByRef implements [handoff.Store]. What runs meanwhile comes after it.
func (s *fakeStore) ConversationByRef(_ context.Context, connectionID, deskRef string) (handoff.Conversation, error) {
	s.mu.Lock()
	found, err := handoff.Conversation{}, error(fault.Missing("conversation"))
	for _, c := range s.conversations {
		if c.ConnectionID == connectionID && c.DeskRef == deskRef && connectionID != "" {
			found, err = cloneConversation(c), nil
		}
	}
	f := s.meanwhile
	if err == nil {
		f = nil
	} else {
		s.meanwhile = nil
	}
	s.mu.Unlock()
	if f != nil {
		f()
	}
	return found, err
}

// Conversation implements [handoff.Store].
func (s *fakeStore) Conversation(_ context.Context, id string) (handoff.Conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conversations[id]
	if !ok || s.deleted[c.AgentID] {
		return handoff.Conversation{}, fault.Missing("conversation")
	}
	return cloneConversation(c), nil
}

// Conversations implements [handoff.Store].
func (s *fakeStore) Conversations(_ context.Context, f handoff.ConversationFilter, p handoff.Page) (handoff.List[handoff.Conversation], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []handoff.Conversation
	ids := slices.Sorted(maps.Keys(s.conversations))
	slices.Reverse(ids)
	for _, id := range ids {
		if c := s.conversations[id]; c.AgentID == f.AgentID && (!f.AwaitsAgent || c.AwaitsAgent()) {
			all = append(all, cloneConversation(c))
		}
	}
	return page(all, p), nil
}

// Events implements [handoff.Store].
func (s *fakeStore) Events(_ context.Context, conversationID string, after int64, limit int) ([]handoff.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []handoff.Event
	for _, e := range s.events[conversationID] {
		if e.Seq > after && len(list) < limit {
			list = append(list, cloneEvent(e))
		}
	}
	return list, nil
}

// MessagesBefore implements [handoff.Store].
func (s *fakeStore) MessagesBefore(_ context.Context, conversationID string, upTo int64, limit int) ([]handoff.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []handoff.Event
	for _, e := range slices.Backward(s.events[conversationID]) {
		if e.Kind == handoff.EventMessage && e.Seq <= upTo && len(list) < limit {
			list = append(list, cloneEvent(e))
		}
	}
	return list, nil
}

// Event implements [handoff.Store].
func (s *fakeStore) Event(_ context.Context, conversationID string, seq int64) (handoff.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events[conversationID] {
		if e.Seq == seq {
			return cloneEvent(e), nil
		}
	}
	return handoff.Event{}, fault.Missing("event")
}

// Once implements [handoff.Store].
func (s *fakeStore) Once(_ context.Context, scope, key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.once[[2]string{scope, key}], nil
}

// Handoffs

// Handoff implements [handoff.Store].
func (s *fakeStore) Handoff(_ context.Context, id string) (handoff.Handoff, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.indexOfHandoff(id); i >= 0 {
		return cloneHandoff(s.handoffs[i]), nil
	}
	return handoff.Handoff{}, fault.Missing("handoff")
}

// HandoffByRef implements [handoff.Store].
func (s *fakeStore) HandoffByRef(_ context.Context, connectionID, deskRef string) (handoff.Handoff, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range slices.Backward(s.handoffs) {
		if h.DeskRef == deskRef && (connectionID == "" || h.ConnectionID == connectionID) {
			return cloneHandoff(h), nil
		}
	}
	return handoff.Handoff{}, fault.Missing("session")
}

// Handoffs implements [handoff.Store] for the filters that the use cases use.
func (s *fakeStore) Handoffs(_ context.Context, f handoff.HandoffFilter, p handoff.Page) (handoff.List[handoff.Handoff], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []handoff.Handoff
	for _, h := range slices.Backward(s.handoffs) {
		if f.ConversationID == "" || h.ConversationID == f.ConversationID {
			all = append(all, cloneHandoff(h))
		}
	}
	return page(all, p), nil
}

// OpenHandoffIDs implements [handoff.Store].
func (s *fakeStore) OpenHandoffIDs(_ context.Context, agentID, connectionID string, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, h := range s.handoffs {
		if h.Open() && len(ids) < limit && (agentID == "" || h.AgentID == agentID) && (connectionID == "" || h.ConnectionID == connectionID) {
			ids = append(ids, h.ID)
		}
	}
	return ids, nil
}

// CountOpenHandoffs implements [handoff.Store].
func (s *fakeStore) CountOpenHandoffs(context.Context) (map[handoff.State]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[handoff.State]int64{}
	for _, h := range s.handoffs {
		if h.Open() {
			count[h.State]++
		}
	}
	return count, nil
}

// DueHandoffs implements [handoff.Store].
func (s *fakeStore) DueHandoffs(_ context.Context, now time.Time, limit int) (due []handoff.Handoff, next time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.handoffs {
		switch {
		case h.DeadlineAt.IsZero():
		case h.DeadlineAt.After(now):
			if next.IsZero() || h.DeadlineAt.Before(next) {
				next = h.DeadlineAt
			}
		case len(due) < limit:
			due = append(due, cloneHandoff(h))
		}
	}
	slices.SortStableFunc(due, func(a, b handoff.Handoff) int { return a.DeadlineAt.Compare(b.DeadlineAt) })
	return due, next, nil
}

// AddNote implements [handoff.Store].
func (s *fakeStore) AddNote(_ context.Context, n handoff.OperatorNote) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, n)
	return nil
}

// Notes implements [handoff.Store].
func (s *fakeStore) Notes(_ context.Context, handoffID string) ([]handoff.OperatorNote, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []handoff.OperatorNote
	for _, n := range s.notes {
		if n.HandoffID == handoffID {
			list = append(list, n)
		}
	}
	return list, nil
}

// Deliveries

// Head implements [handoff.Store].
func (s *fakeStore) Head(_ context.Context, lane string) (handoff.Delivery, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lane(lane)
	if i := l.head(); i >= 0 {
		return l.rows[i], true, nil
	}
	return handoff.Delivery{}, false, nil
}

// FinishDelivery implements [handoff.Store]; the lease is always held.
func (s *fakeStore) FinishDelivery(ctx context.Context, f handoff.FinishDelivery, _ time.Time) (handoff.Delivery, bool, error) {
	s.mu.Lock()
	s.finish(f)
	s.mu.Unlock()
	return s.Head(ctx, f.Lane)
}

// DropDeliveries implements [handoff.Store]; the lease is always held.
func (s *fakeStore) DropDeliveries(_ context.Context, d handoff.Drop, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lane(d.Lane).drop(d.HandoffID)
	return nil
}

// Delivery implements [handoff.Store].
func (s *fakeStore) Delivery(_ context.Context, id string) (handoff.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lane := range s.lanes {
		for _, d := range lane.rows {
			if d.ID == id {
				return d, nil
			}
		}
	}
	return handoff.Delivery{}, fault.Missing("delivery")
}

// Deliveries implements [handoff.Store].
func (s *fakeStore) Deliveries(_ context.Context, f handoff.DeliveryFilter, p handoff.Page) (handoff.List[handoff.Delivery], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []handoff.Delivery
	for _, lane := range s.lanes {
		for _, d := range lane.rows {
			if (f.AgentID == "" || d.AgentID == f.AgentID) && (f.ConnectionID == "" || d.ConnectionID == f.ConnectionID) &&
				(f.HandoffID == "" || d.HandoffID == f.HandoffID) && (f.Status == "" || d.Status == f.Status) {
				all = append(all, d)
			}
		}
	}
	slices.SortFunc(all, func(a, b handoff.Delivery) int { return cmp.Compare(b.ID, a.ID) })
	return page(all, p), nil
}

// ReplayDelivery implements [handoff.Store].
func (s *fakeStore) ReplayDelivery(_ context.Context, id string, _ time.Time) (handoff.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lane := range s.lanes {
		for i := range lane.rows {
			d := &lane.rows[i]
			if d.ID != id {
				continue
			}
			if d.Status != handoff.DeliveryDead {
				return handoff.Delivery{}, fault.New(fault.NotAllowedInState, "the delivery is not dead")
			}
			d.Status, d.Attempts = handoff.DeliveryPending, 0
			return *d, nil
		}
	}
	return handoff.Delivery{}, fault.Missing("delivery")
}

// ReplayConnection implements [handoff.Store].
func (s *fakeStore) ReplayConnection(_ context.Context, connectionID string, _ time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, lane := range s.lanes {
		for i := range lane.rows {
			if d := &lane.rows[i]; n < limit && d.ConnectionID == connectionID && d.Status == handoff.DeliveryDead {
				d.Status, d.Attempts = handoff.DeliveryPending, 0
				n++
			}
		}
	}
	return n, nil
}

// page cuts a list; its cursors are positions.
func page[T any](all []T, p handoff.Page) handoff.List[T] {
	from, _ := strconv.Atoi(p.After)
	to := min(from+p.First, len(all))
	list := handoff.List[T]{Items: all[min(from, len(all)):to], HasNext: to < len(all)}
	for i := range list.Items {
		list.Cursors = append(list.Cursors, strconv.Itoa(from+i+1))
	}
	return list
}

// Rows are copied in and out, so that no caller can change what is stored.

func cloneSnapshot(s handoff.Snapshot) handoff.Snapshot {
	s.Conversation = cloneConversation(s.Conversation)
	if s.Handoff != nil {
		h := cloneHandoff(*s.Handoff)
		s.Handoff = &h
	}
	return s
}

func cloneConversation(c handoff.Conversation) handoff.Conversation {
	c.CustomFields = maps.Clone(c.CustomFields)
	return c
}

func cloneHandoff(h handoff.Handoff) handoff.Handoff {
	h.HeldSeqs = slices.Clone(h.HeldSeqs)
	return h
}

func cloneEvent(e handoff.Event) handoff.Event {
	e.Attachments = slices.Clone(e.Attachments)
	return e
}

func cloneAgent(a handoff.Agent) handoff.Agent {
	a.Settings.Hours = slices.Clone(a.Settings.Hours)
	a.Settings.Texts = slices.Clone(a.Settings.Texts)
	return a
}

func cloneConnection(c handoff.Connection) handoff.Connection {
	c.Fields = maps.Clone(c.Fields)
	c.SetSecrets = slices.Clone(c.SetSecrets)
	return c
}
