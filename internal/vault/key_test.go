package vault

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testKey is 32 bytes that differ from each other and from those of other n.
func testKey(n byte) Key {
	var k Key
	for i := range k {
		k[i] = n*31 + byte(i)*7
	}
	return k
}

func TestParseKeysReadsEveryForm(t *testing.T) {
	t.Parallel()
	var k Key
	for i := range k {
		k[i] = 0xff - byte(i) // has + and / in base64
	}
	for name, text := range map[string]string{
		"hex":            hex.EncodeToString(k[:]),
		"upper hex":      strings.ToUpper(hex.EncodeToString(k[:])),
		"base64":         base64.StdEncoding.EncodeToString(k[:]),
		"raw base64":     base64.RawStdEncoding.EncodeToString(k[:]),
		"base64url":      base64.URLEncoding.EncodeToString(k[:]),
		"raw base64url":  base64.RawURLEncoding.EncodeToString(k[:]),
		"spaces outside": "  " + hex.EncodeToString(k[:]) + "\n",
	} {
		keys, err := ParseKeys(text)
		require.NoError(t, err, name)
		require.True(t, len(keys) == 1 && keys[0] == k, name)
	}
}

func TestParseKeysKeepsTheOrder(t *testing.T) {
	t.Parallel()
	first, second := testKey(1), testKey(2)
	keys, err := ParseKeys(hex.EncodeToString(first[:]) + ", " + base64.StdEncoding.EncodeToString(second[:]))
	require.NoError(t, err)
	require.True(t, len(keys) == 2 && keys[0] == first && keys[1] == second)
}

func TestParseKeysNamesThePositionAndNotTheKey(t *testing.T) {
	t.Parallel()
	k := testKey(1)
	good := hex.EncodeToString(k[:])
	short := base64.StdEncoding.EncodeToString(k[:31])
	for _, tt := range []struct{ text, want string }{
		{"", "key 1: "},
		{good + ",", "key 2: "},
		{short, "key 1: has 31 bytes, must have 32"},
		{good + "," + base64.StdEncoding.EncodeToString(append(k[:], 1)), "key 2: has 33 bytes"},
		{"g" + good[1:], "must be 32 bytes in hex"},
		{good[:63] + "!", "must be 32 bytes in hex"},
		{"not base64 at all", "base64 or hex"},
		{base64.StdEncoding.EncodeToString(k[:]) + "," + good, "key 2 is the same as key 1"},
	} {
		_, err := ParseKeys(tt.text)
		require.ErrorContains(t, err, tt.want)
		for _, secret := range []string{good[1:], short[:20]} {
			require.NotContains(t, err.Error(), secret)
		}
	}
}

func TestGenerateKeyMakesDifferentKeysThatParse(t *testing.T) {
	t.Parallel()
	keys, err := ParseKeys(GenerateKey() + "," + GenerateKey())
	require.NoError(t, err)
	require.Len(t, keys, 2)
}

func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	k := testKey(1)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		require.Equal(t, "<secret>", fmt.Sprintf(format, k), format)
	}
	encoded, err := json.Marshal(map[string]any{"key": k})
	require.NoError(t, err)
	require.JSONEq(t, `{"key": "<secret>"}`, string(encoded))
	require.Equal(t, "<secret>", slog.AnyValue(k).Resolve().String())
}
