package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A Transport sends requests to HTTP/1.1 servers and keeps connections to them. It
// is an http.RoundTripper in place of net/http's Transport: requests go out as they
// are, responses come as they are. Its exported fields are fixed before the first
// request; its methods are safe for concurrent use.
type Transport struct {
	// Dial opens a connection for http URLs; nil stands for net.Dialer's. Its
	// errors come through RoundTrip unchanged.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTLS opens a connection for https URLs and finishes its handshake; without
	// it there is no https.
	DialTLS func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxIdlePerHost is how many idle connections are kept for one scheme and
	// host; zero stands for [DefaultMaxIdlePerHost].
	MaxIdlePerHost int
	// IdleTimeout is how long a connection is kept without a request, to within a
	// quarter; zero is without end.
	IdleTimeout time.Duration
	// MaxResponseHeaderBytes is the size of a response's status line and of
	// its headers from which on it is malformed; zero stands for
	// [DefaultMaxResponseHeaderBytes].
	MaxResponseHeaderBytes int
	// DisableKeepAlives sends Connection: close and keeps no connection.
	DisableKeepAlives bool

	once   sync.Once
	limits Limits
	reads  engine.Blocks
	writes engine.Blocks
	pool   pool
}

func (t *Transport) init() {
	t.once.Do(func() {
		t.limits = responseLimits(t.MaxResponseHeaderBytes)
		t.reads.Size, t.writes.Size = readBuffer, writeBuffer
		t.pool.open(t.MaxIdlePerHost, t.IdleTimeout)
	})
}

// RoundTrip implements http.RoundTripper. Beyond its contract:
//
//   - A request is repeated only once, on a new connection, if a pooled one broke
//     before a byte of the response, the method is idempotent (RFC 9110, section
//     9.2.2) and there is no body.
//   - The end of the context ends the exchange up to the end of the response's
//     body, at once, also while the request's body cannot be read. The error is the
//     context's cause.
//   - An error in reading the request's body is returned as it is. The body is
//     closed, perhaps after RoundTrip has returned.
//   - The body of a 101 response is an io.ReadWriteCloser with CloseWrite, and the context
//     does not concern it. A 101 that the request did not ask for is an error.
//   - Informational responses go to Got1xxResponse of httptrace; its other hooks
//     are not called.
//   - A malformed response is an [*Error]; a connection that ended is
//     io.ErrUnexpectedEOF or the network's error.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.Do(new(Call), req)
}

// Do is RoundTrip with a call of the caller's, which can be cancelled apart from the
// request's context and used again. The response and its body are part of the call.
func (t *Transport) Do(c *Call, req *http.Request) (*http.Response, error) {
	t.init()
	c.transport, c.ctx = t, req.Context()
	c.res.Request = req
	c.head = t.writes.Get()
	defer c.dropHead()
	if err := c.compose(); err != nil {
		closeBody(req)
		return nil, err
	}
	c.watch()
	res, err := c.try(true)
	if err == errRetry {
		res, err = c.try(false)
	}
	if err != nil {
		c.unwatch()
		if c.up == nil || !c.up.begun {
			closeBody(req)
		}
	}
	return res, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// CloseIdleConnections closes the connections that are idle, and those that
// become so before the next request.
func (t *Transport) CloseIdleConnections() {
	t.init()
	t.pool.closeIdle()
}

// errRetry says that a pooled connection turned out dead before anything was lost.
var errRetry = errors.New("http1: pooled connection was closed")

// connection takes a connection out of the pool or opens one, which the end of the
// call interrupts too.
func (c *Call) connection(pooled bool) (*upstream, error) {
	t := c.transport
	if pooled {
		if u := t.pool.get(c.host); u != nil {
			return u, nil
		}
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.interruptDial(cancel)
	defer c.interruptDial(nil)
	nc, err := t.dial(ctx, c.host)
	if cause := c.canceled(); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	return newUpstream(t, c.host, nc), nil
}

// interruptDial sets what Cancel calls while the call has no connection yet.
func (c *Call) interruptDial(cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undial = cancel
	if cancel != nil && c.cause != nil {
		cancel()
	}
}

func (t *Transport) dial(ctx context.Context, host hostKey) (net.Conn, error) {
	dial, port := t.Dial, "80"
	if host.scheme == "https" {
		dial, port = t.DialTLS, "443"
		if dial == nil {
			return nil, errors.New("http1: no DialTLS for an https URL")
		}
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, "tcp", withPort(host.address, port))
}

// withPort adds a port to an address that has none.
func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	if len(address) > 1 && address[0] == '[' && address[len(address)-1] == ']' {
		address = address[1 : len(address)-1]
	}
	return net.JoinHostPort(address, port)
}

// repeatable reports whether a request may be sent again when it is not known
// whether it was acted on.
func repeatable(req *http.Request) bool {
	if hasBody(req) {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// broken reports whether err is that of a connection that ended, and not of what
// came over it.
func broken(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && !op.Timeout()
}

// errClosed is the end of a connection where a response should have been.
var errClosed = fmt.Errorf("http1: connection closed before a response: %w", io.ErrUnexpectedEOF)
