package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Variable string // e.g. "HANDOFF_ADDR"
	Text     string // what is wrong and what is allowed; holds no secret
}

// Mistakes is the error of [Load]: everything that is wrong, in the order of
// [Reference], unknown variables last.
type Mistakes []Mistake

// Error gives one line per mistake.
func (m Mistakes) Error() string {
	var b strings.Builder
	if len(m) == 1 {
		b.WriteString("1 mistake in the configuration:")
	} else {
		fmt.Fprintf(&b, "%d mistakes in the configuration:", len(m))
	}
	for _, mistake := range m {
		fmt.Fprintf(&b, "\n  %s: %s", mistake.Variable, mistake.Text)
	}
	return b.String()
}
