package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

const adminToken = "correct-horse-battery-staple"

// finder is a KeyFinder in memory that counts its questions.
type finder struct {
	mu     sync.Mutex
	owners map[string]keyOwner // by hash
	asked  int
	err    error
	during func() // runs after the answer is taken and before it is given
}

func (f *finder) FindAgentKey(ctx context.Context, hash string) (keyID, agentID string, err error) {
	f.mu.Lock()
	f.asked++
	owner, ok := f.owners[hash]
	err, during := f.err, f.during
	f.mu.Unlock()
	if during != nil {
		during()
	}
	switch {
	case err != nil:
		return "", "", err
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case !ok:
		return "", "", fault.Missing("agent key")
	}
	return owner.keyID, owner.agentID, nil
}

func (f *finder) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *finder) revoke(hash string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.owners, hash)
}

type bundle struct {
	*Authenticator
	clock  *clock
	finder *finder
	tokens *UserTokens
	key    Key // of agent-1
}

func setup(t testing.TB) *bundle {
	t.Helper()
	secret := "hk_0123456789abcdefghijklmnopqrstuv"
	b := &bundle{clock: &clock{noon}, key: Key{Secret: secret, Hash: HashKey(secret), Hint: "hk_0123…"}}
	b.finder = &finder{owners: map[string]keyOwner{b.key.Hash: {keyID: "key-1", agentID: "agent-1"}}}
	b.tokens = newTokens(t, b.clock.now, signingSecret(1))
	var err error
	b.Authenticator, err = New(adminToken, b.finder, b.tokens, b.clock.now)
	require.NoError(t, err)
	return b
}

func (b *bundle) callerOf(t *testing.T, header string) Caller {
	t.Helper()
	caller, err := b.Authenticate(t.Context(), header)
	require.NoError(t, err)
	return caller
}

func (b *bundle) requireRefused(t *testing.T, header string) {
	t.Helper()
	caller, err := b.Authenticate(t.Context(), header)
	require.Equal(t, Caller{}, caller)
	f := fault.As(err)
	require.NotNil(t, f, "%q was accepted", header)
	require.Equal(t, fault.Unauthenticated, f.Kind, "%q", header)
	require.Equal(t, "the credential is not valid", f.Public, "%q", header)
	if _, credential, ok := strings.Cut(header, " "); ok && strings.TrimSpace(credential) != "" {
		require.NotContains(t, fmt.Sprint(f.Cause), strings.TrimSpace(credential), "the cause goes to the log")
	}
}

func TestEachCredentialProvesItsCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := Caller{Role: AgentKey, AgentID: "agent-1", KeyID: "key-1"}
	for header, want := range map[string]Caller{
		"":                                {},
		"   ":                             {},
		"Bearer " + adminToken:            {Role: Administrator},
		"Bearer " + b.key.Secret:          agent,
		"bearer " + b.key.Secret:          agent,
		"BEARER   " + b.key.Secret + "  ": agent,
	} {
		require.Equal(t, want, b.callerOf(t, header), "%q", header)
	}
	user := b.callerOf(t, "Bearer "+mint(t, b.tokens, 0))
	require.Equal(t, User, user.Role)
	require.Equal(t, "agent-1", user.AgentID)
	require.Equal(t, "conversation-1", user.ConversationID)
	require.False(t, user.ExpiresAt.IsZero())
}

