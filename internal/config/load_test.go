package config

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const (
	token = "0123456789abcdef"
	// hunter2 is in every secret of these tests; no error may show it.
	hunter2 = "hunter2"
)

func key(fill byte) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(fill)), 32)))
}

// mistakesOf loads a configuration that must be refused.
func mistakesOf(t *testing.T, environ map[string]string) Mistakes {
	t.Helper()
	c, err := Load(environ)
	var mistakes Mistakes
	require.ErrorAs(t, err, &mistakes)
	require.Equal(t, Config{}, c)
	require.NotContains(t, err.Error(), hunter2)
	return mistakes
}

// mistakeOf gives the only mistake, which must be about the variable.
func mistakeOf(t *testing.T, environ map[string]string, variable string) string {
	t.Helper()
	mistakes := mistakesOf(t, environ)
	require.Len(t, mistakes, 1, "%v", mistakes)
	require.Equal(t, variable, mistakes[0].Variable)
	return mistakes[0].Text
}

func load(t *testing.T, environ map[string]string) Config {
	t.Helper()
	c, err := Load(environ)
	require.NoError(t, err)
	return c
}

var compare = cmp.Options{
	cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.AllowUnexported(Config{}),
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	want := Config{
		Addr:             "127.0.0.1:8080",
		PublicURL:        "http://127.0.0.1:8080",
		DataDir:          "./data",
		LogLevel:         slog.LevelInfo,
		LogFormat:        LogText,
		DefaultTimeZone:  "UTC",
		Introspection:    true,
		IDE:              true,
		MaxComplexity:    1000,
		MaxDepth:         15,
		MaxBodyBytes:     1 << 20,
		MaxConnections:   10_000,
		MaxSubscriptions: 100,
		RelayWorkers:     64,
		DBMaxConnections: 20,
		ShutdownTimeout:  15 * time.Second,
		publicURLDerived: true,
	}
	require.Empty(t, cmp.Diff(want, load(t, nil), compare))
	require.False(t, want.UsesPostgres())

	empty := map[string]string{}
	for _, f := range fields() {
		empty[f.variable] = "  "
		if f.secret {
			empty[f.fileVariable()] = ""
		}
	}
	require.Empty(t, cmp.Diff(want, load(t, empty), compare), "an empty value means the default")
}

func TestEveryVariable(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"HANDOFF_ADDR":                     "0.0.0.0:80",
		"HANDOFF_PUBLIC_URL":               "https://help.example.com/handoff/",
		"HANDOFF_DATA_DIR":                 "/var/lib/handoff",
		"DATABASE_URL":                     "postgres://u:hunter2@/db?host=/run/postgresql",
		"HANDOFF_ADMIN_TOKEN":              token,
		"HANDOFF_SECRET_KEY":               key('a') + "," + key('b'),
		"HANDOFF_LOG_LEVEL":                "Debug",
		"HANDOFF_LOG_FORMAT":               "json",
		"HANDOFF_ALLOWED_ORIGINS":          "https://A.example.com:443/, http://b.example:8080,https://a.example.com",
		"HANDOFF_ALLOWED_PRIVATE_NETWORKS": "10.0.0.0/8, loopback,192.168.1.7,fd00::/8",
		"HANDOFF_DESK_HOSTS":               "intercom=http://127.0.0.1:9090/, livechat=http://[::ffff:127.0.0.2]:1",
		"HANDOFF_TRUSTED_PROXIES":          "loopback",
		"HANDOFF_DEFAULT_TIME_ZONE":        "Asia/Hong_Kong",
		"HANDOFF_INTROSPECTION":            "false",
		"HANDOFF_IDE":                      "0",
		"HANDOFF_MAX_COMPLEXITY":           "11",
		"HANDOFF_MAX_DEPTH":                "12",
		"HANDOFF_MAX_BODY_BYTES":           "2048",
		"HANDOFF_MAX_CONNECTIONS":          "14",
		"HANDOFF_MAX_SUBSCRIPTIONS":        "15",
		"HANDOFF_RELAY_WORKERS":            "16",
		"HANDOFF_DB_MAX_CONNECTIONS":       "17",
		"HANDOFF_SHUTDOWN_TIMEOUT":         "1m30s",
		"HANDOFF_METRICS_TOKEN":            token + "m",
		"PATH":                             "/bin",
	}
	prefixes := func(texts ...string) (n Networks) {
		for _, text := range texts {
			n = append(n, netip.MustParsePrefix(text))
		}
		return n
	}
	want := Config{
		Addr:             "0.0.0.0:80",
		PublicURL:        "https://help.example.com/handoff",
		DataDir:          "/var/lib/handoff",
		DatabaseURL:      NewSecret("postgres://u:hunter2@/db?host=/run/postgresql"),
		AdminToken:       NewSecret(token),
		SecretKey:        NewSecret(key('a') + "," + key('b')),
		LogLevel:         slog.LevelDebug,
		LogFormat:        LogJSON,
		AllowedOrigins:   Origins{"https://a.example.com", "http://b.example:8080"},
		PrivateNetworks:  prefixes("10.0.0.0/8", "127.0.0.0/8", "::1/128", "192.168.1.7/32", "fd00::/8"),
		DeskHosts:        DeskHosts{"intercom": "http://127.0.0.1:9090", "livechat": "http://127.0.0.2:1"},
		TrustedProxies:   prefixes("127.0.0.0/8", "::1/128"),
		DefaultTimeZone:  "Asia/Hong_Kong",
		MaxComplexity:    11,
		MaxDepth:         12,
		MaxBodyBytes:     2048,
		MaxConnections:   14,
		MaxSubscriptions: 15,
		RelayWorkers:     16,
		DBMaxConnections: 17,
		ShutdownTimeout:  90 * time.Second,
		MetricsToken:     NewSecret(token + "m"),
	}
	for _, f := range fields() {
		require.Contains(t, environ, f.variable)
	}
	got := load(t, environ)
	require.Empty(t, cmp.Diff(want, got, compare))
	require.True(t, got.UsesPostgres())
}

