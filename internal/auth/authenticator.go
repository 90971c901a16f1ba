package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"handoff/internal/fault"
)

// maxCredential bounds a credential, in bytes. User tokens, the longest kind,
// have about 400.
const maxCredential = 4096

// Authenticator tells who calls from an Authorization header. It is safe for
// concurrent use.
type Authenticator struct {
	adminHash [sha256.Size]byte
	keys      *agentKeys
	tokens    *UserTokens
}

// New makes an Authenticator. It fails if the administrator token is empty,
// because an empty credential must prove nothing.
func New(adminToken string, keys KeyFinder, tokens *UserTokens, now func() time.Time) (*Authenticator, error) {
	if adminToken == "" {
		return nil, errors.New("auth: the administrator token is empty")
	}
	return &Authenticator{
		adminHash: sha256.Sum256([]byte(adminToken)),
		keys:      newAgentKeys(keys, now),
		tokens:    tokens,
	}, nil
}

// Authenticate tells who calls. No header (empty, or only spaces) is the
// anonymous caller; "Bearer" with a valid credential is its owner; everything
// else is the fault Unauthenticated, with the same text whatever is wrong. If
// the KeyFinder could not answer, its error is returned as it is.
//
// The answer about an Agent key is believed for two seconds: a key revoked on
// another replica stops working here within that time. [Authenticator.Forget]
// makes it stop at once.
func (a *Authenticator) Authenticate(ctx context.Context, authorizationHeader string) (Caller, error) {
	header := strings.Trim(authorizationHeader, " ")
	if header == "" {
		return Caller{}, nil
	}
	credential, err := bearer(header)
	if err != nil {
		return Caller{}, unauthenticated(err)
	}
	switch {
	case a.isAdmin(credential):
		return Caller{Role: Administrator}, nil
	case looksLikeKey(credential):
		return a.byKey(ctx, credential)
	case strings.Count(credential, ".") == 2:
		caller, err := a.tokens.Verify(credential)
		if err != nil {
			return Caller{}, unauthenticated(err)
		}
		return caller, nil
	}
	return Caller{}, unauthenticated(errors.New("no known kind of credential"))
}

// Forget drops what is remembered about the Agent key with this hash, for the
// moment after it was revoked here.
func (a *Authenticator) Forget(hash string) { a.keys.forget(hash) }

// isAdmin compares hashes, so that the time depends neither on the length of
// the token nor on how much of it is right.
func (a *Authenticator) isAdmin(credential string) bool {
	hash := sha256.Sum256([]byte(credential))
	return subtle.ConstantTimeCompare(hash[:], a.adminHash[:]) == 1
}

func (a *Authenticator) byKey(ctx context.Context, credential string) (Caller, error) {
	owner, err := a.keys.find(ctx, HashKey(credential))
	if fault.Is(err, fault.NotFound) {
		return Caller{}, unauthenticated(err)
	}
	if err != nil {
		return Caller{}, err
	}
	return Caller{Role: AgentKey, AgentID: owner.agentID, KeyID: owner.keyID}, nil
}

// bearer takes the credential out of a header such as "Bearer abc". The scheme
// is read without regard to case (RFC 9110 §11.1).
func bearer(header string) (string, error) {
	scheme, credential, _ := strings.Cut(header, " ")
	credential = strings.TrimLeft(credential, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return "", errors.New("another scheme than Bearer")
	case credential == "":
		return "", errors.New("no credential after Bearer")
	case len(credential) > maxCredential:
		return "", errors.New("credential too long")
	case strings.ContainsFunc(credential, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("credential with a space or a character that is not ASCII")
	}
	return credential, nil
}

func unauthenticated(cause error) error {
	return fault.Wrap(fault.Unauthenticated, cause, "the credential is not valid")
}
