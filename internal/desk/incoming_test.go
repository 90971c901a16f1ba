package desk_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

func TestTakeable(t *testing.T) {
	t.Parallel()
	var list []handoff.Attachment
	for i := range handoff.MaxAttachments + 1 {
		list = append(list, handoff.Attachment{URL: fmt.Sprintf("https://files.example.com/%d", i)})
	}
	text, taken := desk.Takeable("see", append([]handoff.Attachment{{URL: "ftp://files.example.com/x"}, {}}, list...))
	require.Equal(t, list[:handoff.MaxAttachments], taken)
	require.Equal(t, fmt.Sprintf("see\nftp://files.example.com/x\nhttps://files.example.com/%d", handoff.MaxAttachments), text)
}

func TestLine(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		" Olga \n": "Olga", "Ol\x00ga\r\n\t": "Olga", "\xffOlga": "Olga", "": "",
		strings.Repeat("長", 11): strings.Repeat("長", 10), "123456789 1": "123456789",
	} {
		require.Equal(t, want, desk.Line(given, 10), "%q", given)
	}
}
