package http1

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	crlf      = "\r\n"
	lastChunk = "0\r\n"
	// chunkRoom is what a chunk's size and the CRLF after its data need at most.
	chunkRoom = 16 + 2 + 2
)

// Write implements http.ResponseWriter. Data stays in the buffer until it is full,
// the handler flushes, or returns.
func (w *response) Write(p []byte) (int, error) { return w.writeBody(p) }

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.writeBody([]byte(s)) }

func (w *response) writeBody(p []byte) (int, error) {
	if err := w.mayWrite(); err != nil {
		return 0, err
	}
	if w.length >= 0 && int64(len(p)) > w.length-w.written {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if !w.hasBody {
		return len(p), nil
	}
	return w.buffer(p)
}

// mayWrite begins the answer if that is still to be done, and reports why no body can
// follow.
func (w *response) mayWrite() error {
	if w.c.hijacked {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.aborted:
		return io.ErrClosedPipe
	case w.err != nil:
		return w.err
	case !bodyAllowed(w.status):
		return http.ErrBodyNotAllowed
	}
	return nil
}

// buffer takes p into the buffer, which it sends as often as it is full. A large
// piece of a body without chunks is not copied.
func (w *response) buffer(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		w.acquire()
		if w.headSent && !w.chunked && len(w.out) == 0 && len(p) >= writeBuffer {
			_, w.err = w.c.write(p)
			break
		}
		room := min(max(writeBuffer-len(w.out)-chunkRoom, 0), len(p))
		w.out = append(w.out, p[:room]...)
		if p = p[room:]; len(p) > 0 {
			w.flush()
		}
		if w.err != nil {
			break
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return total, nil
}

// ReadFrom implements io.ReaderFrom: r reads into the very buffer that is sent.
func (w *response) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		room, err := w.room()
		if err != nil {
			return total, err
		}
		n, readErr := r.Read(room)
		if err := w.took(n); err != nil {
			return total, err
		}
		total += int64(n)
		switch readErr {
		case nil:
		case io.EOF:
			return total, nil
		default:
			return total, readErr
		}
	}
}

// minRoom is the least that a read for ReadFrom gets.
const minRoom = 4 << 10

// room returns the free part of the buffer, after sending it if too little is free.
func (w *response) room() ([]byte, error) {
	if err := w.mayWrite(); err == http.ErrBodyNotAllowed {
		return make([]byte, 1), nil // there may be nothing to read
	} else if err != nil {
		return nil, err
	}
	w.acquire()
	if w.hasBody && writeBuffer-chunkRoom-len(w.out) < minRoom {
		w.flush()
		w.acquire()
	}
	if w.err != nil {
		return nil, w.err
	}
	if cap(w.out)-chunkRoom-len(w.out) < minRoom { // a long head has grown it, and there is no body to send
		return make([]byte, minRoom), nil
	}
	return w.out[len(w.out) : cap(w.out)-chunkRoom], nil
}

// took notes that n bytes of body came into room.
func (w *response) took(n int) error {
	switch {
	case n > 0 && !bodyAllowed(w.status):
		return http.ErrBodyNotAllowed
	case w.length >= 0 && int64(n) > w.length-w.written:
		return http.ErrContentLength
	}
	w.written += int64(n)
	if w.hasBody {
		w.out = w.out[:len(w.out)+n]
	}
	return nil
}

// Flush implements http.Flusher.
func (w *response) Flush() { w.FlushError() }

