package handoff

import (
	"regexp"
	"strings"

	"handoff/internal/fault"
)

// MaxEmailLength is the longest address that SMTP can carry (RFC 5321 §4.5.3.1.3).
const MaxEmailLength = 254

// The form that we accept: deliberately simpler than RFC 5322, since an address
// typed by a User is confirmed by nobody. One @, nothing blank or invisible, a dot
// in the domain.
var emailForm = regexp.MustCompile(`^[^` + neverInEmail + `]+@[^` + neverInEmail + `.]+(\.[^` + neverInEmail + `.]+)+$`)

const neverInEmail = `\s\pZ\pC@<>(),;:"\[\]\\`

// emailInText finds candidates inside a sentence, cut off from punctuation around
// them, and from scripts that put no space between words: in 我的信箱是ann@example.com
// the address begins with "ann". An address in such a script is only understood by
// [ParseEmail].
var emailInText = regexp.MustCompile(`[` + spacedLetters + `!#$%&'*+/=?^_{|}~.\-]+@[` + spacedLetters + `\-]+(\.[` + spacedLetters + `\-]+)+`)

// Letters with their combining marks, and digits.
const spacedLetters = `\p{Latin}\p{Greek}\p{Cyrillic}\x{0300}-\x{036F}0-9`

// ParseEmail checks an address and returns it trimmed. The fault names the field
// and says what is wrong in words that may be shown to the User.
func ParseEmail(field, s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", fault.Invalid(field, "must not be empty")
	case len(s) > MaxEmailLength:
		return "", fault.Invalid(field, "has %d characters, at most %d are allowed", len(s), MaxEmailLength)
	case !cleanLine(s) || !emailForm.MatchString(s):
		return "", fault.Invalid(field, "is not an e-mail address such as name@example.com")
	}
	return s, nil
}

// FindEmail looks for one address in what a User typed. It returns "" when there
// is none, or more than one: guessing between two addresses would be wrong half of the time.
func FindEmail(text string) string {
	address := ""
	for _, candidate := range emailInText.FindAllString(text, -1) {
		candidate = strings.Trim(candidate, ".'")
		parsed, err := ParseEmail("email", candidate)
		if err != nil || strings.EqualFold(parsed, address) {
			continue
		}
		if address != "" {
			return ""
		}
		address = parsed
	}
	return address
}
