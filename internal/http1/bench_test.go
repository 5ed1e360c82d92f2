package http1

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

const benchRequest = "GET /widgets/42?color=blue HTTP/1.1\r\nHost: front.example\r\nUser-Agent: curl/8.5.0\r\n" +
	"Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nX-Request-Id: 9f1c2d3e-aaaa-bbbb-cccc-1234567890ab\r\n" +
	"Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n"

// A repeatConn is a client that sends the same request again and again and
// throws the answers away.
type repeatConn struct {
	scriptConn
	times int
}

func (c *repeatConn) Read(p []byte) (int, error) {
	if c.times--; c.times < 0 {
		return 0, io.EOF
	}
	return copy(p, benchRequest), nil
}

func (c *repeatConn) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkServer is what the server does for a request, without a network.
func BenchmarkServer(b *testing.B) {
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain"}
		io.WriteString(w, "hello")
	})
	b.ReportAllocs()
	c := &repeatConn{times: b.N}
	b.ResetTimer()
	s.ServeConn(b.Context(), c)
}

// BenchmarkReadRequest sets the parser beside net/http's.
func BenchmarkReadRequest(b *testing.B) {
	b.Run("by=http1", func(b *testing.B) {
		s := handler(nil)
		s.init()
		c := newConn(s, b.Context(), &scriptConn{})
		b.ReportAllocs()
		for b.Loop() {
			c.in.feed([]byte(benchRequest), readBuffer)
			x, err := c.readRequest()
			if err != nil {
				b.Fatal(err)
			}
			x.ctx.End()
			c.in.discard()
		}
	})
	b.Run("by=nethttp", func(b *testing.B) {
		b.ReportAllocs()
		r := bufio.NewReader(nil)
		for b.Loop() {
			r.Reset(strings.NewReader(benchRequest))
			if _, err := http.ReadRequest(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A stack is one way to build the same little proxy.
type stack struct {
	serve     func(b *testing.B, h http.Handler, ln net.Listener)
	transport func() http.RoundTripper
}

func stacks() map[string]stack {
	return map[string]stack{
		"http1": {
			func(b *testing.B, h http.Handler, ln net.Listener) {
				s := &Server{Handler: h, IdleTimeout: 60e9, HeaderTimeout: 20e9}
				go func() {
					for {
						nc, err := ln.Accept()
						if err != nil {
							return
						}
						go s.ServeConn(b.Context(), nc)
					}
				}()
				b.Cleanup(s.Close)
			},
			func() http.RoundTripper { return &Transport{IdleTimeout: 60e9} },
		},
		"nethttp": {
			func(b *testing.B, h http.Handler, ln net.Listener) {
				s := &http.Server{Handler: h, IdleTimeout: 60e9, ReadHeaderTimeout: 20e9}
				go s.Serve(ln)
				b.Cleanup(func() { s.Close() })
			},
			func() http.RoundTripper {
				return &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256, IdleConnTimeout: 60e9}
			},
		},
	}
}

// forwarder is the least that can be called a proxy.
func forwarder(rt http.RoundTripper, address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := r.WithContext(r.Context())
		u := *r.URL
		u.Scheme, u.Host = "http", address
		out.URL, out.RequestURI = &u, ""
		res, err := rt.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		h := w.Header()
		for name, values := range res.Header {
			h[name] = values
		}
		w.WriteHeader(res.StatusCode)
		io.Copy(w, res.Body)
	}
}

// quickTarget answers every request with the same bytes and does no more than that, so that
// it takes little of the figures.
func quickTarget(b *testing.B) string {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\nServer: target\r\n\r\n{\"hello\":\"world\"}")
	return scripted(b, func(nc net.Conn) {
		buf := make([]byte, 8<<10)
		for {
			if _, err := nc.Read(buf); err != nil {
				return
			}
			if _, err := nc.Write(answer); err != nil {
				return
			}
		}
	})
}

// BenchmarkProxy is a whole keep-alive request: client, proxy and target over
// loopback in one process, so the differences mean more than the figures. It shows
// nothing of many connections, nor of the memory that idle ones take.
func BenchmarkProxy(b *testing.B) {
	config := &tls.Config{Certificates: []tls.Certificate{pki.NewRoot("front").Server("front.example").TLS()}}
	for _, front := range []string{"plain", "tls"} {
		for name, st := range stacks() {
			b.Run("front="+front+"/by="+name, func(b *testing.B) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { ln.Close() })
				dial := func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }
				serving := ln
				if front == "tls" {
					serving = tls.NewListener(ln, config)
					dial = func() (net.Conn, error) {
						return tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
					}
				}
				st.serve(b, forwarder(st.transport(), quickTarget(b)), serving)
				exchangeRequests(b, dial)
			})
		}
	}
}

func exchangeRequests(b *testing.B, dial func() (net.Conn, error)) {
	b.ReportAllocs()
	nc, err := dial()
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	buf := make([]byte, 8<<10)
	for b.Loop() {
		if _, err := io.WriteString(nc, benchRequest); err != nil {
			b.Fatal(err)
		}
		for got := ""; !strings.HasSuffix(got, "\"world\"}"); {
			n, err := nc.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			got += string(buf[:n])
		}
	}
}

// BenchmarkTransport sets the transport alone beside net/http's, with and
// without a small body, against a server of net/http.
func BenchmarkTransport(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	}))
	b.Cleanup(s.Close)
	for _, body := range []string{"", "some data"} {
		for name, st := range stacks() {
			b.Run("body="+map[bool]string{true: "none", false: "small"}[body == ""]+"/by="+name, func(b *testing.B) {
				rt := st.transport()
				b.ReportAllocs()
				for b.Loop() {
					req, _ := http.NewRequest("POST", s.URL, strings.NewReader(body))
					res, err := rt.RoundTrip(req)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		}
	}
}

// BenchmarkLargeBody is the cost of a byte: a megabyte from a target to a TLS client
// over loopback, in one process with both ends. It shows nothing of requests.
func BenchmarkLargeBody(b *testing.B) {
	const size = 1 << 20
	config := &tls.Config{Certificates: []tls.Certificate{pki.NewRoot("front").Server("front.example").TLS()}}
	answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"), make([]byte, size)...)
	target := scripted(b, func(nc net.Conn) {
		buf := make([]byte, 8<<10)
		for {
			if _, err := nc.Read(buf); err != nil {
				return
			}
			if _, err := nc.Write(answer); err != nil {
				return
			}
		}
	})
	for name, st := range stacks() {
		b.Run("by="+name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { ln.Close() })
			st.serve(b, forwarder(st.transport(), target), tls.NewListener(ln, config))
			nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			r := bufio.NewReaderSize(nc, 64<<10)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				io.WriteString(nc, benchRequest)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, res.Body); n != size {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// BenchmarkFields is the connection's own headers, eight of them and one as long
// as an encoded certificate: adding is paid once for a connection, setting by
// each request that goes through net/http's form of headers.
func BenchmarkFields(b *testing.B) {
	add := func() *Fields {
		f := new(Fields)
		for i := range 8 {
			value := "value"
			if i == 0 {
				value = strings.Repeat("MIIB%2B", 200)
			}
			if err := f.Add("X-Amzn-Mtls-"+string(rune('A'+i)), value); err != nil {
				b.Fatal(err)
			}
		}
		return f
	}
	b.Run("step=add/fields=8", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			add()
		}
	})
	b.Run("step=set/fields=8", func(b *testing.B) {
		f, h := add(), make(http.Header)
		b.ReportAllocs()
		for b.Loop() {
			f.Set(h)
		}
	})
}
