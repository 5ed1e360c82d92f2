package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

const (
	maxHeadBytes  = 16 << 10 // of an HTTP/1.1 answer's status line and headers
	readBufferLen = 64 << 10 // more than a TLS record, so each takes one read
)

func http1Request(u *url.URL) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: postern-bench\r\nAccept: */*\r\n\r\n",
		u.RequestURI(), u.Host)
}

// A deadline moves a connection's deadline along without setting it anew for
// each request, which costs as much as reading a short answer.
type deadline struct {
	conn    net.Conn
	timeout time.Duration
	set     time.Time
}

// extend makes sure that at least 3/4 of the timeout lie ahead.
func (d *deadline) extend(now time.Time) error {
	if now.Sub(d.set) < d.timeout/4 {
		return nil
	}
	d.set = now
	return d.conn.SetDeadline(now.Add(d.timeout))
}

// http1 is one keep-alive HTTP/1.1 connection with one request in flight.
type http1 struct {
	conn     net.Conn
	request  []byte
	deadline deadline
	buffer   []byte
}

func newHTTP1(conn net.Conn, s *sender) *http1 {
	return &http1{
		conn: conn, request: s.request, buffer: make([]byte, readBufferLen),
		deadline: deadline{conn: conn, timeout: s.dialer.timeout},
	}
}

func (c *http1) serve(ctx context.Context, p *pacer, r *recorder) error {
	for r.running(ctx) {
		from, lag, ok := p.next(ctx)
		if !ok {
			return nil
		}
		answer, err := c.roundTrip(from.Add(lag))
		if err != nil {
			r.failed(err)
			return err
		}
		if r.done(time.Since(from)) {
			r.lag.add(lag)
			r.bytes += uint64(answer.length)
		}
		if answer.closes {
			return errReopen
		}
	}
	return nil
}

// roundTrip sends one request and reads the answer to its end.
func (c *http1) roundTrip(now time.Time) (http1Head, error) {
	if err := c.deadline.extend(now); err != nil {
		return http1Head{}, err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return http1Head{}, err
	}
	head, rest, err := c.readHead()
	if err != nil {
		return head, err
	}
	for rest > 0 {
		n, err := c.conn.Read(c.buffer)
		rest -= n
		if err != nil && rest > 0 {
			return head, noEOF(err)
		}
	}
	if rest < 0 {
		return head, protocolError("server sent more than its Content-Length")
	}
	return head, nil
}

// readHead reads up to the end of the headers, and returns how much of the body
// is still to come.
func (c *http1) readHead() (head http1Head, rest int, err error) {
	n := 0
	for n < maxHeadBytes {
		m, err := c.conn.Read(c.buffer[n:])
		n += m
		if end := bytes.Index(c.buffer[:n], []byte("\r\n\r\n")); end >= 0 {
			head, err = parseHTTP1Head(c.buffer[:end+2])
			return head, head.length - (n - end - 4), err
		}
		if err != nil {
			return head, 0, noEOF(err)
		}
	}
	return head, 0, protocolError(fmt.Sprintf("answer's headers are longer than %d bytes", maxHeadBytes))
}

// noEOF turns the end of the stream, where an answer should be, into an error
// that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// An http1Head is what the headers of an answer say about its framing.
type http1Head struct {
	length int  // of the body
	closes bool // the server ends the connection after it
}

// parseHTTP1Head reads a status line and headers, each ended by CR LF (RFC 9112,
// sections 4 to 6). An error status is an error.
func parseHTTP1Head(head []byte) (http1Head, error) {
	h := http1Head{length: -1}
	if err := checkStatus(head); err != nil {
		return h, err
	}
	status := head[9:12]
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if err := h.field(name, bytes.TrimSpace(value)); err != nil {
			return h, err
		}
	}
	if noBody := string(status) == "204" || string(status) == "304"; noBody {
		h.length = 0
	}
	if h.length < 0 {
		return h, protocolError("answer has no Content-Length; the generator reads no other framing")
	}
	return h, nil
}

func (h *http1Head) field(name, value []byte) error {
	switch len(name) {
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			h.closes = bytes.EqualFold(value, []byte("close"))
		}
	case len("Content-Length"):
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			return nil
		}
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil {
			return protocolError(fmt.Sprintf("Content-Length %q is no length", value))
		}
		h.length = int(n)
	}
	return nil
}
