package config

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for a secret in everything that is printed.
const redacted = "<secret>"

// Secret is a text that must not be printed. Every way of formatting it (fmt
// with any verb, slog, JSON and other encodings) gives "<secret>", or nothing
// if it is empty. [Secret.Reveal] is the only way to its value.
type Secret struct {
	// A pointer, because fmt calls no methods on the unexported fields of a
	// struct: there it prints an address instead of the text.
	text *string
}

// NewSecret wraps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal gives the text itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsEmpty reports whether there is no text.
func (s Secret) IsEmpty() bool { return s.text == nil }

// String gives "<secret>", or "" for the empty secret.
func (s Secret) String() string {
	if s.IsEmpty() {
		return ""
	}
	return redacted
}

// Format implements fmt.Formatter, because verbs like %d and %#v do not ask String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, which JSON uses too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it keeps the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
