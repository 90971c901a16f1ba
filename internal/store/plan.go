package store

import (
	"reflect"
	"time"

	"handoff/internal/handoff"
)

// plan is a decided change with everything worked out that needs no database. It
// shares no memory with the decision.
type plan struct {
	key    string
	before handoff.Snapshot
	after  handoff.Snapshot // what the next decision sees

	rewritesConversation bool // more than its log and its time
	handoff              *handoff.Handoff
	newHandoff           bool
	rewritesHandoff      bool // more than what messages move

	events    []handoff.Event
	eventRows []eventRow
	lanes     []laneEntries
	lease     *handoff.Lease // for the only lane
	leased    *leased        // set when it was granted
	drop      *handoff.Drop
	now       time.Time
	forUpdate string // of the dialect
	finish    *handoff.FinishDelivery
	once      *onceRow
}

// leased says that a lane was idle and is the plan's now.
type leased struct{ lastSeq int64 }

// laneEntries are the deliveries of one lane, in order, without their numbers.
type laneEntries struct {
	key        string
	deliveries []deliveryRow
}

// plan decides. It is nil when nothing is to be committed.
func (s *Store) plan(snap handoff.Snapshot, key string, decide handoff.Decide) (*plan, error) {
	change, err := decide(copyOf(snap))
	if err != nil || change == nil {
		return nil, err
	}
	p := &plan{key: key, before: snap, after: snap, now: s.now(), forUpdate: s.dialect.forUpdate}
	if change.Drop != nil {
		drop := *change.Drop
		p.drop = &drop
	}
	if err := p.setConversation(change); err != nil {
		return nil, err
	}
	if err := p.setHandoff(change); err != nil {
		return nil, err
	}
	if err := p.setEvents(change.Events); err != nil {
		return nil, err
	}
	if err := s.setDeliveries(p, change.Deliveries); err != nil {
		return nil, err
	}
	if change.Lease != nil && len(p.lanes) == 1 && change.Finish == nil && change.Drop == nil {
		lease := *change.Lease
		p.lease = &lease
	}
	if change.Finish != nil {
		finish := *change.Finish
		p.finish = &finish
	}
	if change.Once != nil {
		row := s.newOnceRow(change.Once)
		if err := storable(&row); err != nil {
			return nil, err
		}
		p.once = &row
	}
	return p, nil
}

func (p *plan) setConversation(change *handoff.Change) error {
	old := p.before.Conversation
	c := old
	if change.Conversation != nil {
		c = asStored(*change.Conversation)
	}
	c.LastSeq = old.LastSeq + int64(len(change.Events))
	c.Version = old.Version + 1
	if c.ID != old.ID || c.AgentID != old.AgentID || c.Channel != old.Channel || !c.CreatedAt.Equal(old.CreatedAt) ||
		c.ConnectionID != old.ConnectionID || c.DeskRef != old.DeskRef {
		return badChange("a fixed field of conversation %s differs", old.ID)
	}
	p.after.Conversation = c
	// Equal but for what every change moves?
	old.LastSeq, old.Version, old.UpdatedAt = c.LastSeq, c.Version, c.UpdatedAt
	p.rewritesConversation = !reflect.DeepEqual(c, old)
	return nil
}

func (p *plan) setHandoff(change *handoff.Change) error {
	if change.Handoff == nil {
		return nil
	}
	h := handoffAsStored(*change.Handoff)
	if h.ConversationID != p.before.Conversation.ID {
		return badChange("handoff %s is not of conversation %s", h.ID, p.before.Conversation.ID)
	}
	h.Version++
	p.handoff, p.newHandoff = &h, change.NewHandoff
	p.rewritesHandoff = true
	open := p.before.Handoff
	switch {
	case change.NewHandoff:
		h.Version = 1
	case open == nil || open.ID != h.ID: // one that has ended is written again
	case !sameFixed(*open, h):
		return badChange("a fixed field of handoff %s differs", h.ID)
	default:
		h.Version = open.Version + 1
		p.rewritesHandoff = !onlyMoves(*open, h)
	}
	switch {
	case h.Open():
		p.after.Handoff = &h
	case open != nil && open.ID == h.ID:
		p.after.Handoff = nil
	}
	return nil
}

