package handoff_test

import (
	"fmt"
	"slices"

	"handoff/internal/handoff"
)

// checkInvariants walks through every log and every lane of the store and checks
// what must hold whatever happened.
func checkInvariants(t tester, s *fakeStore) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.conversations {
		for _, problem := range checkLog(c, s.events[id], s.handoffs) {
			t.Errorf("conversation %s: %s", id, problem)
		}
		for _, problem := range checkMessenger(c, s.lane(handoff.MessengerLane(id)).queued, s.events[id]) {
			t.Errorf("conversation %s: %s", id, problem)
		}
	}
	for i := range s.handoffs {
		h := &s.handoffs[i]
		queued := s.lane(handoff.LaneOf(h.ID)).queued
		if h.Mode == handoff.ModeDeskToDesk {
			queued = slices.DeleteFunc(slices.Clone(s.lane(handoff.MessengerLane(h.ConversationID)).queued), func(d handoff.Delivery) bool {
				return d.HandoffID != h.ID || d.Kind == handoff.DeliverSay
			})
		}
		for _, problem := range checkLane(h, queued, s.events[h.ConversationID]) {
			t.Errorf("handoff %s: %s", h.ID, problem)
		}
	}
}

// logReader replays a log.
type logReader struct {
	control  handoff.Control
	epoch    int64
	open     string // the Handoff that has entered a state and has not closed
	ending   bool   // it has closed; only its last words may come before the change of control
	states   map[string]handoff.State
	ends     map[string]int64
	problems []string
}

func (r *logReader) problem(e *handoff.Event, format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf("event %d (%s): ", e.Seq, short(*e))+fmt.Sprintf(format, args...))
}

// checkLog checks the numbering, who speaks when, the epochs, and that every
// Handoff takes a way of the lifecycle to exactly one end.
func checkLog(c handoff.Conversation, events []handoff.Event, handoffs []handoff.Handoff) []string {
	r := &logReader{
		control: handoff.ControlAgent, epoch: 1,
		states: map[string]handoff.State{}, ends: map[string]int64{},
	}
	keys := map[string]bool{}
	for i := range events {
		e := &events[i]
		if e.Seq != int64(i)+1 {
			r.problem(e, "is at position %d", i+1)
		}
		if e.Key != "" && keys[e.Key] {
			r.problem(e, "has a key that was used before")
		}
		keys[e.Key] = true
		r.read(e)
	}
	if c.LastSeq != int64(len(events)) || c.Control != r.control || c.Epoch != r.epoch || c.OpenHandoffID != r.open {
		r.problems = append(r.problems, fmt.Sprintf("the row says %d %s %d %q, the log says %d %s %d %q",
			c.LastSeq, c.Control, c.Epoch, c.OpenHandoffID, len(events), r.control, r.epoch, r.open))
	}
	for i := range handoffs {
		h := &handoffs[i]
		if h.ConversationID == c.ID && (h.State != r.states[h.ID] || h.EndSeq != r.ends[h.ID]) {
			r.problems = append(r.problems, fmt.Sprintf("handoff %s is %s and ends at %d, the log says %s and %d",
				h.ID, h.State, h.EndSeq, r.states[h.ID], r.ends[h.ID]))
		}
	}
	return r.problems
}

func (r *logReader) read(e *handoff.Event) {
	switch e.Kind {
	case handoff.EventMessage:
		r.readMessage(e)
	case handoff.EventHandoffChanged:
		r.readState(e)
	case handoff.EventControlChanged:
		if e.Control == r.control || e.Epoch != r.epoch+1 {
			r.problem(e, "follows %s %d", r.control, r.epoch)
		}
		if (e.Control == handoff.ControlHandoff) != (r.open != "" && !r.ending) {
			r.problem(e, "does not fit the handoff %q", r.open)
		}
		if r.ending {
			r.ends[r.open] = e.Seq
			r.open, r.ending = "", false
		}
		r.control, r.epoch = e.Control, e.Epoch
	case handoff.EventDeliveryFailed:
	}
}

func (r *logReader) readMessage(e *handoff.Event) {
	if r.ending && e.Author != handoff.AuthorSystem {
		r.problem(e, "stands between the end and the change of control")
	}
	switch e.Author {
	case handoff.AuthorAgent:
		if r.control != handoff.ControlAgent || e.Epoch != r.epoch {
			r.problem(e, "was written by the Agent under %d while %s had control under %d", e.Epoch, r.control, r.epoch)
		}
	case handoff.AuthorOperator:
		if r.states[e.HandoffID] != handoff.StateActive || e.HandoffID != r.open {
			r.problem(e, "was written by an Operator in %q", r.states[e.HandoffID])
		}
	case handoff.AuthorUser:
		if e.HandoffID != r.open {
			r.problem(e, "belongs to %q while %q was open", e.HandoffID, r.open)
		}
	case handoff.AuthorSystem:
	}
}

func (r *logReader) readState(e *handoff.Event) {
	from, known := r.states[e.HandoffID]
	r.states[e.HandoffID] = e.State
	if (e.State == handoff.StateClosed) != (e.Reason != "") {
		r.problem(e, "has the reason %q", e.Reason)
	}
	if !known {
		if r.open != "" {
			r.problem(e, "begins a handoff while %q is open", r.open)
		}
		r.open = e.HandoffID
	}
	allowed := slices.ContainsFunc(handoff.Lifecycle(), func(rule handoff.Rule) bool {
		return rule.From == from && rule.To == e.State && rule.Reason == e.Reason && from != e.State
	})
	if !allowed || e.HandoffID != r.open {
		r.problem(e, "follows %s", from)
	}
	r.ending = e.State == handoff.StateClosed
}

