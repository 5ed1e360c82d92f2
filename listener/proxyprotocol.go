package listener

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// Limits of the PROXY protocol. A sender that exceeds one is refused.
const (
	// MaxProxyHeaderLength bounds what follows the fixed 16 bytes: addresses and
	// TLVs. The largest TLV in use, a client certificate, has 1 to 2 KiB.
	MaxProxyHeaderLength = 4096
	// MaxVPCEndpointID bounds the endpoint id in bytes; AWS's have 22.
	MaxVPCEndpointID = 64
	// DefaultProxyHeaderTimeout and MaxProxyHeaderTimeout bound the time from
	// accept to the last byte of the header.
	DefaultProxyHeaderTimeout = 3 * time.Second
	MaxProxyHeaderTimeout     = time.Minute
)

// ProxyProtocolConfig says whether a listener stands behind a load balancer
// that announces the client by PROXY protocol, version 2.
type ProxyProtocolConfig struct {
	// Mode is "off" or "require"; empty means off. There is no mode in which the
	// header is optional: a client could then write one itself.
	Mode string
	// TrustedSources are the CIDR blocks the load balancer connects from. At
	// least one is needed in mode require; connections from elsewhere are refused.
	TrustedSources []string
	// HeaderTimeout is the time for the whole header, counted from Accept; zero
	// means [DefaultProxyHeaderTimeout]. NLB sends the header together with the
	// client's first bytes, so this also bounds a silent client.
	HeaderTimeout time.Duration
}

// ProxyInfo says who is at the two ends of a connection. Addresses that are
// IPv4-mapped are unmapped.
type ProxyInfo struct {
	// Source and Destination are those of the client's connection to the load
	// balancer, if there was a header that told; otherwise those of the socket.
	Source, Destination netip.AddrPort
	// VPCEndpointID is the endpoint that the client came through, if the
	// connection came by AWS PrivateLink; letters, digits and hyphens only.
	VPCEndpointID string
	// Local says that the load balancer opened the connection itself, for a
	// health check; Source is then its own address.
	Local bool
}

// ProxyReason says why a connection was refused. Its text is a metric label,
// so a ProxyReason is never renamed.
type ProxyReason string

// The reasons of [ProxyError].
const (
	ProxyUntrustedSource ProxyReason = "untrusted_source" // the peer is in no trusted block
	ProxyHeaderMissing   ProxyReason = "header_missing"   // the first bytes are no header of version 2
	ProxyHeaderTimedOut  ProxyReason = "header_timeout"   // the header was not complete in time
	ProxyHeaderTooLong   ProxyReason = "header_too_long"  // longer than MaxProxyHeaderLength
	ProxyHeaderMalformed ProxyReason = "header_malformed" // not according to the specification, or cut short
)

// A ProxyError is returned by [ProxyProtocol.Accept] for every connection it
// refuses.
type ProxyError struct {
	Reason ProxyReason
	Err    error
}

