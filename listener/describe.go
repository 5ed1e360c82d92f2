package listener

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// This file turns connections and requests into log entries and counts.

// log writes the connection log's line for c: reason is empty if the connection
// was established and its client accepted.
func (c *conn) log(reason trust.Reason, err error) {
	p := c.policy
	status := VerifySuccess
	if reason != "" {
		status = VerifyFailed + string(reason)
	}
	elapsed := time.Since(c.opened)
	if c.policy.tlsBase != nil {
		outcome, why := c.handshakeOutcome(reason, err)
		p.metrics.HandshakeDone(outcome, why, c.state.DidResume, elapsed)
		if outcome == HandshakeRefused {
			c.keepRefusal(reason, c.detail(err))
		}
	}
	if p.connLog == nil {
		return
	}
	e := ConnEntry{
		Time: time.Now(), ClientIP: c.client.Addr(), ClientPort: c.client.Port(), ListenerPort: uint16(c.port()),
		ConnTraceID: c.traceID, ELB: p.elb, IPAddress: c.local.Addr(),
		Listener: p.name, ServerName: c.sni, VPCEndpointID: c.proxy.VPCEndpointID,
	}
	if p.tlsBase != nil {
		c.describeTLS(&e, status, err == nil, elapsed)
	} else if reason != "" {
		e.VerifyStatus = status
	}
	if err != nil {
		e.Detail = c.detail(err)
	}
	p.connLog.write(&e)
}

// detail is a sentence about how a handshake ended, for operators.
func (c *conn) detail(err error) string {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.verdict.Detail
	}
	if err != nil {
		return err.Error()
	}
	if c.verdict != nil {
		return c.verdict.Detail
	}
	return ""
}

func (c *conn) describeTLS(e *ConnEntry, status string, established bool, elapsed time.Duration) {
	e.TLSVersion, e.Cipher, e.KeyExchange = c.state.Version, c.state.CipherSuite, c.state.CurveID
	e.VerifyStatus, e.Resumed = status, c.state.DidResume
	if established {
		e.HandshakeLatency = elapsed
	}
	if established && c.tolerated() && !c.hasCertificate() {
		e.VerifyStatus = "" // there was nothing to verify
	}
	if c.verdict != nil {
		e.Detail, e.MemoHit = c.verdict.Detail, c.verdict.MemoHit
	}
	if id := c.leafIdentity(); id != nil {
		e.LeafSubject, e.LeafValidity, e.LeafSerial = id.Subject, id.Validity, id.Serial
	}
}

// leafIdentity describes the certificate that the client presented, whether or
// not it was believed. Nil if there was none.
func (c *conn) leafIdentity() *trust.Identity {
	switch {
	case c.verdict != nil && c.verdict.Identity != nil:
		return c.verdict.Identity
	case len(c.presented) > 0:
		return trust.NewIdentity(c.presented[0])
	}
	return nil
}

// handshakeOutcome says which of the metric's outcomes a handshake had, and why.
func (c *conn) handshakeOutcome(reason trust.Reason, err error) (outcome, why string) {
	switch {
	case reason == "":
		return HandshakeAccepted, ""
	case err == nil && c.tolerated():
		return HandshakeTolerated, string(reason)
	case c.verdict != nil && reason == trust.UnmappedConnectionError && len(c.presented) == 0:
		return HandshakeRefused, refusedMissing
	case c.verdict != nil || reason != trust.UnmappedConnectionError:
		return HandshakeRefused, string(reason)
	}
	return HandshakeFailed, failedReason(err)
}

// failedReason sorts the errors of crypto/tls and of the socket.
func failedReason(err error) string {
	if errors.Is(err, errTooManyHandshakes) {
		return FailedBusy
	}
	if errors.Is(err, errClientGone) {
		return FailedClosed
	}
	if _, ok := errors.AsType[*ProxyError](err); ok {
		return FailedProxyProtocol
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return FailedNotTLS
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return FailedTimeout
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return FailedClosed
	}
	for _, f := range []struct{ text, reason string }{
		{"remote error", FailedClientAlert},
		{"unsupported versions", FailedVersion},
		{"no cipher suite", FailedCipher},
		{"no key exchanges", FailedCipher},
		{"no ECDHE curve", FailedCipher},
		{"unmarshal", FailedClientHello},
	} {
		if strings.Contains(err.Error(), f.text) {
			return f.reason
		}
	}
	return FailedUnmapped
}

