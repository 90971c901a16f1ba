package desk

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeDNS answers every question for an IPv4 address with what lookup gives: an
// address, or "no such name" for the zero address. A nil lookup never answers.
func fakeDNS(t *testing.T, lookup func(n int) netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-done
	})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for asked := 0; ; {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if lookup == nil {
				continue
			}
			name := 12
			for packet[name] != 0 {
				name += 1 + int(packet[name])
			}
			end := name + 5 // the root label, type, class
			reply := append([]byte(nil), packet[:min(n, end)]...)
			binary.BigEndian.PutUint16(reply[2:], 0x8180)                                   // a recursive answer
			copy(reply[4:12], []byte{0, 1, 0, 0, 0, 0, 0, 0})                               // one question
			if binary.BigEndian.Uint16(packet[name+1:]) == 1 && !isNothing(lookup, asked) { // type A
				address := lookup(asked).As4()
				reply[7] = 1
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				reply = append(reply, address[:]...)
				asked++
			} else if isNothing(lookup, asked) {
				reply[3] |= 3 // NXDOMAIN
			}
			_, _ = conn.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
		},
	}
}

func isNothing(lookup func(int) netip.Addr, asked int) bool { return !lookup(asked).IsValid() }
