package listener

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
	"github.com/postern-lb/postern/internal/http2"
	"github.com/postern-lb/postern/trust"
)

const (
	recordHeaderLen = 5
	recordAlert     = 21
	recordAppData   = 23
	// sealedAlertLen is an alert under TLS 1.3: a record header, two bytes of
	// alert, the inner content type and the AEAD tag (RFC 8446, section 5.2).
	sealedAlertLen = recordHeaderLen + 2 + 1 + 16
)

// A conn is one client connection below TLS. Its server sees it, or the *tls.Conn
// above it, and finds it again through [connOf].
type conn struct {
	net.Conn // after the PROXY header, if there was one

	// Fixed when the connection was accepted.
	raw      net.Conn // the socket itself, for a reset
	listener *Listener
	policy   *Policy // what the handshake was decided under
	traceID  string
	opened   time.Time
	client   netip.AddrPort // from the PROXY header, else the TCP peer
	local    netip.AddrPort
	proxy    ProxyInfo

	// Owned by the goroutine of the handshake until it hands the connection to
	// its server; read only afterwards.
	tc         *tls.Conn // nil on an HTTP listener
	sni        string
	quiet      bool // alerts after the first flight are swallowed
	muted      bool // refused: nothing at all is sent any more
	flightSent bool
	firstAuth  time.Time // when the client last proved that it holds its key
	state      negotiated
	verdict    *trust.Verdict // of the handshake, verify mode only; see judged
	chain      string         // passthrough mode only: the certificates, encoded
	presented  []*x509.Certificate
	basis      basis // what the verdict rests on
	serverCert *tls.Certificate
	sniMatched bool

	// Owned by who reads from the connection.
	records recordTracker

	// Safe for all.
	expires    atomic.Int64 // when the clock ends what the verdict rests on, as Unix time; 0 if it does not
	requests   atomic.Int64
	condemned  atomic.Bool                  // no longer trusted, or the process drains
	active     atomic.Bool                  // a request is in flight
	forbidden  atomic.Uint32                // how many 403 a refused client got
	http2      atomic.Pointer[http2.Server] // what serves it, if that is not net/http
	headers    atomic.Pointer[connHeaders]
	revised    atomic.Pointer[trust.Verdict]     // a refusal that came later
	answer     atomic.Pointer[certificateAnswer] // to the rules of the last request
	registered bool                              // guarded by live.mu
	next, prev *conn                             // in the list of peer; guarded by live.mu
	peer       *peer                             // guarded by live.mu; it stays as it is once c is served
}

// negotiated is what is kept of a tls.ConnectionState, which is ten times as large
// and holds on to certificates.
type negotiated struct {
	Version, CipherSuite uint16
	CurveID              tls.CurveID
	DidResume            bool
	NegotiatedProtocol   string
}

func negotiatedBy(tc *tls.Conn) negotiated {
	s := tc.ConnectionState()
	return negotiated{s.Version, s.CipherSuite, s.CurveID, s.DidResume, s.NegotiatedProtocol}
}

// Write swallows TLS alerts while the handshake is one that is refused as ALB
// refuses: by a reset, with no alert (ALB, "Mutual authentication"). Alerts
// before the first flight, such as no common cipher, are sent: they say
// nothing about a certificate.
//
// A TLS 1.2 session that is not resumed because its client is refused now has its
// alert behind the first flight, in one write; hence muted.
func (c *conn) Write(b []byte) (int, error) {
	if c.muted || (c.quiet && c.flightSent && isAlert(b)) {
		return len(b), nil
	}
	c.flightSent = c.flightSent || (c.quiet && !isAlert(b))
	return c.Conn.Write(b)
}

// Read implements net.Conn and keeps count of the TLS records.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.tc != nil {
		c.records.saw(b[:n], len(b))
	} else {
		c.records.full = n == len(b)
	}
	return n, err
}

// Drained reports whether nothing of what was read from the socket is left in a layer
// above it, so that to wait for the socket is to wait for the client. What a PROXY
// header was read with may have kept something unless its last read found too little.
func (c *conn) Drained() bool {
	return (c.tc == nil || c.records.drained()) && (c.Conn == c.raw || !c.records.full)
}

// NetConn returns the socket, where the engine looks whether a client that waits is
// still there.
func (c *conn) NetConn() net.Conn { return c.raw }

// CloseWrite lets a server end an HTTP listener's connection so that its last
// answer arrives.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return c.raw.Close()
}

func isAlert(b []byte) bool {
	if len(b) < recordHeaderLen {
		return false
	}
	return b[0] == recordAlert || (b[0] == recordAppData && len(b) == sealedAlertLen)
}

// reset closes the connection with a TCP reset and sends nothing else.
func (c *conn) reset() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.raw.Close()
}

// lingerClose closes the connection so that what was already written arrives.
func (c *conn) lingerClose() {
	engine.Linger(c.raw)
	c.raw.Close()
}

// port is the port of the listener that the client reached.
func (c *conn) port() int { return int(c.local.Port()) }

// connOf finds the conn below whatever a server was given.
func connOf(nc net.Conn) *conn {
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// addrPort reads a net.Addr of a TCP socket; IPv4-mapped addresses are unmapped.
// Of any other it is the zero value, which no trusted source contains.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
