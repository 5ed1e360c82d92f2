package listener

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/targetgroup"
)

// webScript starts a target that reads the headers of one request a connection
// and then does what the script says.
func webScript(t *testing.T, script func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					script(conn)
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func webSays(text string) func(net.Conn) {
	return func(conn net.Conn) { io.WriteString(conn, text) }
}

// webUntilGone waits until the load balancer closes.
func webUntilGone(conn net.Conn) { io.Copy(io.Discard, conn) }

// webRefusing returns an address at which nobody listens.
func webRefusing(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}

const (
	webPage502 = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
	webPage503 = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"
	webPage504 = "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n<center><h1>504 Gateway Time-out</h1></center>\r\n</body>\r\n</html>\r\n"
	webPage408 = "<html>\r\n<head><title>408 Request Time-out</title></head>\r\n<body>\r\n<center><h1>408 Request Time-out</h1></center>\r\n</body>\r\n</html>\r\n"
)

func TestHTTPTargetFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target func(*testing.T) string
		status int
		page   string
		sent   string // field 5 is the target's address, or "-"
	}{
		{"refused", webRefusing, 502, webPage502, "target"},
		{"closed", func(t *testing.T) string { return webScript(t, func(net.Conn) {}) }, 502, webPage502, "target"},
		{"reset", func(t *testing.T) string {
			return webScript(t, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) })
		}, 502, webPage502, "target"},
		{"garbage", func(t *testing.T) string { return webScript(t, webSays("SSH-2.0-OpenSSH_9.9\r\n")) }, 502, webPage502, "target"},
		{"header too large", func(t *testing.T) string {
			return webScript(t, webSays("HTTP/1.1 200 OK\r\nX-Large: "+strings.Repeat("x", 40<<10)+"\r\n\r\n"))
		}, 502, webPage502, "target"},
		{"switches unasked", func(t *testing.T) string {
			return webScript(t, webSays("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
		}, 502, webPage502, "target"},
		{"slow", func(t *testing.T) string { return webScript(t, webUntilGone) }, 504, webPage504, "target"},
		{"none", func(*testing.T) string { return "" }, 503, webPage503, "-"},
	} {
		for _, major := range []int{1, 2} {
			t.Run(tt.name+"/"+string(rune('0'+major)), func(t *testing.T) {
				t.Parallel()
				target := tt.target(t)
				cfg := webGroupOf("main")
				if target != "" {
					cfg = webGroupOf("main", target)
				}
				cfg.IdleTimeout = 300 * time.Millisecond
				w := webServe(t, "", webHTTPS, webBackend(t, cfg))
				res, body := w.do(w.client(major), w.request("GET", "/", nil))
				if res.StatusCode != tt.status || body != tt.page {
					t.Errorf("got %s %q", res.Status, body)
				}
				if h := res.Header; h.Get("Server") != "awselb/2.0" || h.Get("Content-Type") != "text/html" {
					t.Errorf("headers %v", h)
				}
				want := map[int]string{5: "-", 7: "-1", 8: "-1", 9: res.Status[:3], 10: "-", 21: "0", 23: "forward", 27: "-"}
				if tt.sent == "target" {
					want[5], want[26] = target, target
				} else {
					want[6] = "-1"
				}
				if tt.name == "switches unasked" { // the target did answer
					for _, n := range []int{7, 8, 10, 27} {
						delete(want, n)
					}
				}
				webWant(t, w.line(1), want)
			})
		}
	}
}

func TestHTTPTargetShortBody(t *testing.T) {
	target := webScript(t, webSays("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"))
	w := webServe(t, target)
	res, err := w.client(1).Get(w.url("/"))
	if err == nil { // else the headers were not on their way yet
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("a cut body passed for a whole one: %q", body)
		}
	}
	webWant(t, w.line(1), map[int]string{5: target, 9: "504", 10: "200"})
}

func TestHTTPSlowRequestBody(t *testing.T) {
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for _, change := range []func(*Config){func(*Config) {}, webHTTPS} {
		w := webServe(t, target, change, webIdle(300*time.Millisecond))
		conn := w.dial()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
		res, body := webAnswer(t, bufio.NewReader(conn), "POST")
		if res.StatusCode != 408 || body != webPage408 || !res.Close {
			t.Errorf("got %s, close %v, %q", res.Status, res.Close, body)
		}
		webWant(t, w.line(1), map[int]string{9: "408", 10: "-", 5: target})
	}
}

func TestHTTP2SlowRequestBody(t *testing.T) {
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	w := webServe(t, target, webHTTPS, webIdle(300*time.Millisecond))
	body, hold := io.Pipe()
	defer hold.Close()
	go io.WriteString(hold, "half")
	res, page := w.do(w.client(2), w.request("POST", "/", body))
	if res.StatusCode != 408 || page != webPage408 {
		t.Errorf("got %s %q", res.Status, page)
	}
	webWant(t, w.line(1), map[int]string{9: "408", 10: "-"})
}

