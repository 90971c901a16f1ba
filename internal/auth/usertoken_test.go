package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)

func signingSecret(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// clock is a time that a test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newTokens(t testing.TB, now func() time.Time, secrets ...[]byte) *UserTokens {
	t.Helper()
	tokens, err := NewUserTokens(secrets, now)
	require.NoError(t, err)
	return tokens
}

func mint(t testing.TB, tokens *UserTokens, lifetime time.Duration) string {
	t.Helper()
	token, _, err := tokens.Mint("agent-1", "conversation-1", lifetime)
	require.NoError(t, err)
	return token
}

func TestMintedTokenNamesItsCaller(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	tokens := newTokens(t, c.now, signingSecret(1))
	token, expiresAt, err := tokens.Mint("agent-1", "conversation-1", 0)
	require.NoError(t, err)
	require.True(t, expiresAt.Equal(noon.Truncate(time.Second).Add(time.Hour)))

	caller, err := tokens.Verify(token)
	require.NoError(t, err)
	require.Len(t, caller.KeyID, 26)
	require.True(t, caller.ExpiresAt.Equal(expiresAt.Add(leeway)))
	caller.KeyID, caller.ExpiresAt = "", time.Time{}
	require.Equal(t, Caller{Role: User, AgentID: "agent-1", ConversationID: "conversation-1"}, caller)
	require.NotEqual(t, token, mint(t, tokens, 0), "every token has an id of its own")
}

func TestPayloadOfAMintedToken(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	parts := strings.Split(mint(t, newTokens(t, c.now, signingSecret(1)), time.Minute), ".")
	decode := func(part string) (m map[string]any) {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &m))
		return m
	}
	header, payload := decode(parts[0]), decode(parts[1])
	delete(payload, "jti")
	// The kid is the beginning of: head -c32 /dev/zero | tr '\0' '\1' | sha256sum
	require.Equal(t, map[string]any{"alg": "HS256", "typ": "JWT", "kid": "72cd6e8422c407fb"}, header)
	require.Equal(t, map[string]any{
		"iss": "handoff", "aud": []any{"handoff:user"}, "agent": "agent-1", "conversation": "conversation-1",
		"iat": float64(noon.Unix()), "exp": float64(noon.Unix() + 60),
	}, payload)
}

func TestLifetimeOfATokenIsBounded(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	tokens := newTokens(t, c.now, signingSecret(1))
	for _, lifetime := range []time.Duration{MinLifetime, DefaultLifetime, MaxLifetime} {
		_, expiresAt, err := tokens.Mint("a", "c", lifetime)
		require.NoError(t, err)
		require.True(t, expiresAt.Equal(noon.Truncate(time.Second).Add(lifetime)))
	}
	for _, lifetime := range []time.Duration{-time.Hour, 1, MinLifetime - 1, MaxLifetime + 1} {
		_, _, err := tokens.Mint("a", "c", lifetime)
		f := fault.As(err)
		require.NotNil(t, f)
		require.Equal(t, fault.InvalidInput, f.Kind)
		require.Equal(t, "lifetimeSeconds", f.Field)
		require.Contains(t, f.Public, "60 to 86400")
	}
}

func TestTokenWithoutOwnerIsNotMinted(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, (&clock{noon}).now, signingSecret(1))
	for _, ids := range [][2]string{{"", "c"}, {"a", ""}} {
		_, _, err := tokens.Mint(ids[0], ids[1], 0)
		require.True(t, fault.Is(err, fault.Internal))
	}
}

func TestTokenEndsAtItsExpiry(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	tokens := newTokens(t, c.now, signingSecret(1))
	token := mint(t, tokens, time.Minute)
	caller, err := tokens.Verify(token)
	require.NoError(t, err)

	c.Time = caller.ExpiresAt.Add(-1)
	_, err = tokens.Verify(token)
	require.NoError(t, err)
	c.Time = caller.ExpiresAt
	_, err = tokens.Verify(token)
	require.ErrorIs(t, err, jwt.ErrTokenExpired)
}

func TestKeysOfTokensRotate(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	old := mint(t, newTokens(t, c.now, signingSecret(1)), 0)

	rotated := newTokens(t, c.now, signingSecret(2), signingSecret(1))
	_, err := rotated.Verify(old)
	require.NoError(t, err)
	_, err = newTokens(t, c.now, signingSecret(2)).Verify(mint(t, rotated, 0))
	require.NoError(t, err, "the first key signs")

	_, err = newTokens(t, c.now, signingSecret(2)).Verify(old)
	require.ErrorIs(t, err, jwt.ErrTokenUnverifiable)
}

