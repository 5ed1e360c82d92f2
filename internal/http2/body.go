package http2

import (
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A requestBody is a request's body. Its methods may be called from any goroutine,
// also after the handler has returned.
type requestBody struct {
	s *stream

	mu      sync.Mutex
	arrived sync.Cond
	blocks  []*engine.Block // guarded by mu: what has come and was not read
	offset  int             // guarded by mu: how much of the first was read
	size    int             // guarded by mu: bytes in blocks
	err     error           // guarded by mu: io.EOF, or why there will be no more
	trailer http.Header
	gone    bool  // guarded by mu: nobody may read any more
	begun   bool  // guarded by mu
	unread  int   // guarded by mu: read and not granted again to the client
	want    int64 // guarded by mu: bytes announced and not come; negative if none were announced
	until   time.Time
	clock   *time.Timer
}

// Read implements io.Reader. The first call asks a client that waits for
// permission to send (RFC 9110, section 10.1.1).
func (b *requestBody) Read(p []byte) (int, error) {
	n, grant, err := b.read(p)
	if n > 0 {
		b.s.c.consumed(b.s, n, grant)
	}
	return n, err
}

// read also returns how much more the client may send on the stream, which is not
// said for every few bytes.
func (b *requestBody) read(p []byte) (n, grant int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.await(); err != nil {
		return 0, 0, err
	}
	if b.size == 0 {
		return 0, 0, b.ended()
	}
	for n < len(p) && b.size > 0 {
		n += b.take(p[n:])
	}
	if b.unread += n; b.err == nil && b.unread >= b.s.c.server.limits.StreamWindow/2 {
		grant, b.unread = b.unread, 0
	}
	if b.size == 0 && b.err == io.EOF {
		return n, grant, b.ended()
	}
	return n, grant, nil
}

// await waits until there is something to read, or there will not be.
func (b *requestBody) await() error {
	for {
		switch {
		case b.gone:
			return http.ErrBodyReadAfterClose
		case b.size > 0 || b.err != nil:
			return nil
		case !b.until.IsZero() && !time.Now().Before(b.until):
			return os.ErrDeadlineExceeded
		case !b.begun:
			b.begun = true
			b.mu.Unlock()
			b.s.sendContinue()
			b.mu.Lock()
			continue
		}
		b.startClock()
		b.arrived.Wait()
	}
}

// startClock makes await look again when the deadline passes; mu is held.
func (b *requestBody) startClock() {
	switch {
	case b.until.IsZero():
	case b.clock == nil:
		b.clock = time.AfterFunc(time.Until(b.until), b.wake)
	default:
		b.clock.Reset(time.Until(b.until))
	}
}

func (b *requestBody) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arrived.Broadcast()
}

// ended returns how the body ended and hands over the trailers; mu is held.
func (b *requestBody) ended() error {
	if b.err == io.EOF && b.trailer != nil {
		if b.s.req.Trailer == nil {
			b.s.req.Trailer = make(http.Header, len(b.trailer))
		}
		for name, values := range b.trailer {
			b.s.req.Trailer[name] = values
		}
		b.trailer = nil
	}
	return b.err
}

// take copies from the first block; mu is held.
func (b *requestBody) take(p []byte) int {
	first := b.blocks[0]
	n := copy(p, first.B[b.offset:])
	b.size -= n
	if b.offset += n; b.offset == len(first.B) {
		b.s.c.server.bodies.Put(first)
		b.offset = 0
		b.blocks[0] = nil
		if b.blocks = b.blocks[1:]; len(b.blocks) == 0 {
			b.blocks = nil
		}
	}
	return n
}

// receive takes what has arrived, and returns how much of it nobody wants.
func (b *requestBody) receive(data []byte, end bool) (unwanted int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.want >= 0 {
		b.want -= int64(len(data))
		if b.want < 0 || end && b.want > 0 {
			return len(data), &streamError{b.s.id, codeProtocol, "body differs from content-length"}
		}
	}
	if b.gone || b.err != nil {
		return len(data), nil
	}
	b.size += len(data)
	for len(data) > 0 {
		last := len(b.blocks) - 1
		if last < 0 || len(b.blocks[last].B) == cap(b.blocks[last].B) {
			b.blocks = append(b.blocks, b.s.c.server.bodies.Get())
			last++
		}
		into := b.blocks[last]
		n := min(len(data), cap(into.B)-len(into.B))
		into.B = append(into.B, data[:n]...)
		data = data[n:]
	}
	if end {
		b.err = io.EOF
	}
	b.arrived.Broadcast()
	return 0, nil
}

// finish ends the body with the trailers that came after it.
func (b *requestBody) finish(trailer http.Header) error {
	b.mu.Lock()
	b.trailer = trailer
	b.mu.Unlock()
	_, err := b.receive(nil, true)
	return err
}

// fail ends the body with an error, if it has not ended.
func (b *requestBody) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		b.arrived.Broadcast()
	}
}

// Close implements io.Closer.
func (b *requestBody) Close() error {
	if n := b.drop(); n > 0 {
		b.s.c.consumed(b.s, n, 0)
	}
	return nil
}

// drop ends the use of the body for good, and returns how much of it was not read.
func (b *requestBody) drop() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clock != nil {
		b.clock.Stop()
	}
	n := b.size
	for _, piece := range b.blocks {
		b.s.c.server.bodies.Put(piece)
	}
	b.blocks, b.offset, b.size, b.gone = nil, 0, 0, true
	b.arrived.Broadcast()
	return n
}

// reset makes the body that of another request.
func (b *requestBody) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s, b.err, b.trailer, b.gone, b.begun = nil, nil, nil, false, false
	b.until, b.unread = time.Time{}, 0
}

// setDeadline is for reads that wait.
func (b *requestBody) setDeadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = t
	b.arrived.Broadcast()
}

// consumed counts n bytes of the connection's window that are free again, tells the
// client when they are many, and lets it send grant bytes more on a stream.
func (c *conn) consumed(s *stream, n, grant int) {
	if c.freed.Add(int64(n)) < int64(c.server.limits.ConnWindow/2) && grant == 0 {
		return
	}
	c.mu.Lock()
	if c.err == nil {
		c.grant(s, grant)
	}
	flush := c.claimFlush()
	c.mu.Unlock()
	if flush {
		c.server.workers.do((*flusher)(c))
	}
}

// grant appends WINDOW_UPDATE frames; mu is held.
func (c *conn) grant(s *stream, n int) {
	if n > 0 && !s.remoteClosed {
		s.receive += n
		c.put(appendWindowUpdate(c.output(), s.id, n))
	}
	if freed := int(c.freed.Load()); freed >= c.server.limits.ConnWindow/2 {
		c.freed.Add(int64(-freed))
		c.receive += freed
		c.put(appendWindowUpdate(c.output(), 0, freed))
	}
}
