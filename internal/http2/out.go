package http2

import (
	"runtime"
	"time"
)

// The output of a connection gathers in one buffer, out, to which handlers and the
// reading goroutine append whole frames under the connection's lock. Whoever finds
// output that nobody is writing writes it: not before the other goroutines that are
// ready to run have had their turn to add theirs, so that many responses leave in
// one TLS record and with one system call.

// output returns out's bytes to append to; mu is held.
func (c *conn) output() []byte {
	if c.out == nil {
		c.out = c.server.outs.Get()
	}
	return c.out.B
}

// put is what becomes of output's bytes.
func (c *conn) put(b []byte) { c.out.B = b }

// reply appends a frame that a client's control frame asks for; mu is held. A client
// that asks and does not read is not answered for ever.
func (c *conn) reply(frame []byte) error {
	c.replies += len(frame)
	if c.replies > c.server.limits.Replies {
		return fatal(codeEnhanceYourCalm, "replies are not read")
	}
	c.put(append(c.output(), frame...))
	return nil
}

// claimFlush reports whether there is output that the caller has to flush; mu is held.
func (c *conn) claimFlush() bool {
	if c.out == nil || c.flushing || c.err != nil {
		return false
	}
	c.flushing = true
	return true
}

// flusher is a connection as a task: to write what is there.
type flusher conn

func (f *flusher) run() { (*conn)(f).flush(maxRounds) }

// maxRounds is how often a goroutine with nothing else to do writes in a row.
const maxRounds = 1 << 30

// flush writes the output, up to rounds times, and then leaves the rest to another
// goroutine. The caller has claimed it.
func (c *conn) flush(rounds int) {
	runtime.Gosched()
	c.mu.Lock()
	for round := 0; c.out != nil && c.err == nil; round++ {
		if round == rounds {
			c.mu.Unlock()
			c.server.workers.do((*flusher)(c))
			return
		}
		out := c.out
		c.out, c.replies = nil, 0
		c.pump()
		c.room.Broadcast()
		c.mu.Unlock()
		err := c.write(out.B)
		c.server.outs.Put(out)
		c.mu.Lock()
		if err != nil {
			c.over(err)
			cut(c.nc)
		}
	}
	c.flushing = false
	c.quiet()
	c.done.Broadcast()
	c.mu.Unlock()
}

// write sends bytes to the client. Only whoever flushes calls it.
func (c *conn) write(b []byte) error {
	if d := c.server.WriteTimeout; d > 0 {
		now := time.Now()
		if left := c.writeBy.Sub(now); left < d-d/4 {
			c.writeBy = now.Add(d)
			c.nc.SetWriteDeadline(c.writeBy)
		}
	}
	_, err := c.nc.Write(b)
	return err
}

// A waitList is a queue of streams whose data waits for windows or room.
type waitList struct{ first, last *stream }

func (l *waitList) push(s *stream) {
	s.next = nil
	if l.first == nil {
		l.first, l.last = s, s
		return
	}
	l.last.next = s
	l.last = s
}

func (l *waitList) pop() *stream {
	s := l.first
	if s != nil {
		l.first, s.next = s.next, nil
	}
	return s
}

func (l *waitList) remove(s *stream) {
	var kept waitList
	for t := l.pop(); t != nil; t = l.pop() {
		if t != s {
			kept.push(t)
		}
	}
	*l = kept
}

func (c *conn) forgetWaiting(s *stream) {
	if s.waiting {
		s.waiting = false
		c.waiting[s.urgency].remove(s)
	}
}

// ahead reports whether data of the same or a higher urgency waits; mu is held.
func (c *conn) ahead(urgency uint8) bool {
	for i := range urgency + 1 {
		if c.waiting[i].first != nil {
			return true
		}
	}
	return false
}

// space is how much data out has room for.
func (c *conn) space() int {
	if c.out == nil {
		return outLimit
	}
	return outLimit - len(c.out.B)
}