// A client that asks with a body, and waits for the answer before it sends it,
// gets one from us; its body is waited for a moment, no longer.
func TestHTTPAnswersBeforeTheBody(t *testing.T) {
	fixed := func(cfg *Config) {
		cfg.DefaultActions = []ActionConfig{{FixedResponse: &FixedResponseConfig{StatusCode: 200, MessageBody: "fixed"}}}
	}
	refusing := webBackend(t, webGroupOf("main"))
	for name, change := range map[string]func(*Config){"fixed": fixed, "503": refusing} {
		w := webServe(t, "", change)
		conn := w.dial()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		webAnswer(t, bufio.NewReader(conn), "POST")
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: read %d, %v after the answer, want EOF", name, n, err)
		}
	}
}

// The body of a request that was answered early must not be taken for a request.
func TestHTTPEarlyAnswerEndsConnection(t *testing.T) {
	target := webScript(t, webSays("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"))
	w := webServe(t, target)
	conn := w.dial()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
	r := bufio.NewReader(conn)
	res, body := webAnswer(t, r, "POST")
	if res.StatusCode != 413 || body != "big" || !res.Close {
		t.Errorf("got %s %q, close %v", res.Status, body, res.Close)
	}
	io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	rest, err := io.ReadAll(r)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || len(rest) > 0 {
		t.Errorf("after the answer came %q, %v", rest, err)
	}
	w.line(1)
}

func TestHTTPClientGone(t *testing.T) {
	for _, major := range []int{1, 2} {
		arrived := make(chan struct{}, 1)
		target := webTarget(t, func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-r.Context().Done()
		})
		w := webServe(t, target, webHTTPS)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if res, err := w.client(major).Do(w.request("GET", "/", nil).WithContext(ctx)); err == nil {
			t.Fatalf("answered %s", res.Status)
		}
		line := w.line(1)
		webWant(t, line, map[int]string{5: target, 7: "-1", 8: "-1", 9: "460", 10: "-", 23: "forward"})
		if lines := w.logs.all(); len(lines) > 0 {
			t.Errorf("the process log has %q", lines)
		}
	}
}

func TestHTTPClientCutsBodyShort(t *testing.T) {
	target := webTarget(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	w := webServe(t, target)
	conn := w.dial()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	conn.(*net.TCPConn).CloseWrite()
	res, _ := webAnswer(t, bufio.NewReader(conn), "POST")
	if res.StatusCode != 400 {
		t.Errorf("got %s, want 400", res.Status)
	}
	webWant(t, w.line(1), map[int]string{9: "400", 10: "-"})
}

func TestHTTPVersionMatrix(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version targetgroup.ProtocolVersion
		major   int
		method  string
		grpc    bool
		status  int
	}{
		{"HTTP/1.1 to HTTP1", targetgroup.HTTP1, 1, "GET", false, 200},
		{"HTTP/1.1 to HTTP2", targetgroup.HTTP2, 1, "GET", false, 464},
		{"HTTP/1.1 to GRPC", targetgroup.GRPC, 1, "POST", true, 464},
		{"HTTP/2 to HTTP1", targetgroup.HTTP1, 2, "GET", false, 200},
		{"HTTP/2 to HTTP2", targetgroup.HTTP2, 2, "GET", false, 200},
		{"HTTP/2 GET to GRPC", targetgroup.GRPC, 2, "GET", false, 464},
		{"HTTP/2 POST to GRPC", targetgroup.GRPC, 2, "POST", false, 200},
		{"gRPC to HTTP1", targetgroup.HTTP1, 2, "POST", true, 464},
		{"gRPC to HTTP2", targetgroup.HTTP2, 2, "POST", true, 200},
		{"gRPC to GRPC", targetgroup.GRPC, 2, "POST", true, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
			target := webTarget(t, handler)
			if tt.version != targetgroup.HTTP1 {
				target = webTarget2(t, handler)
			}
			cfg := webGroupOf("main", target)
			cfg.ProtocolVersion = tt.version
			w := webServe(t, "", webHTTPS, webBackend(t, cfg))
			r := w.request(tt.method, "/", nil)
			if tt.grpc {
				r.Header.Set("Content-Type", "application/grpc")
			}
			res, body := w.do(w.client(tt.major), r)
			if res.StatusCode != tt.status || tt.status == 464 && body != "" {
				t.Errorf("got %s %q", res.Status, body)
			}
			want := map[int]string{9: res.Status[:3]}
			if tt.status == 464 {
				want[5], want[10], want[6] = "-", "-", "-1"
			}
			if tt.grpc && tt.major == 2 {
				want[1] = "grpcs"
			}
			webWant(t, w.line(1), want)
		})
	}
}
