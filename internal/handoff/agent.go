package handoff

import (
	"strings"
	"time"
	"unicode/utf8"

	"handoff/internal/fault"
)

// Agent is an AI agent that talks to Users; everything belongs to one Agent.
type Agent struct {
	ID        string
	Name      string
	Settings  Settings
	CreatedAt time.Time
	UpdatedAt time.Time
}

// AgentKey is the credential of one Agent's runtime and of its webhook callers.
// The key itself is shown once, at creation; only its hash is stored.
type AgentKey struct {
	ID        string
	AgentID   string
	Name      string
	Hint      string // the first characters, to recognise the key in a list
	Hash      string // of the whole key; see package auth
	CreatedAt time.Time
	RevokedAt *time.Time
}

// Limits of Agents and keys.
const (
	MaxNameRunes    = 100
	MaxKeysPerAgent = 20
)

// validName checks a display name and returns it trimmed.
func validName(field, name string) (string, error) {
	name = strings.TrimSpace(name)
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "", fault.Invalid(field, "must not be empty")
	case n > MaxNameRunes:
		return "", fault.Invalid(field, "has %d characters, at most %d are allowed", n, MaxNameRunes)
	case !cleanLine(name):
		return "", fault.Invalid(field, "must be one line of valid UTF-8 without control characters")
	}
	return name, nil
}
