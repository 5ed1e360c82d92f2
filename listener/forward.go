package listener

import (
	"encoding/binary"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// A lender is a backend that works in room that is lent to it, as [targetgroup.Group]
// does. Any other backend is a plain http.RoundTripper.
type lender interface {
	Do(x *targetgroup.Exchange, req *http.Request) (*http.Response, error)
}

var _ lender = (*targetgroup.Group)(nil)

// forward sends the request to a target of the group and its answer to the client.
func (x *exchange) forward(group string) {
	backend := x.p.forwards[group]
	if backend == nil { // every weight is 0
		x.page(http.StatusServiceUnavailable)
		return
	}
	x.entry.TargetGroup = group
	res, err := x.roundTrip(backend, x.outgoing())
	if err != nil {
		x.forwardFailed(err)
		return
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(res)
		return
	}
	x.deliver(res)
}

// outgoing makes the request that goes to the target. Sanitize has taken the
// hop-by-hop headers out before, so that nothing a client lists in Connection can
// delete what is set here.
func (x *exchange) outgoing() *http.Request {
	x.out = *x.r
	out := &x.out
	switch {
	case out.Body == nil || out.Body == http.NoBody:
	case out.ContentLength == 0:
		out.Body = http.NoBody
	default:
		x.p.headers.GuardTrailer(out)
		x.body = newRequestBody(out, &x.w)
		out.Body = x.body
	}
	keepEscapes(out.URL)
	headers := x.connectionHeaders()
	headers.setForwardedFor(out.Header)
	x.to.Fields = headers.fixed
	out.Host = x.host.choose(HostChoice{
		Header: x.r.Host, Authority: x.r.URL.Host, Port: uint16(x.c.port()), Preserve: x.p.preserveHost,
	}, x.c)
	x.forwardTrailers(x.r, out)
	return out
}

// roundTrip gives the request to the backend. What the client is told in between comes
// through informed.
func (x *exchange) roundTrip(backend targetgroup.Backend, out *http.Request) (*http.Response, error) {
	defer x.endInforming()
	if group, ok := backend.(lender); ok {
		x.to.Informed = x.informed
		return group.Do(&x.to, out)
	}
	x.to.Fields.Set(out.Header)
	ctx := targetgroup.WithTrace(out.Context(), &x.to.Trace)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { return x.inform(code, http.Header(h)) },
	})
	out.URL.Scheme, out.URL.Host = "http", "target"
	return backend.RoundTrip(out.WithContext(ctx))
}

// keepEscapes makes the target get the escapes of the path that rules have seen.
// Net/url prints a path that holds a character which is to be escaped, such as a
// double quote, from its decoded form: "%2F" becomes a slash then, and "..%2F" a
// step up that no rule knew of. Such characters alone are escaped here.
func keepEscapes(u *url.URL) {
	if u.RawPath == "" || u.EscapedPath() == u.RawPath {
		return
	}
	raw := make([]byte, 0, len(u.RawPath)+16)
	for i := range len(u.RawPath) {
		b := u.RawPath[i]
		if isAlphanumeric(b) || strings.IndexByte("%-._~!$&'()*+,;=:@[]/", b) >= 0 {
			raw = append(raw, b)
		} else {
			raw = append(raw, '%', upperHex[b>>4], upperHex[b&15])
		}
	}
	u.RawPath = string(raw)
}

// newTraceRandom need not be secret, only unlike all others: the generator is seeded
// by the system and strong.
func newTraceRandom() (b [12]byte) {
	binary.NativeEndian.PutUint64(b[:], mathrand.Uint64())
	binary.NativeEndian.PutUint32(b[8:], mathrand.Uint32())
	return b
}

// A connHeaders is what the targets are told about a connection, as one header
// policy has it.
type connHeaders struct {
	policy  *HeaderPolicy
	verdict *trust.Verdict
	set     *ConnectionHeaders
}

// connectionHeaders returns the managed headers of the connection, prepared once
// and again after a reload that changes their names or when the verdict has changed.
func (x *exchange) connectionHeaders() *ConnectionHeaders {
	if h := x.c.headers.Load(); h != nil && h.policy == x.p.headers && h.verdict == x.verdict {
		return h.set
	}
	info := x.c.info(x.verdict)
	info.Evidence = x.c.evidence(x.p.headers, x.verdict)
	h := &connHeaders{x.p.headers, x.verdict, x.p.headers.Connection(info)}
	x.c.headers.Store(h)
	return h.set
}

