package apptest

import (
	"fmt"
	"strings"
)

// listing shows the newest of a list, one a line, in the message of a failure.
func listing[T any](items []T) string {
	const most = 40
	var b strings.Builder
	if skipped := len(items) - most; skipped > 0 {
		fmt.Fprintf(&b, "  … %d more before\n", skipped)
		items = items[skipped:]
	}
	for _, item := range items {
		fmt.Fprintf(&b, "  %v\n", item)
	}
	return b.String()
}
