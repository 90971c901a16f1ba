package auth

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	letters := map[rune]int{}
	const keys = 2000
	for range keys {
		k := NewKey()
		require.Regexp(t, `^hk_[0-9A-Za-z]{32}$`, k.Secret)
		require.Equal(t, HashKey(k.Secret), k.Hash)
		require.Equal(t, k.Secret[:7]+"…", k.Hint)
		require.True(t, looksLikeKey(k.Secret))
		require.False(t, seen[k.Secret])
		seen[k.Secret] = true
		for _, r := range strings.TrimPrefix(k.Secret, "hk_") {
			letters[r]++
		}
	}
	// Each letter is expected 2000·32/62 = 1032 times, with a deviation of 32.
	// Taking bytes modulo 62 without a limit would make "0" come 1250 times.
	require.Len(t, letters, 62)
	for r, n := range letters {
		require.InDelta(t, 1032, n, 7*32, "%c", r)
	}
	require.InDelta(t, 1032, letters['0'], 5*32)
}

func TestHashKeyIsSHA256(t *testing.T) {
	t.Parallel()
	// printf %s hk_ABC | sha256sum
	require.Equal(t, "95ac73f19c2fd3d372d88a30a38fd13e60d247c1dca01cf6c472d8c4cada6575", HashKey("hk_ABC"))
}

func TestLooksLikeKey(t *testing.T) {
	t.Parallel()
	random := strings.Repeat("aZ09", 8)
	require.True(t, looksLikeKey("hk_"+random))
	for _, text := range []string{
		"", "hk_", "hk_" + random[1:], "hk_" + random + "a", "HK_" + random, random,
		"hk_" + random[1:] + "-", "hk_" + random[1:] + "_", "hk_" + random[2:] + "é", "hk_" + random[1:] + "\x00",
	} {
		require.False(t, looksLikeKey(text), "%q", text)
	}
}
