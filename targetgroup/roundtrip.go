package targetgroup

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// maxPicks bounds how often a request looks for another target because the
// chosen one was removed at the same moment.
const maxPicks = 4

// RoundTrip sends a request to one of the targets and returns its response. It
// may be called concurrently, also before [Group.Run] and after it has ended.
//
// The request is the client's with final headers: RoundTrip changes only where it
// goes, and forwards Host, path, query and headers as they are; a missing
// User-Agent stays missing. Proto must be the client's, since the group's
// protocol version is checked against it (464). Context ends when the client
// goes (460). Trailers are sent and received as net/http's Transport does it, a
// 101 response has a body that is an io.ReadWriteCloser, and over HTTP/2 the
// request's body goes on being sent after RoundTrip has returned.
//
// The caller closes the response's body: until it has been closed or read to its
// end, the request is in flight. All errors are of type [*Error].
func (g *Group) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := traceOf(req.Context())
	*trace = Trace{Group: g.name}
	if !accepts(g.version, req) {
		closeBody(req)
		return nil, &Error{StatusVersionMismatch, ReasonVersionMismatch, nil}
	}
	c := newCall(req.Context())
	if err := g.dispatch(c); err != nil {
		c.cancel()
		closeBody(req)
		return nil, err
	}
	trace.Target, trace.Dispatched = c.target.address, c.start
	res, err := c.send(c.outgoing(req, g.scheme))
	if err != nil {
		defer c.finish()
		return nil, c.explain(err)
	}
	return g.respond(c, res, trace), nil
}

// dispatch finds a target that takes the call, and starts its clock.
func (g *Group) dispatch(c *call) error {
	for range maxPicks {
		r := g.roster.Load()
		if r.notInUse {
			return &Error{http.StatusServiceUnavailable, ReasonNotInUse, nil}
		}
		t := r.pick(g.turn.Add(1) - 1)
		if t == nil {
			break
		}
		c.start, c.idle = time.Now(), r.idleTimeout
		if t.join(c) {
			g.metrics.request()
			return nil
		}
	}
	return &Error{http.StatusServiceUnavailable, ReasonNoTargets, nil}
}

// outgoing makes the request that the transport sees, and arms the idle timer.
func (c *call) outgoing(req *http.Request, scheme string) *http.Request {
	out := req.WithContext(c.ctx)
	c.url = *req.URL
	c.url.Scheme, c.url.Host = scheme, c.target.address
	out.URL = &c.url
	out.RequestURI = ""
	out.Close = false // the client's wish is about its own connection
	out.GetBody = nil // a body is never sent twice
	if req.Host == "" {
		out.Host = req.URL.Host
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		out.Header = withoutUserAgent(req.Header)
	}
	if req.Body != nil && req.Body != http.NoBody {
		c.up.call, c.up.body = c, req.Body
		out.Body = &c.up
	}
	c.arm()
	return out
}

// send sends the request and waits for the response. A transport that gives up on
// a request first waits for its body to be read, and the body of a client that
// has stalled cannot be interrupted; so with a body there is a goroutine between,
// which can be left behind to wait for that. Its response, if there will be one,
// needs no closing: the end of the call's context does it.
func (c *call) send(out *http.Request) (*http.Response, error) {
	transport := c.target.transport.Load()
	if transport.interrupts || out.Body != &c.up {
		return transport.RoundTrip(out)
	}
	done := make(chan outcome, 1)
	go sendAside(transport, out, done)
	select {
	case o := <-done:
		return o.res, o.err
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
}

type outcome struct {
	res *http.Response
	err error
}

func sendAside(transport *transport, out *http.Request, done chan<- outcome) {
	res, err := transport.RoundTrip(out)
	done <- outcome{res, err}
}

// withoutUserAgent copies h with the mark that keeps net/http from adding a
// User-Agent of its own.
func withoutUserAgent(h http.Header) http.Header {
	h = maps.Clone(h)
	if h == nil {
		h = http.Header{}
	}
	h["User-Agent"] = []string{""}
	return h
}

// respond hands the response to the caller, watched until its end.
func (g *Group) respond(c *call, res *http.Response, trace *Trace) *http.Response {
	c.answered.Store(true)
	trace.FirstResponse, trace.Status = time.Now(), res.StatusCode
	elapsed := trace.FirstResponse.Sub(c.start)
	c.target.responses.Add(1)
	c.target.responseTime.Add(int64(elapsed))
	g.metrics.response(res.StatusCode, elapsed)

	hasSize := res.ContentLength >= 0
	conn, writable := res.Body.(io.ReadWriteCloser)
	switch {
	case res.Body == http.NoBody:
		c.finish()
	case res.StatusCode == http.StatusSwitchingProtocols && writable:
		u := &upgradedBody{responseBody{call: c, body: conn}, conn}
		res.Body = u
		c.upgraded.Store(u)
		if c.cause.Load() != nil { // aborted before it could be seen as upgraded
			conn.Close()
		}
	default:
		res.Body = &responseBody{call: c, body: res.Body, hasSize: hasSize}
	}
	return res
}

// accepts is ALB's table of request kinds against protocol versions ("Target
// groups: protocol version").
func accepts(version ProtocolVersion, req *http.Request) bool {
	switch version {
	case GRPC:
		return req.ProtoMajor >= 2 && req.Method == http.MethodPost
	case HTTP2:
		return req.ProtoMajor >= 2
	default:
		return !IsGRPC(req)
	}
}

// IsGRPC reports whether a request is a gRPC call: HTTP/2 or later with the content
// type application/grpc, alone or with a suffix that begins with "+", ";" or a
// blank. gRPC-Web has another content type, which only begins alike, and is
// ordinary HTTP.
func IsGRPC(req *http.Request) bool {
	if req.ProtoMajor < 2 {
		return false
	}
	contentType := req.Header["Content-Type"]
	if len(contentType) == 0 {
		return false
	}
	const prefix = "application/grpc"
	t := contentType[0]
	if len(t) < len(prefix) || !strings.EqualFold(t[:len(prefix)], prefix) {
		return false
	}
	return len(t) == len(prefix) || strings.IndexByte("+; ", t[len(prefix)]) >= 0
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
