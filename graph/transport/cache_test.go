package transport

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTextCacheKeepsTheRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := newTextCache[int](12)
	c.Add(t.Context(), "aaa", 1)
	c.Add(t.Context(), "bbb", 2)
	c.Add(t.Context(), "ccc", 3)
	c.Add(t.Context(), "ddd", 4)
	_, ok := c.Get(t.Context(), "aaa")
	require.True(t, ok)
	c.Add(t.Context(), "eee", 5)
	_, ok = c.Get(t.Context(), "bbb")
	require.False(t, ok, "the least recently used goes")
	value, ok := c.Get(t.Context(), "aaa")
	require.True(t, ok)
	require.Equal(t, 1, value)
	c.Add(t.Context(), "aaa", 6)
	value, _ = c.Get(t.Context(), "aaa")
	require.Equal(t, 6, value)
	c.Add(t.Context(), "over a quarter", 7)
	_, ok = c.Get(t.Context(), "over a quarter")
	require.False(t, ok)
}

func TestTextCacheCountsTextValues(t *testing.T) {
	t.Parallel()
	c := newTextCache[string](100)
	for _, key := range []string{"1", "2", "3", "4", "5"} {
		c.Add(t.Context(), key, strings.Repeat("x", 24))
	}
	_, ok := c.Get(t.Context(), "1")
	require.False(t, ok)
	_, ok = c.Get(t.Context(), "2")
	require.True(t, ok)
}

func TestTextCacheStaysInItsBudget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.IntRange(1, 64).Draw(t, "budget")
		c := newTextCache[string](budget)
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			key := rapid.StringN(0, 4, 8).Draw(t, "key")
			if rapid.Bool().Draw(t, "add") {
				c.Add(t.Context(), key, rapid.StringN(0, 8, 16).Draw(t, "value"))
			} else {
				c.Get(t.Context(), key)
			}
			held := 0
			for key, element := range c.byKey {
				held += len(key) + len(element.Value.(*cached[string]).value)
			}
			require.Equal(t, held, c.size)
			require.LessOrEqual(t, c.size, budget)
			require.Equal(t, len(c.byKey), c.order.Len())
		}
	})
}
