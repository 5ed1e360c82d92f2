package targetgroup_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-lb/postern/targetgroup"
)

// afterRequest reads one request's headers and runs then.
func afterRequest(then func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			then(conn)
		}
	}
}

// afterByte waits for the client to begin and runs then.
func afterByte(then func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			then(conn)
		}
	}
}

func write(conn net.Conn, text string) { io.WriteString(conn, text) }

// responding is a target that answers with raw bytes and closes.
func responding(text string) func(net.Conn) {
	return afterRequest(func(conn net.Conn) { write(conn, text); conn.Close() })
}

func resetting(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func silent(net.Conn) {}

// broken is the reason wanted of an HTTP/2 connection that breaks as it is set up:
// net/http says what it read, or only that there is no connection, depending on
// whether the request had been put on it by then.
const broken = "closed or malformed"

func closedOrMalformed(err error) string {
	e, ok := errors.AsType[*targetgroup.Error](err)
	if ok && e.Reason == targetgroup.ReasonMalformedResponse {
		return targetgroup.ReasonMalformedResponse
	}
	return targetgroup.ReasonConnectionClosed
}

func TestTargetErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		target   func(net.Conn)
		protocol targetgroup.Protocol
		version  targetgroup.ProtocolVersion
		status   int
		reason   string // broken stands for closed or malformed
	}{
		{"reset with a request outstanding", afterRequest(resetting), "", "", 502, targetgroup.ReasonConnectionClosed},
		{"closed with a request outstanding", responding(""), "", "", 502, targetgroup.ReasonConnectionClosed},
		{"closed within the headers", responding("HTTP/1.1 200 OK\r\nA: b"), "", "", 502, targetgroup.ReasonConnectionClosed},
		{"not HTTP", responding("220 mail.example ESMTP\r\n"), "", "", 502, targetgroup.ReasonMalformedResponse},
		{"bad header line", responding("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), "", "", 502, targetgroup.ReasonMalformedResponse},
		{"two lengths", responding("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "", "", 502, targetgroup.ReasonMalformedResponse},
		{"headers over 32 K", responding(bigHeaders(33 << 10)), "", "", 502, targetgroup.ReasonMalformedResponse},
		{"no response", silent, "", "", 504, targetgroup.ReasonResponseTimeout},
		{"headers never end", afterRequest(func(conn net.Conn) { write(conn, "HTTP/1.1 200 OK\r\n") }), "", "", 504, targetgroup.ReasonResponseTimeout},
		{"not TLS", afterByte(func(conn net.Conn) { write(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }), targetgroup.HTTPS, "", 502, targetgroup.ReasonTLSFailed},
		{"TLS never answered", silent, targetgroup.HTTPS, "", 504, targetgroup.ReasonTLSTimeout},
		{"HTTP/1.1 target in an HTTP2 group", responding("HTTP/1.1 400 Bad Request\r\n\r\n"), "", targetgroup.HTTP2, 502, broken},
		{"HTTP/2 reset", afterByte(resetting), "", targetgroup.HTTP2, 502, broken},
		{"HTTP/2 never answered", silent, "", targetgroup.HTTP2, 504, targetgroup.ReasonResponseTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(listen(t, tt.target))
			cfg.Protocol, cfg.ProtocolVersion = tt.protocol, tt.version
			cfg.IdleTimeout, cfg.ConnectTimeout = 300*time.Millisecond, 100*time.Millisecond
			g := newGroup(t, cfg)
			_, _, err := get(g, 2)
			reason := tt.reason
			if reason == broken {
				reason = closedOrMalformed(err)
			}
			wantError(t, err, tt.status, reason)
			if h := g.Health()[0]; h.Errors != 1 || h.InFlight != 0 {
				t.Errorf("errors %d, in flight %d, want 1 and 0", h.Errors, h.InFlight)
			}
		})
	}
}

func bigHeaders(size int) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Big: " + strings.Repeat("x", size) + "\r\n\r\n"
}

func TestHeadersBelowTheLimitPass(t *testing.T) {
	g := newGroup(t, config(listen(t, responding(bigHeaders(31<<10)))))
	if status, _, err := get(g, 1); status != 200 || err != nil {
		t.Errorf("got %d %v, want 200", status, err)
	}
}

func TestHTTP2HeadersOverTheLimit(t *testing.T) {
	for size, want := range map[int]int{30 << 10: 200, 33 << 10: 502} {
		cfg := config(serve(t, targetgroup.HTTP2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Big", strings.Repeat("x", size))
		})))
		cfg.ProtocolVersion = targetgroup.HTTP2
		status, _, err := get(newGroup(t, cfg), 2)
		if e, ok := errors.AsType[*targetgroup.Error](err); ok {
			status = e.Status
		}
		if status != want {
			t.Errorf("header of %d bytes: %d %v, want %d", size, status, err, want)
		}
	}
}

