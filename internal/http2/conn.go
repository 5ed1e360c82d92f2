package http2

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// errClosed is what is left to be said to handlers of a connection that is over.
var errClosed = errors.New("http2: the connection is closed")

// A conn is one client connection. The goroutine of ServeConn reads it; handlers
// write to it through out.
type conn struct {
	// Fixed by newConn.
	server *Server
	nc     net.Conn
	ctx    context.Context // of the connection
	tls    *tls.ConnectionState
	remote string

	// Owned by the goroutine that reads.
	in        reader
	decoder   decoder
	head      headerBlock
	block     []byte // a header block in several frames
	blockOf   frame  // the HEADERS frame that it began with
	fragments int    // CONTINUATION frames of it
	broken    error  // what is wrong with that frame

	freed atomic.Int64 // bytes of the client's window that were read, and not been granted again

	mu sync.Mutex
	// Guarded by mu, which is taken before a body's: the output.
	out      *engine.Block // nil if there is none
	flushing bool          // somebody is writing, or about to
	replies  int           // bytes in out that answer control frames
	waiting  [8]waitList   // streams with data that cannot be sent yet, by urgency
	room     sync.Cond     // out has become shorter, or the connection is over
	writeBy  time.Time     // the deadline that nc has
	window   int           // what the client takes, all streams together
	initial  int           // what the client takes on a new stream
	// Guarded by mu: what the client may send.
	receive int // of the connection's window
	// Guarded by mu: the streams.
	streams    map[uint32]*stream
	last       uint32 // highest stream that a request came on
	running    int    // handlers
	queue      []*stream
	memory     int // bytes of header lists
	resets     budget
	idleFrames budget
	ours       [64]uint32 // streams that were reset from this side
	oursNext   int
	idleSince  time.Time
	goodbye    goodbye
	farewell   *time.Timer // ends goodbyeSaid, or the grace
	err        error       // why the connection is over; nil while it is not
	done       sync.Cond   // running has become 0, or flushing false
	active     bool        // what State was told last
}

// goodbye says how far the end of a connection has come.
type goodbye int

const (
	goodbyeNone  goodbye = iota
	goodbyeSaid          // the client was told; requests under way are still taken
	goodbyeFinal         // the last stream was named; no request is taken any more
)

func newConn(s *Server, ctx context.Context, nc net.Conn) *conn {
	if s.Context != nil {
		ctx = s.Context(ctx, nc)
	}
	now := time.Now()
	c := &conn{
		server: s, nc: nc, ctx: ctx, decoder: newDecoder(),
		window: initialWindow, initial: initialWindow, receive: s.limits.ConnWindow,
		streams:    make(map[uint32]*stream),
		resets:     newBudget(s.limits.Resets, resetsPerSecond, now),
		idleFrames: newBudget(s.limits.IdleFrames, framesPerSecond, now),
		idleSince:  now,
	}
	c.room.L, c.done.L = &c.mu, &c.mu
	c.in = reader{c: c, began: now}
	if a := nc.RemoteAddr(); a != nil {
		c.remote = a.String()
	}
	if tc, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := tc.ConnectionState()
		c.tls = &state
	}
	return c
}

func (c *conn) setState(state http.ConnState) {
	if c.server.State != nil {
		c.server.State(c.nc, state)
	}
}

// serve reads frames until the connection is over, and then waits for what still
// runs.
func (c *conn) serve() {
	err := c.begin()
	for err == nil {
		err = c.readFrame()
		if reset, ok := errors.AsType[*streamError](err); ok {
			err = c.resetByError(reset)
		}
	}
	c.end(err)
}

// begin exchanges prefaces (RFC 9113, section 3.4).
func (c *conn) begin() error {
	limits := &c.server.limits
	c.mu.Lock()
	b := appendFrameHeader(c.output(), 5*settingLen, frameSettings, 0, 0)
	b = appendSetting(b, settingMaxStreams, uint32(limits.Streams))
	b = appendSetting(b, settingInitialWindowSize, uint32(limits.StreamWindow))
	b = appendSetting(b, settingMaxHeaderListSize, uint32(limits.HeaderList))
	b = appendSetting(b, settingEnablePush, 0)
	b = appendSetting(b, settingNoRFC7540Priority, 1)
	if grant := limits.ConnWindow - initialWindow; grant > 0 {
		b = appendWindowUpdate(b, 0, grant)
	}
	c.put(b)
	c.mu.Unlock()
	if err := c.in.preface(); err != nil {
		return err
	}
	return c.readFirst()
}

