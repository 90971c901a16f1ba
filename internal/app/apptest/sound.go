package apptest

import (
	"fmt"
	"slices"
)

// Sound checks a Conversation's whole log against the invariants that any log must
// keep, whatever has happened:
//
//   - numbers have no gap; control passes between two owners, each time with the
//     next epoch;
//   - the Agent speaks only while control is its own, an Operator only while a
//     Handoff is ACTIVE;
//   - one Handoff is open at a time, its states follow the lifecycle, it ends once
//     and with a reason, and control goes with it;
//   - "connecting" is said only after the desk accepted, "connected" only after an
//     Operator wrote, "busy" only after the transfer failed.
//
// The error names the event, and lists the log.
func Sound(events []Event) error {
	l := logReader{control: "AGENT", epoch: 1, ended: map[string]bool{}}
	for i, e := range events {
		l.seq++
		if e.Seq != l.seq {
			return fmt.Errorf("event %d has the number %d\n%s", l.seq, e.Seq, listing(events))
		}
		if err := l.read(e); err != nil {
			return fmt.Errorf("event %d: %w\n%s", e.Seq, err, listing(events[:i+1]))
		}
	}
	if (l.control == "HANDOFF") != (l.handoff != "") {
		return fmt.Errorf("control is %s while the open handoff is %q\n%s", l.control, l.handoff, listing(events))
	}
	return nil
}

type logReader struct {
	seq, epoch int64
	control    string
	handoff    string // the open one
	state      string // of the newest one
	reason     string
	ended      map[string]bool
}

// follows lists the states that may follow one; "" is before the first. ACTIVE is the
// first where a human takes a session of the desk's messenger over.
var follows = map[string][]string{
	"":                 {"COLLECTING_EMAIL", "REQUESTING", "ACTIVE"},
	"COLLECTING_EMAIL": {"REQUESTING", "CLOSED"},
	"REQUESTING":       {"WAITING", "ACTIVE", "CLOSED"},
	"WAITING":          {"WAIT_EXPIRED", "ACTIVE", "CLOSED"},
	"WAIT_EXPIRED":     {"WAITING", "ACTIVE", "CLOSED"},
	"ACTIVE":           {"CLOSED"},
}

func (l *logReader) read(e Event) error {
	switch e.Typename {
	case "Message":
		return l.message(e)
	case "HandoffChanged":
		return l.changed(e)
	case "ControlChanged":
		if e.Control == l.control || e.Epoch != l.epoch+1 {
			return fmt.Errorf("control was %s, epoch %d", l.control, l.epoch)
		}
		l.control, l.epoch = e.Control, e.Epoch
		if (e.Control == "HANDOFF") != (l.handoff != "") {
			return fmt.Errorf("control passes to %s while the open handoff is %q", e.Control, l.handoff)
		}
	}
	return nil
}

func (l *logReader) message(e Event) error {
	switch {
	case e.Author == "AGENT" && (l.control != "AGENT" || l.handoff != ""):
		return fmt.Errorf("the agent speaks while control is %s and the handoff %s", l.control, l.state)
	case e.Author == "OPERATOR" && (l.handoff == "" || l.state != "ACTIVE"):
		return fmt.Errorf("an operator speaks while the newest handoff is %s", l.state)
	case e.Notice == "CONNECTING" && l.state != "WAITING",
		e.Notice == "CONNECTED" && l.state != "ACTIVE",
		e.Notice == "KEEP_WAITING" && l.state != "WAIT_EXPIRED",
		e.Notice == "BUSY" && (l.state != "CLOSED" || l.reason != "TRANSFER_FAILED"):
		return fmt.Errorf("%s is said while the newest handoff is %s %s", e.Notice, l.state, l.reason)
	}
	return nil
}

func (l *logReader) changed(e Event) error {
	before := l.state
	if e.HandoffID != l.handoff {
		if l.handoff != "" || l.ended[e.HandoffID] {
			return fmt.Errorf("handoff %s is open and %v have ended", l.handoff, l.ended)
		}
		before = ""
	}
	if !slices.Contains(follows[before], e.State) || (e.State == "CLOSED") != (e.Reason != "") {
		return fmt.Errorf("%s %s follows %q", e.State, e.Reason, before)
	}
	l.handoff, l.state, l.reason = e.HandoffID, e.State, e.Reason
	if e.State == "CLOSED" {
		l.handoff, l.ended[e.HandoffID] = "", true
	}
	return nil
}