// forge signs any header and claims with any key.
func forge(t testing.TB, method jwt.SigningMethod, header, claims map[string]any, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	tokens := newTokens(t, c.now, signingSecret(1))
	kid := map[string]any{"kid": tokens.keys[0].id}
	claims := func(change map[string]any) map[string]any {
		m := map[string]any{
			"iss": issuer, "aud": audience, "agent": "a", "conversation": "c", "jti": "j",
			"iat": noon.Unix(), "exp": noon.Unix() + 60,
		}
		for name, value := range change {
			if value == nil {
				delete(m, name)
			} else {
				m[name] = value
			}
		}
		return m
	}
	secret := signingSecret(1)
	_, err := tokens.Verify(forge(t, jwt.SigningMethodHS256, kid, claims(nil), secret))
	require.NoError(t, err, "the forger can make a good one")

	good := mint(t, tokens, 0)
	parts := strings.Split(good, ".")
	otherPayload := strings.Split(mint(t, tokens, 0), ".")[1]
	for name, token := range map[string]string{
		"unsigned":             forge(t, jwt.SigningMethodNone, kid, claims(nil), jwt.UnsafeAllowNoneSignatureType),
		"another method":       forge(t, jwt.SigningMethodHS512, kid, claims(nil), secret),
		"another key":          forge(t, jwt.SigningMethodHS256, kid, claims(nil), signingSecret(2)),
		"no kid":               forge(t, jwt.SigningMethodHS256, nil, claims(nil), secret),
		"unknown kid":          forge(t, jwt.SigningMethodHS256, map[string]any{"kid": "x"}, claims(nil), secret),
		"kid of another type":  forge(t, jwt.SigningMethodHS256, map[string]any{"kid": []string{"x"}}, claims(nil), secret),
		"alg of another type":  forge(t, jwt.SigningMethodHS256, map[string]any{"kid": kid["kid"], "alg": 7}, claims(nil), secret),
		"no issuer":            forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"iss": nil}), secret),
		"another issuer":       forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"iss": "x"}), secret),
		"no audience":          forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"aud": nil}), secret),
		"another audience":     forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"aud": "handoff:admin"}), secret),
		"no expiry":            forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"exp": nil}), secret),
		"expired":              forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"exp": noon.Unix() - 5}), secret),
		"endless expiry":       forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"exp": "never"}), secret),
		"not valid yet":        forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"nbf": noon.Unix() + 60}), secret),
		"no agent":             forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"agent": nil}), secret),
		"no conversation":      forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"conversation": ""}), secret),
		"no jti":               forge(t, jwt.SigningMethodHS256, kid, claims(map[string]any{"jti": nil}), secret),
		"payload exchanged":    parts[0] + "." + otherPayload + "." + parts[2],
		"signature cut":        good[:len(good)-4],
		"no signature":         parts[0] + "." + parts[1] + ".",
		"a part more":          good + ".x",
		"padded":               good + "=",
		"spare bits set":       good[:len(good)-1] + string(good[len(good)-1]+1),
		"payload is null":      parts[0] + ".bnVsbA." + parts[2],
		"header is null":       "bnVsbA." + parts[1] + "." + parts[2],
		"empty":                "",
		"dots":                 "..",
		"not base64, not JSON": "a.b.c",
	} {
		caller, err := tokens.Verify(token)
		require.Error(t, err, name)
		require.Equal(t, Caller{}, caller, name)
		for _, part := range parts {
			require.NotContains(t, err.Error(), part, name)
		}
	}
}

func TestSigningKeysAreChecked(t *testing.T) {
	t.Parallel()
	_, err := NewUserTokens(nil, time.Now)
	require.Error(t, err)
	_, err = NewUserTokens([][]byte{signingSecret(1), make([]byte, 31)}, time.Now)
	require.ErrorContains(t, err, "32 bytes")
}

func TestMinterKeepsItsOwnCopyOfTheKeys(t *testing.T) {
	t.Parallel()
	secret := signingSecret(1)
	tokens := newTokens(t, (&clock{noon}).now, secret)
	token := mint(t, tokens, 0)
	clear(secret)
	_, err := tokens.Verify(token)
	require.NoError(t, err)
}

func FuzzVerify(f *testing.F) {
	c := &clock{noon}
	tokens := newTokens(f, c.now, signingSecret(1))
	// Not minted, because that is random and fuzzing runs in several processes.
	good := forge(f, jwt.SigningMethodHS256, map[string]any{"kid": tokens.keys[0].id}, map[string]any{
		"iss": issuer, "aud": audience, "agent": "agent-1", "conversation": "c", "jti": "j", "exp": noon.Unix() + 60,
	}, signingSecret(1))
	for _, seed := range []string{
		good, "", "..", "a.b.c", strings.ToUpper(good),
		forge(f, jwt.SigningMethodNone, nil, map[string]any{"agent": "a"}, jwt.UnsafeAllowNoneSignatureType),
		forge(f, jwt.SigningMethodHS256, map[string]any{"kid": tokens.keys[0].id}, map[string]any{"exp": 1e300}, signingSecret(1)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		caller, err := tokens.Verify(token)
		if token == good {
			require.NoError(t, err)
			require.Equal(t, "agent-1", caller.AgentID)
			return
		}
		require.Error(t, err)
		require.Equal(t, Caller{}, caller)
	})
}