func TestAllMistakesAreReportedAtOnceInTheOrderOfTheTable(t *testing.T) {
	t.Parallel()
	_, err := Load(map[string]string{
		"HANDOFF_ZEBRA":            "1",
		"HANDOFF_ADRR":             ":80",
		"HANDOFF_MAX_DEPTH":        "many",
		"HANDOFF_SHUTDOWN_TIMEOUT": "0s",
		"HANDOFF_ADMIN_TOKEN":      hunter2,
		"HANDOFF_ADDR":             "8080",
		"DATABASE_URL":             "mysql://root:hunter2@db/handoff",
	})
	require.EqualError(t, err, `7 mistakes in the configuration:
  HANDOFF_ADDR: "8080" is not an address; allowed: host:port
  DATABASE_URL: it is not a Postgres URL; allowed: postgres:// or postgresql:// URL
  HANDOFF_ADMIN_TOKEN: it has 7 bytes; allowed: 16 to 512 visible ASCII characters
  HANDOFF_MAX_DEPTH: "many" is not allowed; allowed: 3 to 100
  HANDOFF_SHUTDOWN_TIMEOUT: "0s" is not allowed; allowed: 1s to 10m
  HANDOFF_ADRR: unknown variable; did you mean HANDOFF_ADDR?
  HANDOFF_ZEBRA: unknown variable`)

	_, err = Load(map[string]string{"HANDOFF_IDE": "perhaps"})
	require.EqualError(t, err, `1 mistake in the configuration:
  HANDOFF_IDE: "perhaps" is not allowed; allowed: true or false`)
}

func TestRefusedValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ variable, value, want string }{
		{"HANDOFF_ADDR", "localhost", "not an address"},
		{"HANDOFF_ADDR", "localhost:http", "port must be a number"},
		{"HANDOFF_ADDR", "localhost:65536", "port must be a number"},
		{"HANDOFF_PUBLIC_URL", "help.example.com", "not an absolute"},
		{"HANDOFF_PUBLIC_URL", "ftp://help.example.com", "not an absolute"},
		{"HANDOFF_PUBLIC_URL", "https://", "not an absolute"},
		{"HANDOFF_PUBLIC_URL", "https://:443", "not an absolute"},
		{"HANDOFF_PUBLIC_URL", "https://me:hunter2@help.example.com", "has a user"},
		{"HANDOFF_PUBLIC_URL", "https://me:hunter2@%zz", "not an absolute"},
		{"HANDOFF_PUBLIC_URL", "https://help.example.com/?a=b", "has a query"},
		{"HANDOFF_PUBLIC_URL", "https://help.example.com/?", "has a query"},
		{"HANDOFF_PUBLIC_URL", "https://help.example.com/#a", "has a fragment"},
		{"HANDOFF_PUBLIC_URL", "https://help.example.com/#", "has a fragment"},
		{"DATABASE_URL", "host=db password=hunter2", "not a Postgres URL"},
		{"DATABASE_URL", "postgres://u:hunter2@%zz/db", "not a Postgres URL"},
		{"DATABASE_URL", "sqlite:/hunter2.db", "not a Postgres URL"},
		{"HANDOFF_ADMIN_TOKEN", "hunter2-hunter2", "it has 15 bytes"},
		{"HANDOFF_ADMIN_TOKEN", strings.Repeat("h", 513), "it has 513 bytes"},
		{"HANDOFF_ADMIN_TOKEN", "hunter2 hunter2 hunter2", "header cannot carry"},
		{"HANDOFF_ADMIN_TOKEN", "hunter2-hunter2-hünter2", "header cannot carry"},
		{"HANDOFF_METRICS_TOKEN", hunter2, "16 to 512"},
		{"HANDOFF_SECRET_KEY", hunter2, "key 1: "},
		{"HANDOFF_SECRET_KEY", key('a') + "," + hunter2, "key 2: "},
		{"HANDOFF_SECRET_KEY", key('a') + "," + key('a'), "same as key 1"},
		{"HANDOFF_LOG_LEVEL", "verbose", `"verbose" is not allowed; allowed: debug, info, warn or error`},
		{"HANDOFF_LOG_LEVEL", "info+2", "is not a level"},
		{"HANDOFF_LOG_FORMAT", "xml", `"xml" is not a format; allowed: text or json`},
		{"HANDOFF_ALLOWED_ORIGINS", "app.example.com", "is not scheme://host"},
		{"HANDOFF_ALLOWED_ORIGINS", "https://app.example.com/path", "more than scheme"},
		{"HANDOFF_ALLOWED_ORIGINS", "https://app.example.com?", "more than scheme"},
		{"HANDOFF_ALLOWED_ORIGINS", "https://*", "* stands alone"},
		{"HANDOFF_ALLOWED_ORIGINS", "https://*.example.com", "* stands alone"},
		{"HANDOFF_ALLOWED_ORIGINS", "null", "is not scheme://host"},
		{"HANDOFF_ALLOWED_ORIGINS", "*,https://app.example.com", "only entry"},
		{"HANDOFF_ALLOWED_PRIVATE_NETWORKS", "10.0.0.0/33", "is not a network"},
		{"HANDOFF_ALLOWED_PRIVATE_NETWORKS", "everything", "is not a network"},
		{"HANDOFF_ALLOWED_PRIVATE_NETWORKS", "fe80::1%eth0", "is not a network"},
		{"HANDOFF_ALLOWED_PRIVATE_NETWORKS", "10.1.2.3/8", "write 10.0.0.0/8"},
		{"HANDOFF_ALLOWED_PRIVATE_NETWORKS", "::ffff:10.0.0.0/104", "write it as IPv4"},
		{"HANDOFF_DESK_HOSTS", "http://127.0.0.1:9090", "is not desk=address"},
		{"HANDOFF_DESK_HOSTS", "127.0.0.1:9090", "is not desk=address"},
		{"HANDOFF_DESK_HOSTS", "=http://127.0.0.1:9090", "is not desk=address"},
		{"HANDOFF_DESK_HOSTS", "intercom=https://127.0.0.1:9090", "is not http://IP:port"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://localhost:9090", "is not http://IP:port"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://127.0.0.1:9090/x", "is not http://IP:port"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://127.0.0.1", "is not http://IP:port"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://127.0.0.1:0", "is not http://IP:port"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://10.0.0.1:9090", "is not on this machine"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://169.254.169.254:80", "is not on this machine"},
		{"HANDOFF_DESK_HOSTS", "intercom=http://127.0.0.1:1,intercom=http://127.0.0.1:2", "has two addresses"},
		{"HANDOFF_TRUSTED_PROXIES", "all", "everybody"},
		{"HANDOFF_TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0", "everybody"},
		{"HANDOFF_DEFAULT_TIME_ZONE", "Hongkong/Asia", "not a known time zone"},
		{"HANDOFF_DEFAULT_TIME_ZONE", "Local", "not a known time zone"},
		{"HANDOFF_DEFAULT_TIME_ZONE", "../etc/passwd", "not a known time zone"},
		{"HANDOFF_MAX_BODY_BYTES", "1MB", "1024 to 67108864"},
		{"HANDOFF_MAX_DEPTH", "1e1", "3 to 100"},
		{"HANDOFF_MAX_DEPTH", "99999999999999999999", "3 to 100"},
		{"HANDOFF_SHUTDOWN_TIMEOUT", "15", "1s to 10m"},
	} {
		t.Run(tt.variable+"="+tt.value[:min(len(tt.value), 40)], func(t *testing.T) {
			t.Parallel()
			text := mistakeOf(t, map[string]string{tt.variable: tt.value}, tt.variable)
			require.Contains(t, text, tt.want)
			require.Contains(t, text, "allowed: ")
		})
	}
}

