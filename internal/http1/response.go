package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// headRoom is kept free before a response's headers for what is known last: the
// status line, Date and the framing.
const headRoom = 256

// A response is the http.ResponseWriter of one request. Like net/http's it belongs to
// the handler's goroutine.
//
// The handler's headers are written into a pooled buffer as soon as WriteHeader is
// called; the body follows them there. What says how long the body is
// comes to stand in front, so that it can wait until the body is complete: a small
// response needs no chunks and leaves in one write.
type response struct {
	c      *conn
	req    *http.Request
	header http.Header // nil until asked for
	spare  http.Header // an empty map for it; nil if there is none
	minor  int

	status   int // 0 until WriteHeader
	length   int64
	written  int64
	block    *engine.Block
	out      []byte // headRoom, headers and body; after the head is sent: body only
	headEnd  int
	headSent bool
	hasBody  bool // the status and the method allow one to be sent
	chunked  bool
	close    bool
	hasDate  bool
	trailers bool        // announced by the handler
	aborted  bool        // nothing more is sent
	kept     bool        // see Keep
	over     atomic.Bool // the handler has returned
	err      error

	expects   bool // 100-continue
	interimMu sync.Mutex
	interim   bool // guarded by interimMu: 100 Continue has been sent, or is too late
}

func (x *exchange) begin(c *conn, minor int) {
	x.c, x.minor, x.length = c, minor, -1
	x.close = x.req.Close
}

var _ engine.Keeper = (*response)(nil)

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		if w.header = w.spare; w.header == nil {
			w.header = make(http.Header, 8)
			w.spare = w.header
		}
	}
	return w.header
}

// Keep serves a handler that breaks the promise of Server.Recycle for this request: it
// and all that belongs to it are left to the collector.
func (w *response) Keep() { w.kept = true }

// SetHeader makes h, as it is, what Header returns. The server looks at it until the
// handler has returned.
func (w *response) SetHeader(h http.Header) { w.header = h }

// WriteHeader implements http.ResponseWriter. Codes from 100 to 199 but 101 are
// sent at once and may be followed by others.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("http1: WriteHeader with status " + strconv.Itoa(status))
	}
	switch {
	case w.status != 0 || w.aborted:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.inform(status)
		return
	}
	w.status = status
	w.hasBody = bodyAllowed(status) && w.req.Method != http.MethodHead
	w.acquire()
	w.out = w.appendHeaders(w.out[:headRoom])
	w.out = append(w.out, "\r\n"...)
	w.headEnd = len(w.out)
}

// bodyAllowed is RFC 9110, section 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (w *response) acquire() {
	if w.block == nil && w.out == nil {
		w.block = w.c.server.writes.Get()
		w.out = w.block.B[:0]
	}
}

func (w *response) release() {
	w.c.server.writes.Put(w.block)
	w.block, w.out = nil, nil
}

// abandon forgets what has not been sent.
func (w *response) abandon() {
	w.aborted = true
	w.over.Store(true)
	if !w.c.hijacked {
		w.release()
	}
}

// appendHeaders appends the handler's headers but those that are the connection's.
func (w *response) appendHeaders(b []byte) []byte {
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			w.declareLength(values)
			continue
		case "Transfer-Encoding":
			continue // the body is framed here
		case "Connection":
			b = w.appendConnection(b, values)
			continue
		case "Date":
			w.hasDate = true
		case "Trailer":
			w.trailers = w.minor > 0
		}
		if strings.HasPrefix(name, http.TrailerPrefix) || !engine.IsToken(name) || w.isTrailer(name) {
			continue
		}
		b = appendField(b, name, values)
	}
	return b
}

func (w *response) declareLength(values []string) {
	if len(values) != 1 {
		return
	}
	if n, ok := parseLength(trimString(values[0])); ok {
		w.length = n
	}
}

// appendConnection leaves close to the framing and drops keep-alive.
func (w *response) appendConnection(b []byte, values []string) []byte {
	for _, value := range values {
		for member := range tokens(value) {
			switch {
			case equalFold(member, "close"):
				w.close = true
			case !equalFold(member, "keep-alive") && engine.IsToken(member):
				b = append(append(append(b, "Connection: "...), member...), "\r\n"...)
			}
		}
	}
	return b
}