// FlushError serves http.ResponseController.
func (w *response) FlushError() error {
	if w.c.hijacked {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil && !w.aborted {
		w.flush()
		if w.err == nil {
			w.release()
		}
	}
	return w.err
}

// flush sends what is in the buffer, before the body is complete.
func (w *response) flush() {
	if w.headSent {
		w.flushBody(false)
		return
	}
	w.sendHead(false)
}

// finish completes the response after the handler has returned, and reports
// whether the connection can take another request.
func (x *exchange) finish() bool {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.err == nil && x.headSent {
		x.flushBody(true)
	} else if x.err == nil {
		x.sendHead(true)
	}
	short := x.hasBody && x.length >= 0 && x.written < x.length
	alone := x.body.interrupt()
	if x.err != nil || short || !alone {
		return false
	}
	if x.close || x.status == http.StatusSwitchingProtocols {
		x.c.keepReading = !x.body.over.Load()
		return false
	}
	x.c.writeBy.clearForeign(x.c.nc.SetWriteDeadline)
	if !x.body.drain(drainTime) {
		x.c.keepReading = true
		return false
	}
	return true
}

// sendHead decides how the body is framed and sends the head with what there is of
// the body, in one write. Final means that this is all of it.
func (w *response) sendHead(final bool) {
	w.headSent = true
	if final {
		w.settleBody()
	}
	w.decide(final)
	body := len(w.out) - w.headEnd
	start := headRoom
	if w.chunked && body > 0 {
		start = w.openChunk(body)
	}
	var prefix [headRoom]byte
	text := w.appendPrefix(prefix[:0])
	start -= len(text)
	copy(w.out[start:], text)
	if w.chunked {
		w.out = w.closeChunks(w.out, body > 0, final)
	}
	w.send(w.out[start:])
}

func (w *response) send(b []byte) {
	if len(b) > 0 {
		_, w.err = w.c.write(b)
	}
	if w.out != nil {
		w.out = w.out[:0]
	}
}

// openChunk moves the headers to the front, so that the size of the first chunk
// fits between them and the body, and returns where they begin.
func (w *response) openChunk(size int) int {
	var line [chunkRoom]byte
	text := append(strconv.AppendInt(line[:0], int64(size), 16), crlf...)
	start := headRoom - len(text)
	copy(w.out[start:], w.out[headRoom:w.headEnd])
	copy(w.out[w.headEnd-len(text):], text)
	return start
}

// decide settles the framing (RFC 9112, section 6) and whether the connection goes on.
func (w *response) decide(final bool) {
	w.stopContinue()
	if w.c.server.closing.Load() || w.unreadable() {
		w.close = true
	}
	switch {
	case !w.hasBody && (w.req.Method != http.MethodHead || !bodyAllowed(w.status)):
	case w.length >= 0:
	case final && !w.withTrailers() && (w.hasBody || w.written > 0):
		w.length = w.written
	case !w.hasBody:
	case w.minor > 0:
		w.chunked = true
	default:
		w.close = true // HTTP/1.0: the end of the connection is the end of the body
	}
}

// settleBody gets an unread body out of the way before the answer says whether the
// connection goes on. What the client has sent with its headers is here by now, or
// in a moment; one that waits for the answer is not waited for.
func (w *response) settleBody() {
	b := w.body()
	if b.over.Load() || !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	if !w.expects || b.begun {
		b.drain(drainGrace)
	}
}

// unreadable reports whether too much of the request's body is unread for the
// connection to go on.
func (w *response) unreadable() bool {
	b := w.body()
	if b.over.Load() || !b.mu.TryLock() {
		return false // another goroutine is reading it
	}
	defer b.mu.Unlock()
	return b.err != nil && b.err != io.EOF || w.expects && !b.begun || b.mode == modeLength && b.left > w.c.server.limits.Drain
}

// stopContinue makes sure that no 100 Continue follows the head.
func (w *response) stopContinue() {
	if w.expects {
		w.interimMu.Lock()
		defer w.interimMu.Unlock()
		w.interim = true
	}
}

// appendPrefix appends the status line and the headers that are the connection's.
func (w *response) appendPrefix(b []byte) []byte {
	b = appendStatusLine(b, w.minor, w.status)
	if !w.hasDate {
		if _, set := w.header["Date"]; !set {
			b = append(append(append(b, "Date: "...), w.c.server.date.At(time.Now())...), crlf...)
		}
	}
	switch {
	case w.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case w.length >= 0 && w.status != http.StatusNoContent && w.status >= 200:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), w.length, 10), crlf...)
	}
	switch { // each version is told only what is not its default
	case w.close && w.minor > 0:
		b = append(b, "Connection: close\r\n"...)
	case !w.close && w.minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return b
}

// flushBody sends what is buffered of the body after the head.
func (w *response) flushBody(final bool) {
	if !w.chunked {
		w.send(w.out)
		return
	}
	size := len(w.out)
	if size == 0 && !final {
		return
	}
	w.acquire()
	var line [chunkRoom]byte
	text := line[:0]
	if size > 0 {
		text = append(strconv.AppendInt(text, int64(size), 16), crlf...)
	}
	w.out = w.closeChunks(w.out, size > 0, final)
	w.out = append(w.out, text...) // makes room; then the size goes in front
	copy(w.out[len(text):], w.out[:len(w.out)-len(text)])
	copy(w.out, text)
	w.send(w.out)
}

// closeChunks appends the end of a chunk, and of the whole body if it is final.
func (w *response) closeChunks(b []byte, open, final bool) []byte {
	if open {
		b = append(b, crlf...)
	}
	if !final {
		return b
	}
	b = append(b, lastChunk...)
	if w.withTrailers() {
		b = w.appendTrailers(b)
	}
	return append(b, crlf...)
}

// withTrailers reports whether the handler has announced or set trailers.
func (w *response) withTrailers() bool {
	if w.trailers {
		return true
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return w.minor > 0
		}
	}
	return false
}

func (w *response) appendTrailers(b []byte) []byte {
	for name, values := range w.header {
		plain, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		if (prefixed || w.isTrailer(name)) && trailerAllowed(http.CanonicalHeaderKey(plain)) {
			b = appendField(b, plain, values)
		}
	}
	return b
}
