package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A scriptConn is a connection whose peer has sent everything beforehand, in
// pieces of at most piece bytes, or in two pieces if cut is set. What is written to
// it is kept.
type scriptConn struct {
	in    []byte
	piece int
	cut   int // length of the first piece; 0 is none

	mu     sync.Mutex
	out    bytes.Buffer
	closed bool
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(c.in))
	if c.piece > 0 {
		n = min(n, c.piece)
	}
	if c.cut > 0 {
		n = min(n, c.cut)
		c.cut -= n
	}
	copy(p, c.in[:n])
	c.in = c.in[n:]
	return n, nil
}

func (c *scriptConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *scriptConn) Close() error                     { c.closed = true; return nil }
func (c *scriptConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scriptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

// converse lets a server answer everything in c and returns what it wrote.
func converse(s *Server, c *scriptConn) string {
	s.ServeConn(context.Background(), c)
	return c.out.String()
}

// netHTTP lets net/http's server answer the same.
func netHTTP(t testing.TB, h http.Handler, text string) string {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	go func() {
		io.WriteString(nc, text)
		nc.(*net.TCPConn).CloseWrite()
	}()
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	out, _ := io.ReadAll(nc)
	return string(out)
}

// readResponses takes a stream of responses apart, one for each method.
func readResponses(t testing.TB, stream string, methods ...string) []*http.Response {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader([]byte(stream)))
	var all []*http.Response
	for _, method := range methods {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("response %d of %q: %v", len(all), stream, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("body %d of %q: %v", len(all), stream, err)
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
		all = append(all, res)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("%q is left after %d responses", rest, len(all))
	}
	return all
}

// dialServer connects to a server of ours over TCP.
func dialServer(t testing.TB, s *Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", serveOn(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	return nc
}

// scripted is a target: it serves one connection after the other with f.
func scripted(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer nc.Close(); f(nc) }()
		}
	}()
	return ln.Addr().String()
}
