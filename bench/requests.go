package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// DefaultStreams is how many requests an HTTP/2 connection has in flight unless
// told otherwise.
const DefaultStreams = 10

// A RequestsConfig describes one run of [Requests].
type RequestsConfig struct {
	// URL is what every request asks for, with GET; http or https.
	URL    string
	Client Client
	Load   Load

	// Rate, in requests a second over all connections together, sends each
	// request at its appointed time whether or not the server keeps up. 0 sends
	// the next one as soon as the last is answered. HTTP/1.1 only.
	Rate float64
	// HTTP2 speaks HTTP/2, agreed by ALPN, instead of HTTP/1.1; https only.
	HTTP2 bool
	// Streams is how many requests each HTTP/2 connection has in flight. Default
	// 10. More than the server allows makes it refuse some, which are counted.
	Streams int
}

// Check returns every fault of the configuration as a [fault.List], or nil.
func (c *RequestsConfig) Check() error {
	var faults fault.List
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		faults.Add("url", "%v", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		faults.Add("url", "%q is no http or https URL with a host", c.URL)
	case c.HTTP2 && u.Scheme != "https":
		faults.Add("http2", "%q: HTTP/2 is agreed in a TLS handshake; use https", c.URL)
	}
	if !(c.Rate >= 0 && c.Rate <= MaxRate) { // so written, NaN is refused too
		faults.Add("rate", "%v is outside 0 to %d requests a second", c.Rate, MaxRate)
	}
	if c.HTTP2 && c.Rate != 0 {
		faults.Add("rate", "a fixed rate is for HTTP/1.1; leave out one of rate and http2")
	}
	between(&faults, "streams", c.Streams, 0, MaxStreams)
	if c.Streams > 0 && !c.HTTP2 {
		faults.Add("streams", "%d streams need HTTP/2", c.Streams)
	}
	c.Client.check(&faults)
	c.Load.withDefaults().check(&faults)
	return faults.Err()
}

// Requests keeps Load.Connections connections open, sends GET requests over them
// and measures the answers. An answer counts when it has been read to its end
// and its status is 2xx or 3xx.
//
// With a Rate, latency runs from the moment a request was due, so that the wait
// of requests that queue behind a slow answer is counted (no coordinated
// omission). The one exception is a request whose connection was idle when it fell due:
// if the generator's own timer woke late, latency runs from the sending,
// and [RequestsReport.Lag] shows by how much. A rate that the server cannot keep
// shows as a latency that grows with the length of the window.
//
// The client is written for little CPU, not for generality: an HTTP/1.1 answer
// must have a Content-Length, and an answer's headers must fit in 16 KiB. Connections that
// the server ends between two answers, as it may, are opened again and counted
// in [RequestsReport.Reopened]. Errors are as for [Handshake].
func Requests(ctx context.Context, c RequestsConfig) (*RequestsReport, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.HTTP2 && c.Streams == 0 {
		c.Streams = DefaultStreams
	}
	load := c.Load.withDefaults()
	sender, err := newSender(&c, load.Timeout)
	if err != nil {
		return nil, err
	}
	negotiated, size, err := sender.prove()
	if err != nil {
		return nil, fmt.Errorf("proving that the server answers: %w", err)
	}
	began := time.Now()
	out, err := load.run(ctx, func(ctx context.Context, id int, r *recorder) {
		config := sender.dialer.configs(id, load.Connections, false)[0]
		sender.work(ctx, config, newPacer(c.Rate, id, load.Connections, began), r)
	})
	if err != nil {
		return nil, err
	}
	return &RequestsReport{
		Result:     out.result(&load),
		Rate:       c.Rate,
		Lag:        latencyOf(&out.lag),
		Streams:    c.Streams,
		BodyBytes:  size,
		Reopened:   out.reopened,
		Negotiated: negotiated,
	}, nil
}

// A sender holds what the workers of one run share; it is not changed by them.
type sender struct {
	dialer  *dialer
	tls     bool
	streams int    // 0: HTTP/1.1
	request []byte // HTTP/1.1: the whole; HTTP/2: the header block
}

// A session is one connection in use. Its serve method sends requests until the
// run is over (nil), the server ends the connection in an orderly way
// (errReopen), or something goes wrong, which it has recorded (any other error).
type session interface {
	serve(ctx context.Context, p *pacer, r *recorder) error
}

