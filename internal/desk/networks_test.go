package desk

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReachable(t *testing.T) {
	t.Parallel()
	public := []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
		"191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2001:200::1", "2001:db7:ffff::1", "2001:db9::", "2606:4700::1111", "3fff:1000::", "2a00::1",
		"::ffff:1.1.1.1",    // IPv4-mapped
		"2002:101:101::1",   // 6to4 of 1.1.1.1
		"64:ff9b::1.1.1.1",  // NAT64 of 1.1.1.1
		"64:ff9b::808:808",  // NAT64 of 8.8.8.8
		"2400:cb00:2048::1", // an ordinary one
	}
	private := []string{
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255",
		"127.0.0.0", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.255.255",
		"172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.1", "192.88.99.1", "192.168.0.0",
		"192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::8.8.8.8", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254",
		"fdff:ffff::1", "ff02::1", "ff0e::1", "100::1", "64:ff9b:1::1", "64:ff9b:1::808:808", "5f00::1", "4000::1", "1fff::1",
		"2001::1", "2001:0:53aa:64c:0:0:0:1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1", "2001:db8::1", "3fff::1",
		"3fff:fff:ffff::1",
		"::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
		"64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.1.2.3",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "2002:a00:1::ffff",
	}
	for _, text := range public {
		require.True(t, reachable(netip.MustParseAddr(text), nil), text)
	}
	for _, text := range private {
		require.False(t, reachable(netip.MustParseAddr(text), nil), text)
	}
	require.False(t, reachable(netip.Addr{}, prefixes("0.0.0.0/0", "::/0")), "no address at all")
}

func TestReachableAllowed(t *testing.T) {
	t.Parallel()
	allowed := prefixes("127.0.0.0/8", "10.1.0.0/16", "fd12::/16", "fe80::/10")
	for _, text := range []string{
		"127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1", "fd12::1", "fe80::1%eth0", "8.8.8.8",
	} {
		require.True(t, reachable(netip.MustParseAddr(text), allowed), text)
	}
	for _, text := range []string{"::1", "10.2.0.1", "::ffff:10.2.0.1", "192.168.1.1", "169.254.169.254", "fd13::1", "64:ff9b::10.2.0.1"} {
		require.False(t, reachable(netip.MustParseAddr(text), allowed), text)
	}
	for _, text := range []string{"127.0.0.1", "::1", "169.254.169.254", "ff02::1", "2001:db8::1"} {
		require.True(t, reachable(netip.MustParseAddr(text), prefixes("0.0.0.0/0", "::/0")), text)
	}
}

// Whatever the address, wrapping it as IPv4-mapped, NAT64 or 6to4 must not change the verdict.
func FuzzReachableEmbedded(f *testing.F) {
	f.Add(byte(127), byte(0), byte(0), byte(1))
	f.Add(byte(8), byte(8), byte(8), byte(8))
	f.Add(byte(169), byte(254), byte(169), byte(254))
	f.Fuzz(func(t *testing.T, a, b, c, d byte) {
		want := reachable(netip.AddrFrom4([4]byte{a, b, c, d}), nil)
		for _, wrapped := range []netip.Addr{
			netip.AddrFrom16([16]byte{10: 0xff, 0xff, a, b, c, d}),
			netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: a, b, c, d}),
			netip.AddrFrom16([16]byte{0x20, 0x02, a, b, c, d}),
		} {
			require.Equal(t, want, reachable(wrapped, nil), wrapped.String())
		}
	})
}