// Error names the reason and the cause.
func (e *ProxyError) Error() string {
	return "reading PROXY header: " + string(e.Reason) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// A ProxyProtocol reads PROXY headers as one listener is configured to. It is
// immutable and safe for concurrent use.
type ProxyProtocol struct {
	trusted []netip.Prefix // empty in mode off
	timeout time.Duration
}

// NewProxyProtocol checks cfg; the error is a [fault.List].
func NewProxyProtocol(cfg ProxyProtocolConfig) (*ProxyProtocol, error) {
	var faults fault.List
	p := &ProxyProtocol{timeout: cfg.HeaderTimeout}
	if p.timeout == 0 {
		p.timeout = DefaultProxyHeaderTimeout
	}
	if p.timeout < 0 || p.timeout > MaxProxyHeaderTimeout {
		faults.Add("header_timeout", "is %v; want more than 0 and at most %v", cfg.HeaderTimeout, MaxProxyHeaderTimeout)
	}
	switch cfg.Mode {
	case "require":
		p.trusted = parseTrustedSources(cfg.TrustedSources, &faults)
		if len(cfg.TrustedSources) == 0 {
			faults.Add("trusted_sources", "is empty; list the CIDR blocks your load balancer connects from")
		}
	case "", "off":
		if len(cfg.TrustedSources) > 0 {
			faults.Add("trusted_sources", "has no effect while mode is off; set mode to require or remove it")
		}
	default:
		faults.Add("mode", "is %q; want off or require", cfg.Mode)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func parseTrustedSources(texts []string, faults *fault.List) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			faults.Add(fault.Index("trusted_sources", i), "%q is not a CIDR block such as 10.0.0.0/16", text)
		case prefix != prefix.Masked():
			faults.Add(fault.Index("trusted_sources", i), "%q has bits set beyond its length; did you mean %q?", text, prefix.Masked())
		case prefix.Addr().Is4In6():
			faults.Add(fault.Index("trusted_sources", i), "%q is IPv4-mapped; write it as IPv4", text)
		default:
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

// Required reports whether connections must begin with a header.
func (p *ProxyProtocol) Required() bool { return len(p.trusted) > 0 }

// Accept reads the header from a connection just accepted, and not one byte
// more, and returns the connection as its client should be seen: RemoteAddr
// and LocalAddr are those of the header. In mode off, and for connections that
// the load balancer opened itself, raw is returned as it is. A returned
// connection that is not raw has a method NetConn that gives raw.
//
// Call it in the connection's own goroutine: it blocks up to the header
// timeout. It sets raw's read deadline and clears it before it returns. Every
// error is a [*ProxyError]; raw is then still open and the caller closes it,
// without sending anything.
func (p *ProxyProtocol) Accept(raw net.Conn) (net.Conn, ProxyInfo, error) {
	info := ProxyInfo{Source: addrPort(raw.RemoteAddr()), Destination: addrPort(raw.LocalAddr())}
	if !p.Required() {
		return raw, info, nil
	}
	if !p.trusts(info.Source.Addr()) {
		return nil, ProxyInfo{}, proxyError(ProxyUntrustedSource, "%v is not in trusted_sources", raw.RemoteAddr())
	}
	header, err := p.read(raw)
	if err != nil {
		return nil, ProxyInfo{}, err
	}
	if err := info.apply(header); err != nil {
		return nil, ProxyInfo{}, &ProxyError{ProxyHeaderMalformed, err}
	}
	if info.Local {
		return raw, info, nil
	}
	return &proxiedConn{Conn: raw, info: info}, info, nil
}

func (p *ProxyProtocol) trusts(addr netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(addr.WithZone("")) {
			return true
		}
	}
	return false
}

// read returns the header in its bytes. The framing is done here and not by
// proxyproto.Conn for three reasons: exactly the header is read, so that nothing
// need be kept for later and the connection stays what it was; version 1,
// which has no length, is never tried; and the limit is checked before memory is
// taken.
func (p *ProxyProtocol) read(raw net.Conn) ([]byte, error) {
	if err := raw.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return nil, &ProxyError{ProxyHeaderMissing, err}
	}
	header, err := readProxyHeader(raw)
	if err != nil {
		return nil, err
	}
	if err := raw.SetReadDeadline(time.Time{}); err != nil {
		return nil, &ProxyError{ProxyHeaderMissing, err}
	}
	return header, nil
}

// proxiedConn is a connection whose addresses are the header's.
type proxiedConn struct {
	net.Conn
	info ProxyInfo
}

func (c *proxiedConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.info.Source) }
func (c *proxiedConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.info.Destination) }

// NetConn returns the connection to the load balancer, as [tls.Conn.NetConn] does.
func (c *proxiedConn) NetConn() net.Conn { return c.Conn }

func proxyError(reason ProxyReason, format string, args ...any) *ProxyError {
	return &ProxyError{reason, fmt.Errorf(format, args...)}
}
