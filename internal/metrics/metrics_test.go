package metrics

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

// The page for operators has every metric with its labels, and no other.
func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	m := New("test")
	m.WatchHandoffs(func(context.Context) (map[handoff.State]int64, error) { return nil, nil })
	described := make(chan *prometheus.Desc)
	go func() {
		m.registry.Describe(described)
		close(described)
	}()
	description := regexp.MustCompile(`fqName: "(handoff_\w+)".*constLabels: {([^{}]*)}, variableLabels: {([^{}]*)}`)
	want := map[string][]string{}
	for d := range described {
		if found := description.FindStringSubmatch(d.String()); found != nil {
			labels := strings.Split(found[3], ",")
			if found[2] != "" {
				labels = []string{strings.Split(found[2], "=")[0]}
			}
			want[found[1]] = slices.DeleteFunc(labels, func(l string) bool { return l == "" })
		}
	}
	require.NotEmpty(t, want)

	page, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	got := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(handoff_\\w+)` \\|(.*?)\\|")
	name := regexp.MustCompile("`(\\w+)`")
	for _, found := range row.FindAllStringSubmatch(string(page), -1) {
		labels := []string{}
		for _, label := range name.FindAllStringSubmatch(found[2], -1) {
			labels = append(labels, label[1])
		}
		got[found[1]] = labels
	}
	require.Equal(t, want, got)
}
