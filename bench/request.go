package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// DefaultStreams is how many requests an HTTP/2 connection has in flight unless
// told otherwise.
const DefaultStreams = 10

// A RequestConfig describes one run of [Request].
type RequestConfig struct {
	// URL is what every request asks for; http or https.
	URL string
	// Method is GET unless there is a body, then POST.
	Method string
	// BodyBytes is how long a body each request carries; HTTP/1.1 only.
	BodyBytes int
	// AnswerBytes, unless 0, is how long the body of each answer must be; any other
	// length is a failure. HTTP/1.1 only.
	AnswerBytes int
	Client      Client
	Load        Load

	// NewConnections makes a connection for each request, and latency runs from
	// the TCP connect or the time the request was due; HTTP/1.1 only.
	NewConnections bool
	// HTTP2 speaks HTTP/2, agreed by ALPN, instead of HTTP/1.1; https only.
	HTTP2 bool
	// Streams is how many requests each HTTP/2 connection has in flight. Default
	// 10. More than the server allows makes it refuse some, which are counted.
	Streams int
}

// Check returns every fault of the configuration as a [fault.List], or nil.
func (c *RequestConfig) Check() error {
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
	c.checkHTTP2(&faults)
	between(&faults, "body_bytes", c.BodyBytes, 0, MaxBodyBytes)
	between(&faults, "answer_bytes", c.AnswerBytes, 0, math.MaxInt32)
	if strings.ContainsFunc(c.Method, func(r rune) bool { return r < 'A' || r > 'Z' }) || c.Method == "HEAD" || c.Method == "CONNECT" {
		faults.Add("method", "%q: give capital letters, and neither HEAD nor CONNECT", c.Method)
	}
	between(&faults, "streams", c.Streams, 0, MaxStreams)
	if c.Streams > 0 && !c.HTTP2 {
		faults.Add("streams", "%d streams need HTTP/2", c.Streams)
	}
	c.Client.check(&faults)
	c.Load.withDefaults().check(&faults)
	return faults.Err()
}

// checkHTTP2 notes what only HTTP/1.1 can do here.
func (c *RequestConfig) checkHTTP2(faults *fault.List) {
	if !c.HTTP2 {
		return
	}
	for path, set := range map[string]bool{
		"body_bytes": c.BodyBytes != 0, "answer_bytes": c.AnswerBytes != 0,
		"new_connections": c.NewConnections, "method": c.Method != "" && c.Method != "GET",
	} {
		if set {
			faults.Add(path, "this is for HTTP/1.1; leave out one of %s and http2", path)
		}
	}
}

// Request keeps Load.Connections connections open, sends requests over them and
// measures the answers. An answer counts when it has been read to its end and its
// status is 2xx or 3xx.
//
// With a Rate, latency runs from the moment a request was due, so the wait of
// requests that queue behind a slow answer is in it (no coordinated omission),
// and so is the generator's own lateness, which [Result.Lag] shows apart. A
// rate that the server cannot keep shows as a latency that grows with the length
// of the window.
//
// The client is written for little CPU, not for generality: an answer's headers
// must fit in 16 KiB. A connection that the server ends between two answers, as
// it may, is opened again and counted in [RequestReport.Reopened]; a request
// without a body that met such an end is sent once more, and its clock runs on.
// Errors are as for [Handshake].
func Request(ctx context.Context, c RequestConfig) (*RequestReport, error) {
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
	rounds, err := load.run(ctx, func(ctx context.Context, id int, p *pacer, r *recorder) {
		sender.work(ctx, sender.dialer.configs(id, load.Connections, false), p, r)
	})
	if err != nil {
		return nil, err
	}
	result, out := load.result(rounds)
	return &RequestReport{
		Result:         result,
		Streams:        c.Streams,
		NewConnections: c.NewConnections,
		RequestBytes:   c.BodyBytes,
		BodyBytes:      size,
		Reopened:       out.reopened,
		Retried:        out.retried,
		Negotiated:     negotiated,
	}, nil
}

// A sender holds what the workers of one run share; it is not changed by them.
type sender struct {
	dialer  *dialer
	tls     bool
	streams int    // 0: HTTP/1.1
	request []byte // HTTP/1.1: the whole; HTTP/2: the header block
	once    bool   // a connection for each request
	answer  int    // bytes that an answer must have; 0: any number
	retry   bool   // a request may be sent twice
}

// A session is one connection in use. Its serve method sends requests until the
// run is over (nil), the server ends the connection in an orderly way
// (errReopen), or something goes wrong, which it has recorded (any other error).
type session interface {
	serve(ctx context.Context, p *pacer, r *recorder) error
}

// errReopen says that the server has ended the connection as it may.
var errReopen = errors.New("server ended the connection")

func newSender(c *RequestConfig, timeout time.Duration) (*sender, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("reading URL: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme // net knows the services http and https
	}
	s := &sender{
		tls: u.Scheme == "https", streams: c.Streams, once: c.NewConnections, answer: c.AnswerBytes, retry: c.BodyBytes == 0,
	}
	s.dialer, err = newDialer(&c.Client, net.JoinHostPort(u.Hostname(), port), timeout)
	if err != nil {
		return nil, err
	}
	protocol := "http/1.1"
	if c.HTTP2 {
		protocol, s.request = "h2", http2Request(u)
	} else {
		s.request = http1Request(u, c)
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
	w := newWindow(1, 1, nil)
	w.opened.Store(true)
	r := w.recorder(0)
	err = conn.serve(context.Background(), &pacer{}, r)
	if r.tally.completed == 1 {
		return negotiated, r.tally.bytes, nil
	}
	if err == nil || errors.Is(err, errReopen) {
		err = errors.New(r.tally.errors.first())
	}
	return "", 0, err
}

// reopenPause keeps a worker whose server is gone from spinning.
const reopenPause = 10 * time.Millisecond

func (s *sender) work(ctx context.Context, configs []*tls.Config, p *pacer, r *recorder) {
	if s.once {
		s.workOnce(ctx, configs, p, r)
		return
	}
	for i := 0; r.running(ctx); i++ {
		conn, tcp, _, err := s.open(configs[i%len(configs)])
		if err != nil {
			r.failed(err)
			time.Sleep(reopenPause)
			continue
		}
		err = conn.serve(ctx, p, r)
		reset(tcp)
		if errors.Is(err, errReopen) {
			r.reopening(len(p.again) > 0)
		}
	}
}

// workOnce makes a connection for each request.
func (s *sender) workOnce(ctx context.Context, configs []*tls.Config, p *pacer, r *recorder) {
	for i := 0; r.running(ctx); i++ {
		due, lag, ok := p.next(ctx)
		if !ok {
			return
		}
		head, err := s.exchangeOnce(configs[i%len(configs)])
		if err != nil {
			r.failed(err)
			time.Sleep(retryPause)
			continue
		}
		r.done(sample{latency: time.Since(due), lag: lag, bytes: head.length})
	}
}

func (s *sender) exchangeOnce(config *tls.Config) (http1Head, error) {
	conn, tcp, _, err := s.open(config)
	if err != nil {
		return http1Head{}, err
	}
	defer reset(tcp)
	return conn.(*http1).roundTrip(time.Now())
}
