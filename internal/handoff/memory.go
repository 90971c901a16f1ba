package handoff

import (
	"context"
	"time"
)

// Limits of what a desk remembers of one connection.
const (
	MaxDeskMemoryKeyBytes = 200
	// MaxDeskMemory is how many keys there are at most, about. A new key beyond it
	// takes the place of those that were written longest ago, if that is at least
	// DeskMemoryKept ago. With one key per User that is more than 14,000 new Users a
	// day on one connection, and some 100 MB.
	MaxDeskMemory  = 100_000
	DeskMemoryKept = 7 * 24 * time.Hour
)

// DeskMemoryStore keeps what desks remember of their connections. The values come
// sealed; the store cannot read them.
type DeskMemoryStore interface {
	// DeskMemory reads a value; version 0 = there is none.
	DeskMemory(ctx context.Context, connectionID, key string) (sealed string, version int64, err error)
	// SetDeskMemory writes a value if the key still has the version (0 = there is none)
	// and gives its new version; set is false when it has another. sealed "" removes
	// it. NotFound without the connection; LimitReached beyond [MaxDeskMemory] keys, none
	// of them old enough to be forgotten.
	SetDeskMemory(ctx context.Context, connectionID, key, sealed string, version int64, now time.Time) (next int64, set bool, err error)
}
