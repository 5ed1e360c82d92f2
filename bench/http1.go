package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
)

const (
	maxHeadBytes  = 16 << 10 // of an HTTP/1.1 answer's status line and headers
	readBufferLen = 64 << 10 // more than a TLS record, so each takes one read
)

// http1Request returns the bytes of every request, body and all.
func http1Request(u *url.URL, c *RequestConfig) []byte {
	method := c.Method
	if method == "" {
		method = "GET"
		if c.BodyBytes > 0 {
			method = "POST"
		}
	}
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: postern-bench\r\nAccept: */*\r\n", method, u.RequestURI(), u.Host)
	if c.NewConnections {
		request = append(request, "Connection: close\r\n"...)
	}
	if c.BodyBytes > 0 || method == "POST" || method == "PUT" {
		request = fmt.Appendf(request, "Content-Length: %d\r\n", c.BodyBytes)
	}
	request = append(request, "\r\n"...)
	return append(request, bytes.Repeat([]byte("x"), c.BodyBytes)...)
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
	sender   *sender
	deadline deadline
	served   bool // an answer has come

	// buffer[from:to] has been read and not yet used.
	buffer   []byte
	from, to int
}

func newHTTP1(conn net.Conn, s *sender) *http1 {
	return &http1{
		conn: conn, sender: s, buffer: make([]byte, readBufferLen),
		deadline: deadline{conn: conn, timeout: s.dialer.timeout},
	}
}

func (c *http1) serve(ctx context.Context, p *pacer, r *recorder) error {
	for r.running(ctx) {
		due, lag, ok := p.next(ctx)
		if !ok {
			return nil
		}
		answer, err := c.roundTrip(due.Add(lag))
		if errors.Is(err, errStale) {
			p.retry(due)
			return errReopen
		}
		if err != nil {
			r.failed(err)
			return err
		}
		r.done(sample{latency: time.Since(due), lag: lag, bytes: answer.length})
		if answer.closes {
			return errReopen
		}
	}
	return nil
}

// errStale says that the server had ended the connection, as it may while it is
// idle, before it read the request (RFC 9110, section 9.2.2).
var errStale = errors.New("connection ended before the request")

// roundTrip sends one request and reads the answer to its end.
func (c *http1) roundTrip(now time.Time) (http1Head, error) {
	if err := c.deadline.extend(now); err != nil {
		return http1Head{}, err
	}
	c.from, c.to = 0, 0
	_, err := c.conn.Write(c.sender.request)
	if err == nil {
		err = c.fill()
	}
	if err != nil {
		if kind := kindOf(err); c.served && c.sender.retry && (kind == KindClosed || kind == KindReset) {
			return http1Head{}, errStale
		}
		return http1Head{}, err
	}
	head, err := c.readAnswer()
	if want := c.sender.answer; err == nil && want > 0 && head.length != want {
		err = protocolError(fmt.Sprintf("answer's body has %d bytes, not %d", head.length, want))
	}
	c.served = true
	return head, err
}

// noEOF turns the end of the stream, where an answer should be, into an error
// that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
