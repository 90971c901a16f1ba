package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	s := NewSecret(hunter2)
	type outer struct {
		Exported Secret
		hidden   Secret
		Pointer  *Secret
	}
	o := outer{s, s, &s}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%10v", "%t"} {
		require.Equal(t, "<secret>", fmt.Sprintf(format, s), format)
		require.Equal(t, "<secret>", fmt.Sprintf(format, &s), format)
		require.Empty(t, fmt.Sprintf(format, Secret{}), format)
		printed := fmt.Sprintf(format, o) + fmt.Sprintf(format, &o) + fmt.Sprintf(format, []Secret{s})
		require.NotContains(t, printed, hunter2, format)
		require.NotContains(t, printed, fmt.Sprintf("%x", hunter2), format)
		require.NotContains(t, strings.ToLower(printed), fmt.Sprintf("%x", hunter2), format)
	}
	require.Equal(t, hunter2, o.hidden.Reveal())

	encoded, err := json.Marshal(o)
	require.NoError(t, err)
	require.JSONEq(t, `{"Exported": "<secret>", "Pointer": "<secret>"}`, string(encoded))

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("started", "token", s, "config", o, "list", []Secret{s})
	}
	require.Contains(t, log.String(), `"token":"<secret>"`)
	require.Contains(t, log.String(), `token=<secret>`)
	require.NotContains(t, log.String(), hunter2)
}

func TestConfigPrintsNoSecret(t *testing.T) {
	t.Parallel()
	c := load(t, map[string]string{
		"DATABASE_URL":          "postgres://u:hunter2@db/handoff",
		"HANDOFF_ADMIN_TOKEN":   strings.Repeat(hunter2, 3),
		"HANDOFF_METRICS_TOKEN": strings.Repeat(hunter2, 3),
	})
	encoded, err := json.Marshal(c)
	require.NoError(t, err)
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), string(encoded)} {
		require.NotContains(t, printed, hunter2)
	}
}

func TestNetworksContain(t *testing.T) {
	t.Parallel()
	parse := func(text string) (n Networks) {
		require.NoError(t, n.UnmarshalText([]byte(text)))
		return n
	}
	for _, tt := range []struct {
		networks, addr string
		want           bool
	}{
		{"", "10.0.0.1", false},
		{"10.0.0.0/8", "10.255.0.1", true},
		{"10.0.0.0/8", "11.0.0.1", false},
		{"10.0.0.0/8", "::ffff:10.0.0.1", true},
		{"::/0", "10.0.0.1", false},
		{"loopback", "127.0.0.53", true},
		{"loopback", "::1", true},
		{"LOOPBACK", "::1", true},
		{"loopback", "10.0.0.1", false},
		{"all", "169.254.169.254", true},
		{"all", "fe80::1", true},
		{"fe80::/10", "fe80::1%eth0", true},
		{"10.0.0.7", "10.0.0.7", true},
		{"10.0.0.7", "10.0.0.8", false},
		{"::ffff:10.0.0.7", "10.0.0.7", true},
		{"10.0.0.0/8,,loopback,", "127.0.0.1", true},
	} {
		require.Equal(t, tt.want, parse(tt.networks).Contains(netip.MustParseAddr(tt.addr)), "%+v", tt)
	}
}

func TestDeskHostsAddresses(t *testing.T) {
	t.Parallel()
	c := load(t, map[string]string{"HANDOFF_DESK_HOSTS": "a=http://127.0.0.1:9090,b=http://[::1]:9091/"})
	require.ElementsMatch(t, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9090"), netip.MustParseAddrPort("[::1]:9091")}, c.DeskHosts.Addresses())
	require.Empty(t, load(t, nil).DeskHosts.Addresses())
}

func TestOriginsAny(t *testing.T) {
	t.Parallel()
	require.True(t, load(t, map[string]string{"HANDOFF_ALLOWED_ORIGINS": "*"}).AllowedOrigins.Any())
	require.False(t, load(t, map[string]string{"HANDOFF_ALLOWED_ORIGINS": "https://a.example"}).AllowedOrigins.Any())
	require.False(t, load(t, nil).AllowedOrigins.Any())
}

func TestOriginsAreWrittenAsBrowsersSendThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"HTTPS://App.Example.com":     "https://app.example.com",
		"https://app.example.com:443": "https://app.example.com",
		"http://app.example.com:80/":  "http://app.example.com",
		"http://app.example.com:443":  "http://app.example.com:443",
		"http://[::1]:3000":           "http://[::1]:3000",
	} {
		require.Equal(t, Origins{want}, load(t, map[string]string{"HANDOFF_ALLOWED_ORIGINS": text}).AllowedOrigins)
	}
}

func TestReferenceDescribesEveryVariable(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSuffix(Reference(), "\n"), "\n")
	require.Equal(t, "| Variable | Default | Allowed | Meaning |", lines[0])
	require.Len(t, lines, len(fields())+2)
	for i, f := range fields() {
		line := lines[i+2]
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		require.Len(t, cells, 4, line)
		for _, cell := range cells {
			require.NotEmpty(t, strings.TrimSpace(cell), line)
		}
		require.Contains(t, cells[0], "`"+f.variable+"`")
		require.Equal(t, f.secret, strings.Contains(cells[0], "_FILE`"))
		require.True(t, strings.HasSuffix(f.desc, "."), "%s: a description is a sentence", f.variable)
	}
	require.Contains(t, lines, "| `HANDOFF_SHUTDOWN_TIMEOUT` | `15s` | 1s to 10m | "+
		"How long a stopping process finishes requests and deliveries before it hands them back. |")
	require.Contains(t, Reference(), "| `DATABASE_URL` or `DATABASE_URL_FILE` | SQLite in the data directory | ")
}
