package intercom

import (
	"crypto/hmac"
	"crypto/sha1" // Intercom signs with HMAC-SHA1
	"encoding/hex"
	"net/http"
	"strings"

	"handoff/internal/fault"
)

// headerSignature carries "sha1=" and the HMAC-SHA1 of the exact body in
// hexadecimal digits, keyed with the client secret of the app.
const headerSignature = "X-Hub-Signature"

// verify checks the signature of a webhook.
func verify(secret []byte, h http.Header, body []byte) error {
	given, found := strings.CutPrefix(h.Get(headerSignature), "sha1=")
	if !found {
		return fault.New(fault.Unauthenticated, "%s is missing or is not sha1", headerSignature)
	}
	mac := hmac.New(sha1.New, secret)
	mac.Write(body)
	if !hmac.Equal([]byte(given), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return fault.New(fault.Unauthenticated, "%s does not fit", headerSignature)
	}
	return nil
}
