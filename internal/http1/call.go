package http1

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"

	"github.com/postern-lb/postern/internal/engine"
)

// A Call carries one request through a [Transport], with [Transport.Do], and after
// [Call.Reset] another one. The zero value is ready. Cancel is safe for concurrent use;
// all else belongs to one goroutine.
type Call struct {
	// Fields are sent besides the request's headers; nil is none. They take the place of
	// headers of the same names.
	Fields *Fields
	// Informed is told of informational responses, if not nil, in place of httptrace.
	Informed func(status int, h http.Header) error

	// Owned by Do, and then by who reads the response's body.
	transport *Transport
	ctx       context.Context
	host      hostKey
	head      *engine.Block
	text      []byte // what is written before anything is read
	minor     int
	stop      func() bool // nil unless the context was told in the general way
	stale     bool        // somebody may still refer to the call
	parser    headParser
	up        *upload // nil if the whole request is in text
	res       http.Response
	body      responseBody

	mu       sync.Mutex
	upstream *upstream // guarded by mu: the connection, as long as it is the call's
	killed   bool      // guarded by mu: the connection may not be used again
	cause    error     // guarded by mu: why Cancel was called
	undial   func()    // guarded by mu: ends a dial; nil if there is none
}

// Cancel ends the call at once, whatever it is waiting for. The first cause is what Do
// or the body's Read returns. It does nothing to a call that is over.
func (c *Call) Cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	if c.undial != nil {
		c.undial()
	}
	if c.upstream != nil {
		c.killed = true
		c.upstream.abort()
	}
}

func (c *Call) canceled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Reset makes c ready for another request, and reports whether it is: not while the
// body of its response is open or that of its request is being sent, nor after an
// upgrade. Nothing of the response may be used any more, strings excepted. Fields and
// Informed are cleared.
func (c *Call) Reset() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream != nil || c.stale || c.up != nil && !c.up.over() {
		return false
	}
	c.Fields, c.Informed = nil, nil
	c.transport, c.ctx, c.stop, c.up = nil, nil, nil, nil
	c.killed, c.cause = false, nil
	c.res, c.body = http.Response{}, responseBody{}
	c.parser.reset()
	return true
}

func (c *Call) dropHead() {
	c.transport.writes.Put(c.head)
	c.head, c.text = nil, nil
}

// A slot is a context that a call can be entered in, which costs less than AfterFunc: that of
// a request to a server of this package or of package http2.
type slot interface {
	Attach(call engine.Canceler) (attached bool)
	Detach(call engine.Canceler)
}

var _ slot = (*engine.Context)(nil)

// watch makes the end of the request's context break the call.
func (c *Call) watch() {
	if s, ok := c.ctx.(slot); ok && s.Attach(c) {
		return
	}
	if c.ctx.Done() != nil {
		c.stop = context.AfterFunc(c.ctx, func() { c.Cancel(context.Cause(c.ctx)) })
	}
}

// unwatch ends that, and reports whether the context had not ended.
func (c *Call) unwatch() bool {
	if s, ok := c.ctx.(slot); ok {
		s.Detach(c)
	}
	if c.stop != nil && !c.stop() {
		c.stale = true
		return false
	}
	return true
}

// kill breaks the connection if it is still the call's.
func (c *Call) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream != nil {
		c.killed = true
		c.upstream.abort()
	}
}

// try sends the request over one connection and reads the head of the response.
func (c *Call) try(pooled bool) (*http.Response, error) {
	u, err := c.connection(pooled)
	if err != nil {
		return nil, err
	}
	if cause := c.own(u); cause != nil {
		u.close()
		return nil, cause
	}
	before := u.in.total
	if err = c.exchange(u); err == nil {
		return &c.res, nil
	}
	retry := u.used && u.in.total == before && broken(err) && repeatable(c.res.Request)
	cause := c.explain(err)
	c.letGo(false)
	if retry && c.canceled() == nil {
		return nil, errRetry
	}
	return nil, cause
}

// own makes the connection the call's, unless the call has been cancelled.
func (c *Call) own(u *upstream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.upstream = u
	}
	return c.cause
}

func (c *Call) exchange(u *upstream) error {
	_, err := u.nc.Write(c.text)
	if c.up != nil {
		c.up.begun = true
		go c.up.run(u.nc)
	}
	if err != nil && c.up == nil && u.used {
		return err
	}
	// A target that does not want the whole request may have answered already.
	readErr := c.readResponse(u)
	if readErr != nil && err != nil {
		return err
	}
	return readErr
}

// explain finds what lies behind an error: a cancellation, then the client, then the
// target.
func (c *Call) explain(err error) error {
	if cause := c.canceled(); cause != nil {
		return cause
	}
	if c.up != nil {
		if cause := c.up.failure(); cause != nil {
			return cause
		}
	}
	return err
}

// end is the end of the call: its connection goes back to the pool, or is closed.
func (c *Call) end(reuse bool) {
	reuse = c.unwatch() && reuse
	c.letGo(reuse && (c.up == nil || c.up.complete()))
}

// letGo parts with the connection.
func (c *Call) letGo(reuse bool) {
	c.mu.Lock()
	u := c.upstream
	c.upstream = nil
	reuse = reuse && !c.killed
	c.mu.Unlock()
	switch {
	case u == nil:
	case reuse && u.in.buffered() == 0:
		c.transport.pool.put(u)
	default:
		u.close()
	}
}

// readResponse reads heads up to the final one.
func (c *Call) readResponse(u *upstream) error {
	for range MaxInformational + 1 {
		p, err := c.readHead(u)
		if err != nil {
			return err
		}
		if status := c.res.StatusCode; status >= 200 || status == http.StatusSwitchingProtocols {
			return c.receive(u, p)
		}
		if err := c.inform(p); err != nil {
			return err
		}
		c.parser.reset()
	}
	return bad(TooManyInterim, -1)
}

