package targetgroup_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/targetgroup"
)

func tlsServerConfig(e *pki.Entity) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{e.TLS()}}
}

func TestEveryProtocol(t *testing.T) {
	for _, tt := range []struct {
		protocol targetgroup.Protocol
		version  targetgroup.ProtocolVersion
		major    int
		want     string
	}{
		{targetgroup.HTTP, targetgroup.HTTP1, 1, "HTTP/1.1"},
		{targetgroup.HTTP, targetgroup.HTTP1, 2, "HTTP/1.1"},
		{targetgroup.HTTP, targetgroup.HTTP2, 2, "HTTP/2.0"},
		{targetgroup.HTTPS, targetgroup.HTTP1, 1, "HTTP/1.1"},
		{targetgroup.HTTPS, targetgroup.HTTP2, 2, "HTTP/2.0"},
	} {
		t.Run(fmt.Sprint(tt.protocol, tt.version, tt.major), func(t *testing.T) {
			start := serve
			if tt.protocol == targetgroup.HTTPS {
				start = serveTLS
			}
			cfg := config(start(t, tt.version, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.Proto)
			})))
			cfg.Protocol, cfg.ProtocolVersion = tt.protocol, tt.version
			cfg.HealthCheck.Protocol = tt.protocol
			g := newGroup(t, cfg)
			run(t, g)
			if status, body, err := get(g, tt.major); status != 200 || body != tt.want || err != nil {
				t.Fatalf("got %d %q %v, want 200 %s", status, body, err, tt.want)
			}
			eventually(t, "target is healthy", isState(g, "healthy"))
			if h := g.Health()[0]; h.InFlight != 0 || h.Requests != 1 || h.Responses != 1 || h.ResponseTime <= 0 {
				t.Errorf("health %+v, want one request answered and nothing in flight", h)
			}
		})
	}
}

// TestRequestKinds is ALB's table of request kinds against protocol versions.
func TestRequestKinds(t *testing.T) {
	groups := map[targetgroup.ProtocolVersion]*targetgroup.Group{}
	for _, version := range []targetgroup.ProtocolVersion{targetgroup.HTTP1, targetgroup.HTTP2, targetgroup.GRPC} {
		cfg := config(serve(t, version, answer("")))
		cfg.ProtocolVersion = version
		groups[version] = newGroup(t, cfg)
	}
	for _, tt := range []struct {
		method      string
		major       int
		contentType string
		want        string // status in an HTTP1, HTTP2 and GRPC group
	}{
		{"GET", 1, "", "200 464 464"},
		{"POST", 1, "application/grpc", "200 464 464"},
		{"GET", 2, "", "200 200 464"},
		{"POST", 2, "text/plain", "200 200 200"},
		{"POST", 2, "application/grpc", "464 200 200"},
		{"POST", 2, "Application/GRPC", "464 200 200"},
		{"POST", 2, "application/grpc+proto", "464 200 200"},
		{"POST", 2, "application/grpc;charset=utf-8", "464 200 200"},
		{"POST", 2, "application/grpc-web+proto", "200 200 200"},
	} {
		var got []string
		for _, version := range []targetgroup.ProtocolVersion{targetgroup.HTTP1, targetgroup.HTTP2, targetgroup.GRPC} {
			req := request(tt.method, tt.major, nil)
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			res, err := groups[version].RoundTrip(req)
			if err != nil {
				wantError(t, err, 464, targetgroup.ReasonVersionMismatch)
				got = append(got, "464")
				continue
			}
			res.Body.Close()
			got = append(got, fmt.Sprint(res.StatusCode))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s HTTP/%d %q: %s, want %s", tt.method, tt.major, tt.contentType, s, tt.want)
		}
	}
}

// TestRequestBytes reads what a target really gets.
func TestRequestBytes(t *testing.T) {
	got := make(chan string, 1)
	g := newGroup(t, config(listen(t, func(conn net.Conn) {
		buffer := make([]byte, 4096)
		n, _ := conn.Read(buffer)
		got <- string(buffer[:n])
		write(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	})))
	req := request("GET", 2, nil)
	req.Host = "front.example:8443"
	req.URL.Path, req.URL.RawPath = "/a b//../%", "/a%20b//../%25"
	req.Close = true
	req.Header = http.Header{"X-B": {"2", "3"}}
	if status, _, err := roundTrip(g, req); status != 204 || err != nil {
		t.Fatalf("got %d %v, want 204", status, err)
	}
	want := "GET /a%20b//../%25?c=d HTTP/1.1\r\nHost: front.example:8443\r\nX-B: 2\r\nX-B: 3\r\n\r\n"
	if s := <-got; s != want {
		t.Errorf("target got\n%q, want\n%q", s, want)
	}
	if len(req.Header) != 1 || req.URL.Host != "widgets.example" {
		t.Errorf("RoundTrip changed the caller's request: %v %v", req.Header, req.URL)
	}
}

func roundTrip(g *targetgroup.Group, req *http.Request) (int, string, error) {
	res, err := g.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func TestTrailersPassBothWays(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
		w.Header().Set("X-Sum", "got "+r.Trailer.Get("X-Sum"))
	})
	for _, version := range []targetgroup.ProtocolVersion{targetgroup.HTTP1, targetgroup.HTTP2} {
		cfg := config(serve(t, version, echo))
		cfg.ProtocolVersion = version
		req := request("POST", 2, struct{ io.Reader }{strings.NewReader("data")})
		req.ContentLength = -1
		req.Trailer = http.Header{"X-Sum": {"42"}}
		res, err := newGroup(t, cfg).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if sum := res.Trailer.Get("X-Sum"); string(body) != "data" || sum != "got 42" || err != nil {
			t.Errorf("%s: body %q, trailer %q, %v; want data and \"got 42\"", version, body, sum, err)
		}
	}
}

