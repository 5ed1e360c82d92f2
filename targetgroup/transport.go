package targetgroup

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/postern-lb/postern/internal/http1"
)

// Limits of the connections to targets.
const (
	// MaxIdleConnections is how many idle HTTP/1.1 connections are kept for each
	// target. There is no limit of busy ones: the listeners bound the requests.
	MaxIdleConnections = 256
	// MaxResponseHeaderBytes is the size of a response's headers above which it is
	// malformed (ALB, "Quotas": 32 K).
	MaxResponseHeaderBytes = 32 << 10
	// maxStreamBuffer is how much of one HTTP/2 response is taken in ahead of the
	// client. net/http's own 4 MB would let slow clients fill the memory.
	maxStreamBuffer = 256 << 10
	// maxTLSSessions is how many TLS sessions are kept for each target.
	maxTLSSessions = 16
	// writeStall is how long an HTTP/2 connection may take no byte before it is
	// given up with all its requests: its writes are shared, so the idle timeout
	// of one request must not be left to end them.
	writeStall = 30 * time.Second
)

// keepAlive finds a dead peer behind an idle connection in half a minute. HTTP/2
// PING frames would do it too, but a gRPC server in its default configuration
// takes them, when sent as often, for an attack and closes the connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// A transport holds the connections to one target.
type transport struct {
	http.RoundTripper
	CloseIdleConnections func()
	// http1 is the round tripper, if it is package http1's.
	http1 *http1.Transport
}

// newTransport returns a transport for the requests to one target: package http1's
// for HTTP/1.1, net/http's for HTTP/2. Neither decompresses, consults a proxy or
// follows what the target says about other servers.
//
// Both repeat a request by themselves only on the same target and only where a
// repetition is safe: if a pooled connection turns out closed before a byte of
// the response, and the request has no body and an idempotent method. HTTP/2 also
// does so if the target says that it did not process the request (REFUSED_STREAM,
// GOAWAY), when there is no body. Nothing is ever repeated on another target.
func newTransport(cfg *Config, address string, metrics *targetMetrics) *transport {
	d := dialer{connectTimeout: cfg.ConnectTimeout, metrics: metrics, tls: tlsConfig(cfg.ProtocolVersion, address)}
	d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(maxTLSSessions)
	if cfg.ProtocolVersion == HTTP1 {
		t := &http1.Transport{
			Dial: d.dial, DialTLS: d.dialTLS, MaxIdlePerHost: MaxIdleConnections,
			IdleTimeout: cfg.IdleTimeout, MaxResponseHeaderBytes: MaxResponseHeaderBytes,
		}
		return &transport{RoundTripper: t, CloseIdleConnections: t.CloseIdleConnections, http1: t}
	}
	t := baseTransport(cfg.ProtocolVersion, &d)
	t.IdleConnTimeout = cfg.IdleTimeout
	return &transport{RoundTripper: t, CloseIdleConnections: t.CloseIdleConnections}
}

// baseTransport is what HTTP/2 requests and health checks have in common.
func baseTransport(version ProtocolVersion, d *dialer) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == HTTP1)
	protocols.SetHTTP2(version != HTTP1)
	protocols.SetUnencryptedHTTP2(version != HTTP1)
	return &http.Transport{
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: maxStreamBuffer, WriteByteTimeout: writeStall},
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		DisableCompression:     true,
		MaxResponseHeaderBytes: MaxResponseHeaderBytes,
	}
}

// tlsConfig never validates the target's certificate: ALB does not, and targets
// are told apart by the network they stand in. TLS 1.2 is the least because
// crypto/tls has nothing safe below; ALB's policies towards targets go down to 1.0.
// The target's name is sent as SNI if it has one; an IP address is none (RFC
// 6066, section 3), and crypto/tls leaves it out.
func tlsConfig(version ProtocolVersion, address string) *tls.Config {
	host, _ := splitAddress(address)
	alpn := "http/1.1"
	if version != HTTP1 {
		alpn = "h2"
	}
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{alpn},
		ServerName:         host,
	}
}

// A dialer opens connections to one target. Its errors are of type *dialError.
type dialer struct {
	connectTimeout time.Duration
	tls            *tls.Config
	metrics        *targetMetrics // nil for health checks
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	tcp := net.Dialer{Timeout: d.connectTimeout, KeepAliveConfig: keepAlive}
	conn, err := tcp.DialContext(ctx, network, address)
	if err != nil {
		d.metrics.connectionError()
		return nil, connectError(err)
	}
	return conn, nil
}

var errNoHTTP2 = errors.New("target did not agree to HTTP/2 (ALPN h2)")

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn, err := d.handshake(ctx, raw)
	if err != nil {
		raw.Close()
		d.metrics.tlsError()
		return nil, handshakeError(err)
	}
	return conn, nil
}

func (d *dialer) handshake(ctx context.Context, raw net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connectTimeout)
	defer cancel()
	conn := tls.Client(raw, d.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if d.tls.NextProtos[0] == "h2" && conn.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, errNoHTTP2
	}
	return conn, nil
}