// describe fills in what is known of a request before anything is done with it.
func (x *exchange) describe() {
	e, c, r := &x.entry, x.c, x.r
	e.Reset()
	x.c.requests.Add(1)
	c.describeRequests(e, x.p)
	e.Type = x.entryType()
	e.Method, e.Host, e.URI, e.Proto = r.Method, r.Host, r.RequestURI, r.Proto
	e.UserAgent = r.UserAgent()
	e.RequestCreationTime = x.began
	e.ReceivedBytes = int64(len(r.Method)+len(r.RequestURI)+len(r.Proto)+len("  \r\n\r\n")) +
		int64(headerLineBytes("Host", r.Host)+headerBytes(r.Header))
}

// describeRequests fills in what is the same for all requests of a connection.
func (c *conn) describeRequests(e *AccessEntry, p *Policy) {
	e.ELB, e.Listener, e.ConnTraceID = p.elb, p.name, c.traceID
	e.Client, e.IPAddress, e.ListenerPort = c.client, c.local.Addr(), uint16(c.port())
	e.VPCEndpointID = c.proxy.VPCEndpointID
	if c.tc == nil {
		return
	}
	e.Cipher, e.TLSVersion = c.state.CipherSuite, c.state.Version
	if c.sniMatched {
		e.DomainName = c.sni
	}
	switch {
	case c.state.DidResume:
		e.ChosenCert = SessionReused
	case c.serverCert != nil:
		e.ChosenCert = certificateName(c)
	}
}

// certificateName names a server certificate in the log: the first of its names.
func certificateName(c *conn) string {
	if hosts := CertificateHosts(c.serverCert); len(hosts) > 0 {
		return hosts[0]
	}
	return c.serverCert.Leaf.SerialNumber.Text(16)
}

func (x *exchange) entryType() string {
	secure := x.c.tc != nil
	switch {
	case targetgroup.IsGRPC(x.r):
		return TypeGRPCS
	case x.r.ProtoMajor == 2:
		return TypeH2
	case secure && upgradeOf(x.r).isWebSocket():
		return TypeWSS
	case upgradeOf(x.r).isWebSocket():
		return TypeWS
	case secure:
		return TypeHTTPS
	}
	return TypeHTTP
}

// finish fills in what is known once the answer is out.
func (x *exchange) finish() {
	e, t, w := &x.entry, &x.to.Trace, &x.w
	now := time.Now()
	e.Time = now
	if e.ELBStatus == 0 {
		e.ELBStatus = w.status
		if w.status == 0 {
			e.ELBStatus = http.StatusOK // nothing written: the server sends an empty 200
		}
	}
	e.SentBytes = w.header + w.sent
	if x.body != nil {
		e.ReceivedBytes += x.body.received.Load()
	}
	if w.hijacked != nil {
		e.ReceivedBytes += w.hijacked.read.Load()
		e.SentBytes += w.hijacked.written.Load()
		x.l.forget(x.c)
	}
	e.Target, e.TargetStatus = t.Target, t.Status
	if t.Dispatched.IsZero() {
		return
	}
	e.RequestProcessingTime = t.Dispatched.Sub(x.began)
	if t.FirstResponse.IsZero() {
		return
	}
	e.TargetProcessingTime = t.FirstResponse.Sub(t.Dispatched)
	e.ResponseProcessingTime = now.Sub(t.FirstResponse)
}

// count adds the finished request to the metrics.
func (x *exchange) count() {
	e := &x.entry
	s := RequestSample{
		Client: e.Client.Addr(), Action: x.action, GRPC: e.Type == TypeGRPCS, Dispatched: e.Target != "",
		TargetStatus: e.TargetStatus, TargetTime: e.TargetProcessingTime, RuleEvaluations: x.rules,
		Received: e.ReceivedBytes, Sent: e.SentBytes,
	}
	if e.TargetStatus == 0 {
		s.ELBStatus = e.ELBStatus
	}
	x.p.metrics.Request(&s)
}

// countInvalidHeaders counts a request that holds header names other than letters,
// digits and hyphens (CloudWatch: DroppedInvalidHeaderRequestCount and
// ForwardedInvalidHeaderRequestCount).
func (x *exchange) countInvalidHeaders(count func()) {
	for name := range x.r.Header {
		if !isPlainName(name) {
			count()
			return
		}
	}
}
