package webhook

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// The base64 of "handoff-webhook-vector-key-000001" and …2.
const (
	secret1 = "whsec_aGFuZG9mZi13ZWJob29rLXZlY3Rvci1rZXktMDAwMDAx"
	secret2 = "whsec_aGFuZG9mZi13ZWJob29rLXZlY3Rvci1rZXktMDAwMDAy"
)

func mustSigner(t testing.TB, secrets string) signer {
	t.Helper()
	s, err := newSigner("secret", secrets)
	require.NoError(t, err)
	return s
}

// The vector of the reference library of Standard Webhooks
// (libraries/go/webhook_test.go, TestWebhookSign), checked with openssl as well.
func TestReferenceVector(t *testing.T) {
	t.Parallel()
	s := mustSigner(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	h := http.Header{}
	body := []byte(`{"test": 2432232314}`)
	s.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1_614_265_330, 999), body)
	require.Equal(t, http.Header{
		"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
		"Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}, h)
	require.NoError(t, s.verify(h, body, time.Unix(1_614_265_330, 0)))
}

func TestUnsignedMode(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	mustSigner(t, " ").sign(h, "id", time.Unix(1, 0), nil)
	require.Empty(t, h)
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	const (
		body  = `{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000021000,"body":"您好，我是 Jo。"}`
		good1 = "v1,XtY9O1ZJHHMahBwJZIdrkpPwBNDWh+bYi9i+WtG3jKk=" // openssl, first secret
		good2 = "v1,XjdY1UxjUThE+RJXvB8J6oGcmrsUI6K6Lun+LuxNxVI=" // openssl, second secret
		bad   = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="
	)
	const at = 1_760_000_021
	type request struct {
		id, timestamp, body string
		signatures          []string
		secrets             string
		now                 int64
	}
	for name, c := range map[string]struct {
		change func(*request)
		ok     bool
	}{
		"good":                     {func(*request) {}, true},
		"second of our secrets":    {func(r *request) { r.signatures = []string{good2} }, true},
		"one of several":           {func(r *request) { r.signatures = []string{bad + " v1a,abc " + good1 + "  " + bad} }, true},
		"one of several lines":     {func(r *request) { r.signatures = []string{bad, good1} }, true},
		"five minutes late":        {func(r *request) { r.now = at + 300 }, true},
		"five minutes early":       {func(r *request) { r.now = at - 300 }, true},
		"too late":                 {func(r *request) { r.now = at + 301 }, false},
		"too early":                {func(r *request) { r.now = at - 301 }, false},
		"another secret":           {func(r *request) { r.secrets = secret2 }, false},
		"only bad ones":            {func(r *request) { r.signatures = []string{bad + " " + bad} }, false},
		"none":                     {func(r *request) { r.signatures = nil }, false},
		"no version":               {func(r *request) { r.signatures = []string{strings.TrimPrefix(good1, "v1,")} }, false},
		"another version":          {func(r *request) { r.signatures = []string{"v2" + strings.TrimPrefix(good1, "v1")} }, false},
		"asymmetric version":       {func(r *request) { r.signatures = []string{"v1a" + strings.TrimPrefix(good1, "v1")} }, false},
		"cut":                      {func(r *request) { r.signatures = []string{good1[:20]} }, false},
		"empty value":              {func(r *request) { r.signatures = []string{"v1,"} }, false},
		"altered byte":             {func(r *request) { r.body = strings.Replace(body, "Jo", "Jp", 1) }, false},
		"altered id":               {func(r *request) { r.id = "msg_8" }, false},
		"dot moved":                {func(r *request) { r.id, r.timestamp = "msg_9.1760000021", "1760000021" }, false},
		"no id":                    {func(r *request) { r.id = "" }, false},
		"no timestamp":             {func(r *request) { r.timestamp = "" }, false},
		"timestamp in other words": {func(r *request) { r.timestamp = "+1760000021" }, false},
		"milliseconds":             {func(r *request) { r.timestamp = "1760000021000" }, false},
		"no number":                {func(r *request) { r.timestamp = "now" }, false},
		"overflow":                 {func(r *request) { r.timestamp = "99999999999999999999" }, false},
		"smallest number":          {func(r *request) { r.timestamp = "-9223372036854775808" }, false},
	} {
		r := request{"msg_9", "1760000021", body, []string{good1}, secret1 + " " + secret2, at}
		c.change(&r)
		h := http.Header{"Webhook-Id": {r.id}, "Webhook-Timestamp": {r.timestamp}, "Webhook-Signature": r.signatures}
		err := mustSigner(t, r.secrets).verify(h, []byte(r.body), time.Unix(r.now, 0))
		if c.ok {
			require.NoError(t, err, name)
		} else {
			require.Equal(t, fault.Unauthenticated, fault.KindOf(err), name)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	secret := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, good := range []string{"", secret(24), secret(64), secret1 + " " + secret2, "  " + secret1 + "  "} {
		_, err := newSigner("f", good)
		require.NoError(t, err, good)
	}
	for _, bad := range []string{
		secret(23), secret(65), strings.TrimPrefix(secret1, "whsec_"), "whsec_", "whsec_!!!!", "whsk_" + secret1[6:], "WHSEC_" + secret1[6:],
		secret1 + "x", secret1 + "," + secret2, secret1 + " " + secret2 + " " + secret(24), secret1 + " x",
	} {
		_, err := newSigner("f", bad)
		f := fault.As(err)
		require.NotNil(t, f, bad)
		require.Equal(t, fault.InvalidInput, f.Kind)
		require.Equal(t, "f", f.Field)
		require.NotContains(t, f.Error(), "aGFuZG9m")
	}
}

// Whatever the header, only a signature that we could have made passes.
func FuzzVerifySignature(f *testing.F) {
	f.Add("msg_9", "1760000021", "v1,XtY9O1ZJHHMahBwJZIdrkpPwBNDWh+bYi9i+WtG3jKk=", []byte("{}"))
	f.Add("", "", "", []byte(nil))
	f.Add("a.b", "1760000021", "v1, v1,= v1a,x", []byte("x"))
	s := mustSigner(f, secret1)
	f.Fuzz(func(t *testing.T, id, timestamp, signatures string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signatures}}
		err := s.verify(h, body, time.Unix(1_760_000_021, 0))
		if err == nil {
			require.Contains(t, signatures, "v1,"+signature(s.keys[0], id, timestamp, body))
			return
		}
		require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
		if id == "" {
			return
		}
		signed := http.Header{}
		s.sign(signed, id, time.Unix(1_760_000_021, 0), body)
		require.NoError(t, s.verify(signed, body, time.Unix(1_760_000_021, 0)))
	})
}
