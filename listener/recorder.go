package listener

import (
	"bufio"
	"errors"
	"io"
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
	// onHeader edits the headers of the final answer before they are sent.
	onHeader func(status int, h http.Header)

	status   int
	sent     int64 // body bytes
	header   int64 // bytes of status line and headers, as HTTP/1.1 writes them
	hijacked *idleConn
}

// Unwrap lets http.ResponseController reach what is below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational answers pass.
func (w *recorder) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.status = status
		w.onHeader(status, w.Header())
		w.header = int64(headerBytes(w.Header()) + len("HTTP/1.1 200 \r\n\r\n") + len(http.StatusText(status)))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.control.SetWriteDeadline(time.Now().Add(w.idle))
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// Flush implements http.Flusher, which ReverseProxy looks for.
func (w *recorder) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.control.Flush()
}

// Hijack implements http.Hijacker, for upgrades.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := w.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = &idleConn{Conn: nc, idle: w.idle}
	return w.hijacked, rw, nil
}

// An idleConn closes itself when neither side has sent anything for idle (ALB,
// "Connection idle timeout", which also holds for WebSocket).
type idleConn struct {
	net.Conn
	idle     time.Duration
	read     int64 // owned by the copying goroutine of its direction
	written  int64
	onClosed func()
}

// Read implements net.Conn.
func (c *idleConn) Read(b []byte) (int, error) {
	c.Conn.SetDeadline(time.Now().Add(c.idle))
	n, err := c.Conn.Read(b)
	c.read += int64(n)
	return n, err
}

// Write implements net.Conn. It also gives the other direction new time.
func (c *idleConn) Write(b []byte) (int, error) {
	c.Conn.SetDeadline(time.Now().Add(c.idle))
	n, err := c.Conn.Write(b)
	c.written += int64(n)
	return n, err
}

// errBodyStalled says that the client stopped sending its body for longer than
// the idle timeout: 408.
var errBodyStalled = errors.New("the client sent nothing of its request body within the idle timeout")

// A requestBody is the body that goes to the target. It counts, gives each read
// the idle timeout, and at the end passes the trailers on that may pass.
type requestBody struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	atEOF   func()

	received int64
	stalled  bool
	failed   bool // the client went away in the middle
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(b.idle))
	n, err := b.ReadCloser.Read(p)
	b.received += int64(n)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		b.control.SetReadDeadline(time.Time{})
		if b.atEOF != nil {
			b.atEOF()
			b.atEOF = nil
		}
	default:
		b.failed = true
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			b.stalled = true
			return n, errBodyStalled
		}
	}
	return n, err
}