// info is what is known of a connection, for the headers: no identity without an
// acceptance.
func (c *conn) info(verdict *trust.Verdict) ConnectionInfo {
	info := ConnectionInfo{Client: c.client, Protocol: c.policy.protocol, Port: uint16(c.port()), Chain: c.chain}
	if c.tc != nil {
		info.TLSVersion, info.CipherSuite = TLSVersionName(c.state.Version), CipherName(c.state.CipherSuite)
	}
	if verdict != nil && verdict.Accepted {
		id := verdict.Identity
		info.Verified = &ClientCert{
			Serial: id.Serial, Issuer: id.Issuer, Subject: id.Subject, Validity: id.Validity, Leaf: id.Leaf,
		}
	}
	return info
}

// forwardTrailers announces the client's trailers that may pass and hands them on
// when the body has ended, which is when they arrive.
func (x *exchange) forwardTrailers(in, out *http.Request) {
	out.Trailer = nil
	if x.body == nil || len(in.Trailer) == 0 {
		return
	}
	trailer := make(http.Header, len(in.Trailer))
	for name := range in.Trailer {
		trailer[name] = nil
	}
	out.Trailer = trailer
	x.body.atEOF = func() {
		for name := range trailer {
			trailer[name] = in.Trailer[name]
		}
	}
}

// forwardFailed answers for a target that did not. A client that is gone is
// answered nothing; the log says 460.
func (x *exchange) forwardFailed(err error) {
	x.failed = x.targetError(err)
	if x.failed.Status == targetgroup.StatusClientClosed {
		x.entry.ELBStatus = targetgroup.StatusClientClosed
		panic(http.ErrAbortHandler)
	}
	if ok, missed := x.l.lines.take(x.began); ok {
		x.l.logger.Warn("forwarding failed", "listener", x.p.name, "target_group", x.entry.TargetGroup, "target", x.to.Trace.Target,
			"status", x.failed.Status, "error", x.failed.Error(), "not_shown_before", missed)
	}
	x.page(x.failed.Status)
}

func (x *exchange) targetError(err error) *targetgroup.Error {
	if x.body != nil && x.body.stalled.Load() {
		return &targetgroup.Error{Status: http.StatusRequestTimeout, Reason: targetgroup.ReasonClientTimeout, Err: err}
	}
	if x.body != nil && x.body.failed.Load() {
		return &targetgroup.Error{Status: http.StatusBadRequest, Reason: targetgroup.ReasonClientBodyCutShort, Err: err}
	}
	if x.r.Context().Err() != nil {
		return &targetgroup.Error{Status: targetgroup.StatusClientClosed, Reason: targetgroup.ReasonClientClosed, Err: err}
	}
	if e, ok := errors.AsType[*targetgroup.Error](err); ok {
		return e
	}
	return &targetgroup.Error{Status: http.StatusBadGateway, Reason: targetgroup.ReasonMalformedResponse, Err: err}
}

// An upgrade is what a request says about switching protocols.
type upgrade struct{ protocol []string }

func (u upgrade) isWebSocket() bool { return u.protocol != nil }

// upgradeOf notes the Upgrade header of an HTTP/1.1 request for a WebSocket, if it
// is named in Connection (RFC 9110, section 7.8; RFC 6455, section 4.1). All other
// requests have none: what goes through a tunnel sees no rule and keeps every
// header, so a target that knew h2c would let a client send whatever it likes.
func upgradeOf(r *http.Request) upgrade {
	protocol := r.Header["Upgrade"]
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 || len(protocol) != 1 ||
		!equalFoldASCII(protocol[0], "websocket") || !listsToken(r.Header["Connection"], "upgrade") {
		return upgrade{}
	}
	return upgrade{protocol}
}

// restoreUpgrade puts back what Sanitize took out with the hop-by-hop headers.
func restoreUpgrade(h http.Header, u upgrade) {
	if u.protocol != nil {
		h["Upgrade"] = u.protocol
		h["Connection"] = []string{"Upgrade"}
	}
}

// listsToken reports whether a comma-separated header lists a token.
func listsToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
