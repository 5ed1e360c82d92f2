package targetgroup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

const (
	// checkUserAgent is what ALB's checks call themselves.
	checkUserAgent = "ELB-HealthChecker/2.0"
	// maxCheckBody is how much of the answer to a check is read, so that a target
	// does not see its connection reset for an ordinary page.
	maxCheckBody = 64 << 10
)

// A checker makes health checks by one configuration. It is immutable, safe for
// concurrent use, and keeps no connection.
type checker struct {
	settings HealthCheck
	version  ProtocolVersion
	matcher  Matcher
}

// newChecker makes the checker of a configuration that Config.Check has passed.
func newChecker(cfg *Config) *checker {
	matcher, err := ParseMatcher(cfg.HealthCheck.Matcher, cfg.ProtocolVersion)
	if err != nil {
		panic("targetgroup: internal error: " + err.Error())
	}
	return &checker{cfg.HealthCheck, cfg.ProtocolVersion, matcher}
}

// check asks one target once, over a connection of its own, and closes it. A
// certificate is not verified and a redirect is an answer like any other.
func (c *checker) check(ctx context.Context, address string) result {
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	host, _ := splitAddress(address)
	req, err := c.request(ctx, net.JoinHostPort(host, c.settings.port(address)))
	if err != nil {
		return internalError
	}
	transport := c.transport(req.URL.Host)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		return failure(ctx, err)
	}
	defer res.Body.Close()
	body, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxCheckBody))
	if c.version == GRPC {
		return c.judgeGRPC(ctx, res, body, err)
	}
	if !c.matcher.Match(res.StatusCode) {
		return codeMismatch(res.StatusCode)
	}
	return passedCheck
}

func (c *checker) transport(address string) *http.Transport {
	t := baseTransport(c.version, &dialer{connectTimeout: c.settings.Timeout, tls: tlsConfig(c.version, address)})
	t.DisableKeepAlives = true
	return t
}

// request is ALB's check to the letter: GET with only Host, User-Agent and, in
// HTTP/1.1, Connection: close; Host is the target's address without the
// protocol's default port. A GRPC group's is a unary call with an empty message.
func (c *checker) request(ctx context.Context, address string) (*http.Request, error) {
	u, err := url.ParseRequestURI(c.settings.Path)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = schemeOf(c.settings.Protocol), address
	req := (&http.Request{
		Method: http.MethodGet, URL: u, Host: hostHeader(address, c.settings.Protocol),
		Header: http.Header{"User-Agent": {checkUserAgent}},
	}).WithContext(ctx)
	if c.version == GRPC {
		req.Method = http.MethodPost
		req.Header["Content-Type"] = []string{"application/grpc"}
		req.Header["Te"] = []string{"trailers"}
		req.Body = io.NopCloser(bytes.NewReader(emptyMessage[:]))
		req.ContentLength = -1
	}
	return req, nil
}

// emptyMessage is a gRPC message of no bytes: not compressed, length 0 (gRPC over
// HTTP/2, "Length-Prefixed-Message").
var emptyMessage [5]byte

// judgeGRPC reads the status of a call from the trailers or, if there was no
// message, from the headers. An answer without one is not gRPC and fails, though
// gRPC would translate its HTTP status: a web server's 404 would become 12, which
// is the code that the default matcher wants.
func (c *checker) judgeGRPC(ctx context.Context, res *http.Response, body int64, err error) result {
	if err != nil {
		return failure(ctx, err)
	}
	status := res.Trailer.Get("Grpc-Status")
	if status == "" {
		status = res.Header.Get("Grpc-Status")
	}
	code, ok := parseCode(status)
	if !ok || body == maxCheckBody {
		return failedCheck
	}
	if !c.matcher.Match(code) {
		return codeMismatch(code)
	}
	return passedCheck
}

// failure tells a timeout and our own shortage of file descriptors or ports from
// what is the target's fault.
func failure(ctx context.Context, err error) result {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || isTimeout(err) {
		return timedOut
	}
	for _, ours := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS} {
		if errors.Is(err, ours) {
			return internalError
		}
	}
	return failedCheck
}

// hostHeader leaves out the port that the protocol implies.
func hostHeader(address string, p Protocol) string {
	host, port := splitAddress(address)
	if p == HTTP && port == 80 || p == HTTPS && port == 443 {
		if strings.Contains(host, ":") { // IPv6
			return "[" + host + "]"
		}
		return host
	}
	return address
}

func schemeOf(p Protocol) string {
	if p == HTTPS {
		return "https"
	}
	return "http"
}