func TestNothingIsDecompressed(t *testing.T) {
	g := newGroup(t, config(serve(t, targetgroup.HTTP1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "accept: "+r.Header.Get("Accept-Encoding"))
	}))))
	if _, body, err := get(g, 1); body != "accept: " || err != nil {
		t.Errorf("got %q %v, want the bytes as they are and no Accept-Encoding", body, err)
	}
}

// TestSlowClientHoldsLittleOfAnHTTP2Response has a target with a response without
// end and a client that reads none of it.
func TestSlowClientHoldsLittleOfAnHTTP2Response(t *testing.T) {
	var sent atomic.Int64
	cfg := config(serve(t, targetgroup.HTTP2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			n, err := w.Write(make([]byte, 16<<10))
			if sent.Add(int64(n)); err != nil || sent.Load() > 16<<20 {
				return
			}
		}
	})))
	cfg.ProtocolVersion = targetgroup.HTTP2
	res, err := newGroup(t, cfg).RoundTrip(request("GET", 2, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	eventually(t, "the window is full", func() bool { return sent.Load() > 200<<10 })
	time.Sleep(100 * time.Millisecond)
	if n := sent.Load(); n > 512<<10 { // 256 K and what the server buffers
		t.Errorf("the target could send %d bytes that nobody read", n)
	}
}

// switching answers 101 and echoes lines.
func switching(conn net.Conn) {
	r := bufio.NewReader(conn)
	if _, err := http.ReadRequest(r); err != nil {
		return
	}
	write(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(conn, r)
}

func upgrade(t *testing.T, g *targetgroup.Group) io.ReadWriteCloser {
	t.Helper()
	req := request("GET", 1, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := g.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != 101 || !ok {
		t.Fatalf("status %d, body %T, want 101 and a ReadWriteCloser", res.StatusCode, res.Body)
	}
	return conn
}

func TestUpgrade(t *testing.T) {
	cfg := config(listen(t, switching))
	cfg.IdleTimeout = 150 * time.Millisecond
	g := newGroup(t, cfg)
	conn := upgrade(t, g)
	for range 5 { // longer than the idle timeout in all
		time.Sleep(50 * time.Millisecond)
		io.WriteString(conn, "ping")
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.Health()[0].InFlight; n != 1 {
		t.Errorf("%d in flight while the connection is up, want 1", n)
	}
	_, err := conn.Read(make([]byte, 1))
	wantError(t, err, 504, targetgroup.ReasonResponseTimeout)
	if n := g.Health()[0].InFlight; n != 0 {
		t.Errorf("%d in flight after the idle timeout, want 0", n)
	}
	conn.Close()
}

func TestUpgradedConnectionIsClosedByTheClient(t *testing.T) {
	g := newGroup(t, config(listen(t, switching)))
	conn := upgrade(t, g)
	conn.Close()
	if h := g.Health()[0]; h.InFlight != 0 || h.Errors != 0 {
		t.Errorf("%+v, want nothing in flight and no error", h)
	}
}

func TestTrace(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		w.WriteHeader(http.StatusTeapot)
	})
	address := serve(t, targetgroup.HTTP1, slow)
	before := time.Now()
	var trace targetgroup.Trace
	ctx := targetgroup.WithTrace(context.Background(), &trace)
	if _, _, err := roundTrip(newGroup(t, config(address)), request("GET", 1, nil).WithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	if trace.Group != "widgets" || trace.Target != address || trace.Status != http.StatusTeapot {
		t.Errorf("trace %+v, want widgets, %s and 418", trace, address)
	}
	if trace.Dispatched.Before(before) || trace.FirstResponse.Sub(trace.Dispatched) < 20*time.Millisecond {
		t.Errorf("dispatched %v, first response %v later, want 20 ms at least",
			trace.Dispatched, trace.FirstResponse.Sub(trace.Dispatched))
	}

	// A reused trace says nothing of the request before.
	_, _, err := roundTrip(newGroup(t, config()), request("GET", 1, nil).WithContext(ctx))
	wantError(t, err, 503, targetgroup.ReasonNoTargets)
	if trace != (targetgroup.Trace{Group: "widgets"}) {
		t.Errorf("trace %+v, want only the group", trace)
	}
}
