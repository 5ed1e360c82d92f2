package http2

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

// BenchmarkRequests is the cost of a request with an answer of 128 bytes on a connection that
// has several in flight at a time, under TLS 1.3 over the loopback. The client is as cheap as
// we could make it, but its cost is in the figures, and so is the kernel's; the handler is empty, so
// nothing of routing or forwarding is.
func BenchmarkRequests(b *testing.B) {
	answer := make([]byte, 128)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = []string{"text/plain"}, []string{"128"}
		w.Write(answer)
	})
	for _, server := range []string{"postern", "postern-recycling", "standard"} {
		for _, streams := range []int{1, 16} {
			b.Run(fmt.Sprintf("server=%s/streams=%d", server, streams), func(b *testing.B) {
				benchmarkRequests(b, handler, server, streams)
			})
		}
	}
}

func benchmarkRequests(b *testing.B, handler http.Handler, server string, streams int) {
	root := pki.NewRoot("Bench Root")
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{root.Server("localhost").TLS()}, NextProtos: []string{"h2"}})
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	if server == "standard" {
		s := &http.Server{Handler: handler}
		go s.Serve(ln)
		defer s.Close()
	} else {
		s := &Server{Handler: handler, Recycle: server == "postern-recycling"}
		go acceptAll(ln, s)
		defer s.Close()
	}
	nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	c := &benchClient{nc: nc, stream: 1}
	io.WriteString(nc, preface+"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xff\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\x00\x00\x00")
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		if n%streams == 0 { // one operation is one request
			c.exchange(b, streams)
		}
	}
}

func acceptAll(ln net.Listener, s *Server) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		nc.(*tls.Conn).Handshake()
		go s.ServeConn(context.Background(), nc)
	}
}

// A benchClient sends the same request on many streams in one write, and counts ends.
type benchClient struct {
	nc     net.Conn
	stream uint32
	out    []byte
	in     [64 << 10]byte
	have   int
}

// benchBlock is GET / with an authority and two headers, in literals that enter no table.
var benchBlock = []byte("\x82\x87\x84\x01\x09localhost\x0f\x2b\x0dpostern-bench\x0f\x04\x03*/*")

func (c *benchClient) exchange(b *testing.B, n int) {
	c.out = c.out[:0]
	for range n {
		c.out = append(appendFrameHeader(c.out, len(benchBlock), frameHeaders, flagEndStream|flagEndHeaders, c.stream), benchBlock...)
		c.stream += 2
	}
	if _, err := c.nc.Write(c.out); err != nil {
		b.Fatal(err)
	}
	for n > 0 {
		m, err := c.nc.Read(c.in[c.have:])
		if err != nil {
			b.Fatal(err)
		}
		c.have += m
		rest := c.in[:c.have]
		for len(rest) >= frameHeaderLen {
			size := frameHeaderLen + (int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2]))
			if len(rest) < size {
				break
			}
			if kind, flags := rest[3], rest[4]; (kind == frameData || kind == frameHeaders) && flags&flagEndStream != 0 {
				n--
			} else if kind == frameGoAway || kind == frameRSTStream {
				b.Fatalf("frame %d", kind)
			}
			rest = rest[size:]
		}
		c.have = copy(c.in[:], rest)
	}
}
