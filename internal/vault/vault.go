package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"handoff/internal/fault"
)

// Why a sealed text does not open; found with errors.Is.
var (
	// ErrUnknownKey: it was sealed with a key that is not in the ring.
	ErrUnknownKey = errors.New("sealed with an unknown key")
	// ErrTampered: it was changed, cut, belongs to another row, or was never sealed.
	ErrTampered = errors.New("sealed text is damaged or belongs elsewhere")
)

const (
	version = "v1"
	// maxPlain bounds what Seal accepts, in bytes; credentials are far smaller.
	maxPlain = 64 << 10
)

// Purposes of the derived keys. Those of callers get a prefix of their own, so
// that no purpose can meet the sealing key.
const (
	infoSeal   = "handoff/seal/" + version
	infoKeyID  = "handoff/key-id"
	infoPrefix = "handoff/derive/"
)

// Vault seals and opens with a ring of keys. It is safe for concurrent use.
type Vault struct {
	ring []member // at least one; the first seals
}

type member struct {
	id   string
	root Key
	aead cipher.AEAD
}

// New makes a vault. The first key seals, all open. It fails without a key, and
// if two keys are the same.
func New(keys ...Key) (*Vault, error) {
	if len(keys) == 0 {
		return nil, errors.New("vault: at least one key is needed")
	}
	v := &Vault{}
	for _, k := range keys {
		m, err := newMember(k)
		if err != nil {
			return nil, err
		}
		if _, taken := v.member(m.id); taken {
			return nil, fmt.Errorf("vault: two keys have the id %s; a key may be given once", m.id)
		}
		v.ring = append(v.ring, m)
	}
	return v, nil
}

func newMember(k Key) (member, error) {
	block, err := aes.NewCipher(k.derive(infoSeal))
	if err != nil {
		return member{}, fmt.Errorf("vault: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return member{}, fmt.Errorf("vault: %w", err)
	}
	// Derived, not cut from a hash of the key itself, so that the id shown in
	// the database says nothing about the key.
	id := hex.EncodeToString(k.derive(infoKeyID)[:4])
	return member{id: id, root: k, aead: aead}, nil
}

func (v *Vault) member(id string) (member, bool) {
	for _, m := range v.ring {
		if m.id == id {
			return m, true
		}
	}
	return member{}, false
}

// Seal encrypts plain with the first key. aad ties the result to its place,
// usually the id of the row; the same aad must be given to Open. Its errors are
// faults: InvalidInput for more than 64 KiB, Internal for an empty aad.
func (v *Vault) Seal(aad string, plain []byte) (string, error) {
	if aad == "" {
		return "", fault.New(fault.Internal, "cannot seal without the id of the place")
	}
	if len(plain) > maxPlain {
		return "", fault.Invalid("credentials", "must have at most %d bytes", maxPlain)
	}
	m := v.ring[0]
	head := version + "." + m.id + "."
	sealed := m.aead.Seal(nil, nil, plain, []byte(head+aad))
	return head + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open decrypts what Seal returned for the same aad. Its errors are faults of
// kind Internal that wrap ErrUnknownKey or ErrTampered and tell neither the
// text nor the aad.
func (v *Vault) Open(aad, sealed string) ([]byte, error) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != version {
		return nil, tampered()
	}
	m, ok := v.member(parts[1])
	if !ok {
		return nil, fault.Wrap(fault.Internal, ErrUnknownKey, "stored secret cannot be read: unknown key")
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return nil, tampered()
	}
	plain, err := m.aead.Open(nil, nil, body, []byte(version+"."+m.id+"."+aad))
	if err != nil {
		return nil, tampered()
	}
	return plain, nil
}

func tampered() error {
	return fault.Wrap(fault.Internal, ErrTampered, "stored secret cannot be read: tampered")
}

// NeedsReseal reports whether a sealed text was not made by the first key in
// the current form. It does not check that the text opens.
func (v *Vault) NeedsReseal(sealed string) bool {
	return !strings.HasPrefix(sealed, version+"."+v.ring[0].id+".")
}

// Derive gives the first key's 32-byte sub-key for a purpose, e.g. "user-token".
// Different purposes give independent keys; the same one always gives the same.
func (v *Vault) Derive(purpose string) []byte {
	return v.ring[0].root.derive(infoPrefix + purpose)
}

// DeriveAll gives every key's sub-key for a purpose, in the order of the ring:
// the first is Derive's, the others verify what older keys signed.
func (v *Vault) DeriveAll(purpose string) [][]byte {
	keys := make([][]byte, len(v.ring))
	for i, m := range v.ring {
		keys[i] = m.root.derive(infoPrefix + purpose)
	}
	return keys
}
