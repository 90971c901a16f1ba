package desk

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Limits of every call to a desk. 5 s and 10 s are what the reference of the
// GPTBots webhook recommends; the rest is ours.
const (
	DialTimeout    = 5 * time.Second  // to connect; the same again for the TLS handshake
	CallTimeout    = 10 * time.Second // the whole call, body included
	MaxAnswerBytes = 64 << 10         // of a body, unless a desk asks for another limit

	maxHeaderBytes   = 32 << 10
	maxIdle          = 512
	maxIdlePerDesk   = 64 // as many as the relay has workers by default
	keepAliveProbing = 30 * time.Second

	// idleTimeout stays below the 5 s after which Node.js and Apache close an idle
	// connection by default. A request that crosses such a close on the wire may or
	// may not have arrived, and an unknown outcome costs more than a handshake.
	idleTimeout = 4 * time.Second
)

// HTTPOptions say what a client made by [NewHTTPClient] may do.
type HTTPOptions struct {
	// AllowedPrivate are networks that may be called although they are not public.
	AllowedPrivate []netip.Prefix
	// AllowedAddresses may be called wherever they are: those of simulators.
	AllowedAddresses []netip.AddrPort
	// Version of this service, for the User-Agent; "" = "dev".
	Version string
	// Timeout of a whole call; 0 = [CallTimeout].
	Timeout time.Duration

	resolver *net.Resolver // nil = the system's; tests bring their own
}

// NewHTTPClient makes the client for addresses that customers typed.
//
// Every address is judged when it is dialled, after its name was resolved, so a
// name that changes its mind between a check and the call gains nothing. A proxy
// from the environment is not used: it would dial in our place, unjudged.
// Redirects come back as answers. Use it with [Do].
func NewHTTPClient(o HTTPOptions) *http.Client {
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Timeout <= 0 {
		o.Timeout = CallTimeout
	}
	allowed, addresses := slices.Clone(o.AllowedPrivate), slices.Clone(o.AllowedAddresses)
	dialer := &net.Dialer{
		Timeout:   DialTimeout,
		KeepAlive: keepAliveProbing,
		Resolver:  o.resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !reachable(to.Addr(), allowed) && !slices.Contains(addresses, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())) {
				return &unreachableError{ip: to.Addr().Unmap()}
			}
			return nil
		},
	}
	// One request per connection, so that a desk which stalls on one session holds
	// up no other, and so that "were bytes written?" has one answer.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    DialTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerDesk,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// Answers are short; asking for gzip would add a header and a way to send bombs.
		DisableCompression: true,
	}
	return &http.Client{
		Transport: &roundTripper{Transport: transport, userAgent: "Handoff/" + o.Version},
		Timeout:   o.Timeout,
	}
}

// roundTripper puts our name on requests and takes the address off redirects.
// Without a Location http.Client has nothing to follow and nothing to fail over.
type roundTripper struct {
	*http.Transport
	userAgent string
}

func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", t.userAgent)
	resp, err := t.Transport.RoundTrip(req)
	if err == nil {
		resp.Header.Del("Location")
	}
	return resp, err
}
