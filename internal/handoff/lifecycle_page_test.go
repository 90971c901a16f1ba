package handoff_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

var update = flag.Bool("update", false, "write the generated parts of docs/lifecycle.md")

// The page is written by hand around these parts, each between two marker lines.
const (
	lifecyclePage = "../../docs/lifecycle.md"
	beginOf       = "<!-- generated from internal/handoff/lifecycle.go: %s -->\n"
	endOfPart     = "<!-- end of the generated part -->\n"
	howToGenerate = "run `go test ./internal/handoff -run TestLifecyclePage -update`"
)

// TestLifecyclePage compares the picture and the tables of docs/lifecycle.md with the code.
func TestLifecyclePage(t *testing.T) {
	raw, err := os.ReadFile(lifecyclePage)
	require.NoError(t, err)
	is := string(raw)
	want := is
	for _, part := range []struct{ name, text string }{
		{"picture", picture()},
		{"deadlines", deadlineTable()},
		{"rules", ruleTable()},
	} {
		begin := fmt.Sprintf(beginOf, part.name)
		before, rest, ok := strings.Cut(want, begin)
		require.True(t, ok, "docs/lifecycle.md has no line %q", begin)
		_, after, ok := strings.Cut(rest, endOfPart)
		require.True(t, ok, "docs/lifecycle.md has no line %q after %q", endOfPart, begin)
		want = before + begin + "\n" + part.text + "\n" + endOfPart + after
	}
	if *update {
		require.NoError(t, os.WriteFile(lifecyclePage, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, is, "docs/lifecycle.md is not what the code does; "+howToGenerate)
}

// Every word of the lifecycle that a reader of the API meets is explained on the page.
func TestLifecyclePageExplainsEveryWord(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(lifecyclePage)
	require.NoError(t, err)
	prose := string(raw)
	for {
		before, rest, found := strings.Cut(prose, "<!-- generated")
		if !found {
			break
		}
		_, after, _ := strings.Cut(rest, endOfPart)
		prose = before + after
	}
	for _, word := range slices.Concat(texts(handoff.States), texts(handoff.CloseReasons)) {
		require.Contains(t, prose, "`"+word+"`")
	}
}

// picture draws every change of state; inputs that lead the same way share an arrow.
func picture() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, from := range fromStates {
		for _, to := range handoff.States {
			var inputs []string
			for _, r := range handoff.Lifecycle() {
				if r.From == from && r.To == to && from != to {
					inputs = append(inputs, string(r.On))
				}
			}
			if len(inputs) > 0 {
				fmt.Fprintf(&b, "    %s --> %s: %s\n", cmp.Or(from, "[*]"), to, strings.Join(inputs, "<br/>"))
			}
		}
	}
	b.WriteString("    CLOSED --> [*]\n```\n")
	return b.String()
}

func ruleTable() string {
	var b strings.Builder
	b.WriteString("| In | On | Go to | Reason | Effects |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range handoff.Lifecycle() {
		next, effects := string(r.To), strings.Join(texts(r.Effects), ", ")
		if r.From == r.To {
			next = "–"
		}
		if r.Quiet() {
			effects = "nothing"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cmp.Or(r.From, "(none yet)"), r.On, next, r.Reason, effects)
	}
	return b.String()
}

func deadlineTable() string {
	var b strings.Builder
	b.WriteString("| Deadline | In | Setting | Default | From … to | When it comes |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, d := range []struct {
		kind     handoff.DeadlineKind
		state    handoff.State
		setting  string
		standard handoff.Seconds
		longest  handoff.Seconds
		inputs   []handoff.Input
	}{
		{handoff.DeadlineEmail, handoff.StateCollectingEmail, "emailTimeoutSeconds", handoff.DefaultEmailTimeout, handoff.MaxEmailTimeout, []handoff.Input{handoff.EmailAbandoned}},
		{handoff.DeadlineWait, handoff.StateWaiting, "waitTimeoutSeconds", handoff.DefaultWaitTimeout, handoff.MaxWaitTimeout, []handoff.Input{handoff.WaitElapsed, handoff.WaitEnded}},
		{handoff.DeadlineAnswer, handoff.StateWaitExpired, "waitTimeoutSeconds", handoff.DefaultWaitTimeout, handoff.MaxWaitTimeout, []handoff.Input{handoff.AnswerElapsed}},
		{handoff.DeadlineSession, handoff.StateActive, "sessionTimeoutSeconds", handoff.DefaultSessionTimeout, handoff.MaxSessionTimeout, []handoff.Input{handoff.SessionElapsed}},
	} {
		fmt.Fprintf(&b, "| %s | %s | `%s` | %d s | %d … %d s | %s |\n",
			d.kind, d.state, d.setting, d.standard, handoff.MinTimeout, d.longest, strings.Join(texts(d.inputs), " or "))
	}
	return b.String()
}