func TestEverythingElseIsRefusedAlike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := mint(t, b.tokens, time.Minute)
	for _, header := range []string{
		"Bearer", "Bearer ", "Bearer    ", adminToken, b.key.Secret, token,
		"Basic " + adminToken, "Token " + b.key.Secret, "Bearer: " + adminToken, "Bearer\t" + adminToken,
		"Bearer " + adminToken[1:], "Bearer " + adminToken + "x", "Bearer " + strings.ToUpper(adminToken),
		"Bearer " + adminToken + " " + b.key.Secret, "Bearer " + adminToken + "\n", "Bearer " + adminToken + "\x00",
		"Bearer " + NewKey().Secret, "Bearer " + b.key.Secret + "x", "Bearer " + b.key.Hash, "Bearer " + b.key.Hint,
		"Bearer " + token[:len(token)-4], "Bearer " + token + "." + token, "Bearer a.b.c", "Bearer ..",
		"Bearer schlüssel", "Bearer " + strings.Repeat("a", maxCredential), "Bearer " + strings.Repeat("a", maxCredential+1),
		"Bearer " + strings.Repeat("a.", maxCredential),
	} {
		b.requireRefused(t, header)
	}
	require.Equal(t, 1, b.finder.questions(), "only what looks like a key is looked up")

	b.clock.Time = noon.Add(time.Hour)
	b.requireRefused(t, "Bearer "+token)
}

func TestOnlyWhatCanBeACredentialIsLookedAt(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", maxCredential)
	credential, err := bearer("Bearer " + longest)
	require.NoError(t, err)
	require.Equal(t, longest, credential)
	for _, credential := range []string{longest + "a", "a b", "a\tb", "a\x7f", "é"} {
		_, err := bearer("Bearer " + credential)
		require.Error(t, err, "%q", credential)
	}
}

func TestEmptyAdministratorTokenIsRefused(t *testing.T) {
	t.Parallel()
	_, err := New("", &finder{}, nil, time.Now)
	require.ErrorContains(t, err, "empty")
}

func TestAdministratorTokenMayLookLikeAnything(t *testing.T) {
	t.Parallel()
	for _, token := range []string{NewKey().Secret, "one.two.three-and-more"} {
		a, err := New(token, &finder{}, nil, time.Now)
		require.NoError(t, err)
		caller, err := a.Authenticate(t.Context(), "Bearer "+token)
		require.NoError(t, err)
		require.Equal(t, Administrator, caller.Role)
	}
}

func TestKeyIsLookedUpOncePerTwoSeconds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + b.key.Secret
	for range 3 {
		require.Equal(t, AgentKey, b.callerOf(t, header).Role)
	}
	require.Equal(t, 1, b.finder.questions())

	b.finder.revoke(b.key.Hash) // by another replica
	b.clock.Time = noon.Add(2*time.Second - 1)
	require.Equal(t, AgentKey, b.callerOf(t, header).Role)
	b.clock.Time = noon.Add(2 * time.Second)
	b.requireRefused(t, header)
	require.Equal(t, 2, b.finder.questions())
}

func TestTheTwoSecondsCountFromTheQuestion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + b.key.Secret
	b.finder.during = func() { b.clock.Time = noon.Add(time.Second) } // a slow database
	require.Equal(t, AgentKey, b.callerOf(t, header).Role)
	b.finder.during = nil
	b.finder.revoke(b.key.Hash)
	b.clock.Time = noon.Add(2 * time.Second)
	b.requireRefused(t, header)
}

func TestUnknownKeyIsLookedUpOncePerTwoSeconds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + NewKey().Secret
	for range 3 {
		b.requireRefused(t, header)
	}
	require.Equal(t, 1, b.finder.questions())
	b.clock.Time = noon.Add(2 * time.Second)
	b.requireRefused(t, header)
	require.Equal(t, 2, b.finder.questions())
}

func TestForgottenKeyIsAskedForAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + b.key.Secret
	b.callerOf(t, header)
	b.finder.revoke(b.key.Hash)
	b.Forget(b.key.Hash)
	b.requireRefused(t, header)

	b.finder.owners[b.key.Hash] = keyOwner{"key-1", "agent-1"}
	b.Forget(b.key.Hash)
	b.callerOf(t, header)
}

func TestAnswerFromBeforeARevocationIsNotKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + b.key.Secret
	b.finder.during = func() { // the key is revoked while its answer is on the way
		b.finder.revoke(b.key.Hash)
		b.Forget(b.key.Hash)
	}
	b.callerOf(t, header)
	b.finder.during = nil
	b.requireRefused(t, header)
}

