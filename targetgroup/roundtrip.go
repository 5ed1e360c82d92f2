package targetgroup

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
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
	x := new(Exchange)
	x.call.once = true
	trace := traceOf(req.Context())
	res, err := g.Do(x, req)
	*trace = x.Trace
	return res, err
}

// Do is RoundTrip with room that the caller lends, so that a request costs none of its
// own. Req.Header may get x.Fields. The response and its body are part of x.
func (g *Group) Do(x *Exchange, req *http.Request) (*http.Response, error) {
	x.Trace = Trace{Group: g.name}
	if !accepts(g.version, req) {
		closeBody(req)
		return nil, &Error{StatusVersionMismatch, ReasonVersionMismatch, nil}
	}
	c := &x.call
	if err := g.dispatch(c, req.Context()); err != nil {
		closeBody(req)
		return nil, err
	}
	x.Trace.Target, x.Trace.Dispatched = c.target.address, c.start
	res, err := c.send(x, c.outgoing(req, g.scheme))
	if err != nil {
		defer c.finish()
		return nil, c.explain(err)
	}
	return g.respond(c, res, &x.Trace), nil
}

// dispatch finds a target that takes the call, and starts its clock.
func (g *Group) dispatch(c *call, client context.Context) error {
	for range maxPicks {
		r := g.roster.Load()
		if r.notInUse {
			return &Error{http.StatusServiceUnavailable, ReasonNotInUse, nil}
		}
		t := r.pick(g.turn.Add(1) - 1)
		if t == nil {
			break
		}
		c.begin(client, r.idleTimeout)
		if t.join(c) {
			g.metrics.request()
			return nil
		}
		c.unbegin() // the target was closed meanwhile
	}
	return &Error{http.StatusServiceUnavailable, ReasonNoTargets, nil}
}

// outgoing makes the request that the transport sees, and arms the idle timer.
func (c *call) outgoing(req *http.Request, scheme string) *http.Request {
	c.out = *req
	out := &c.out
	c.url = *req.URL
	c.url.Scheme, c.url.Host = scheme, c.target.address
	out.URL = &c.url
	out.RequestURI = ""
	out.Close = false // the client's wish is about its own connection
	out.GetBody = nil // a body is never sent twice
	if req.Host == "" {
		out.Host = req.URL.Host
	}
	if req.Body != nil && req.Body != http.NoBody {
		c.up.call, c.up.body = c, req.Body
		out.Body = &c.up
	}
	c.arm()
	return out
}

// send sends the request and waits for the response.
func (c *call) send(x *Exchange, out *http.Request) (*http.Response, error) {
	t := c.target.transport.Load()
	if t.http1 == nil {
		return c.sendStandard(x, t, out)
	}
	c.wire.Fields, c.wire.Informed = x.Fields, x.Informed
	return t.http1.Do(&c.wire, out)
}

// sendStandard sends the request by net/http's transport, which gives up on a request
// only when its body has been read; and the body of a client that has stalled cannot be
// interrupted. So with a body there is a goroutine between, which can be left behind to
// wait for that. Its response, if there will be one, needs no closing: the end of the
// call's context does it.
func (c *call) sendStandard(x *Exchange, t *transport, out *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(c.client)
	if !c.enableCancel(cancel) {
		cancel()
	}
	if x.Informed != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error { return x.Informed(code, http.Header(h)) },
		})
	}
	out = out.WithContext(ctx)
	// The transport may go on reading it after the request is over.
	out.Header = ownHeader(out.Header)
	x.Fields.Set(out.Header)
	if out.Body != &c.up {
		return t.RoundTrip(out)
	}
	done := make(chan outcome, 1)
	go sendAside(t, out, done)
	select {
	case o := <-done:
		return o.res, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enableCancel makes cancel the way to abort the call; false if it was aborted before.
func (c *call) enableCancel(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	return c.cause.Load() == nil
}

type outcome struct {
	res *http.Response
	err error
}

func sendAside(transport *transport, out *http.Request, done chan<- outcome) {
	res, err := transport.RoundTrip(out)
	done <- outcome{res, err}
}

// ownHeader copies h, with the mark that keeps net/http from adding a User-Agent of its
// own if there is none.
func ownHeader(h http.Header) http.Header {
	if h = h.Clone(); h == nil {
		h = http.Header{}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""}
	}
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
		res.Body = c.upgrade(conn)
	default:
		c.body.call, c.body.body, c.body.hasSize = c, res.Body, hasSize
		res.Body = &c.body
	}
	return res
}

// upgrade makes the body of a 101 response.
func (c *call) upgrade(conn io.ReadWriteCloser) io.ReadCloser {
	u := &upgradedBody{responseBody{call: c, body: conn}, conn}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upgraded = u
	if c.cause.Load() != nil { // aborted before it could be seen as upgraded
		conn.Close()
	}
	return u
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