// checkLane checks everything that was ever queued for a Handoff: one "open", then
// the User's messages in the order of the log, each once, then "close". A second
// "close" may only follow an "open" whose outcome nobody knows.
func checkLane(h *handoff.Handoff, queued []handoff.Delivery, events []handoff.Event) []string {
	var (
		problems []string
		opens    int
		closes   int
		last     int64
		sent     = map[int64]int{}
	)
	for _, d := range queued {
		if d.HandoffID != h.ID || d.ConnectionID != h.ConnectionID || d.ConversationID != h.ConversationID || d.AgentID != h.AgentID {
			problems = append(problems, "the lane has a delivery of another handoff")
		}
		switch d.Kind {
		case handoff.DeliverOpen:
			opens++
			if len(sent) > 0 || closes > 0 || opens > 1 {
				problems = append(problems, "OPEN is not the first")
			}
		case handoff.DeliverMessage:
			if d.EventSeq <= last || opens == 0 || closes > 0 {
				problems = append(problems, fmt.Sprintf("MESSAGE %d follows %d, %d OPEN and %d CLOSE", d.EventSeq, last, opens, closes))
			}
			last = d.EventSeq
			sent[d.EventSeq]++
		case handoff.DeliverSay:
			problems = append(problems, "SAY in the lane of a handoff")
		case handoff.DeliverClose:
			closes++
			if (opens == 0 && h.Mode == handoff.ModeExternalToDesk) || closes > 2 || (closes == 2 && !h.AcceptedAt.IsZero()) {
				problems = append(problems, fmt.Sprintf("CLOSE number %d", closes))
			}
		}
	}
	if !h.Open() && opens > 0 && closes == 0 && !h.DeskClosed {
		problems = append(problems, "it has ended on our side and nobody tells the desk")
	}
	if h.DeskReadsLog && len(sent) > 0 {
		problems = append(problems, "messages are delivered to a desk that reads the log")
	}
	state := handoff.State("")
	for _, e := range events {
		if e.HandoffID != h.ID {
			continue
		}
		if e.Kind == handoff.EventHandoffChanged {
			state = e.State
		}
		if e.Author != handoff.AuthorUser || h.DeskReadsLog || h.Mode == handoff.ModeDeskToDesk {
			continue
		}
		want := 1
		if state == handoff.StateCollectingEmail {
			want = 0
			if opens > 0 && slices.Contains(h.HeldSeqs, e.Seq) {
				want = 1
			}
		}
		if sent[e.Seq] != want {
			problems = append(problems, fmt.Sprintf("message %d of the User was queued %d times instead of %d", e.Seq, sent[e.Seq], want))
		}
		delete(sent, e.Seq)
	}
	if len(sent) > 0 && !h.DeskReadsLog {
		problems = append(problems, fmt.Sprintf("deliveries of something else than its User's messages: %v", sent))
	}
	return problems
}

// checkMessenger checks a Conversation in a desk's messenger: what the Agent and
// the standard texts say is queued once, in the order of the log, and nothing is
// queued that the desk has already. Elsewhere nothing is said at all.
func checkMessenger(c handoff.Conversation, queued []handoff.Delivery, events []handoff.Event) []string {
	var (
		problems   []string
		want, said []int64
		unanswered bool
		human      int64
	)
	for i := range events {
		e := &events[i]
		switch {
		case e.State == handoff.StateActive:
			human = e.Seq
		case e.Kind != handoff.EventMessage:
		case e.Author == handoff.AuthorAgent, e.Author == handoff.AuthorSystem:
			want = append(want, e.Seq)
		}
		if e.Kind == handoff.EventMessage && e.Author != handoff.AuthorSystem {
			unanswered = e.Author == handoff.AuthorUser
		}
		if c.InMessenger() && (e.Notice == handoff.NoticeConnected || e.Notice == handoff.NoticeEndedByOperator) {
			problems = append(problems, fmt.Sprintf("event %d tells what the human says by being there", e.Seq))
		}
	}
	for _, d := range queued {
		switch d.Kind {
		case handoff.DeliverSay:
			said = append(said, d.EventSeq)
		case handoff.DeliverMessage:
			problems = append(problems, fmt.Sprintf("message %d is delivered to where it was written", d.EventSeq))
		case handoff.DeliverOpen, handoff.DeliverClose:
		}
		if d.ConnectionID != c.ConnectionID || d.ConversationID != c.ID || d.AgentID != c.AgentID {
			problems = append(problems, "the lane has a delivery of another conversation")
		}
	}
	if !c.InMessenger() {
		want, unanswered, human = nil, false, 0
	}
	if !slices.Equal(want, said) {
		problems = append(problems, fmt.Sprintf("said %v instead of %v", said, want))
	}
	if unanswered != !c.UnansweredSince.IsZero() || human != c.HumanSeq {
		problems = append(problems, fmt.Sprintf("the row says unanswered since %v and human %d, the log says %t and %d",
			c.UnansweredSince, c.HumanSeq, unanswered, human))
	}
	return problems
}
