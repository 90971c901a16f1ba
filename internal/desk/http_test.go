package desk

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// loopback is what tests have to allow, since their servers are there.
var loopback = prefixes("127.0.0.1/32")

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return req
}

func post(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"a":1}`))
	require.NoError(t, err)
	return req
}

func always(text string) func(int) netip.Addr {
	return func(int) netip.Addr { return netip.MustParseAddr(text) }
}

// victim counts the requests that reach this machine although they must not.
func victim(t *testing.T) (port string, hits *atomic.Int32) {
	t.Helper()
	hits = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	return port, hits
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	port, hits := victim(t)
	// The resolver is the attacker's: every name, also one that only looks like a
	// number, leads to this machine.
	client := NewHTTPClient(HTTPOptions{resolver: fakeDNS(t, always("127.0.0.1")), Timeout: 5 * time.Second})
	for _, host := range []string{
		"127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
		"localhost", "LOCALHOST", "localhost.", "desk.example.com", "xn--bcher-kva.example", "bücher.example", "①②⑦.⓪.⓪.①",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
		"[fe80::1%25lo]", "0.0.0.0", "0", "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "10.0.0.1", "192.168.0.1", "224.0.0.1",
		"user@127.0.0.1", "1.1.1.1@127.0.0.1", "1.1.1.1:80@127.0.0.1", "1.1.1.1%00@127.0.0.1",
	} {
		req := get(t, "http://"+host+":"+port+"/secret?token=canary")
		_, err := Do(client, req, MaxAnswerBytes)
		require.Error(t, err, host)
		f := fault.As(err)
		require.Equal(t, fault.DeskUnavailable, f.Kind, host)
		require.Equal(t, fault.NotSent, f.Sent, host)
		if !strings.HasSuffix(f.Public, "its name is unknown") { // what the resolver does not even ask for
			require.Contains(t, f.Public, "HANDOFF_ALLOWED_PRIVATE_NETWORKS", host)
		}
		require.NotContains(t, f.Public+f.Cause.Error(), "canary", host)
		require.NotContains(t, f.Public, "user@", host)
	}
	require.Zero(t, hits.Load())

	other, otherHits := victim(t)
	client = NewHTTPClient(HTTPOptions{AllowedAddresses: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:" + other)}})
	_, err := Do(client, get(t, "http://127.0.0.1:"+port+"/"), MaxAnswerBytes)
	require.Equal(t, fault.NotSent, fault.As(err).Sent, "another port of the same machine")
	require.Zero(t, hits.Load())
	_, err = Do(client, get(t, "http://[::ffff:127.0.0.1]:"+other+"/"), MaxAnswerBytes)
	require.NoError(t, err)
	require.EqualValues(t, 1, otherHits.Load())

	client = NewHTTPClient(HTTPOptions{resolver: fakeDNS(t, always("127.0.0.1")), AllowedPrivate: loopback})
	for _, host := range []string{"127.0.0.1", "desk.example.com", "[::ffff:127.0.0.1]"} {
		_, err := Do(client, get(t, "http://"+host+":"+port+"/"), MaxAnswerBytes)
		require.NoError(t, err, host)
	}
	require.EqualValues(t, 3, hits.Load())
}

func TestNameThatChangesItsMind(t *testing.T) {
	t.Parallel()
	// 127.0.0.2 plays the public address that a check would have seen.
	listener, err := net.Listen("tcp4", "127.0.0.2:0")
	require.NoError(t, err)
	var hits atomic.Int32
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)

	client := NewHTTPClient(HTTPOptions{
		AllowedPrivate: prefixes("127.0.0.2/32"),
		resolver: fakeDNS(t, func(n int) netip.Addr {
			return netip.MustParseAddr([]string{"127.0.0.2", "127.0.0.1"}[min(n, 1)])
		}),
	})
	_, err = Do(client, get(t, "http://desk.example.com:"+port), MaxAnswerBytes)
	require.NoError(t, err)
	client.CloseIdleConnections()
	_, err = Do(client, get(t, "http://desk.example.com:"+port), MaxAnswerBytes)
	require.ErrorContains(t, err, "private or reserved")
	require.EqualValues(t, 1, hits.Load())
}

func TestRedirectsAreAnswers(t *testing.T) {
	t.Parallel()
	port, hits := victim(t)
	for _, location := range []string{"http://127.0.0.1:" + port + "/", "/elsewhere", "http://[::1", ""} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
				_, _ = w.Write([]byte("moved"))
			}))
			client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback})
			for _, req := range []*http.Request{get(t, server.URL), post(t, server.URL)} {
				answer, err := Do(client, req, MaxAnswerBytes)
				require.NoError(t, err, location)
				require.Equal(t, status, answer.Status)
				require.Equal(t, "moved", string(answer.Body))
				require.Equal(t, fault.DeskRejected, answer.Refusal(AboutDesk, time.Time{}).Kind)
				require.ErrorContains(t, answer.Refusal(AboutDesk, time.Time{}), "redirect")
			}
			server.Close()
		}
	}
	require.Zero(t, hits.Load())
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	t.Cleanup(server.Close)
	client := NewHTTPClient(HTTPOptions{AllowedPrivate: loopback, Version: "1.2.3"})
	req := post(t, server.URL)
	_, err := Do(client, req, MaxAnswerBytes)
	require.NoError(t, err)
	require.Equal(t, http.Header{"User-Agent": {"Handoff/1.2.3"}, "Content-Length": {"7"}}, header)
	require.Empty(t, req.Header, "the caller's request is not changed")
}

func TestClientSettings(t *testing.T) {
	t.Parallel()
	client := NewHTTPClient(HTTPOptions{})
	transport := client.Transport.(*roundTripper)
	require.Nil(t, transport.Proxy, "a proxy would dial unjudged")
	require.EqualValues(t, 0x0303, transport.TLSClientConfig.MinVersion)
	require.Equal(t, CallTimeout, client.Timeout)
	require.Equal(t, "{HTTP1}", transport.Protocols.String())
	require.False(t, transport.DisableKeepAlives)
	require.Positive(t, transport.MaxIdleConnsPerHost)
	require.Equal(t, "Handoff/dev", transport.userAgent)
}
