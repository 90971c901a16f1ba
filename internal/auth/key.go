package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// KeyPrefix begins every Agent key, so that people and secret scanners know one.
const KeyPrefix = "hk_"

const (
	// keyRandom is the number of random characters: 32 of 62 are 190 bits.
	keyRandom = 32
	// keyHint is how much of a key stays visible, so that people can tell keys
	// apart; the four random characters in it leave 166 bits to guess.
	keyHint = len(KeyPrefix) + 4

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Key is a new Agent key. Secret is shown to its owner once; Hash and Hint are
// what is stored.
type Key struct {
	Secret string // "hk_" and 32 characters of 0-9A-Za-z
	Hash   string // HashKey(Secret)
	Hint   string // the first characters, e.g. "hk_3xQz…"
}

// NewKey makes a random Agent key.
func NewKey() Key {
	secret := KeyPrefix + randomBase62(keyRandom)
	return Key{Secret: secret, Hash: HashKey(secret), Hint: secret[:keyHint] + "…"}
}

// HashKey gives the SHA-256 of a key in hex, under which it is stored and
// found. A slow, salted hash would protect passwords, which can be guessed;
// a random key of 190 bits cannot, and it is checked at every request.
func HashKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// looksLikeKey reports whether the text has the form of an Agent key, so that
// other texts cost no lookup.
func looksLikeKey(text string) bool {
	random, ok := strings.CutPrefix(text, KeyPrefix)
	if !ok || len(random) != keyRandom {
		return false
	}
	return strings.Trim(random, base62) == ""
}

func randomBase62(n int) string {
	// Bytes from 248 up are thrown away: 256 is not a multiple of 62, and using
	// them would make the first characters of the alphabet more likely.
	const limit = 256 - 256%len(base62)
	text := make([]byte, 0, n)
	var buf [64]byte
	for len(text) < n {
		_, _ = rand.Read(buf[:]) // never fails: the program ends if the system has no randomness
		for _, b := range buf {
			if int(b) < limit && len(text) < n {
				text = append(text, base62[int(b)%len(base62)])
			}
		}
	}
	return string(text)
}
