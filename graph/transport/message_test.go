package transport

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestDecodeParamsKeepsDigits(t *testing.T) {
	t.Parallel()
	params, err := decodeParams([]byte(`{"query":"{ hello }","variables":{"n":9007199254740993},"extensions":{"f":1.10}}`))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": json.Number("9007199254740993")}, params.Variables)
	require.Equal(t, map[string]any{"f": json.Number("1.10")}, params.Extensions)
}

// FuzzParseMessage looks for panics, and for messages that pass without what the
// protocol demands of them.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		`{"type":"connection_init","payload":{"a":1}}`,
		`{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":{"b":[1,null]},"operationName":"c","extensions":{}}}`,
		`{"type":"complete","id":"1"}`, `{"type":"ping","payload":null}`, `[]`, ` {`, `{"type":{}}`, "{\"type\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage(data)
		if err != nil {
			return
		}
		require.True(t, json.Valid(data))
		switch m.kind {
		case msgSubscribe:
			require.NotEmpty(t, m.id)
			require.NotNil(t, m.params)
		case msgComplete:
			require.NotEmpty(t, m.id)
		case msgConnectionInit, msgPing, msgPong:
			require.True(t, m.payload == nil || m.payload[0] == '{')
		default:
			require.FailNow(t, "unknown kind", m.kind)
		}
	})
}

func TestCutReason(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"", "short", strings.Repeat("x", 123), strings.Repeat("x", 124), strings.Repeat("é", 80), strings.Repeat("€", 80), "x" + strings.Repeat("🏊", 40)} {
		cut := cutReason(reason)
		require.LessOrEqual(t, len(cut), 123)
		require.True(t, utf8.ValidString(cut))
		require.True(t, strings.HasPrefix(reason, cut))
		require.True(t, len(cut) == len(reason) || len(cut) > 119)
	}
}