// isTrailer reports whether the handler's Trailer header announces name.
func (w *response) isTrailer(name string) bool {
	for _, value := range w.header["Trailer"] {
		for member := range tokens(value) {
			if http.CanonicalHeaderKey(member) == name {
				return true
			}
		}
	}
	return false
}

// appendField appends one line for each value. Control characters become spaces, so
// that no value can end its line.
func appendField(b []byte, name string, values []string) []byte {
	for _, value := range values {
		b = append(b, name...)
		b = append(b, ": "...)
		start := len(b)
		b = append(b, trimString(value)...)
		if !plainText(b[start:]) {
			for i, c := range b[start:] {
				if c < 0x20 && c != '\t' || c == 0x7f {
					b[start+i] = ' '
				}
			}
		}
		b = append(b, "\r\n"...)
	}
	return b
}

// inform sends an informational response with the handler's headers.
func (w *response) inform(status int) {
	if w.minor == 0 {
		return // HTTP/1.0 knows none (RFC 9110, section 15.2)
	}
	w.interimMu.Lock()
	defer w.interimMu.Unlock()
	if status == http.StatusContinue {
		if w.interim || !w.expects {
			return
		}
		w.interim = true
	}
	b := appendStatusLine(nil, 1, status)
	for name, values := range w.header {
		if name != "Content-Length" && name != "Transfer-Encoding" && name != "Connection" && engine.IsToken(name) {
			b = appendField(b, name, values)
		}
	}
	w.c.write(append(b, "\r\n"...))
}

// sendContinue tells the client to send the body that somebody is about to read.
func (w *response) sendContinue() {
	w.interimMu.Lock()
	defer w.interimMu.Unlock()
	if !w.interim {
		w.interim = true
		w.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	}
}

func appendStatusLine(b []byte, minor, status int) []byte {
	if minor == 0 {
		b = append(b, "HTTP/1.0 "...)
	} else {
		b = append(b, "HTTP/1.1 "...)
	}
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// Hijack implements http.Hijacker. Bytes that the client has sent already are in
// the buffer of the reader. The connection has no deadlines then.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	if c.hijacked || w.aborted {
		return nil, nil, http.ErrHijacked
	}
	if w.headSent {
		w.flush()
	}
	if !w.body().interrupt() {
		return nil, nil, io.ErrUnexpectedEOF
	}
	c.hijacked, w.aborted = true, true
	w.release()
	c.nc.SetDeadline(time.Time{})
	early := bytes.Clone(c.in.bytes())
	c.in.r = c.in.w
	c.in.release()
	c.setState(http.StateHijacked)
	r := bufio.NewReaderSize(&hijackedReader{early, c.nc}, max(readBuffer, len(early)))
	r.Peek(len(early))
	return c.nc, bufio.NewReadWriter(r, bufio.NewWriter(c.nc)), nil
}

func (w *response) body() *requestBody { return &w.c.current.Load().body }

// A hijackedReader reads what was read too early and then the connection.
type hijackedReader struct {
	early []byte
	nc    net.Conn
}

func (r *hijackedReader) Read(p []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(p, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	return r.nc.Read(p)
}

// SetReadDeadline serves http.ResponseController. The deadline is the handler's
// until the next request.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.over.Load() {
		return http.ErrHandlerTimeout
	}
	return w.c.readBy.setForeign(t, w.c.nc.SetReadDeadline)
}

// SetWriteDeadline serves http.ResponseController, likewise.
func (w *response) SetWriteDeadline(t time.Time) error {
	if w.over.Load() {
		return http.ErrHandlerTimeout
	}
	return w.c.writeBy.setForeign(t, w.c.nc.SetWriteDeadline)
}

// EnableFullDuplex serves http.ResponseController. Here every request may be read
// while its response is written.
func (w *response) EnableFullDuplex() error { return nil }