// pump moves waiting data to out as far as windows and room allow: the most urgent
// first (RFC 9218, section 10), a frame of each stream in turn; mu is held.
func (c *conn) pump() {
	for i := range c.waiting {
		list := &c.waiting[i]
		var stuck waitList // wait for their own windows
		for c.window > 0 && c.space() > 0 {
			s := list.pop()
			if s == nil {
				break
			}
			switch {
			case s.window <= 0:
				stuck.push(s)
			case c.sendSome(s):
				s.waiting = false
				s.cond.Broadcast()
			default:
				list.push(s)
			}
		}
		if stuck.first != nil { // they stay at the front
			if stuck.last.next = list.first; list.first == nil {
				list.last = stuck.last
			}
			list.first = stuck.first
		}
	}
}

// sendSome appends one frame of what s waits with and reports whether that was all.
func (c *conn) sendSome(s *stream) bool {
	n := min(len(s.pending), maxFrame, c.window, s.window, max(c.space(), 1))
	rest := s.pending[n:]
	c.appendData(s, s.pending[:n], s.pendingEnd && len(rest)+len(s.more) == 0)
	s.progress++
	if len(rest) == 0 {
		rest, s.more = s.more, nil
	}
	s.pending = rest
	return len(rest) == 0
}

// appendData appends DATA that windows allow; mu is held.
func (c *conn) appendData(s *stream, data []byte, end bool) {
	b := c.output()
	for {
		n := min(len(data), maxFrame)
		flags := byte(0)
		if end && n == len(data) {
			flags = flagEndStream
		}
		b = append(appendFrameHeader(b, n, frameData, flags, s.id), data[:n]...)
		c.window -= n
		s.window -= n
		c.idleFrames.earn(repayData)
		if data = data[n:]; len(data) == 0 {
			break
		}
	}
	c.put(b)
	if end {
		c.closeLocal(s)
	}
}

// closeLocal notes that the end of a response is in out; mu is held.
func (c *conn) closeLocal(s *stream) {
	if s.localClosed = true; s.remoteClosed {
		c.remove(s)
	}
}

// sendData sends a part of a response, in two pieces, and waits for windows and
// room; mu is held, but not all the time. Without an error all of it is in out.
func (c *conn) sendData(s *stream, data, more []byte, end bool) error {
	if len(data) == 0 && end || len(data)+len(more) <= min(c.window, s.window, c.space()) && !c.ahead(s.urgency) {
		c.appendData(s, data, end && len(more) == 0)
		if len(more) > 0 {
			c.appendData(s, more, end)
		}
		return nil
	}
	s.pending, s.more, s.pendingEnd, s.waiting = data, more, end, true
	c.waiting[s.urgency].push(s)
	c.pump()
	defer s.stopClock()
	for s.waiting {
		if c.claimFlush() {
			c.mu.Unlock()
			c.flush(1)
			c.mu.Lock()
			continue
		}
		if err := s.await(); err != nil {
			c.forgetWaiting(s)
			return err
		}
	}
	if s.err != nil {
		return s.err
	}
	return nil
}

// appendHead appends a header block, in as many frames as it needs; mu is held.
func (c *conn) appendHead(s *stream, head []byte, end bool) {
	b := c.output()
	kind, flags := byte(frameHeaders), byte(0)
	if end {
		flags = flagEndStream
	}
	for {
		n := min(len(head), maxFrame)
		if n == len(head) {
			flags |= flagEndHeaders
		}
		b = append(appendFrameHeader(b, n, kind, flags, s.id), head[:n]...)
		if head = head[n:]; len(head) == 0 {
			break
		}
		kind, flags = frameContinuation, 0
	}
	c.put(b)
	if end {
		c.closeLocal(s)
	}
}

// awaitRoom waits until out has room for a header block; mu is held, but not all the
// time.
func (c *conn) awaitRoom(s *stream) error {
	for s.err == nil && c.space() <= 0 {
		if c.claimFlush() {
			c.mu.Unlock()
			c.flush(1)
			c.mu.Lock()
		} else {
			c.room.Wait()
		}
	}
	return s.err
}
