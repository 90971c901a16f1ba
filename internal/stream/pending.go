package stream

// maxPending bounds for how many items a console may be behind. Past it starting
// anew is cheaper for everybody.
const maxPending = 4096

// pending holds what a console must still be told: the newest state of each item,
// in the order in which they began to wait.
type pending[I any] struct {
	newest map[string]waiting[I]
	order  []string // may name items that no longer wait
	lost   bool     // there were too many
}

type waiting[I any] struct {
	version int64
	update  *ItemUpdate[I]
}

// put adds a state in the place of an older one of the same item.
func (p *pending[I]) put(id string, version int64, u *ItemUpdate[I]) {
	if p.lost {
		return
	}
	if _, waits := p.newest[id]; !waits {
		if len(p.newest) == maxPending {
			*p = pending[I]{lost: true}
			return
		}
		if p.newest == nil {
			p.newest = make(map[string]waiting[I])
		}
		p.order = append(p.order, id)
	}
	p.newest[id] = waiting[I]{version, u}
}

// settle drops what waits for this item, unless it is newer.
func (p *pending[I]) settle(id string, version int64) {
	if w, waits := p.newest[id]; waits && w.version <= version {
		delete(p.newest, id)
	}
}

// take removes the next state; nil = none waits.
func (p *pending[I]) take() *ItemUpdate[I] {
	for i, id := range p.order {
		if w, waits := p.newest[id]; waits {
			delete(p.newest, id)
			p.order = p.order[i+1:]
			return w.update
		}
	}
	*p = pending[I]{lost: p.lost}
	return nil
}
