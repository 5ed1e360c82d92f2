package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// serveTLS runs a server behind TLS and returns a connection to it.
func serveTLS(t *testing.T, s *Server, version uint16) *tls.Conn {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{pki.NewRoot("front").Server("front.example").TLS()}, MaxVersion: version}
	address := scripted(t, func(nc net.Conn) { s.ServeConn(t.Context(), tls.Server(nc, config)) })
	nc, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	return nc
}

func TestServesTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var states [2]*tls.ConnectionState
		i := 0
		nc := serveTLS(t, handler(func(w http.ResponseWriter, r *http.Request) { states[i] = r.TLS; i++ }), version)
		r := bufio.NewReader(nc)
		for range 2 {
			io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 200 {
				t.Fatalf("got %v %v", res, err)
			}
		}
		if states[0] == nil || states[0] != states[1] || states[0].Version != version {
			t.Errorf("connection states %v, want the one of the connection twice", states)
		}
	}
}

// TestContextEndsWithTheTLSClient tells a farewell from data in what the socket
// holds: both are encrypted records.
func TestContextEndsWithTheTLSClient(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, ahead := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
			arrived, result := make(chan struct{}, 2), make(chan bool, 2)
			nc := serveTLS(t, handler(func(w http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				select {
				case <-r.Context().Done():
					result <- true
				case <-time.After(500 * time.Millisecond):
					result <- false
				}
			}), version)
			io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-arrived
			if ahead != "" {
				io.WriteString(nc, ahead)
			}
			nc.CloseWrite()
			if got, want := <-result, ahead == ""; got != want {
				t.Errorf("version %x, %d bytes ahead: context ended %v, want %v", version, len(ahead), got, want)
			}
		}
	}
}

// TestIdleConnectionsHoldNoBuffer looks at a connection between its requests.
func TestIdleConnectionsHoldNoBuffer(t *testing.T) {
	s := handler(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	idle := 0
	s.State = func(_ net.Conn, state http.ConnState) {
		if state != http.StateIdle {
			return
		}
		for c := range s.conns {
			x := c.in
			if idle++; x.buf != nil || x.block != nil {
				t.Errorf("an idle connection holds %d bytes", len(x.buf))
			}
		}
	}
	long := "POST / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 9000) + "\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("y", 5000)
	converse(s, &scriptConn{in: []byte(long), piece: 700})
	if idle != 1 {
		t.Errorf("idle %d times, want once", idle)
	}
}

// TestBodyReady asks through wrappers, as a transport behind a proxy does.
func TestBodyReady(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		want          bool
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"whole body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndata", true},
		{"half a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nda", false},
		{"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	} {
		var got bool
		type key struct{}
		converse(handler(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(context.WithValue(r.Context(), key{}, 1))
			r.Body = io.NopCloser(r.Body)
			got = BodyReady(r.Context())
		}), &scriptConn{in: []byte(tt.request)})
		if got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if BodyReady(t.Context()) {
		t.Error("ready for a request of nobody's")
	}
}

// TestProxy puts both halves together: a body that is here goes out in one write
// with its head, one that is still coming is streamed, and both arrive.
func TestProxy(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	}))
	defer target.Close()
	front := forwarder(newTransport(t), strings.TrimPrefix(target.URL, "http://"))
	for name, request := range map[string]string{
		"here":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n|data",
		"coming": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nda|ta",
		"chunks": "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nda|\r\n2\r\nta\r\n0\r\nX-Sum: 42\r\n\r\n",
	} {
		nc := dialServer(t, &Server{Handler: front})
		r := bufio.NewReader(nc)
		for range 3 {
			first, second, _ := strings.Cut(request, "|")
			if name == "here" {
				first, second = first+second, ""
			}
			io.WriteString(nc, first)
			time.Sleep(10 * time.Millisecond)
			io.WriteString(nc, second)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if body, err := io.ReadAll(res.Body); string(body) != "data" || err != nil {
				t.Errorf("%s: got %q %v", name, body, err)
			}
		}
	}
}

// TestLimitsAreTheCallers sets every limit low.
func TestLimitsAreTheCallers(t *testing.T) {
	for _, tt := range []struct {
		limits  Limits
		request string
		reason  Reason
	}{
		{Limits{RequestLine: 20}, "GET /aaaaaaaaaa HTTP/1.1\r\nHost: a\r\n\r\n", LineTooLong},
		{Limits{Header: 10}, "GET / HTTP/1.1\r\nHost: aaa\r\n\r\n", FieldTooLong},
		{Limits{Headers: 20}, "GET / HTTP/1.1\r\nHost: a\r\nA: bbbbbbbb\r\n\r\n", HeadTooLong},
		{Limits{HeaderCount: 1}, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n", TooManyFields},
	} {
		var got Reason
		s := handler(func(http.ResponseWriter, *http.Request) { t.Errorf("%+v: the handler was called", tt.limits) })
		s.Limits = tt.limits
		s.Refuse = func(_ context.Context, _ io.Writer, r *Refusal) { got = r.Err.Reason }
		if converse(s, &scriptConn{in: []byte(tt.request)}); got != tt.reason {
			t.Errorf("%+v: %q, want %q", tt.limits, got, tt.reason)
		}
	}
}
