package http2

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A response is the http.ResponseWriter of one request. Like net/http's it belongs to
// the handler's goroutine, but for 1xx answers.
//
// The handler's headers are encoded as soon as WriteHeader is called; the body
// follows them in the same buffer. A small response leaves whole, in one append to
// the connection's output, when the handler returns.
type response struct {
	s         *stream
	header    http.Header
	spare     http.Header // a map of our own, if one was needed
	kept      bool        // see Keep
	tooLarge  bool        // the request is answered 431 without the handler
	malformed bool        // the request is answered by Server.Malformed, and reset

	status    int // 0 until WriteHeader
	length    int64
	written   int64
	buf       *engine.Block // headers up to headEnd, then body; body only once the head is sent
	headEnd   int
	headSent  bool
	hasBody   bool // the status and the method allow one to be sent
	hasDate   bool
	closes    bool        // the handler wants the connection to end
	announced []string    // trailers, by their canonical names
	over      atomic.Bool // the handler has returned

	expects bool // 100-continue
	interim bool // guarded by c.mu: 100 has been sent, or is too late
}

var _ engine.Keeper = (*response)(nil)

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		if w.spare == nil {
			w.spare = make(http.Header, 8)
		}
		w.header = w.spare
	}
	return w.header
}

// SetHeader makes h, as it is, what Header returns. The server looks at it until the
// handler has returned.
func (w *response) SetHeader(h http.Header) { w.header = h }

// Keep says that something of the request is kept all the same, in spite of
// [Server.Recycle].
func (w *response) Keep() { w.kept = true }

// WriteHeader implements http.ResponseWriter. Codes from 100 to 199 are sent at
// once and may be followed by others; there is no 101 in HTTP/2.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("http2: WriteHeader with status " + strconv.Itoa(status))
	}
	switch {
	case w.status != 0 || w.over.Load():
		return
	case status < 200:
		w.inform(status)
		return
	}
	w.status = status
	w.hasBody = bodyAllowed(status) && w.s.req.Method != http.MethodHead
	w.acquire()
	w.appendHeaders()
	w.headEnd = len(w.buf.B)
}

// bodyAllowed is RFC 9110, section 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (w *response) acquire() {
	if w.buf == nil {
		w.buf = w.s.c.server.bodies.Get()
	}
}

func (w *response) release() {
	w.s.c.server.bodies.Put(w.buf)
	w.buf, w.headEnd = nil, 0
}

// appendHeaders encodes the handler's headers but those that are sent otherwise.
func (w *response) appendHeaders() {
	if values := w.header["Trailer"]; values != nil {
		w.announce(values)
	}
	b := w.buf.B
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			w.declare(values)
			continue
		case "Connection":
			w.closes = w.closes || listsClose(values)
		case "Date":
			w.hasDate = true
		}
		if w.isHeader(name) {
			for _, value := range values {
				b = appendField(b, name, value)
			}
		}
	}
	w.buf.B = b
}

// isHeader reports whether a name is that of a field that goes before the body.
func (w *response) isHeader(name string) bool {
	if encodedNames[name] != "" && len(w.announced) == 0 && !hopByHop(name) {
		return true
	}
	return engine.IsToken(name) && !hopByHop(name) && !w.isAnnounced(name) && !strings.HasPrefix(name, http.TrailerPrefix)
}

func (w *response) declare(values []string) {
	if len(values) != 1 {
		return
	}
	if n, err := strconv.ParseUint(strings.Trim(values[0], " \t"), 10, 63); err == nil {
		w.length = int64(n)
	}
}

func listsClose(values []string) bool {
	for _, value := range values {
		for member := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.Trim(member, " \t"), "close") {
				return true
			}
		}
	}
	return false
}

func (w *response) announce(values []string) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); engine.IsToken(name) && trailerAllowed(name) {
				w.announced = append(w.announced, name)
			}
		}
	}
}

func (w *response) isAnnounced(name string) bool {
	for _, trailer := range w.announced {
		if trailer == name {
			return true
		}
	}
	return false
}

// appendPrefix begins a header block with what is known last.
func (w *response) appendPrefix(b []byte) []byte {
	b = appendStatus(b, w.status)
	if w.length >= 0 && w.status != http.StatusNoContent {
		b = appendContentLength(b, w.length)
	}
	if !w.hasDate {
		b = appendDate(b, w.s.c.server.date.At(time.Now()))
	}
	return b
}

// appendTrailers encodes the trailers that the handler has set by now.
func (w *response) appendTrailers(b []byte) []byte {
	for name, values := range w.header {
		plain, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		plain = http.CanonicalHeaderKey(plain)
		if !prefixed && !w.isAnnounced(name) || !engine.IsToken(plain) || !trailerAllowed(plain) {
			continue
		}
		for _, value := range values {
			b = appendField(b, plain, value)
		}
	}
	return b
}

// withTrailers reports whether the handler has announced or set trailers.
func (w *response) withTrailers() bool {
	if len(w.announced) > 0 {
		return true
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// inform sends an informational response with the handler's headers.
func (w *response) inform(status int) {
	if status == http.StatusSwitchingProtocols {
		return // RFC 9113, section 8.6
	}
	b := appendStatus(nil, status)
	for name, values := range w.header {
		if name != "Content-Length" && w.isHeader(name) {
			for _, value := range values {
				b = appendField(b, name, value)
			}
		}
	}
	w.sendInterim(status, b)
}

// sendContinue tells the client to send the body that somebody is about to read.
func (w *response) sendContinue() {
	if w.expects {
		w.sendInterim(http.StatusContinue, appendStatus(nil, http.StatusContinue))
	}
}

func (w *response) sendInterim(status int, head []byte) {
	c := w.s.c
	c.mu.Lock()
	tooLate := w.headSent || w.s.localClosed || c.awaitRoom(w.s) != nil
	if status == http.StatusContinue {
		tooLate = tooLate || w.interim || !w.expects
		w.interim = true
	}
	if !tooLate {
		c.appendHead(w.s, head, false)
	}
	flush := c.claimFlush()
	c.mu.Unlock()
	if flush {
		c.flush(1)
	}
}

// SetReadDeadline serves http.ResponseController. It concerns reads of the body
// that wait.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.over.Load() {
		return http.ErrHandlerTimeout
	}
	w.s.body.setDeadline(t)
	return nil
}

// SetWriteDeadline serves http.ResponseController. It concerns writes that wait for
// the client's window; what is with the connection already is under WriteTimeout.
func (w *response) SetWriteDeadline(t time.Time) error {
	c := w.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.over.Load() {
		return os.ErrClosed
	}
	w.s.writeUntil, w.s.struck = t, true
	w.s.cond.Broadcast()
	return nil
}

// EnableFullDuplex serves http.ResponseController. Here every request may be read
// while its response is written.
func (w *response) EnableFullDuplex() error { return nil }
