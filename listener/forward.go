package listener

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/postern-lb/postern/targetgroup"
)

// copyBuffer is the size of the buffers that bodies are copied through.
const copyBuffer = 32 << 10

// A forwarder sends requests to one target group. It is immutable and safe for
// concurrent use; what it needs of a request is in the request's exchange.
type forwarder struct {
	proxy httputil.ReverseProxy
}

func newForwarder(backend targetgroup.Backend, pool *bufferPool) *forwarder {
	return &forwarder{httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			exchangeOf(pr.In).rewrite(pr)
		},
		Transport:  backend,
		BufferPool: pool,
		ErrorLog:   slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // every error is in the exchange
		ModifyResponse: func(res *http.Response) error {
			if res.Request != nil { // as RoundTrippers should have it
				exchangeOf(res.Request).answered(res)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			exchangeOf(r).forwardFailed(err)
		},
	}}
}

func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange)
}

// forward sends the request to a target of the group.
func (x *exchange) forward(group string) {
	f := x.p.forwards[group]
	if f == nil { // every weight is 0
		x.page(http.StatusServiceUnavailable)
		return
	}
	x.entry.TargetGroup = group
	r := x.r.WithContext(withExchange(x))
	if r.Body != nil && r.Body != http.NoBody {
		x.p.headers.GuardTrailer(r)
		x.body = newRequestBody(r, x.w)
		r.Body = x.body
	}
	f.proxy.ServeHTTP(x.w, r)
}

// rewrite makes the request that goes to the target. ReverseProxy has taken the
// hop-by-hop headers out before, so that nothing a client lists in Connection
// can delete what is set here.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	out.URL.Scheme, out.URL.Host = "http", "target" // the group sets the real ones
	out.URL.RawQuery = in.URL.RawQuery              // as sent; ReverseProxy would tidy it
	keepEscapes(out.URL)
	keepForwarded(out.Header, in.Header)
	x.connectionHeaders().Set(out.Header)
	out.Host = TargetHost(HostChoice{
		Header: in.Host, Authority: in.URL.Host, Port: uint16(x.c.port()),
		Preserve: x.p.preserveHost, Fallback: x.c.local.Addr().String(),
	})
	x.forwardTrailers(in, out)
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

func newTraceRandom() (b [12]byte) {
	rand.Read(b[:])
	return b
}

// A connHeaders is what the targets are told about a connection, as one header
// policy has it.
type connHeaders struct {
	policy *HeaderPolicy
	set    *ConnectionHeaders
}

// connectionHeaders returns the managed headers of the connection, prepared once
// and again after a reload that changes their names.
func (x *exchange) connectionHeaders() *ConnectionHeaders {
	if h := x.c.headers.Load(); h != nil && h.policy == x.p.headers {
		return h.set
	}
	h := &connHeaders{x.p.headers, x.p.headers.Connection(x.c.info())}
	x.c.headers.Store(h)
	return h.set
}

// info is what is known of a connection, for the headers.
func (c *conn) info() ConnectionInfo {
	info := ConnectionInfo{Client: c.client, Protocol: c.policy.protocol, Port: uint16(c.port()), Chain: c.chain}
	if c.tc != nil {
		info.TLSVersion, info.CipherSuite = TLSVersionName(c.state.Version), CipherName(c.state.CipherSuite)
	}
	if c.verdict != nil && c.verdict.Accepted {
		id := c.verdict.Identity
		info.Verified = &ClientCert{
			Serial: id.Serial, Issuer: id.Issuer, Subject: id.Subject, Validity: id.Validity, Leaf: id.Leaf,
		}
	}
	return info
}

// keepForwarded puts back what ReverseProxy takes out and ALB lets pass.
func keepForwarded(out, in http.Header) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host"} {
		if values, ok := in[name]; ok {
			out[name] = values
		}
	}
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
		x.l.logger.Warn("forwarding failed", "listener", x.p.name, "target_group", x.entry.TargetGroup, "target", x.trace.Target,
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

// answered sees the target's answer before it is passed on. A 101 is written by
// ReverseProxy itself, not through the recorder.
func (x *exchange) answered(res *http.Response) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		x.p.responses.Apply(res.Header)
		x.w.countHeader(res.StatusCode, res.Header)
		return
	}
	x.answer = answerBody{res.Body, x}
	res.Body = &x.answer
}

// An answerBody notes how a target's fault ended the body of its answer. The
// client cannot be told any more, but the log can (ALB, "Troubleshoot your
// Application Load Balancers": 504 for a body shorter than its Content-Length).
type answerBody struct {
	io.ReadCloser
	x *exchange
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		if e, ok := errors.AsType[*targetgroup.Error](err); ok && e.TargetFault() {
			b.x.failed, b.x.entry.ELBStatus = e, e.Status
		}
	}
	return n, err
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

// restoreUpgrade puts back what Sanitize took out with the hop-by-hop headers, for
// ReverseProxy to act on.
func restoreUpgrade(h http.Header, u upgrade) {
	if u.protocol != nil {
		h["Upgrade"] = u.protocol
		h["Connection"] = []string{"Upgrade"}
	}
}

// A bufferPool lends the buffers that bodies are copied through.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
}

// Get implements httputil.BufferPool.
func (p *bufferPool) Get() []byte { return p.pool.Get().(*[copyBuffer]byte)[:] }

// Put implements httputil.BufferPool.
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[copyBuffer]byte)(b)) }

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
