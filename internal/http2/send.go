package http2

import (
	"io"
	"net/http"
)

// Write implements http.ResponseWriter. Data stays in the buffer until it is full,
// the handler flushes, or returns.
func (w *response) Write(p []byte) (int, error) { return write(w, p) }

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return write(w, s) }

func write[T string | []byte](w *response, p T) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.over.Load():
		return 0, io.ErrClosedPipe
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && int64(len(p)) > w.length-w.written:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if !w.hasBody || len(p) == 0 {
		return len(p), nil
	}
	return w.buffer([]byte(p))
}

// buffer takes p into the buffer, which it sends when it is full. Of a large piece
// only the end is copied, which may be the end of the response.
func (w *response) buffer(p []byte) (int, error) {
	total := len(p)
	for {
		w.acquire()
		n := min(len(p), max(bodyBlock-(len(w.buf.B)-w.headEnd), 0))
		w.buf.B = append(w.buf.B, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return total, nil
		}
		whole := max(0, len(p)-1) / bodyBlock * bodyBlock
		if err := w.send(p[:whole]); err != nil {
			return total - len(p), err
		}
		p = p[whole:]
	}
}

// ReadFrom implements io.ReaderFrom, with a pooled buffer.
func (w *response) ReadFrom(r io.Reader) (total int64, err error) {
	scrap := w.s.c.server.bodies.Get()
	defer w.s.c.server.bodies.Put(scrap)
	for {
		n, readErr := r.Read(scrap.Whole())
		if n > 0 {
			m, err := w.Write(scrap.B[:n])
			total += int64(m)
			if err != nil {
				return total, err
			}
		}
		switch readErr {
		case nil:
		case io.EOF:
			return total, nil
		default:
			return total, readErr
		}
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() { w.FlushError() }

// FlushError serves http.ResponseController.
func (w *response) FlushError() error {
	if w.over.Load() {
		return io.ErrClosedPipe
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	err := w.send(nil)
	if w.headSent {
		w.release()
	}
	return err
}

// send sends what is in the buffer, and then more, before the response is complete.
func (w *response) send(more []byte) error {
	c := w.s.c
	c.mu.Lock()
	err := w.sendHead(false)
	if err == nil && w.buf != nil && len(w.buf.B) > w.headEnd {
		err = c.sendData(w.s, w.buf.B[w.headEnd:], more, false)
	}
	flush := c.claimFlush()
	c.mu.Unlock()
	if w.buf != nil {
		w.buf.B, w.headEnd = w.buf.B[:0], 0
	}
	if flush {
		c.flush(1)
	}
	return err
}

// sendHead sends the headers, if that has not been done; mu is held. Without a body
// they are all of the response.
func (w *response) sendHead(end bool) error {
	s, c := w.s, w.s.c
	if w.headSent || s.err != nil {
		return s.err
	}
	if err := c.awaitRoom(s); err != nil {
		return err
	}
	w.headSent, w.interim = true, true
	if w.closes {
		c.startGoodbye()
	}
	end = end || !w.hasBody
	head := w.buf.B[:w.headEnd]
	if w.headEnd > maxFrame-1<<10 { // in several frames
		c.appendHead(s, append(w.appendPrefix(nil), head...), end)
		return nil
	}
	flags := byte(flagEndHeaders)
	if end {
		flags |= flagEndStream
	}
	b := c.output()
	start := len(b)
	b = append(w.appendPrefix(appendFrameHeader(b, 0, frameHeaders, flags, s.id)), head...)
	putFrameHeader(b[start:], len(b)-start-frameHeaderLen, frameHeaders, flags, s.id)
	c.put(b)
	if end {
		c.closeLocal(s)
	}
	return nil
}

// finish completes the response after the handler has returned; mu is held, but not
// all the time.
func (w *response) finish() {
	s, c := w.s, w.s.c
	body := w.buf.B[w.headEnd:]
	trailers := w.hasBody && w.withTrailers()
	if w.length < 0 && !w.headSent && !trailers && (w.hasBody || w.written > 0) {
		w.length = w.written
	}
	if w.malformed {
		w.giveUp(body)
		return
	}
	if w.sendHead(len(body) == 0 && !trailers) != nil || s.localClosed {
		return
	}
	if w.length >= 0 && w.written < w.length {
		c.reset(s, codeInternal) // or the client would take it for whole
		return
	}
	if len(body) > 0 || !trailers {
		if c.sendData(s, body, nil, !trailers) != nil || !trailers {
			return
		}
	}
	if c.awaitRoom(s) == nil && !s.localClosed {
		if block := w.appendTrailers(nil); len(block) > 0 {
			c.appendHead(s, block, true)
		} else {
			c.appendData(s, nil, true)
		}
	}
}

// giveUp sends an answer to a malformed request, which ends by a reset (RFC 9113,
// section 8.1.1); mu is held, but not all the time.
func (w *response) giveUp(body []byte) {
	s, c := w.s, w.s.c
	hasBody := w.hasBody
	w.hasBody = true // so that the head does not end the stream
	if w.sendHead(false) == nil && hasBody && len(body) > 0 {
		c.sendData(s, body, nil, false)
	}
	c.reset(s, codeProtocol)
}