func TestTroubleOfTheFinderIsNotARefusal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + b.key.Secret
	b.finder.err = errors.New("database is down")
	_, err := b.Authenticate(t.Context(), header)
	require.ErrorIs(t, err, b.finder.err)
	require.True(t, fault.Is(err, fault.Internal))
	b.finder.err = nil
	require.Equal(t, AgentKey, b.callerOf(t, header).Role, "trouble is not remembered")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Authenticate(ctx, "Bearer "+NewKey().Secret)
	require.True(t, fault.Is(err, fault.Canceled))
}

func TestMemoryOfKeysIsBoundedAndInventedKeysPushNothingOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	header := "Bearer " + b.key.Secret
	b.callerOf(t, header)
	for range keyCacheSize + 10 {
		b.requireRefused(t, "Bearer "+NewKey().Secret)
	}
	before := b.finder.questions()
	b.callerOf(t, header)
	require.Equal(t, before, b.finder.questions())
	require.Len(t, b.keys.unknown.entries, keyCacheSize)
	require.Equal(t, keyCacheSize, b.keys.unknown.order.Len())
}

func TestManyCallersAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := mint(t, b.tokens, 0)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 50 {
				switch i % 4 {
				case 0:
					_, _ = b.Authenticate(t.Context(), "Bearer "+b.key.Secret)
				case 1:
					_, _ = b.Authenticate(t.Context(), "Bearer "+NewKey().Secret)
				case 2:
					_, _ = b.Authenticate(t.Context(), "Bearer "+token)
				case 3:
					b.Forget(b.key.Hash)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, AgentKey, b.callerOf(t, "Bearer "+b.key.Secret).Role)
}

func TestCacheDropsTheOldestFirst(t *testing.T) {
	t.Parallel()
	c := newExpiringCache[int](time.Second, 2)
	c.put("a", 1, noon)
	c.put("b", 2, noon)
	c.put("a", 3, noon) // young again
	c.put("c", 4, noon)
	for key, want := range map[string]int{"a": 3, "c": 4} {
		got, ok := c.get(key, noon)
		require.True(t, ok, key)
		require.Equal(t, want, got)
	}
	_, ok := c.get("b", noon)
	require.False(t, ok)
	c.forget("b")
	c.forget("a")
	require.Len(t, c.entries, 1)
	require.Equal(t, 1, c.order.Len())
}

func FuzzAuthenticate(f *testing.F) {
	b := setup(f)
	for _, seed := range []string{
		"", " ", "Bearer", "Bearer " + adminToken, "Bearer " + b.key.Secret, "bearer  " + adminToken + " ",
		"Basic dTpw", "Bearer hk_", "Bearer a.b.c", "Bearer\x00", "Bearer é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		caller, err := b.Authenticate(t.Context(), header)
		scheme, credential, _ := strings.Cut(strings.Trim(header, " "), " ")
		credential = strings.Trim(credential, " ")
		var want Role
		switch {
		case strings.Trim(header, " ") == "":
			require.NoError(t, err)
			return
		case !strings.EqualFold(scheme, "bearer"):
		case credential == adminToken:
			want = Administrator
		case credential == b.key.Secret:
			want = AgentKey
		}
		require.Equal(t, want, caller.Role) // FuzzVerify knows that no token can be invented
		if want == Anonymous {
			require.Equal(t, "the credential is not valid", fault.As(err).Public)
			require.Equal(t, fault.Unauthenticated, fault.As(err).Kind)
		} else {
			require.NoError(t, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	bundle := setup(b)
	for name, credential := range map[string]string{
		"administrator": adminToken,
		"agent key":     bundle.key.Secret,
		"user token":    mint(b, bundle.tokens, 0),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := bundle.Authenticate(b.Context(), "Bearer "+credential); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