func TestBoundsAreInclusiveAndHoldTheDefault(t *testing.T) {
	t.Parallel()
	bounded := 0
	for _, f := range fields() {
		if f.min == "" {
			continue
		}
		bounded++
		load(t, map[string]string{f.variable: f.min})
		load(t, map[string]string{f.variable: f.max})
		var below, above string
		if n, err := strconv.Atoi(f.min); err == nil {
			below = fmt.Sprint(n - 1)
			n, err = strconv.Atoi(f.max)
			require.NoError(t, err)
			above = fmt.Sprint(n + 1)
		} else {
			below, above = "999ms", "601s"
		}
		mistakeOf(t, map[string]string{f.variable: below}, f.variable)
		mistakeOf(t, map[string]string{f.variable: above}, f.variable)
	}
	require.Equal(t, 8, bounded)
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	for name, suggestion := range map[string]string{
		"HANDOFF_LOGLEVEL":         "; did you mean HANDOFF_LOG_LEVEL?",
		"HANDOFF_MAX_CONECTIONS":   "; did you mean HANDOFF_MAX_CONNECTIONS?",
		"HANDOFF_DATABASE_URL":     "; did you mean DATABASE_URL?",
		"HANDOFF_SECRET_KEY_FIEL":  "; did you mean HANDOFF_SECRET_KEY_FILE?",
		"HANDOFF_ADDR_FILE":        "",
		"HANDOFF_PORT":             "",
		"HANDOFF_LOG_FILE":         "",
		"HANDOFF_":                 "",
		"HANDOFF_SOMETHING_ELSE":   "",
		"HANDOFF_IDE_FILE_SERVICE": "",
	} {
		text := mistakeOf(t, map[string]string{name: ""}, name)
		require.Equal(t, "unknown variable"+suggestion, text, name)
	}
	load(t, map[string]string{
		"HANDOFFS":                  "not ours",
		"MY_HANDOFF_ADDR":           "not ours",
		"HANDOFF_TEST_POSTGRES_URL": "of the test suite",
	})
}

