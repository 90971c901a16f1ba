package config

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zone names work on machines without a zone database

	"handoff/internal/vault"
)

// Bounds of bearer tokens, in characters.
const (
	minToken = 16
	maxToken = 512
)

// check checks what the types and tags cannot, and derives the public URL.
func (l *loader) check(c *Config) {
	l.checkValue("Addr", c.Addr, addrMistake)
	l.checkValue("PublicURL", c.PublicURL, publicURLMistake)
	l.checkValue("DatabaseURL", c.DatabaseURL.Reveal(), databaseURLMistake)
	l.checkValue("AdminToken", c.AdminToken.Reveal(), tokenMistake)
	l.checkValue("MetricsToken", c.MetricsToken.Reveal(), tokenMistake)
	l.checkValue("SecretKey", c.SecretKey.Reveal(), secretKeyMistake)
	l.checkValue("LogLevel", c.LogLevel.String(), logLevelMistake)
	l.checkValue("DefaultTimeZone", c.DefaultTimeZone, timeZoneMistake)
	if slices.ContainsFunc(c.TrustedProxies, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		l.refuse("TrustedProxies", "everybody cannot be a trusted proxy: any caller could then claim any address")
	}

	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.PublicURL == "" {
		c.PublicURL, c.publicURLDerived = urlOf(c.Addr), true
	}
}

// checkValue asks one check about a value that is set. A check answers with the
// mistake, or "".
func (l *loader) checkValue(goName, value string, check func(string) string) {
	if value == "" {
		return
	}
	if text := check(value); text != "" {
		l.refuse(goName, text)
	}
}

// refuse reports a mistake in the field of the given Go name.
func (l *loader) refuse(goName, text string) {
	f := l.fields[slices.IndexFunc(l.fields, func(f field) bool { return f.goName == goName })]
	l.mistake(f.variable, "%s; allowed: %s", text, f.allowed)
}

func addrMistake(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return strconv.Quote(addr) + " is not an address"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "the port must be a number from 0 to 65535"
	}
	return ""
}

func publicURLMistake(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"):
		// Not quoted: it may hold a password.
		return "it is not an absolute http or https URL"
	case u.User != nil:
		return "it has a user"
	case u.RawQuery != "" || u.ForceQuery:
		return "it has a query"
	case strings.Contains(text, "#"):
		return "it has a fragment"
	}
	return ""
}

func databaseURLMistake(text string) string {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "it is not a Postgres URL"
	}
	return ""
}

func tokenMistake(token string) string {
	if len(token) < minToken || len(token) > maxToken {
		return "it has " + strconv.Itoa(len(token)) + " bytes"
	}
	// Anything else could not be sent in an Authorization header.
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "it has characters that a header cannot carry"
	}
	return ""
}

func secretKeyMistake(text string) string {
	if _, err := vault.ParseKeys(text); err != nil {
		return err.Error()
	}
	return ""
}

func logLevelMistake(level string) string {
	// slog also reads levels such as INFO+2, which the manual does not offer.
	for _, known := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if level == known.String() {
			return ""
		}
	}
	return strconv.Quote(level) + " is not a level"
}

func timeZoneMistake(name string) string {
	// "Local" is what this machine happens to be set to, not a zone.
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return strconv.Quote(name) + " is not a known time zone"
	}
	return ""
}
