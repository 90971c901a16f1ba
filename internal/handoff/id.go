package handoff

import (
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
)

// The prefixes of our ids. They make an id recognisable in a log and let the API
// refuse an id of the wrong kind early; nothing else may depend on them.
const (
	AgentPrefix        = "agt_"
	KeyPrefix          = "key_"
	ConnectionPrefix   = "con_"
	ConversationPrefix = "cnv_"
	HandoffPrefix      = "hof_"
	DeliveryPrefix     = "dlv_"
	NotePrefix         = "nte_"
)

// Lower-case Crockford alphabet: it keeps the byte order of the UUID, so ids sort by age.
var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes an id: the prefix and a UUIDv7 in 26 characters. Ids made later sort later.
func NewID(prefix string) string {
	id, err := uuid.NewV7()
	if err != nil { // the system's random source failed; nothing sensible can go on
		panic("handoff: no randomness: " + err.Error())
	}
	return prefix + idEncoding.EncodeToString(id[:])
}

// HasPrefix reports whether id looks like one of the given kind.
func HasPrefix(id, prefix string) bool {
	return strings.HasPrefix(id, prefix) && len(id) == len(prefix)+26
}
