package http1

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// An exchange is one request and its response. Handlers may keep parts of it, so it
// is made anew for every request, in one piece; unless the server recycles, and then
// it serves many, one after the other.
type exchange struct {
	response
	ctx     requestContext
	request http.Request
	blank   http.Request // what request begins as: nothing but the context
	url     url.URL
	body    requestBody
	parser  headParser
}

// template is never changed; [http.Request.WithContext] of it is the one way to
// make a request with a context.
var template http.Request

// newExchange returns an exchange that stands for nothing yet.
func (s *Server) newExchange() *exchange {
	if s.Recycle {
		if x, ok := s.exchanges.Get().(*exchange); ok {
			return x
		}
	}
	x := new(exchange)
	x.blank = *template.WithContext(&x.ctx)
	return x
}

// recycle takes an exchange back of which nobody holds anything any more.
func (s *Server) recycle(x *exchange) {
	if !s.Recycle {
		return
	}
	x.ctx.clear()
	x.request, x.url = http.Request{}, url.URL{}
	x.body.reset()
	clear(x.spare)
	x.response = response{spare: x.spare}
	x.parser.reset()
	s.exchanges.Put(x)
}

// read makes x the request whose head the scanner of c has found the end of.
func (x *exchange) read(c *conn, raw []byte) *Error {
	p := &x.parser
	p.raw, p.text = raw, string(raw)
	ends := c.scan.ends
	line, err := parseRequestLine(p.text[:ends[0]-2])
	if err != nil {
		return err
	}
	if err := p.parse(ends); err != nil {
		return err
	}
	p.raw = nil
	if err := p.checkHost(line.minor); err != nil {
		return err
	}
	if err := p.checkFraming(line.minor); err != nil {
		return err
	}
	if p.expect != "" && !equalFold(p.expect, "100-continue") {
		return &Error{BadExpectation, http.StatusExpectationFailed, -1}
	}
	if err := parseTarget(&x.url, line.method, line.target); err != nil {
		return err
	}
	trailer, err := p.announced()
	if err != nil {
		return err
	}
	x.ctx.renew(c)
	x.fill(c, line)
	x.request.Trailer = trailer
	x.begin(c, line.minor)
	return nil
}

// fill makes the request that the handler sees.
func (x *exchange) fill(c *conn, line startLine) {
	r, p := &x.request, &x.parser
	*r = x.blank
	x.req = r
	r.Method, r.RequestURI, r.URL = line.method, line.target, &x.url
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, line.minor
	if line.minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	r.Header = p.header
	if r.Host = x.url.Host; r.Host == "" {
		r.Host = p.host
	}
	r.Close = p.closes(line.minor)
	r.RemoteAddr, r.TLS = c.remote, c.tls
	x.body.exchange = x
	x.body.decoder = decoder{in: &c.in, limits: &c.server.limits}
	switch {
	case p.chunked:
		r.TransferEncoding, r.ContentLength = []string{"chunked"}, -1
		x.body.mode = modeChunked
	case p.length > 0:
		r.ContentLength = p.length
		x.body.mode, x.body.left = modeLength, p.length
	default:
		r.Body = http.NoBody
		x.body.over.Store(true)
		return
	}
	r.Body = &x.body
	x.expects = p.expect != "" && line.minor > 0
}

// A requestBody is a request's body. Its methods may be called from any goroutine,
// also after the handler has returned.
type requestBody struct {
	exchange *exchange
	over     atomic.Bool // has been read to its end

	mu      sync.Mutex
	decoder // guarded by mu
	begun   bool
	gone    atomic.Bool // closed, or the handler has returned
}

// Read implements io.Reader. The first call asks a client that waits for
// permission to send (RFC 9110, section 10.1.1).
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if !b.begun {
		b.begin()
	}
	n, err := b.read(p)
	if err != nil {
		b.ended(err)
	}
	return n, err
}

// reset makes the body that of no request. Who looks for clients that are gone may be
// looking at over.
func (b *requestBody) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exchange, b.decoder, b.begun = nil, decoder{}, false
	b.over.Store(false)
	b.gone.Store(false)
}

func (b *requestBody) begin() {
	b.begun = true
	if b.ready() {
		return
	}
	x := b.exchange
	x.c.readBy.clearOwn(x.c.nc.SetReadDeadline)
	if x.expects {
		x.sendContinue()
	}
}

// ended keeps what came after the body; the caller holds mu.
func (b *requestBody) ended(err error) {
	if err != io.EOF || b.over.Load() {
		return
	}
	if req := b.exchange.req; b.trailer != nil {
		if req.Trailer == nil {
			req.Trailer = make(http.Header, len(b.trailer))
		}
		for name, values := range b.trailer {
			req.Trailer[name] = values
		}
	}
	b.over.Store(true)
}

// Close implements io.Closer. What is unread stays to be drained when the handler
// returns.
func (b *requestBody) Close() error {
	b.gone.Store(true)
	return nil
}

// interrupt ends the use of the body for good and waits for a Read that is under
// way on another goroutine, whose connection is lost by it: false.
func (b *requestBody) interrupt() bool {
	b.gone.Store(true)
	if b.mu.TryLock() {
		b.mu.Unlock()
		return true
	}
	c := b.exchange.c
	c.readBy.force(time.Unix(1, 0), c.nc.SetReadDeadline)
	b.mu.Lock()
	defer b.mu.Unlock()
	return false
}

// drain reads what the handler left, within limits, and reports whether the
// connection now stands at the next request. The caller holds mu, or nobody else
// uses the body any more.
func (b *requestBody) drain(wait time.Duration) bool {
	if b.over.Load() {
		return true
	}
	c := b.exchange.c
	limit := c.server.limits.Drain
	if b.err != nil || b.mode == modeLength && b.left > limit || limit < 0 {
		return false
	}
	if !b.ready() {
		c.readBy.force(time.Now().Add(wait), c.nc.SetReadDeadline)
	}
	scrap := c.server.writes.Get()
	defer c.server.writes.Put(scrap)
	for {
		n, err := b.read(scrap.Whole())
		limit -= int64(n)
		switch {
		case limit < 0:
			return false
		case err != nil:
			b.over.Store(err == io.EOF)
			return err == io.EOF
		}
	}
}

// BodyReady reports whether what is left of the body of the request that ctx
// belongs to is in memory, so that reading it cannot wait for the client. It is
// false if ctx is not a context of a [Server] of this package. Call it on the
// handler's goroutine while nobody reads the body. It sees through whatever the body
// was wrapped in.
func BodyReady(ctx context.Context) bool {
	c, _ := ctx.Value(connKey{}).(*conn)
	if c == nil {
		return false
	}
	x := c.current.Load()
	return x != nil && x.body.mu.TryLock() && x.body.readyUnlock()
}

func (b *requestBody) readyUnlock() bool {
	defer b.mu.Unlock()
	return b.ready()
}

// checkClient ends the context of a request whose client has gone, which can only
// be told once its body has been read. What the client sent ahead hides its
// farewell, as it does from net/http.
func (c *conn) checkClient() {
	x := c.current.Load()
	if x == nil || !x.body.over.Load() || c.probe.see() != outlookOver {
		return
	}
	x.ctx.EndOf(c)
}