// end closes the connection for err, tells the client why if it is at fault, and
// waits for the handlers.
func (c *conn) end(err error) {
	broken, faulty := errors.AsType[*connError](err)
	if faulty {
		c.logClient(broken)
		c.lastWords(broken)
	} else if err == errIdle {
		c.settle()
	}
	c.mu.Lock()
	c.over(errClosed)
	c.mu.Unlock()
	if faulty || err == errIdle {
		c.nc.SetWriteDeadline(time.Now().Add(errorWait))
		engine.Linger(c.nc)
	}
	c.nc.Close()
	c.setState(http.StateClosed)
	c.in.discard()
	c.mu.Lock()
	for c.running > 0 || c.flushing {
		c.done.Wait()
	}
	if c.farewell != nil {
		c.farewell.Stop()
	}
	c.server.outs.Put(c.out)
	c.out = nil
	c.mu.Unlock()
}

// lastWords writes GOAWAY for an error (RFC 9113, section 5.4.1).
func (c *conn) lastWords(e *connError) {
	c.mu.Lock()
	c.abortStreams(errClosed)
	c.goodbye = goodbyeFinal
	c.put(appendGoAway(c.output(), c.last, e.code, e.text))
	c.mu.Unlock()
	c.settle()
}

// settle waits for what is being written, or writes it, but not for long.
func (c *conn) settle() {
	c.nc.SetWriteDeadline(time.Now().Add(errorWait))
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && (c.flushing || c.out != nil) {
		if c.claimFlush() {
			c.mu.Unlock()
			c.flush(1)
			c.mu.Lock()
		} else {
			c.done.Wait()
		}
	}
}

// over marks the connection as ended, once, and tells everybody; mu is held.
func (c *conn) over(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.abortStreams(err)
	c.room.Broadcast()
}

// abortStreams ends all streams, those that wait for their handlers too; mu is held.
func (c *conn) abortStreams(err error) {
	for _, s := range c.streams {
		c.abort(s, err)
	}
	c.queue = nil
}

// abort ends a stream for its handler, which may still run; mu is held.
func (c *conn) abort(s *stream, err error) {
	if s.err == nil {
		s.err = err
	}
	s.localClosed, s.remoteClosed = true, true
	c.forgetWaiting(s)
	c.remove(s)
	s.cond.Broadcast()
	s.body.fail(err)
	c.server.workers.do((*cancellation)(s)) // what it sets off may want mu
}

// A cancellation is a stream as a task: to end its context.
type cancellation stream

func (s *cancellation) run() { s.ctx.End() }

// remove takes a stream out of the table; mu is held.
func (c *conn) remove(s *stream) {
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	if len(c.streams) == 0 {
		c.idleSince = time.Now()
	}
}

// quiet is told that nothing is being written and looks whether the connection has
// become idle, or can end; mu is held.
func (c *conn) quiet() {
	if len(c.streams) > 0 || c.running > 0 || c.flushing || c.out != nil {
		return
	}
	if c.active {
		c.active = false
		c.setState(http.StateIdle)
	}
	if c.goodbye == goodbyeFinal {
		c.nc.SetReadDeadline(time.Unix(1, 0)) // see reader.expired
	}
}

// sayGoodbye tells the client that the connection ends, and takes requests until the
// client has heard it (RFC 9113, section 6.8).
func (c *conn) sayGoodbye() {
	c.mu.Lock()
	c.startGoodbye()
	flush := c.claimFlush()
	c.mu.Unlock()
	if flush {
		c.server.workers.do((*flusher)(c))
	}
}

// startGoodbye is sayGoodbye under mu; the caller flushes.
func (c *conn) startGoodbye() {
	if c.goodbye != goodbyeNone || c.err != nil {
		return
	}
	c.goodbye = goodbyeSaid
	b := appendGoAway(c.output(), maxStreamID, codeNo, "")
	c.put(appendPing(b, 0, goodbyePing))
	c.farewell = time.AfterFunc(goodbyeWait, c.finalGoodbye)
}

// goodbyePing is the PING whose acknowledgement says that GOAWAY has been read.
var goodbyePing = [8]byte{'g', 'o', 'o', 'd', 'b', 'y', 'e', '.'}

// finalGoodbye names the last request that is answered. What comes after it is
// ignored: the client knows that it may ask elsewhere.
func (c *conn) finalGoodbye() {
	c.mu.Lock()
	if c.goodbye == goodbyeFinal || c.err != nil {
		c.mu.Unlock()
		return
	}
	c.goodbye = goodbyeFinal
	c.put(appendGoAway(c.output(), c.last, codeNo, ""))
	flush := c.claimFlush()
	c.mu.Unlock()
	if flush {
		c.server.workers.do((*flusher)(c))
	}
}

// retire is finalGoodbye with an end.
func (c *conn) retire(grace time.Duration) {
	time.AfterFunc(grace, func() { cut(c.nc) })
	c.finalGoodbye()
}

// cut closes a connection and waits for nothing, not even to say so under TLS.
func cut(nc net.Conn) {
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	nc.Close()
}

func (c *conn) logClient(e *connError) {
	if c.server.Log != nil {
		c.server.Log.Log(c.ctx, slog.LevelDebug, "connection ended for an error of the client",
			"client", c.remote, "code", uint32(e.code), "error", e.text)
	}
}
