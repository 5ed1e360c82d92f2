package listener

import (
	"io"
	"net/http"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A recorder is the http.ResponseWriter of one request. It counts what the
// client is sent and puts the listener's response headers on every answer. It belongs
// to the goroutine of its request.
//
// The engines of packages http1 and http2 themselves give a client that reads nothing no more than the
// idle timeout. On net/http's HTTP/2 a deadline would reset the stream when it passes,
// whether or not anything is being written then, so there a watchdog sets one only when
// a write has taken too long.
type recorder struct {
	http.ResponseWriter
	x        *exchange
	readFrom io.ReaderFrom // of the server, if it has one
	control  *http.ResponseController
	stall    *watchdog     // net/http's HTTP/2 only
	adopted  headerAdopter // what has the target's headers; nil if nobody
	trailers bool

	status   int
	sent     int64 // body bytes
	header   int64 // bytes of status line and headers, as HTTP/1.1 writes them
	hijacked *idleConn
}

func (w *recorder) begin(x *exchange, rw http.ResponseWriter) {
	*w = recorder{ResponseWriter: rw, x: x}
	w.readFrom, _ = rw.(io.ReaderFrom)
	if x.onStandard() {
		w.stall = newWatchdog(x.p.timeouts.Idle, func() { w.controller().SetWriteDeadline(past()) })
	}
}

// onStandard reports whether net/http serves the request.
func (x *exchange) onStandard() bool { return x.r.ProtoMajor == 2 && x.c.http2.Load() == nil }

// controller is made at its first use: most requests need none.
func (w *recorder) controller() *http.ResponseController {
	if w.control == nil {
		w.control = http.NewResponseController(w.ResponseWriter)
	}
	return w.control
}

// Unwrap lets http.ResponseController reach what is below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A headerAdopter is a server's ResponseWriter that takes a map as its own.
type headerAdopter interface{ SetHeader(http.Header) }

// releaseHeader takes the headers back from the server, which looks for trailers in
// them once the handler has returned; false if there are some.
func (w *recorder) releaseHeader() bool {
	if w.trailers {
		return false
	}
	if w.adopted != nil {
		w.adopted.SetHeader(nil)
	}
	return true
}

// setHeader makes h the headers of the answer: as they are, if the server can take
// them so.
func (w *recorder) setHeader(h http.Header) {
	if adopter, ok := w.ResponseWriter.(headerAdopter); ok {
		adopter.SetHeader(h)
		w.adopted = adopter
		return
	}
	own := w.Header()
	for name, values := range h {
		own[name] = values
	}
}

// keepRequest tells a server that recycles requests that this one is not to be: what
// was sent to a target may still be read.
func (w *recorder) keepRequest() {
	if keeper, ok := w.ResponseWriter.(engine.Keeper); ok {
		keeper.Keep()
	}
}

// WriteHeader implements http.ResponseWriter. Informational answers pass.
func (w *recorder) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 200 {
		h := w.Header()
		w.status = status
		w.x.editResponse(h)
		w.countHeader(status, h)
	}
	w.watch()
	defer w.unwatch()
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) countHeader(status int, h http.Header) {
	w.header = int64(headerBytes(h) + len("HTTP/1.1 200 \r\n\r\n") + len(http.StatusText(status)))
}

// Write implements io.Writer.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.watch()
	defer w.unwatch()
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom. Call it only if readFrom is set, and after
// WriteHeader.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	n, err := w.readFrom.ReadFrom(r)
	w.sent += n
	return n, err
}

// Flush implements http.Flusher.
func (w *recorder) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.watch()
	defer w.unwatch()
	w.controller().Flush()
}

// watch gives the write that follows the idle timeout.
func (w *recorder) watch() {
	if w.stall != nil {
		w.stall.begin()
	}
}

func (w *recorder) unwatch() {
	if w.stall != nil {
		w.stall.done()
	}
}

// close gives what the server still has to write the idle timeout. Nothing may be
// written to w afterwards.
func (w *recorder) close() {
	if w.stall != nil {
		w.stall.close()
		w.controller().SetWriteDeadline(time.Now().Add(w.x.p.timeouts.Idle))
	}
}

// switchProtocols sends a 101 with headers h and takes the connection.
func (w *recorder) switchProtocols(h http.Header) (*idleConn, error) {
	nc, rw, err := w.controller().Hijack()
	if err != nil {
		return nil, err
	}
	w.status = http.StatusSwitchingProtocols
	w.hijacked = &idleConn{Conn: nc, idle: w.x.p.timeouts.Idle}
	if n := rw.Reader.Buffered(); n > 0 { // sent without waiting for the 101
		w.hijacked.early, _ = rw.Reader.Peek(n)
	}
	io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\n")
	h.Write(rw)
	io.WriteString(rw, "\r\n")
	nc.SetWriteDeadline(time.Now().Add(w.hijacked.idle))
	return w.hijacked, rw.Flush()
}