func TestHTTP2TargetResetsTheStream(t *testing.T) {
	cfg := config(serve(t, targetgroup.HTTP2, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})))
	cfg.ProtocolVersion = targetgroup.HTTP2
	_, _, err := get(newGroup(t, cfg), 2)
	wantError(t, err, 502, targetgroup.ReasonConnectionClosed)
}

func TestHTTPSTargetWithoutHTTP2(t *testing.T) {
	cfg := config(serveTLS(t, targetgroup.HTTP1, answer("")))
	cfg.Protocol, cfg.ProtocolVersion = targetgroup.HTTPS, targetgroup.HTTP2
	_, _, err := get(newGroup(t, cfg), 2)
	wantError(t, err, 502, targetgroup.ReasonTLSFailed)
}

func TestConnectionRefused(t *testing.T) {
	g := newGroup(t, config(refusing(t)))
	_, _, err := get(g, 1)
	wantError(t, err, 502, targetgroup.ReasonConnectFailed)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v does not wrap ECONNREFUSED", err)
	}
}

// refusing returns an address at which nobody listens.
func refusing(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return listener.Addr().String()
}

func TestConnectTimeout(t *testing.T) {
	cfg := config(unanswering(t))
	cfg.ConnectTimeout = 100 * time.Millisecond
	_, _, err := get(newGroup(t, cfg), 1)
	wantError(t, err, 504, targetgroup.ReasonConnectTimeout)
}

// unanswering returns an address whose queue of connections is full, so that the
// kernel drops what else comes.
func unanswering(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	err = errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0))
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 16 {
		conn, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("the kernel takes every connection")
	return ""
}

func TestNobodyToAsk(t *testing.T) {
	_, _, err := get(newGroup(t, config()), 1)
	wantError(t, err, 503, targetgroup.ReasonNoTargets)

	cfg := config(serve(t, targetgroup.HTTP1, answer("")))
	cfg.NotInUse = true
	_, _, err = get(newGroup(t, cfg), 1)
	wantError(t, err, 503, targetgroup.ReasonNotInUse)
}

