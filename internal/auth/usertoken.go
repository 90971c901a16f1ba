package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"handoff/internal/fault"
)

// Lifetimes of User tokens.
const (
	DefaultLifetime = time.Hour
	MinLifetime     = time.Minute
	MaxLifetime     = 24 * time.Hour
)

const (
	issuer   = "handoff"
	audience = "handoff:user"
	// leeway lets replicas' clocks differ a little: a token works this long
	// after the expiry it states.
	leeway = 5 * time.Second
	// minSigningKey is the least length of a key for HS256, in bytes (RFC 7518 §3.2).
	minSigningKey = 32
)

// userClaims is the payload of a User token.
type userClaims struct {
	jwt.RegisteredClaims
	AgentID        string `json:"agent"`
	ConversationID string `json:"conversation"`
}

// Validate implements jwt.ClaimsValidator, which the parser asks after its own checks.
func (c userClaims) Validate() error {
	if c.AgentID == "" || c.ConversationID == "" || c.ID == "" {
		return errors.New("agent, conversation or jti is missing")
	}
	return nil
}

// UserTokens mints and verifies User tokens: JWTs signed with HS256 (RFC 7515),
// whose kid header tells the key. It is safe for concurrent use.
type UserTokens struct {
	keys   []signingKey // at least one; the first signs
	now    func() time.Time
	parser *jwt.Parser
}

type signingKey struct {
	id     string
	secret []byte
}

// NewUserTokens makes a minter. The first key signs, all verify, so that tokens
// outlive the rotation of keys. Each key needs at least 32 bytes.
func NewUserTokens(keys [][]byte, now func() time.Time) (*UserTokens, error) {
	if len(keys) == 0 {
		return nil, errors.New("auth: at least one signing key is needed")
	}
	t := &UserTokens{now: now}
	for _, secret := range keys {
		if len(secret) < minSigningKey {
			return nil, errors.New("auth: a signing key needs at least 32 bytes")
		}
		sum := sha256.Sum256(secret)
		t.keys = append(t.keys, signingKey{id: hex.EncodeToString(sum[:8]), secret: slices.Clone(secret)})
	}
	t.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithTimeFunc(now),
		jwt.WithStrictDecoding(),
	)
	return t, nil
}

// Mint makes a token for one Conversation of one Agent, and tells the expiry
// that it states, in whole seconds. A lifetime of 0 means one hour; else it
// must be from 60 seconds to 24 hours, or the fault InvalidInput names
// lifetimeSeconds.
func (t *UserTokens) Mint(agentID, conversationID string, lifetime time.Duration) (token string, expiresAt time.Time, err error) {
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	if lifetime < MinLifetime || lifetime > MaxLifetime {
		return "", time.Time{}, fault.Invalid("lifetimeSeconds", "must be from %d to %d",
			int(MinLifetime.Seconds()), int(MaxLifetime.Seconds()))
	}
	now := t.now()
	claims := userClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Audience:  jwt.ClaimStrings{audience},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
			ID:        rand.Text(),
		},
		AgentID:        agentID,
		ConversationID: conversationID,
	}
	if err := claims.Validate(); err != nil {
		return "", time.Time{}, fault.Wrap(fault.Internal, err, "cannot mint a user token")
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	unsigned.Header["kid"] = t.keys[0].id
	token, err = unsigned.SignedString(t.keys[0].secret)
	if err != nil {
		return "", time.Time{}, fault.Wrap(fault.Internal, err, "cannot mint a user token")
	}
	return token, claims.ExpiresAt.Time, nil
}

// Verify checks a token and tells its caller. Its error says for logs what is
// wrong and holds nothing of the token.
func (t *UserTokens) Verify(token string) (Caller, error) {
	var claims userClaims
	if _, err := t.parser.ParseWithClaims(token, &claims, t.keyOf); err != nil {
		return Caller{}, err
	}
	return Caller{
		Role:           User,
		AgentID:        claims.AgentID,
		ConversationID: claims.ConversationID,
		KeyID:          claims.ID,
		ExpiresAt:      claims.ExpiresAt.Add(leeway),
	}, nil
}

// keyOf finds the key that the token's header names.
func (t *UserTokens) keyOf(token *jwt.Token) (any, error) {
	for _, k := range t.keys {
		if token.Header["kid"] == k.id {
			return k.secret, nil
		}
	}
	return nil, errors.New("unknown kid")
}