// sameFixed compares what no change can write. Everything else is in handoffChanging.
func sameFixed(a, b handoff.Handoff) bool {
	for _, h := range []*handoff.Handoff{&a, &b} {
		*h = handoff.Handoff{
			ID: h.ID, ConversationID: h.ConversationID, AgentID: h.AgentID, ConnectionID: h.ConnectionID, DeskKind: h.DeskKind,
			Mode: h.Mode, Note: h.Note, Summary: h.Summary, RequestSeq: h.RequestSeq, ContextRounds: h.ContextRounds,
			EmailPolicy: h.EmailPolicy, WaitTimeout: h.WaitTimeout, SessionTimeout: h.SessionTimeout, AskToWait: h.AskToWait,
			Language: h.Language, CheckAt: h.CheckAt, RequestedAt: h.RequestedAt, DeskReadsLog: h.DeskReadsLog,
		}
	}
	return reflect.DeepEqual(a, b)
}

// onlyMoves reports whether the Handoff differs only in what an ordinary message moves.
func onlyMoves(old, h handoff.Handoff) bool {
	old.DeadlineKind, old.DeadlineAt = h.DeadlineKind, h.DeadlineAt
	old.WaitingSince, old.Operator = h.WaitingSince, h.Operator
	old.UpdatedAt, old.Version = h.UpdatedAt, h.Version
	return reflect.DeepEqual(old, h)
}

func (p *plan) setEvents(events []handoff.Event) error {
	first := p.before.Conversation.LastSeq + 1
	for i := range events {
		e := eventAsStored(events[i])
		e.ConversationID = p.before.Conversation.ID
		e.Seq = first + int64(i)
		row := newEventRow(&e)
		if err := storable(&row); err != nil {
			return err
		}
		p.events = append(p.events, e)
		p.eventRows = append(p.eventRows, row)
	}
	return nil
}

func (s *Store) setDeliveries(p *plan, queued []handoff.QueuedDelivery) error {
	for i := range queued {
		d := queued[i].Delivery
		if at := queued[i].EventIndex; at >= 0 {
			if at >= len(p.events) {
				return badChange("delivery %s is of event %d of %d", d.ID, at, len(p.events))
			}
			d.EventSeq = p.events[at].Seq
		}
		if d.ConversationID != p.before.Conversation.ID {
			return badChange("delivery %s is not of conversation %s", d.ID, p.before.Conversation.ID)
		}
		if d.CreatedAt.IsZero() {
			d.CreatedAt = s.now()
		}
		d.Attempts, d.LastError, d.LastErrorKind, d.LastErrorAt = 0, "", "", time.Time{}
		row := newDeliveryRow(&d)
		if err := storable(&row); err != nil {
			return err
		}
		p.queue(row)
	}
	return nil
}

func (p *plan) queue(row deliveryRow) {
	for i := range p.lanes {
		if p.lanes[i].key == row.Lane {
			p.lanes[i].deliveries = append(p.lanes[i].deliveries, row)
			return
		}
	}
	p.lanes = append(p.lanes, laneEntries{key: row.Lane, deliveries: []deliveryRow{row}})
}

// ordinary reports whether the plan has the shape of the traffic, which a batch can commit.
func (p *plan) ordinary() bool {
	return !p.rewritesConversation && !p.newHandoff && (p.handoff == nil || !p.rewritesHandoff) &&
		p.drop == nil && p.finish == nil && p.once == nil
}

// committed is the answer for a plan that was committed.
func (p *plan) committed() handoff.Committed {
	after := copyOf(p.after)
	done := handoff.Committed{Conversation: after.Conversation, Handoff: after.Handoff, Events: p.events, Changed: true}
	if p.handoff != nil {
		h := handoffAsStored(*p.handoff)
		done.Handoff = &h
	}
	for _, lane := range p.lanes {
		done.Lanes = append(done.Lanes, lane.key)
	}
	if p.leased != nil {
		rows := p.lanes[0].deliveries
		head := rows[0].delivery()
		head.LaneSeq = p.leased.lastSeq - int64(len(rows)) + 1
		done.Leased = &head
	}
	return done
}

// laneLease is what a lane gets if it is idle: when it is ready for a claim, and
// its owner until then, nil = nobody.
func (p *plan) laneLease(lane *laneEntries) (readyAt time.Time, owner *string) {
	if p.lease != nil {
		return p.lease.Until, &p.lease.Owner
	}
	return lane.deliveries[0].CreatedAt.time(), nil
}

// grant notes the lease when the lane has come out as the plan's.
func (p *plan) grant(lastSeq int64, owner *string) {
	if p.lease != nil && owner != nil && *owner == p.lease.Owner {
		p.leased = &leased{lastSeq: lastSeq}
	}
}
