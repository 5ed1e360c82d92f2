package listener

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// A recorder is the http.ResponseWriter of one request. It counts what the
// client is sent, puts the listener's response headers on every answer, and
// gives a client that reads nothing no longer than the idle timeout. It belongs
// to the goroutine of its request.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	stall   *watchdog // HTTP/2 only
	// onHeader edits the headers of the final answer before they are sent.
	onHeader func(status int, h http.Header)

	status   int
	sent     int64 // body bytes
	header   int64 // bytes of status line and headers, as HTTP/1.1 writes them
	hijacked *idleConn
}

// newRecorder also takes away the write deadline that the request before left on
// an HTTP/1.1 connection. On HTTP/2 a deadline would reset the stream when it
// passes, whether or not anything is being written then, so a watchdog sets one
// only when a write has taken too long.
func newRecorder(rw http.ResponseWriter, r *http.Request, idle time.Duration) *recorder {
	w := &recorder{ResponseWriter: rw, control: http.NewResponseController(rw), idle: idle}
	if r.ProtoMajor == 2 {
		w.stall = newWatchdog(idle, func() { w.control.SetWriteDeadline(past()) })
	} else {
		w.control.SetWriteDeadline(time.Time{})
	}
	return w
}

// Unwrap lets http.ResponseController reach what is below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational answers pass.
func (w *recorder) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 200 {
		w.status = status
		w.onHeader(status, w.Header())
		w.countHeader(status, w.Header())
	}
	w.begin()
	defer w.done()
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
	w.begin()
	defer w.done()
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// Flush implements http.Flusher, which ReverseProxy looks for.
func (w *recorder) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.begin()
	defer w.done()
	w.control.Flush()
}

// begin gives the write that follows the idle timeout.
func (w *recorder) begin() {
	if w.stall != nil {
		w.stall.begin()
	} else {
		w.control.SetWriteDeadline(time.Now().Add(w.idle))
	}
}

func (w *recorder) done() {
	if w.stall != nil {
		w.stall.done()
	}
}

// close gives what the server still has to write the idle timeout. Nothing may be
// written to w afterwards.
func (w *recorder) close() {
	if w.stall != nil {
		w.stall.close()
	}
	if w.hijacked == nil {
		w.control.SetWriteDeadline(time.Now().Add(w.idle))
	}
}

// Hijack implements http.Hijacker, for upgrades: the answer is 101.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := w.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.status = http.StatusSwitchingProtocols
	w.hijacked = &idleConn{Conn: nc, idle: w.idle}
	if n := rw.Reader.Buffered(); n > 0 { // sent without waiting for the 101
		w.hijacked.early, _ = rw.Reader.Peek(n)
	}
	return w.hijacked, rw, nil
}
