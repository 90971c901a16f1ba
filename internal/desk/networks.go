package desk

import (
	"fmt"
	"net/netip"
	"slices"
)

// reserved are the networks that an address typed by a customer may not reach:
// everything that is not the public Internet.
//
// IPv4 and IPv6 follow the IANA special-purpose address registries
// (https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry). In IPv6 all but
// 2000::/3 is refused, which covers loopback, link-local, unique local,
// multicast and the local-use NAT64 prefix without naming them.
var reserved = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carrier-grade NAT; also Alibaba Cloud's metadata service
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // a public address that Azure answers inside every virtual machine
	"169.254.0.0/16",   // link-local; 169.254.169.254 is the metadata service of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // IETF protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays, deprecated
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarking
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast

	"2001::/23",     // IETF protocol assignments: Teredo, benchmarking, ORCHID
	"2001:db8::/32", // documentation
	"3fff::/20",     // documentation
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	sixToFour     = netip.MustParsePrefix("2002::/16")    // RFC 3056: the IPv4 address follows the prefix
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the IPv4 address is the end
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// reachable reports whether an address may be called: it is public, or in one
// of the allowed networks. IPv6 addresses that carry an IPv4 address are judged
// by what they carry.
func reachable(ip netip.Addr, allowed []netip.Prefix) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return false
	}
	if within(ip, allowed) {
		return true
	}
	if inner, ok := embedded(ip); ok {
		return reachable(inner, allowed)
	}
	if ip.Is6() && !globalUnicast.Contains(ip) {
		return false
	}
	return !within(ip, reserved)
}

// embedded gives the IPv4 address that a 6to4 or NAT64 address leads to.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	b := ip.As16()
	switch {
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

func within(ip netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// unreachableError is what the dialer gives for an address that may not be called.
type unreachableError struct{ ip netip.Addr }

func (e *unreachableError) Error() string {
	return fmt.Sprintf("%s is in a private or reserved network", e.ip)
}
