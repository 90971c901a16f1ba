package stream

import "handoff/internal/handoff"

// maxPending bounds for how many Handoffs a console may be behind. Past it
// starting anew is cheaper for everybody.
const maxPending = 4096

// pending holds what a console must still be told: the newest state of each
// Handoff, in the order in which they began to wait.
type pending struct {
	newest map[string]*HandoffUpdate
	order  []string // may name Handoffs that no longer wait
	lost   bool     // there were too many
}

// put adds a state in the place of an older one of the same Handoff.
func (p *pending) put(u *HandoffUpdate) {
	if p.lost {
		return
	}
	id := u.Handoff.ID
	if _, waits := p.newest[id]; !waits {
		if len(p.newest) == maxPending {
			*p = pending{lost: true}
			return
		}
		if p.newest == nil {
			p.newest = make(map[string]*HandoffUpdate)
		}
		p.order = append(p.order, id)
	}
	p.newest[id] = u
}

// settle drops what waits for this Handoff, unless it is newer.
func (p *pending) settle(h *handoff.Handoff) {
	if u := p.newest[h.ID]; u != nil && u.Handoff.Version <= h.Version {
		delete(p.newest, h.ID)
	}
}

// take removes the next state; nil = none waits.
func (p *pending) take() *HandoffUpdate {
	for i, id := range p.order {
		if u := p.newest[id]; u != nil {
			delete(p.newest, id)
			p.order = p.order[i+1:]
			return u
		}
	}
	*p = pending{lost: p.lost}
	return nil
}
