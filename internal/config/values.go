package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// notAllowed is an error whose text may be shown to the operator as it is.
type notAllowed string

func (e notAllowed) Error() string { return string(e) }

func notAllowedf(format string, args ...any) error {
	return notAllowed(fmt.Sprintf(format, args...))
}

// LogFormat is the form of the log lines: "text" or "json".
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// UnmarshalText accepts the two formats.
func (f *LogFormat) UnmarshalText(text []byte) error {
	v := LogFormat(text)
	if v != LogText && v != LogJSON {
		return notAllowedf("%q is not a format", v)
	}
	*f = v
	return nil
}

// Origins are browser origins in the form of the Origin header: scheme and
// host in lower case, without a default port; or the single entry "*".
type Origins []string

// UnmarshalText reads a list separated by commas.
func (o *Origins) UnmarshalText(text []byte) error {
	var origins Origins
	for _, entry := range splitList(string(text)) {
		origin, err := parseOrigin(entry)
		if err != nil {
			return err
		}
		if !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	if len(origins) > 1 && slices.Contains(origins, "*") {
		return notAllowed("* stands for every origin, so it must be the only entry")
	}
	*o = origins
	return nil
}

// Any reports whether every origin is allowed.
func (o Origins) Any() bool { return slices.Contains(o, "*") }

func parseOrigin(entry string) (string, error) {
	if entry == "*" {
		return entry, nil
	}
	u, err := url.Parse(entry)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return "", notAllowedf("%q is not scheme://host", entry)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", notAllowedf("%q has more than scheme, host and port", entry)
	}
	if strings.Contains(u.Host, "*") {
		return "", notAllowedf("%q: * stands alone, not inside a host", entry)
	}
	return originOf(u), nil
}

// originOf gives a URL's origin as browsers serialise it
// (https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin).
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch {
	case u.Scheme == "http":
		host = strings.TrimSuffix(host, ":80")
	case u.Scheme == "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + host
}

// Networks is a list of IP networks.
type Networks []netip.Prefix

// Words that stand for networks.
var networkWords = map[string]Networks{
	"loopback": {netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	"all":      {netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
}

// UnmarshalText reads a list separated by commas of CIDRs, single addresses,
// and the words "loopback" and "all".
func (n *Networks) UnmarshalText(text []byte) error {
	var networks Networks
	for _, entry := range splitList(string(text)) {
		if word, ok := networkWords[strings.ToLower(entry)]; ok {
			networks = append(networks, word...)
			continue
		}
		prefix, err := parsePrefix(entry)
		if err != nil {
			return err
		}
		networks = append(networks, prefix)
	}
	*n = networks
	return nil
}

// Contains reports whether one of the networks holds the address. An IPv4
// address counts as itself when it comes mapped into IPv6.
func (n Networks) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func parsePrefix(entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, notAllowedf("%q is not a network", entry)
	}
	// 10.1.2.3/8 may be meant as 10.0.0.0/8 or as 10.1.2.3/32; opening a
	// network by a guess is not for us to do.
	if prefix != prefix.Masked() {
		return netip.Prefix{}, notAllowedf("%q has bits beyond its length; write %s", entry, prefix.Masked())
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, notAllowedf("%q is an IPv4 network inside IPv6; write it as IPv4", entry)
	}
	return prefix, nil
}

// DeskHosts are simulators that are called in place of desks, by the kind of the
// desk: "http://", an IP address of this machine, and a port. They are literal
// loopback addresses, so that no credential of a real desk can leave the machine
// by a mistake in the configuration.
type DeskHosts map[string]string

// UnmarshalText reads a list separated by commas of desk=address.
func (h *DeskHosts) UnmarshalText(text []byte) error {
	hosts := DeskHosts{}
	for _, entry := range splitList(string(text)) {
		kind, address, found := strings.Cut(entry, "=")
		if !found || kind == "" {
			return notAllowedf("%q is not desk=address", entry)
		}
		if _, twice := hosts[kind]; twice {
			return notAllowedf("%q has two addresses", kind)
		}
		at, err := parseLoopback(address)
		if err != nil {
			return err
		}
		hosts[kind] = "http://" + at.String()
	}
	*h = hosts
	return nil
}

// Addresses lists the addresses in no particular order.
func (h DeskHosts) Addresses() []netip.AddrPort {
	var list []netip.AddrPort
	for _, host := range h {
		if at, err := parseLoopback(host); err == nil { // always
			list = append(list, at)
		}
	}
	return list
}

func parseLoopback(address string) (netip.AddrPort, error) {
	host, found := strings.CutPrefix(strings.TrimSuffix(address, "/"), "http://")
	at, err := netip.ParseAddrPort(host)
	if !found || err != nil || at.Port() == 0 {
		return netip.AddrPort{}, notAllowedf("%q is not http://IP:port", address)
	}
	if at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()); !at.Addr().IsLoopback() || at.Addr().Zone() != "" {
		return netip.AddrPort{}, notAllowedf("%q is not on this machine", address)
	}
	return at, nil
}

// splitList splits at commas, drops spaces around the entries, and empty ones.
func splitList(text string) []string {
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}
