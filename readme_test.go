package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/config"
)

var update = flag.Bool("update", false, "write the configuration table into README.md")

// The configuration table of the README is the one that the program prints.
func TestReadmeConfigurationTable(t *testing.T) {
	const begin, end = "<!-- config -->\n", "<!-- /config -->"
	page, err := os.ReadFile("README.md")
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(page), begin)
	require.True(t, found, "the marker %q is missing", begin)
	table, tail, found := strings.Cut(rest, end)
	require.True(t, found, "the marker %q is missing", end)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(head+begin+config.Reference()+end+tail), 0o644))
		return
	}
	require.Equal(t, config.Reference(), table, "run go test . -update")
}