func TestVariablesThatKubernetesAddsAreLeftAlone(t *testing.T) {
	t.Parallel()
	load(t, map[string]string{
		"HANDOFF_SERVICE_HOST":              "10.0.0.11",
		"HANDOFF_SERVICE_PORT":              "8080",
		"HANDOFF_SERVICE_PORT_HTTP_WEB":     "8080",
		"HANDOFF_PORT":                      "tcp://10.0.0.11:8080",
		"HANDOFF_PORT_8080_TCP":             "tcp://10.0.0.11:8080",
		"HANDOFF_PORT_8080_TCP_PROTO":       "tcp",
		"HANDOFF_PORT_8080_TCP_PORT":        "8080",
		"HANDOFF_PORT_8080_TCP_ADDR":        "10.0.0.11",
		"HANDOFF_POSTGRES_SERVICE_HOST":     "10.0.0.12",
		"HANDOFF_POSTGRES_PORT_53_UDP_ADDR": "10.0.0.12",
	})
	mistakeOf(t, map[string]string{"HANDOFF_PORT": "8080"}, "HANDOFF_PORT")
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o444)) // as Docker mounts them
		return path
	}
	c := load(t, map[string]string{
		"DATABASE_URL_FILE":          write("db", "postgres://u:p@db/handoff\n"),
		"HANDOFF_ADMIN_TOKEN_FILE":   " " + write("admin", " "+token+"\r\n") + " ",
		"HANDOFF_SECRET_KEY_FILE":    write("key", key('a')+","+key('b')),
		"HANDOFF_METRICS_TOKEN_FILE": write("metrics", token),
		"HANDOFF_METRICS_TOKEN":      "",
	})
	require.Equal(t, "postgres://u:p@db/handoff", c.DatabaseURL.Reveal())
	require.Equal(t, token, c.AdminToken.Reveal())
	require.Equal(t, key('a')+","+key('b'), c.SecretKey.Reveal())
	require.Equal(t, token, c.MetricsToken.Reveal())

	for name, tt := range map[string]struct {
		environ        map[string]string
		variable, want string
	}{
		"both": {
			map[string]string{"HANDOFF_ADMIN_TOKEN": hunter2, "HANDOFF_ADMIN_TOKEN_FILE": write("both", token)},
			"HANDOFF_ADMIN_TOKEN", "set together with HANDOFF_ADMIN_TOKEN_FILE",
		},
		"no file": {
			map[string]string{"HANDOFF_ADMIN_TOKEN_FILE": filepath.Join(dir, "missing")},
			"HANDOFF_ADMIN_TOKEN_FILE", "no such file",
		},
		"a directory": {
			map[string]string{"HANDOFF_ADMIN_TOKEN_FILE": dir},
			"HANDOFF_ADMIN_TOKEN_FILE", "is a directory",
		},
		"empty": {
			map[string]string{"HANDOFF_ADMIN_TOKEN_FILE": write("empty", "\n")},
			"HANDOFF_ADMIN_TOKEN_FILE", "is empty",
		},
		"too large": {
			map[string]string{"HANDOFF_ADMIN_TOKEN_FILE": write("large", strings.Repeat(hunter2, maxFileBytes))},
			"HANDOFF_ADMIN_TOKEN_FILE", "larger than 65536 bytes",
		},
		"bad content": {
			map[string]string{"HANDOFF_ADMIN_TOKEN_FILE": write("short", hunter2)},
			"HANDOFF_ADMIN_TOKEN", "it has 7 bytes",
		},
	} {
		require.Contains(t, mistakeOf(t, tt.environ, tt.variable), tt.want, name)
	}
}

func TestPublicURLFollowsTheAddress(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:8080":       "http://127.0.0.1:8080",
		"help.example.com:80":  "http://help.example.com:80",
		":8080":                "http://localhost:8080",
		"0.0.0.0:8080":         "http://localhost:8080",
		"[::]:8080":            "http://localhost:8080",
		"[::1]:8080":           "http://[::1]:8080",
		"[2001:db8::1]:8080":   "http://[2001:db8::1]:8080",
		"127.0.0.1:0":          "http://127.0.0.1:0",
		"under_score.test:081": "http://under_score.test:081",
	} {
		require.Equal(t, want, load(t, map[string]string{"HANDOFF_ADDR": addr}).PublicURL)
	}

	got := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 41234}
	c := load(t, map[string]string{"HANDOFF_ADDR": "127.0.0.1:0"}).ListeningOn(got)
	require.Equal(t, "127.0.0.1:41234", c.Addr)
	require.Equal(t, "http://127.0.0.1:41234", c.PublicURL)

	c = load(t, map[string]string{"HANDOFF_ADDR": ":0", "HANDOFF_PUBLIC_URL": "https://help.example.com"}).ListeningOn(got)
	require.Equal(t, "https://help.example.com", c.PublicURL, "a given URL stays")
}

func TestLoadLeavesItsArgumentAlone(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"HANDOFF_IDE": " false ", "HANDOFF_ADMIN_TOKEN": token}
	load(t, environ)
	require.Equal(t, map[string]string{"HANDOFF_IDE": " false ", "HANDOFF_ADMIN_TOKEN": token}, environ)
}

func TestEnviron(t *testing.T) {
	t.Setenv("HANDOFF_TEST_ENVIRON", "a=b")
	require.Equal(t, "a=b", Environ()["HANDOFF_TEST_ENVIRON"])
}

func TestNothingOfTheProcessIsReadWithoutBeingGiven(t *testing.T) {
	t.Setenv("HANDOFF_LOG_FORMAT", "json")
	require.Equal(t, LogText, load(t, nil).LogFormat)
	require.Equal(t, LogText, load(t, map[string]string{}).LogFormat)
}
