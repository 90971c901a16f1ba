package handoff

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"handoff/internal/fault"
)

// cleanLine reports whether s is valid UTF-8 without control characters.
func cleanLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// validLine trims *s in place and checks that it is one line of at most limit characters.
func validLine(field string, s *string, limit int) error {
	*s = strings.TrimSpace(*s)
	if n := utf8.RuneCountInString(*s); n > limit {
		return fault.Invalid(field, "has %d characters, at most %d are allowed", n, limit)
	}
	if !cleanLine(*s) {
		return fault.Invalid(field, "must be one line of valid UTF-8 without control characters")
	}
	return nil
}

// validText checks a text that may have many lines. NUL is refused because
// Postgres cannot store it.
func validText(field, s string, limit int) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return fault.Invalid(field, "must be valid UTF-8 without NUL")
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return fault.Invalid(field, "has %d characters, at most %d are allowed", n, limit)
	}
	return nil
}

func validKey(key string) error {
	if len(key) > MaxIdempotencyKeyLength {
		return fault.Invalid("idempotencyKey", "has %d bytes, at most %d are allowed", len(key), MaxIdempotencyKeyLength)
	}
	if !cleanLine(key) {
		return fault.Invalid("idempotencyKey", "must be one line of valid UTF-8 without control characters")
	}
	return nil
}

// validLanguage checks a BCP 47 tag and returns its canonical form; "" stays "".
func validLanguage(field, tag string) (string, error) {
	tag = strings.TrimSpace(tag)
	if tag == "" {
		return "", nil
	}
	if len(tag) > MaxLanguageTagLength {
		return "", fault.Invalid(field, "has %d characters, at most %d are allowed", len(tag), MaxLanguageTagLength)
	}
	parsed, err := language.Parse(tag)
	if err != nil {
		return "", fault.Invalid(field, "%q is not a BCP 47 language tag such as en or zh-TW", tag)
	}
	return parsed.String(), nil
}