func (c *Call) inform(p *headParser) error {
	if c.Informed != nil {
		return c.Informed(c.res.StatusCode, p.header)
	}
	trace := httptrace.ContextClientTrace(c.ctx)
	if trace == nil || trace.Got1xxResponse == nil {
		return nil
	}
	return trace.Got1xxResponse(c.res.StatusCode, textproto.MIMEHeader(p.header))
}

// readHead reads one head and its status line.
func (c *Call) readHead(u *upstream) (*headParser, error) {
	u.scan.reset()
	for {
		done, bad := u.scan.scan(u.in.bytes())
		if bad != nil {
			return nil, bad
		}
		if done {
			break
		}
		// What is not HTTP is told from HTTP that breaks off.
		if ends := u.scan.ends; len(ends) == 1 {
			if err := c.statusLine(string(u.in.bytes()[:ends[0]-2])); err != nil {
				return nil, err
			}
		}
		if u.in.full() {
			u.in.grow(u.scan.limits.maxHead() + readBuffer)
		}
		if err := u.in.fill(); err == io.EOF && u.scan.pos == 0 {
			return nil, errClosed
		} else if err != nil {
			return nil, unexpected(err)
		}
	}
	raw := u.in.bytes()[:u.scan.pos]
	p := &c.parser
	p.raw, p.text, p.response = raw, string(raw), true
	if err := c.statusLine(p.text[:u.scan.ends[0]-2]); err != nil {
		return nil, err
	}
	if err := p.parse(u.scan.ends); err != nil {
		return nil, err
	}
	p.raw = nil
	u.in.r += len(raw)
	return p, nil
}

// statusLine reads a status line without its CRLF (RFC 9112, section 4). The
// reason and the space before it may be missing.
func (c *Call) statusLine(line string) *Error {
	const codeEnd = versionLen + 4
	if len(line) < codeEnd || !isVersion(line[:versionLen]) || line[versionLen] != ' ' ||
		len(line) > codeEnd && line[codeEnd] != ' ' || !engine.All(line, engine.Value) {
		return bad(BadStatusLine, 0)
	}
	if line[:7] != "HTTP/1." || line[7] > '1' {
		return bad(BadVersion, 0)
	}
	status, ok := parseLength(line[versionLen+1 : codeEnd])
	if !ok || status < 100 {
		return bad(BadStatusLine, versionLen+1)
	}
	c.minor = int(line[7] - '0')
	c.res.StatusCode, c.res.Status = int(status), line[versionLen+1:]
	c.res.ProtoMajor, c.res.ProtoMinor, c.res.Proto = 1, c.minor, line[:versionLen]
	return nil
}

// receive makes the response of its head.
func (c *Call) receive(u *upstream, p *headParser) error {
	if err := p.checkFraming(c.minor); err != nil {
		return err
	}
	trailer, bad := p.announced()
	if bad != nil {
		return bad
	}
	res := &c.res
	res.Header, res.Trailer, res.TLS = p.header, trailer, u.state
	res.Close = p.closes(c.minor) || res.Request.Close || c.transport.DisableKeepAlives
	c.body.call = c
	c.body.decoder = decoder{in: &u.in, limits: &c.transport.limits}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return c.upgrade(u)
	}
	c.frame(p)
	if c.body.mode == modeNone {
		c.end(!res.Close)
		res.Body = http.NoBody
		return nil
	}
	res.Body = &c.body
	return nil
}

// frame settles where the body ends (RFC 9112, section 6.3).
func (c *Call) frame(p *headParser) {
	res, d := &c.res, &c.body.decoder
	res.ContentLength = p.length
	if p.chunked {
		res.TransferEncoding = []string{"chunked"}
	}
	switch {
	case res.Request.Method == http.MethodHead:
	case !bodyAllowed(res.StatusCode):
		res.ContentLength = 0
	case p.chunked:
		d.mode = modeChunked
	case p.length > 0:
		d.mode, d.left = modeLength, p.length
	case p.length < 0:
		d.mode = modeClose
		res.Close = true
	}
}

// upgrade takes the connection out of the transport's hands.
func (c *Call) upgrade(u *upstream) error {
	if len(c.res.Request.Header["Upgrade"]) == 0 || c.up != nil {
		return bad(BadSwitch, -1)
	}
	if c.stale = true; !c.unwatch() {
		return context.Cause(c.ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream = nil; c.killed {
		u.close()
		return c.cause
	}
	c.res.Body = &upgradedBody{u}
	return nil
}

// An upgradedBody is the connection after 101 Switching Protocols. One goroutine
// may read while another writes.
type upgradedBody struct{ u *upstream }

// Read implements io.Reader.
func (b *upgradedBody) Read(p []byte) (int, error) {
	if b.u.in.buffered() == 0 {
		b.u.in.release()
		return b.u.nc.Read(p)
	}
	return b.u.in.read(p)
}

// Write implements io.Writer.
func (b *upgradedBody) Write(p []byte) (int, error) { return b.u.nc.Write(p) }

// Close implements io.Closer. The buffer is left to the collector, since somebody may be
// reading from it.
func (b *upgradedBody) Close() error { return b.u.nc.Close() }

// CloseWrite ends the direction to the target, if the connection can.
func (b *upgradedBody) CloseWrite() error {
	switch nc := b.u.nc.(type) {
	case *tls.Conn:
		return nc.CloseWrite()
	case interface{ CloseWrite() error }:
		return nc.CloseWrite()
	}
	return b.u.nc.Close()
}
