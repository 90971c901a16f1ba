package handoff

import (
	"unicode"
	"unicode/utf8"
)

// SplitText cuts a text, which must be valid UTF-8, into parts of at most limit
// characters, at a line end or a space where there is one in the last quarter, and
// never inside what the reader sees as one character, unless that alone is longer
// than the limit. An empty text gives one empty part.
func SplitText(s string, limit int) []string {
	if limit <= 0 || utf8.RuneCountInString(s) <= limit {
		return []string{s}
	}
	var parts []string
	runes := []rune(s)
	for len(runes) > limit {
		cut := splitAt(runes, limit)
		parts = append(parts, string(runes[:cut]))
		runes = runes[cut:]
	}
	return append(parts, string(runes))
}

func splitAt(runes []rune, limit int) int {
	for i := limit; i > limit-limit/4; i-- {
		if runes[i-1] == '\n' {
			return i
		}
	}
	for i := limit; i > limit-limit/4; i-- {
		if unicode.IsSpace(runes[i-1]) && !joined(runes, i) {
			return i
		}
	}
	for i := limit; i > 0; i-- {
		if !joined(runes, i) {
			return i
		}
	}
	return limit
}

// joined reports whether the character at i belongs to what the one before it
// begins. These are the rules of Unicode UAX #29 that chats meet: combining marks,
// joined emoji with skin tones and tags, flags, decomposed Korean, CR LF.
func joined(runes []rune, i int) bool {
	const zeroWidthJoiner = 0x200D
	a, b := runes[i-1], runes[i]
	switch {
	case unicode.In(b, unicode.Mn, unicode.Me, unicode.Mc, unicode.Other_Grapheme_Extend):
		return true
	case a == zeroWidthJoiner || b == zeroWidthJoiner:
		return true
	case b >= 0x1F3FB && b <= 0x1F3FF: // skin tones
		return true
	case isRegional(b): // a flag is a pair of these
		before := 0
		for before < i && isRegional(runes[i-1-before]) {
			before++
		}
		return before%2 == 1
	case b >= 0x1160 && b <= 0x11FF || b >= 0xD7B0 && b <= 0xD7FB: // vowels and finals of Korean syllables
		return true
	case a == '\r' && b == '\n':
		return true
	}
	return false
}

func isRegional(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }
