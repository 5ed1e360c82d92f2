package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// The phases of a connection.
const (
	phaseNew    = iota // no byte of a request has come
	phaseIdle          // between requests
	phaseActive        // in the middle of a request
	phaseRetired
)

// A conn is one client connection. Its goroutine is that of ServeConn.
type conn struct {
	// Fixed by newConn.
	server *Server
	nc     net.Conn
	ctx    context.Context // of the connection
	remote string
	probe  probe
	born   time.Time

	phase   atomic.Int32
	current atomic.Pointer[exchange] // the request in its handler
	seen    *exchange                // guarded by Server.mu

	// Owned by the connection's goroutine, and by the handler while it runs.
	tls         *tls.ConnectionState
	in          reader
	scan        scanner
	readBy      deadline
	writeBy     deadline
	hijacked    bool
	keepReading bool // the client may still be sending: linger before closing
	small       [smallRead]byte
	drained     drainer // nil if it cannot be told what TLS holds
}

// A drainer is a connection, below TLS if there is TLS, that knows whether all that was
// read from the socket has been handed out, by TLS too, if the last read from above
// found less than it had room for.
type drainer interface{ Drained() bool }

// always is the drainer of a bare socket.
type always struct{}

// Drained implements drainer.
func (always) Drained() bool { return true }

type connKey struct{}

func newConn(s *Server, ctx context.Context, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, born: time.Now()}
	ctx = context.WithValue(ctx, connKey{}, c)
	if s.Context != nil {
		ctx = s.Context(ctx, nc)
	}
	c.ctx = ctx
	if a := nc.RemoteAddr(); a != nil {
		c.remote = a.String()
	}
	c.in = reader{src: nc, pool: &s.reads}
	c.scan.limits = &s.limits
	c.probe.open(nc)
	switch nc := nc.(type) {
	case *tls.Conn:
		c.drained, _ = nc.NetConn().(drainer)
	case *net.TCPConn:
		c.drained = always{}
	default:
		c.drained, _ = nc.(drainer)
	}
	return c
}

func (c *conn) setState(state http.ConnState) {
	if c.server.State != nil {
		c.server.State(c.nc, state)
	}
}

// end leaves nothing behind of a connection that is over.
func (c *conn) end() {
	c.server.untrack(c)
	if c.hijacked {
		return
	}
	if c.keepReading {
		engine.Linger(c.nc)
	}
	c.nc.Close()
	c.in.discard()
	c.setState(http.StateClosed)
}

// retire is how Shutdown ends a connection that is not serving a request.
func (c *conn) retire() {
	switch {
	case c.phase.CompareAndSwap(phaseIdle, phaseRetired):
		c.nc.Close()
	case c.phase.Load() == phaseNew:
		time.AfterFunc(newGrace, func() {
			if c.phase.CompareAndSwap(phaseNew, phaseRetired) {
				c.nc.Close()
			}
		})
	}
}

func (c *conn) serve() {
	if !c.handshake() {
		return
	}
	for wait := c.server.HeaderTimeout; c.await(wait); wait = c.server.IdleTimeout {
		x, err := c.readRequest()
		if err != nil {
			c.refuse(err)
			return
		}
		if x == nil || !c.handle(x) {
			return
		}
		c.in.release()
		c.phase.Store(phaseIdle)
		if c.server.closing.Load() { // set before Shutdown looks at phases
			return
		}
		c.setState(http.StateIdle)
	}
}

// handshake finishes TLS, if that is still to be done.
func (c *conn) handshake() bool {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	state := tc.ConnectionState()
	if !state.HandshakeComplete {
		if !c.finishHandshake(tc) {
			return false
		}
		state = tc.ConnectionState()
	}
	c.tls = &state
	return true
}

func (c *conn) finishHandshake(tc *tls.Conn) bool {
	ctx, cancel := c.ctx, context.CancelFunc(func() {})
	if d := c.server.HeaderTimeout; d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	defer cancel()
	return tc.HandshakeContext(ctx) == nil
}

// await waits for the first byte of a request. An idle connection has no buffer
// but the small one inside it.
func (c *conn) await(timeout time.Duration) bool {
	if c.in.buffered() == 0 && !c.readFirst(timeout) {
		return false
	}
	from := c.phase.Load()
	if from == phaseRetired || !c.phase.CompareAndSwap(from, phaseActive) {
		return false
	}
	c.setState(http.StateActive)
	return true
}

// readFirst reads the first bytes of a request. Where it can be told that TLS holds
// nothing, it waits for the socket here, and not from the depth of crypto/tls: the
// collector then finds a stack that it can halve.
func (c *conn) readFirst(timeout time.Duration) bool {
	n, err := 0, error(nil)
	// Most connections that have sent nothing yet send it at once, or nothing at all.
	if c.drained != nil && !c.isDrained() && c.phase.Load() != phaseNew {
		c.readBy.force(time.Unix(1, 0), c.nc.SetReadDeadline)
		n, err = c.nc.Read(c.small[:]) // what is there already
		c.in.short = n < len(c.small)
	}
	c.readBy.within(timeout, c.nc.SetReadDeadline)
	for n == 0 {
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || c.isDrained() && !c.probe.wait() {
			return false
		}
		if n, err = c.nc.Read(c.small[:]); n == 0 && err != nil {
			return false
		}
	}
	c.in.feed(c.small[:n], len(c.small))
	return true
}

// isDrained reports whether it is known that the socket alone holds what comes next.
func (c *conn) isDrained() bool { return c.drained != nil && c.in.short && c.drained.Drained() }

// readHead reads to the end of a head and leaves it in the buffer. An error that
// is not an *Error means that there is nobody to answer.
func (c *conn) readHead() error {
	c.scan.reset()
	started, skipped := false, c.skipEmptyLine()
	for {
		done, err := c.scan.scan(c.in.bytes())
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		if !started {
			started = true
			c.readBy.exactly(c.server.HeaderTimeout, c.nc.SetReadDeadline)
		}
		if c.in.full() {
			c.in.grow(c.server.limits.maxHead() + readBuffer)
		}
		if err := c.in.fill(); err != nil {
			return headError(err)
		}
		if c.scan.pos < 2 && !skipped {
			c.scan.reset()
			skipped = c.skipEmptyLine()
		}
	}
}

// skipEmptyLine passes over one CRLF before a request (RFC 9112, section 2.2).
func (c *conn) skipEmptyLine() bool {
	b := c.in.bytes()
	if len(b) < 2 || b[0] != '\r' || b[1] != '\n' {
		return false
	}
	c.in.r += 2
	return true
}

func headError(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return &Error{HeadTimeout, http.StatusRequestTimeout, -1}
	}
	return err
}

// readRequest reads a head and makes a request of it. Without an error it returns
// nil if the connection is over.
func (c *conn) readRequest() (*exchange, *Error) {
	if err := c.readHead(); err != nil {
		broken, _ := err.(*Error)
		return nil, broken
	}
	raw := c.in.bytes()[:c.scan.pos]
	x := c.server.newExchange()
	if err := x.read(c, raw); err != nil {
		return nil, err
	}
	c.in.r += len(raw)
	return x, nil
}

// refuse answers what could not become a request; a nil error is not answered.
func (c *conn) refuse(err *Error) {
	if err == nil {
		return
	}
	c.keepReading = true
	head := c.in.bytes()
	if c.server.Refuse == nil {
		io.WriteString(writerFunc(c.write), "HTTP/1.1 "+strconv.Itoa(err.Status)+" "+http.StatusText(err.Status)+
			"\r\nDate: "+c.server.date.At(time.Now())+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	c.server.Refuse(c.ctx, writerFunc(c.write), &Refusal{err, head})
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// handle runs the handler and reports whether the connection goes on.
func (c *conn) handle(x *exchange) (next bool) {
	c.current.Store(x)
	if c.ctx.Err() != nil { // cancelCurrent may have come too early to see it
		x.ctx.End()
	}
	defer func() {
		c.current.Store(nil)
		x.ctx.End()
		x.abandon()
		if fault := recover(); fault != nil {
			next = false
			x.body.interrupt()
			c.logPanic(fault)
		}
		if next && !x.kept {
			c.server.recycle(x)
		}
	}()
	c.server.Handler.ServeHTTP(&x.response, x.req)
	return !c.hijacked && x.finish()
}

// cancelCurrent ends the context of the request in its handler, because the
// connection's has ended.
func (c *conn) cancelCurrent() {
	if x := c.current.Load(); x != nil {
		x.ctx.EndOf(c)
	}
}

func (c *conn) logPanic(fault any) {
	if fault == http.ErrAbortHandler || c.server.Log == nil {
		return
	}
	c.server.Log.Error("panic while serving a request", "client", c.remote, "panic", fault, "stack", string(debug.Stack()))
}

// write sends bytes to the client.
func (c *conn) write(p []byte) (int, error) {
	if d := c.server.WriteTimeout; d > 0 {
		c.writeBy.unlessForeign(d, c.nc.SetWriteDeadline)
	}
	return c.nc.Write(p)
}

// RawHead returns the head of the request that r.Context() belongs to, exactly as
// the client sent it, from the request line to the empty line: what a classifier of
// requests that a target might read otherwise (ALB, "Desync mitigation mode") has to see.
// It is empty if the request is not one of a [Server] of this package. Call it on the
// handler's goroutine.
func RawHead(r *http.Request) string {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil {
		return ""
	}
	x := c.current.Load()
	if x == nil {
		return ""
	}
	return x.parser.text
}
