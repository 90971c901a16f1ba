package store

import (
	"sync"

	"handoff/internal/handoff"
)

// snapshots remembers Conversations as this process last committed them, which
// saves reading them before the next message. What is remembered may be out of
// date: it is only ever used under the condition that its version still stands.
type snapshots struct {
	mu    sync.Mutex
	items map[string]handoff.Snapshot
	size  int // of all items, about, in bytes
}

// maxSnapshots bounds the memory, in bytes: some 10,000 conversations.
const maxSnapshots = 16 << 20

func (s *snapshots) get(id string) (handoff.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, ok := s.items[id]
	return copyOf(snap), ok
}

// put remembers a snapshot, which nobody may modify any more, and forgets arbitrary
// others beyond the bound.
func (s *snapshots) put(snap handoff.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items = map[string]handoff.Snapshot{}
	}
	s.drop(snap.Conversation.ID)
	s.items[snap.Conversation.ID] = snap
	s.size += sizeOf(&snap)
	for id := range s.items {
		if s.size <= maxSnapshots {
			break
		}
		s.drop(id)
	}
}

func (s *snapshots) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

func (s *snapshots) drop(id string) {
	if old, ok := s.items[id]; ok {
		delete(s.items, id)
		s.size -= sizeOf(&old)
	}
}

// copyOf shares nothing that can be modified with the original.
func copyOf(snap handoff.Snapshot) handoff.Snapshot {
	snap.Conversation = asStored(snap.Conversation)
	if snap.Handoff != nil {
		h := handoffAsStored(*snap.Handoff)
		snap.Handoff = &h
	}
	return snap
}

// sizeOf counts the structs, the ids and short texts in them, and the texts that can be long.
func sizeOf(snap *handoff.Snapshot) int {
	size := 1_000
	for key, value := range snap.Conversation.CustomFields {
		size += len(key) + len(value) + 64
	}
	if h := snap.Handoff; h != nil {
		size += 1_000 + len(h.Note) + len(h.Summary) + 8*len(h.HeldSeqs)
	}
	return size
}
