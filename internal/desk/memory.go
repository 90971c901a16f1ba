package desk

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// maxMemoryValue is the longest value, in bytes before it is sealed.
const maxMemoryValue = 8 << 10

// memory is the [Memory] of one connection.
type memory struct {
	store        handoff.DeskMemoryStore
	sealer       handoff.Sealer
	connectionID string
	now          func() time.Time
}

// place is what a sealed value is bound to. An id of a connection has no slash, so
// no two places are the same, and none is that of the connection's secrets.
func (m *memory) place(key string) string { return m.connectionID + "/" + key }

// Get implements [Memory]. A value that does not open, because the secret key of
// this service was lost, is an Internal fault: connecting the desk anew helps.
func (m *memory) Get(ctx context.Context, key string) ([]byte, int64, error) {
	if err := checkMemoryKey(key); err != nil {
		return nil, 0, err
	}
	sealed, version, err := m.store.DeskMemory(ctx, m.connectionID, key)
	if err != nil || version == 0 {
		return nil, 0, err
	}
	value, err := m.sealer.Open(m.place(key), sealed)
	if err != nil {
		return nil, 0, err
	}
	return value, version, nil
}

// Put implements [Memory].
func (m *memory) Put(ctx context.Context, key string, value []byte, version int64) (int64, error) {
	if err := checkMemoryKey(key); err != nil {
		return 0, err
	}
	if len(value) > maxMemoryValue {
		return 0, fault.Invalid("value", "has %d bytes, at most %d are allowed", len(value), maxMemoryValue)
	}
	sealed := ""
	if value != nil {
		var err error
		if sealed, err = m.sealer.Seal(m.place(key), value); err != nil {
			return 0, err
		}
	}
	next, set, err := m.store.SetDeskMemory(ctx, m.connectionID, key, sealed, version, m.now())
	if err == nil && !set {
		err = ErrMemoryChanged
	}
	return next, err
}

func checkMemoryKey(key string) error {
	switch {
	case key == "":
		return fault.Invalid("key", "must not be empty")
	case len(key) > handoff.MaxDeskMemoryKeyBytes:
		return fault.Invalid("key", "has %d bytes, at most %d are allowed", len(key), handoff.MaxDeskMemoryKeyBytes)
	case !utf8.ValidString(key) || strings.ContainsRune(key, 0):
		return fault.Invalid("key", "must be valid UTF-8 without NUL")
	}
	return nil
}

// noMemory is the [Memory] of a connection that is not stored yet: it is empty, and
// keeps nothing.
type noMemory struct{}

func (noMemory) Get(context.Context, string) ([]byte, int64, error) { return nil, 0, nil }

func (noMemory) Put(_ context.Context, _ string, _ []byte, version int64) (int64, error) {
	return version, nil
}
