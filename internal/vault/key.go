package vault

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// keySize is the length of a root key and of every derived key, in bytes.
const keySize = 32

// Key is a root key. It prints as "<secret>".
type Key [keySize]byte

// Format implements fmt.Formatter; every verb gives "<secret>".
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "<secret>") }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue("<secret>") }

// MarshalText implements encoding.TextMarshaler, which JSON uses too.
func (Key) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// GenerateKey makes a random key in the form that [ParseKeys] reads.
func GenerateKey() string {
	var k Key
	_, _ = rand.Read(k[:]) // never fails: the program ends if the system has no randomness
	return base64.StdEncoding.EncodeToString(k[:])
}

// ParseKeys reads one or more keys separated by commas, each 32 bytes in hex or
// in base64 (standard or URL alphabet, with or without padding). Errors name
// the position of the key and do not repeat it.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	seen := map[Key]int{}
	for i, part := range strings.Split(text, ",") {
		raw, err := decodeKey(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		k := Key(raw)
		if first, ok := seen[k]; ok {
			return nil, fmt.Errorf("key %d is the same as key %d", i+1, first)
		}
		seen[k] = i + 1
		keys = append(keys, k)
	}
	return keys, nil
}

func decodeKey(text string) ([]byte, error) {
	// 64 characters are hex: the same length in base64 would be 48 bytes.
	if len(text) == hex.EncodedLen(keySize) {
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, errors.New("64 characters must be 32 bytes in hex")
		}
		return raw, nil
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("must be 32 bytes in base64 or hex")
	}
	if len(raw) != keySize {
		return nil, fmt.Errorf("has %d bytes, must have %d", len(raw), keySize)
	}
	return raw, nil
}

// derive gives the key for one purpose.
func (k Key) derive(info string) []byte {
	sub, err := hkdf.Key(sha256.New, k[:], nil, info, keySize)
	if err != nil {
		// Only a wish for more than 255 hashes of output, or a secret under 112
		// bits in FIPS mode, is refused; both sizes are constants here.
		panic(err)
	}
	return sub
}
