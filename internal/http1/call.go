package http1

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// A call is one request and its response on the way through a [Transport].
type call struct {
	// Owned by RoundTrip.
	transport *Transport
	ctx       context.Context
	host      hostKey
	head      *block
	text      []byte // what is written before anything is read
	stop      func() bool
	minor     int

	up   *upload // nil if the whole request is in text
	res  http.Response
	body responseBody

	mu       sync.Mutex
	upstream *upstream // guarded by mu: the connection, as long as it is the call's
	killed   bool      // guarded by mu: the connection may not be used again
}

func (c *call) dropHead() {
	c.transport.writes.put(c.head)
	c.head, c.text = nil, nil
}

// try sends the request over one connection and reads the head of the response.
func (c *call) try(pooled bool) (*http.Response, error) {
	u, err := c.transport.connection(c.ctx, c.host, pooled)
	if err != nil {
		closeBody(c.res.Request)
		return nil, err
	}
	c.own(u)
	before := u.in.total
	if err = c.exchange(u); err == nil {
		return &c.res, nil
	}
	retry := u.used && u.in.total == before && broken(err) && repeatable(c.res.Request)
	cause := c.explain(err)
	c.end(false)
	if retry && c.ctx.Err() == nil {
		return nil, errRetry
	}
	return nil, cause
}

// own makes the connection the call's; the end of the context breaks it.
func (c *call) own(u *upstream) {
	c.mu.Lock()
	c.upstream, c.killed = u, false
	c.mu.Unlock()
	if c.ctx.Done() != nil {
		c.stop = context.AfterFunc(c.ctx, u.abort)
	}
}

// kill breaks the connection if it is still the call's.
func (c *call) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream != nil {
		c.killed = true
		c.upstream.abort()
	}
}

func (c *call) exchange(u *upstream) error {
	_, err := u.nc.Write(c.text)
	if c.up != nil {
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

// explain finds what lies behind an error: the context, then the client, then the
// target.
func (c *call) explain(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if c.up != nil {
		if cause := c.up.failure(); cause != nil {
			return cause
		}
	}
	return err
}

// end lets go of the connection: it goes back to the pool, or is closed.
func (c *call) end(reuse bool) {
	if c.stop != nil && !c.stop() {
		reuse = false
	}
	reuse = reuse && (c.up == nil || c.up.complete())
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
func (c *call) readResponse(u *upstream) error {
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
	}
	return bad(TooManyInterim, -1)
}

func (c *call) inform(p *headParser) error {
	trace := httptrace.ContextClientTrace(c.ctx)
	if trace == nil || trace.Got1xxResponse == nil {
		return nil
	}
	return trace.Got1xxResponse(c.res.StatusCode, textproto.MIMEHeader(p.header))
}

// readHead reads one head and its status line.
func (c *call) readHead(u *upstream) (*headParser, error) {
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
	p := &u.parser
	*p = headParser{raw: raw, text: string(raw), response: true}
	if err := c.statusLine(p.text[:u.scan.ends[0]-2]); err != nil {
		return nil, err
	}
	if err := p.parse(u.scan.ends); err != nil {
		return nil, err
	}
	u.in.r += len(raw)
	return p, nil
}

// statusLine reads a status line without its CRLF (RFC 9112, section 4). The
// reason and the space before it may be missing.
func (c *call) statusLine(line string) *Error {
	const codeEnd = versionLen + 4
	if len(line) < codeEnd || !isVersion(line[:versionLen]) || line[versionLen] != ' ' ||
		len(line) > codeEnd && line[codeEnd] != ' ' || !plainString(line) {
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
func (c *call) receive(u *upstream, p *headParser) error {
	if err := p.checkFraming(c.minor); err != nil {
		return err
	}
	trailer, bad := p.announced()
	if bad != nil {
		return bad
	}
	defer func() { *p = headParser{} }() // the connection outlives the response
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
func (c *call) frame(p *headParser) {
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
func (c *call) upgrade(u *upstream) error {
	if len(c.res.Request.Header["Upgrade"]) == 0 || c.up != nil {
		return bad(BadSwitch, -1)
	}
	if c.stop != nil && !c.stop() {
		return context.Cause(c.ctx)
	}
	c.mu.Lock()
	c.upstream = nil
	c.mu.Unlock()
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
