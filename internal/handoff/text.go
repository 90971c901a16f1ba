package handoff

import (
	"unicode"
	"unicode/utf8"
)

// SplitText cuts a text into parts of at most limit characters, at a line end or
// a space where there is one in the last quarter, and never between a character
// and the marks that combine with it. An empty text gives one empty part.
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
		if unicode.IsSpace(runes[i-1]) {
			return i
		}
	}
	for i := limit; i > limit/2; i-- {
		if !joins(runes[i-1], runes[i]) {
			return i
		}
	}
	return limit
}

// joins reports whether b belongs to what a begins: combining marks, variation
// selectors, skin tones, joined emoji and flags.
func joins(a, b rune) bool {
	const zeroWidthJoiner = 0x200D
	switch {
	case unicode.In(b, unicode.Mn, unicode.Me, unicode.Mc):
		return true
	case a == zeroWidthJoiner || b == zeroWidthJoiner:
		return true
	case b >= 0x1F3FB && b <= 0x1F3FF: // skin tones
		return true
	case isRegional(a) && isRegional(b):
		return true
	case a == '\r' && b == '\n':
		return true
	}
	return false
}

func isRegional(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }
