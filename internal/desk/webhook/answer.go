package webhook

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// unreadableCode stands for a code that is no whole number; it is no success.
const unreadableCode = -1

// codeOf finds the member "code" of the JSON object that a server answered. It is
// not found in anything else, or when it is null. The body may have been cut off
// behind it. A number in quotes counts as the number.
func codeOf(body []byte) (code int64, found bool) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))) // .NET likes a byte order mark
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return 0, false
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return 0, false
		}
		if name != "code" {
			var skipped json.RawMessage
			if err := decoder.Decode(&skipped); err != nil {
				return 0, false
			}
			continue
		}
		value, err := decoder.Token()
		if err != nil || value == nil {
			return 0, false
		}
		return number(value), true
	}
	return 0, false
}

func number(value json.Token) int64 {
	var text string
	switch v := value.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	default:
		return unreadableCode
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == float64(int32(f)) {
		return int64(f)
	}
	return unreadableCode
}
