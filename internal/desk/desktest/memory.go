package desktest

import (
	"bytes"
	"context"
	"sync"

	"handoff/internal/desk"
)

// Memory is a [desk.Memory] in memory. The zero value is empty and ready.
type Memory struct {
	mu     sync.Mutex
	items  map[string]remembered
	newest int64 // version; never given twice
}

type remembered struct {
	value   []byte
	version int64
}

// Get implements [desk.Memory].
func (m *Memory) Get(_ context.Context, key string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	item := m.items[key]
	return bytes.Clone(item.value), item.version, nil
}

// Put implements [desk.Memory].
func (m *Memory) Put(_ context.Context, key string, value []byte, version int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items[key].version != version {
		return 0, desk.ErrMemoryChanged
	}
	if m.items == nil {
		m.items = map[string]remembered{}
	}
	if value == nil {
		delete(m.items, key)
		return 0, nil
	}
	m.newest++
	m.items[key] = remembered{value: bytes.Clone(value), version: m.newest}
	return m.newest, nil
}
