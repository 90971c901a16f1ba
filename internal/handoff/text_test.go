package handoff_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func TestSplitText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		limit int
		want  []string
	}{
		"empty":                     {"", 4, []string{""}},
		"no limit":                  {"abcdefgh", 0, []string{"abcdefgh"}},
		"at the limit":              {"abcd", 4, []string{"abcd"}},
		"one beyond it":             {"abcde", 4, []string{"abcd", "e"}},
		"characters, not bytes":     {"語語語語", 4, []string{"語語語語"}},
		"one character each":        {"abc", 1, []string{"a", "b", "c"}},
		"after a space near by":     {"hello world again", 12, []string{"hello world ", "again"}},
		"not after one far away":    {"a bcdefghijklmnop", 12, []string{"a bcdefghijk", "lmnop"}},
		"after a line end":          {"hello\nworld of", 8, []string{"hello\nwo", "rld of"}},
		"a line end before a space": {"line one\nx yyyyyyy", 12, []string{"line one\nx ", "yyyyyyy"}},
		"a near line end":           {"0123456789\nx yyyyyyy", 12, []string{"0123456789\n", "x yyyyyyy"}},
		"CR LF stays together":      {"abcdefg\r\nrest", 8, []string{"abcdefg", "\r\nrest"}},
	} {
		require.Equal(t, c.want, handoff.SplitText(c.text, c.limit), name)
	}
}

// What the reader sees as one character, however it is made.
var clusters = map[string]string{
	"a decomposed letter":      "e\u0301",
	"a letter with many marks": "o\u0302\u0303\u0323",
	"an enclosing mark":        "1\ufe0f\u20e3",
	"a spacing mark":           "\u0ba8\u0bbf", // Tamil ni
	"a skin tone":              "\U0001F44B\U0001F3FD",
	"a family":                 "\U0001F468\u200d\U0001F469\u200d\U0001F467\u200d\U0001F466",
	"a heart on fire":          "\u2764\ufe0f\u200d\U0001F525",
	"a flag":                   "\U0001F1F9\U0001F1FC",
	"the flag of Scotland":     "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F",
	"a decomposed syllable":    "\u1112\u1161\u11ab", // Korean han, as some systems write it
	"a halfwidth voiced mark":  "\uff76\uff9e",       // Japanese ga
	"a space with an accent":   " \u0308",
	"CR LF":                    "\r\n",
}

func TestSplitTextNeverInsideACharacter(t *testing.T) {
	t.Parallel()
	for name, cluster := range clusters {
		size := utf8.RuneCountInString(cluster)
		text := strings.Repeat(cluster, 12)
		for _, prefix := range []string{"", "x", "xy", "xyz", "wxyz"} {
			for limit := size; limit <= 4*size+1; limit++ {
				parts := handoff.SplitText(prefix+text, limit)
				require.Equal(t, prefix+text, strings.Join(parts, ""), name)
				at := 0
				for _, part := range parts {
					require.NotEmpty(t, part)
					require.LessOrEqual(t, utf8.RuneCountInString(part), limit, name)
					whole := at <= len(prefix) || (at-len(prefix))%len(cluster) == 0
					require.True(t, whole, "%s after %q is cut at %d: %q", name, prefix, limit, parts)
					at += len(part)
				}
			}
		}
	}
}

// A cluster longer than the limit has to be cut somewhere; nothing is lost.
func TestSplitTextCutsWhatCannotBeKept(t *testing.T) {
	t.Parallel()
	text := "x" + strings.Repeat("\u0301", 100)
	parts := handoff.SplitText(text, 10)
	require.Equal(t, text, strings.Join(parts, ""))
	require.Len(t, parts, 11)
}

// The longest text that could make the search slow is cut in no time.
func TestSplitTextOfManyFlags(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("\U0001F1F9\U0001F1FC", 50_000)
	parts := handoff.SplitText("x"+text, handoff.MaxTextRunes)
	require.Equal(t, "x"+text, strings.Join(parts, ""))
	for _, part := range parts[1:] {
		require.Zero(t, utf8.RuneCountInString(part)%2)
	}
}

func FuzzSplitText(f *testing.F) {
	for _, cluster := range clusters {
		f.Add(strings.Repeat(cluster, 5), 7)
		f.Add("some words "+cluster+" and more\n", 3)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if !utf8.ValidString(text) {
			return // texts are valid before they come here
		}
		limit %= 64
		parts := handoff.SplitText(text, limit)
		require.Equal(t, text, strings.Join(parts, ""))
		if limit <= 0 {
			require.Len(t, parts, 1)
			return
		}
		for i, part := range parts {
			require.LessOrEqual(t, utf8.RuneCountInString(part), limit)
			require.True(t, i == 0 || part != "")
			if i == 0 {
				continue
			}
			// A part that begins with a mark was cut off from something longer than the limit.
			first, _ := utf8.DecodeRuneInString(part)
			if first == 0x0301 || first == 0x200d || first == 0xfe0f {
				previous := []rune(parts[i-1])
				require.Len(t, previous, limit)
			}
		}
	})
}
