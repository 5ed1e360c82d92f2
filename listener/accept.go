package listener

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/postern-lb/postern/trust"
)

// acceptBackoff is the longest pause after an accept that failed for want of
// file descriptors or memory.
const acceptBackoff = time.Second

// accept takes connections until the socket is closed. Each is served by a
// goroutine of its own; accept itself never waits for a client.
func (l *Listener) accept(ln net.Listener) {
	pause := 5 * time.Millisecond
	for {
		raw, err := ln.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			l.admit(raw)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			l.logger.Error("accepting a connection", "listener", l.name, "error", err)
			time.Sleep(pause)
			pause = min(2*pause, acceptBackoff)
		}
	}
}

// admit starts a connection, or resets it when the listener has as many as its
// max_connections allows (CloudWatch: RejectedConnectionCount).
func (l *Listener) admit(raw net.Conn) {
	p := l.policy.Load()
	if l.open.Add(1) > int64(p.maxConnections) {
		l.open.Add(-1)
		p.metrics.ConnectionRejected()
		(&conn{raw: raw}).reset()
		return
	}
	c := &conn{
		Conn: raw, raw: raw, listener: l, policy: p, traceID: NewConnTraceID(), opened: time.Now(),
		client: addrPort(raw.RemoteAddr()), local: addrPort(raw.LocalAddr()),
	}
	p.metrics.ConnectionOpened()
	l.starting.Add(1)
	l.live.add(c)
	go l.runConn(c)
}

// runConn is the goroutine of a connection: the handshake, and for HTTP/1.1 all
// that follows.
func (l *Listener) runConn(c *conn) {
	nc := l.start(c)
	l.starting.Done()
	if nc == nil || !l.serve(c, nc) {
		c.raw.Close()
		l.forget(c)
	}
}

// start brings a connection to the point where requests can be read from what it
// returns; nil if it does not come that far.
func (l *Listener) start(c *conn) (nc net.Conn) {
	defer func() {
		if r := recover(); r != nil {
			l.logger.Error("panic while starting a connection", "listener", l.name,
				"client", c.client.String(), "panic", r, "stack", string(debug.Stack()))
			nc = nil
		}
	}()
	if err := c.readProxyHeader(); err != nil {
		c.log(trust.UnmappedConnectionError, err)
		c.reset()
		return nil
	}
	if c.policy.tlsBase == nil {
		c.log("", nil)
		nc = c
	} else if l.handshake(c) {
		nc = c.tc
	}
	if nc != nil {
		l.live.serve(c)
	}
	return nc
}

// serve answers a connection's requests; false if the listener is closing.
func (l *Listener) serve(c *conn, nc net.Conn) bool {
	// What changed while the handshake ran has not seen this connection.
	if p := l.policy.Load(); p != c.policy || c.basis != p.mtls.basis() {
		if v := p.recheck(c, new(again)); v != nil {
			l.condemn(c, v)
		}
		l.live.lookAt(c.expires.Load())
	}
	c.basis = basis{} // or an idle connection would keep revocation lists that were replaced
	return l.serving.Load().serve(c, nc)
}

// closed counts a connection out.
func (l *Listener) closed(c *conn) {
	l.open.Add(-1)
	c.policy.metrics.ConnectionClosed()
}

func (c *conn) readProxyHeader() error {
	if c.policy.proxy == nil {
		return nil
	}
	inner, info, err := c.policy.proxy.Accept(c.raw)
	if err != nil {
		return err
	}
	c.Conn, c.proxy = inner, info
	if !info.Local {
		c.client = info.Source
	}
	return nil
}

// handshake is conn.handshake as far as there is room for another.
func (l *Listener) handshake(c *conn) bool {
	if !l.admission.enter(c.client.Addr(), c.policy.maxHandshakes, time.Now()) {
		c.log(trust.UnmappedConnectionError, errTooManyHandshakes)
		c.reset()
		return false
	}
	defer l.admission.leave()
	if !c.handshake() {
		return false
	}
	if c.believed() {
		l.admission.known.note(c.client.Addr(), time.Now())
	}
	return true
}

// handshake runs TLS and reports whether the connection goes on. Every attempt
// leaves one line in the connection log. No context ends it, since one that can be
// cancelled costs two registrations with it a handshake: deadlines bound its time,
// and a drain that has run out closes the socket.
func (c *conn) handshake() bool {
	m := &c.policy.mtls
	c.quiet = m.Mode == ModeVerify && m.OnRefusal == RefuseReset
	c.Conn.SetDeadline(time.Now().Add(c.policy.timeouts.ClientHello))
	c.tc = tls.Server(c, c.tlsConfig())
	err := c.tc.Handshake()
	c.state = negotiatedBy(c.tc)
	if err != nil {
		c.handshakeFailed(err)
		return false
	}
	c.quiet = false
	c.Conn.SetDeadline(time.Time{})
	reason := trust.Reason("")
	if !c.believed() && !(c.tolerated() && !c.hasCertificate()) {
		reason = c.verdict.Reason
	}
	if m.Seen != nil && c.verdict != nil && c.verdict.Accepted {
		m.Seen.Accepted(c.verdict, c.presented, c.policy.now())
	}
	c.log(reason, nil)
	return true
}

func (c *conn) handshakeFailed(err error) {
	reason := handshakeReason(err)
	if reason == trust.UnmappedConnectionError && strings.Contains(err.Error(), missingText) {
		c.verdict = trust.RefuseMissing() // mode alert, where crypto/tls finds it out
	}
	if refused, ok := errors.AsType[*refusedError](err); ok {
		reason = refused.verdict.Reason
	} else if c.verdict != nil && c.verdict.Accepted {
		// The chain was good, but the client did not prove that it is its own.
		c.verdict = nil
	}
	c.log(reason, err)
	if c.muted || (c.quiet && c.flightSent) {
		c.reset()
		return
	}
	c.lingerClose()
}
