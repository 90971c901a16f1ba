package stream

import "time"

// versionMemory is how long a Handoff's version is remembered at least: much
// longer than a hint can be late, and than pollOverlap.
const versionMemory = time.Minute

// versions remembers what a board knows of each Handoff that it has seen lately.
// It forgets by dropping the older of two generations, so it holds what was seen
// within twice versionMemory.
type versions struct {
	young, old map[string]version
	born       time.Time // of young
}

// version says how far a board is with a Handoff.
type version struct {
	seen int64 // the newest that any console was sent: nothing older may follow
	told int64 // the newest that all consoles were told
}

// of gives what is remembered; zero = not seen lately.
func (v *versions) of(id string) version {
	young, old := v.young[id], v.old[id]
	return version{seen: max(young.seen, old.seen), told: max(young.told, old.told)}
}

// sawListed notes what one console was sent from the list.
func (v *versions) sawListed(id string, number int64, now time.Time) {
	known := v.of(id)
	v.put(id, version{seen: max(known.seen, number), told: known.told}, now)
}

// sawTold notes what all consoles are told.
func (v *versions) sawTold(id string, number int64, now time.Time) {
	known := v.of(id)
	v.put(id, version{seen: max(known.seen, number), told: max(known.told, number)}, now)
}

func (v *versions) put(id string, n version, now time.Time) {
	if v.young == nil || now.Sub(v.born) > versionMemory {
		v.old, v.young, v.born = v.young, make(map[string]version), now
	}
	v.young[id] = n
}
