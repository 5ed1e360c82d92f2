package http2

import (
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A stream is one request and its response.
type stream struct {
	// Fixed before the handler runs.
	c        *conn
	id       uint32
	req      *http.Request // request, for those to whom it is a pointer
	request  http.Request
	url      url.URL
	ctx      engine.Context
	bodyless bool // END_STREAM came with the headers

	// Kept for the next request.
	blank         http.Request // what request begins as: nothing but the context
	requestHeader http.Header
	values        []string // what the slices of requestHeader are of

	body requestBody
	response

	// Guarded by c.mu.
	window       int // what the client takes
	receive      int // what the client may send
	urgency      uint8
	memory       int // of the header list
	localClosed  bool
	remoteClosed bool
	err          error // why the stream is over before its end; nil if it is not

	// Guarded by c.mu: data that cannot be sent yet.
	waiting    bool
	pending    []byte
	more       []byte // comes after pending
	pendingEnd bool
	progress   int // rises with each frame that was sent
	next       *stream
	cond       sync.Cond // waiting is over, or err is set, or the clock has struck
	clock      *time.Timer
	clockSaw   int  // progress when the clock was started
	clockFull  bool // it was started for the whole WriteTimeout
	struck     bool
	writeUntil time.Time // the handler's
}

// run implements task: it is the goroutine of a request.
func (s *stream) run() {
	c := s.c
	returned := s.serve()
	if returned && s.status == 0 {
		s.WriteHeader(http.StatusOK)
	}
	if returned {
		s.acquire()
	}
	c.mu.Lock()
	if returned {
		s.finish()
	}
	s.stopClock()
	s.over.Store(true)
	flush := c.handlerDone(s)
	c.mu.Unlock()
	s.release()
	s.ctx.End()
	if returned {
		s.recycle()
	}
	if flush {
		c.flush(maxRounds)
	}
}

// serve calls the handler and reports whether it returned.
func (s *stream) serve() (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			ok = false
			s.logPanic(fault)
		}
	}()
	if s.tooLarge {
		s.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		return true
	}
	handler := s.c.server.Handler
	if s.malformed {
		handler = s.c.server.Malformed
	}
	handler.ServeHTTP(&s.response, s.req)
	return true
}

func (s *stream) logPanic(fault any) {
	if fault == http.ErrAbortHandler || s.c.server.Log == nil {
		return
	}
	s.c.server.Log.Error("panic while serving a request", "client", s.c.remote, "panic", fault, "stack", string(debug.Stack()))
}

// handlerDone counts a handler out, starts one that waits for its turn, and reports
// whether output is to be flushed; mu is held.
func (c *conn) handlerDone(s *stream) bool {
	if !s.localClosed {
		c.reset(s, codeInternal)
	}
	if !s.remoteClosed { // the client need not send the rest (RFC 9113, section 8.1)
		c.reset(s, codeNo)
	}
	if s.err == nil && !s.malformed {
		c.resets.earn(1)
	}
	c.memory -= s.memory
	c.running--
	if n := s.body.drop(); n > 0 {
		c.freed.Add(int64(n))
		c.grant(s, 0)
	}
	if len(c.queue) > 0 && c.running < c.server.limits.Streams {
		next := c.queue[0]
		c.queue = c.queue[1:]
		c.start(next)
	}
	if c.running == 0 {
		c.done.Broadcast()
	}
	c.quiet()
	return c.claimFlush()
}

// start runs a request's handler; mu is held.
func (c *conn) start(s *stream) {
	c.running++
	if !c.active {
		c.active = true
		c.setState(http.StateActive)
	}
	c.server.workers.do(s)
}

// reset ends a stream from this side (RFC 9113, section 5.4.2); mu is held.
func (c *conn) reset(s *stream, e code) {
	if s.localClosed && s.remoteClosed {
		return
	}
	c.put(appendRSTStream(c.output(), s.id, e))
	c.remember(s.id)
	if e == codeNo { // the response is complete
		s.remoteClosed = true
		c.remove(s)
		s.body.fail(errClosed)
		return
	}
	c.abort(s, errClosed)
}

// remember notes that this side has reset a stream: what the client had sent
// before it heard of that is ignored (RFC 9113, section 5.1).
func (c *conn) remember(id uint32) {
	c.ours[c.oursNext%len(c.ours)] = id
	c.oursNext++
}

func (c *conn) isOurs(id uint32) bool {
	for _, known := range c.ours {
		if known == id {
			return true
		}
	}
	return false
}

// await waits until something happens to what s waits with, or the time for it is
// over; c.mu is held.
func (s *stream) await() error {
	switch {
	case s.err != nil:
		return s.err
	case s.struck && !s.writeUntil.IsZero() && !time.Now().Before(s.writeUntil):
		return os.ErrDeadlineExceeded
	case s.struck && s.clockFull && s.progress == s.clockSaw:
		s.c.reset(s, codeCancel)
		return os.ErrDeadlineExceeded
	}
	s.struck = false
	s.startClock()
	s.cond.Wait()
	return nil
}

// startClock makes await look again when the client has had its time, or the
// handler's deadline passes; c.mu is held.
func (s *stream) startClock() {
	d := s.c.server.WriteTimeout
	if !s.writeUntil.IsZero() {
		if left := max(time.Until(s.writeUntil), 0); d <= 0 || left < d {
			d = left
		}
	} else if d <= 0 {
		return
	}
	s.clockSaw, s.clockFull = s.progress, d == s.c.server.WriteTimeout
	if s.clock != nil {
		s.clock.Reset(d)
		return
	}
	s.clock = time.AfterFunc(d, s.strike)
}

func (s *stream) strike() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.struck = true
	s.cond.Broadcast()
}

func (s *stream) stopClock() {
	s.struck = false
	if s.clock != nil {
		s.clock.Stop()
	}
}