// errReopen says that the server has ended the connection as it may.
var errReopen = errors.New("server ended the connection")

func newSender(c *RequestsConfig, timeout time.Duration) (*sender, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("reading URL: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme // net knows the services http and https
	}
	s := &sender{tls: u.Scheme == "https", streams: c.Streams}
	s.dialer, err = newDialer(&c.Client, net.JoinHostPort(u.Hostname(), port), timeout)
	if err != nil {
		return nil, err
	}
	protocol := "http/1.1"
	if c.HTTP2 {
		protocol, s.request = "h2", http2Request(u)
	} else {
		s.request = http1Request(u)
	}
	s.dialer.template.NextProtos = []string{protocol}
	return s, nil
}

// open makes one connection ready for requests. Its deadline is the session's
// business from then on.
func (s *sender) open(config *tls.Config) (session, *net.TCPConn, string, error) {
	tcp, err := s.dialer.dial()
	if err != nil {
		return nil, nil, "", err
	}
	var conn net.Conn = tcp
	negotiated := "no TLS"
	if s.tls {
		c := tls.Client(tcp, config)
		if err := c.Handshake(); err != nil {
			reset(tcp)
			return nil, nil, "", err
		}
		negotiated = describe(c.ConnectionState())
		conn = c
		if got := c.ConnectionState().NegotiatedProtocol; s.streams > 0 && got != "h2" {
			reset(tcp)
			return nil, nil, "", protocolError(fmt.Sprintf("server chose the protocol %q, not HTTP/2", got))
		}
	}
	if s.streams > 0 {
		return newHTTP2(conn, s), tcp, negotiated, nil
	}
	return newHTTP1(conn, s), tcp, negotiated, nil
}

// prove sends one request and returns what was negotiated and the size of the
// answer's body.
func (s *sender) prove() (negotiated string, size uint64, err error) {
	one := *s
	one.streams = min(s.streams, 1)
	conn, tcp, negotiated, err := one.open(s.dialer.configs(0, 1, false)[0])
	if err != nil {
		return "", 0, err
	}
	defer reset(tcp)
	w := &window{limit: 1, full: make(chan struct{})}
	w.opened.Store(true)
	r := &recorder{window: w}
	err = conn.serve(context.Background(), &pacer{}, r)
	if r.latency.count == 1 {
		return negotiated, r.bytes, nil
	}
	return "", 0, err
}

// reopenPause keeps a worker whose server is gone from spinning.
const reopenPause = 10 * time.Millisecond

func (s *sender) work(ctx context.Context, config *tls.Config, p *pacer, r *recorder) {
	for r.running(ctx) {
		conn, tcp, _, err := s.open(config)
		if err != nil {
			r.failed(err)
			time.Sleep(reopenPause)
			continue
		}
		err = conn.serve(ctx, p, r)
		reset(tcp)
		if errors.Is(err, errReopen) && r.window.opened.Load() {
			r.reopened++
		}
	}
}

// A pacer appoints the times at which one worker sends. The zero value means at
// once, always.
type pacer struct {
	interval time.Duration
	due      time.Time
	timer    *time.Timer
}

// newPacer gives worker id of n its share of rate, out of step with the others.
func newPacer(rate float64, id, n int, began time.Time) *pacer {
	if rate == 0 {
		return &pacer{}
	}
	p := &pacer{interval: time.Duration(float64(n) * float64(time.Second) / rate)}
	p.due = began.Add(p.interval * time.Duration(id) / time.Duration(n))
	p.timer = time.NewTimer(0)
	return p
}

// next waits for the next appointed time and returns the one that latency runs
// from, with how late the generator's timer was. ok is false when ctx is done.
func (p *pacer) next(ctx context.Context) (from time.Time, lag time.Duration, ok bool) {
	if p.interval == 0 {
		return time.Now(), 0, true
	}
	due := p.due
	p.due = due.Add(p.interval)
	early := time.Until(due)
	if early <= 0 {
		return due, 0, true
	}
	p.timer.Reset(early)
	select {
	case <-p.timer.C:
	case <-ctx.Done():
		return due, 0, false
	}
	now := time.Now()
	return now, now.Sub(due), true
}
