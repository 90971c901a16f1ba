package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"handoff/internal/fault"
)

// The headers of Standard Webhooks.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// What Standard Webhooks 1.0.0 says of symmetric secrets, and the tolerance that
// its reference libraries have.
const (
	secretPrefix   = "whsec_"
	minSecretBytes = 24
	maxSecretBytes = 64
	maxSecrets     = 2 // the new one and, while receivers change over, the old one
	tolerance      = 5 * time.Minute
	versionHMAC    = "v1,"
)

// signer signs and verifies by Standard Webhooks. One without secrets is the
// unsigned mode.
type signer struct{ keys [][]byte }

// newSigner reads one secret, or two separated by a space. The fault names the field.
func newSigner(field, secrets string) (signer, error) {
	var s signer
	for _, text := range strings.Fields(secrets) {
		encoded, found := strings.CutPrefix(text, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !found || err != nil || len(key) < minSecretBytes || len(key) > maxSecretBytes {
			return signer{}, fault.Invalid(field, "must be %s followed by %d to %d random bytes as base64", secretPrefix, minSecretBytes, maxSecretBytes)
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) > maxSecrets {
		return signer{}, fault.Invalid(field, "has %d secrets, at most %d are allowed", len(s.keys), maxSecrets)
	}
	return s, nil
}

func (s signer) enabled() bool { return len(s.keys) > 0 }

// sign adds the headers, with one signature per secret. at is the time of the attempt.
func (s signer) sign(h http.Header, id string, at time.Time, body []byte) {
	if !s.enabled() {
		return
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		signatures[i] = versionHMAC + signature(key, id, timestamp, body)
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, timestamp)
	h.Set(headerSignature, strings.Join(signatures, " "))
}

// verify checks a request that carries a signature: one of those given must fit
// one of the secrets, and the timestamp must be near now.
func (s signer) verify(h http.Header, body []byte, now time.Time) error {
	id, timestamp := h.Get(headerID), h.Get(headerTimestamp)
	if id == "" || timestamp == "" {
		return fault.New(fault.Unauthenticated, "%s and %s must come with a signature", headerID, headerTimestamp)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fault.New(fault.Unauthenticated, "%s must be Unix time in seconds", headerTimestamp)
	}
	if at := now.Unix(); seconds < at-int64(tolerance/time.Second) || seconds > at+int64(tolerance/time.Second) {
		return fault.New(fault.Unauthenticated, "%s is more than %s away from the time here", headerTimestamp, tolerance)
	}
	for _, given := range strings.Fields(strings.Join(h.Values(headerSignature), " ")) {
		given, ok := strings.CutPrefix(given, versionHMAC)
		if !ok {
			continue // another version, such as v1a
		}
		for _, key := range s.keys {
			if hmac.Equal([]byte(given), []byte(signature(key, id, timestamp, body))) {
				return nil
			}
		}
	}
	return fault.New(fault.Unauthenticated, "no signature fits")
}

func signature(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