func TestErrorsWithinTheBody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target func(net.Conn)
		status int
		reason string
	}{
		{"shorter than Content-Length", responding("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), 504, targetgroup.ReasonShortBody},
		{"cut within a chunk", responding("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), 502, targetgroup.ReasonConnectionClosed},
		{"malformed chunk", responding("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"), 502, targetgroup.ReasonMalformedResponse},
		{"stalled", afterRequest(func(conn net.Conn) {
			write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
		}), 504, targetgroup.ReasonResponseTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(listen(t, tt.target))
			cfg.IdleTimeout = 100 * time.Millisecond
			g := newGroup(t, cfg)
			status, body, err := get(g, 1)
			if status != 200 || body != "half" {
				t.Errorf("got %d %q before the error, want 200 half", status, body)
			}
			wantError(t, err, tt.status, tt.reason)
			if h := g.Health()[0]; h.Errors != 1 || h.InFlight != 0 || h.Responses != 1 {
				t.Errorf("%+v, want one error, one response and nothing in flight", h)
			}
		})
	}
}

func TestEveryByteRestartsTheIdleTimeout(t *testing.T) {
	slow := afterRequest(func(conn net.Conn) {
		write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		for range 10 {
			time.Sleep(40 * time.Millisecond)
			write(conn, "x")
		}
	})
	cfg := config(listen(t, slow))
	cfg.IdleTimeout = 200 * time.Millisecond
	if status, body, err := get(newGroup(t, cfg), 1); status != 200 || len(body) != 10 || err != nil {
		t.Errorf("got %d %q %v, want 200 and 10 bytes", status, body, err)
	}
}

func TestSlowClientIsNotTheTargetsFault(t *testing.T) {
	cfg := config(serve(t, targetgroup.HTTP1, answer(strings.Repeat("x", 1<<20))))
	cfg.IdleTimeout = 50 * time.Millisecond
	res, err := newGroup(t, cfg).RoundTrip(request("GET", 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	time.Sleep(200 * time.Millisecond)
	if n, err := io.Copy(io.Discard, res.Body); n != 1<<20 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestClientGoes(t *testing.T) {
	arrived := make(chan struct{})
	g := newGroup(t, config(listen(t, afterRequest(func(net.Conn) { close(arrived) }))))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := g.RoundTrip(request("GET", 1, nil).WithContext(ctx))
	wantError(t, err, 460, targetgroup.ReasonClientClosed)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v does not wrap context.Canceled", err)
	}
	if h := g.Health()[0]; h.Errors != 0 || h.InFlight != 0 {
		t.Errorf("%+v, want no error of the target's and nothing in flight", h)
	}
}

// brokenBody is a client's body that ends in an error.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

// TestStalledUploadDoesNotHoldTheAnswer has a client's body whose Read cannot be
// interrupted, as net/http's server has it for HTTP/1.1: the request must end all
// the same when its target is cut.
func TestStalledUploadDoesNotHoldTheAnswer(t *testing.T) {
	cfg := config(serve(t, targetgroup.HTTP1, answer("never")))
	cfg.DeregistrationDelay = new(50 * time.Millisecond)
	g := newGroup(t, cfg)
	run(t, g)
	release := make(chan struct{})
	defer close(release)
	done := make(chan error, 1)
	go func() {
		_, err := g.RoundTrip(request("POST", 1, stuckBody{release}))
		done <- err
	}()
	eventually(t, "the request is in flight", func() bool { return g.Health()[0].InFlight == 1 })
	cfg.Targets = nil
	if err := g.Update(cfg); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		wantError(t, err, 502, targetgroup.ReasonDeregistered)
	case <-time.After(5 * time.Second):
		t.Fatal("RoundTrip waits for the client")
	}
}

type stuckBody struct{ release chan struct{} }

func (b stuckBody) Read([]byte) (int, error) { <-b.release; return 0, io.EOF }

func TestClientBodyErrors(t *testing.T) {
	reading := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for _, version := range []targetgroup.ProtocolVersion{targetgroup.HTTP1, targetgroup.HTTP2} {
		t.Run(string(version), func(t *testing.T) {
			cfg := config(serve(t, version, reading))
			cfg.ProtocolVersion, cfg.IdleTimeout = version, 100*time.Millisecond
			g := newGroup(t, cfg)
			_, err := g.RoundTrip(request("POST", 2, brokenBody{io.ErrUnexpectedEOF}))
			wantError(t, err, 400, targetgroup.ReasonClientBodyCutShort)

			body, silent := io.Pipe()
			defer silent.Close()
			_, err = g.RoundTrip(request("POST", 2, body))
			wantError(t, err, 408, targetgroup.ReasonClientTimeout)
			if h := g.Health()[0]; h.Errors != 0 {
				t.Errorf("%d errors of the target's, want 0", h.Errors)
			}
		})
	}
}

// TestNoRequestIsRepeated lets a target close its idle connection just as a
// POST is written: the request may have been acted on, so it must reach nobody a
// second time.
func TestNoRequestIsRepeated(t *testing.T) {
	var posts atomic.Int32
	flaky := func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			if req.Method == "POST" {
				posts.Add(1)
				conn.Close()
				return
			}
			write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
	g := newGroup(t, config(listen(t, flaky), listen(t, flaky)))
	for range 2 {
		if _, _, err := get(g, 1); err != nil {
			t.Fatal(err)
		}
	}
	req := request("POST", 1, strings.NewReader("pay"))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("pay")), nil }
	req.Header.Set("Idempotency-Key", "1")
	_, err := g.RoundTrip(req)
	wantError(t, err, 502, targetgroup.ReasonConnectionClosed)
	if n := posts.Load(); n != 1 {
		t.Errorf("POST arrived %d times, want once", n)
	}
}
