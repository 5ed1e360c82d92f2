package http2

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// hangGuard ends a test that waits for what does not come.
const hangGuard = 10 * time.Second

// A sent is a frame that the server has sent.
type sent struct {
	frame
	status string // of HEADERS
	fields []hpack.HeaderField
	code   code   // of RST_STREAM and GOAWAY
	last   uint32 // of GOAWAY
}

// A rawClient is a connection of which the test writes each frame, and whose answers
// are read all the time, unless it is told not to.
type rawClient struct {
	t      testing.TB
	nc     net.Conn
	framer *xhttp2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	frames chan sent
	stream uint32 // the latest
	served chan struct{}
}

// dial serves a connection of s, prefaces exchanged.
func dial(t testing.TB, s *Server) *rawClient {
	t.Helper()
	c := dialSilent(t, s)
	go c.read()
	c.preface()
	return c
}

// dialSilent serves a connection of which nothing has been read or written.
func dialSilent(t testing.TB, s *Server) *rawClient {
	t.Helper()
	near, far := net.Pipe()
	c := &rawClient{t: t, nc: near, framer: xhttp2.NewFramer(near, near), frames: make(chan sent, 1<<16), served: make(chan struct{})}
	c.framer.AllowIllegalWrites = true
	c.enc = hpack.NewEncoder(&c.block)
	go func() {
		defer close(c.served)
		s.ServeConn(context.Background(), far)
	}()
	return c
}

func (c *rawClient) preface() {
	io.WriteString(c.nc, preface)
	c.framer.WriteSettings()
}

// close ends the connection and waits for the server to be done with it.
func (c *rawClient) close() {
	c.t.Helper()
	c.nc.Close()
	select {
	case <-c.served:
	case <-time.After(hangGuard):
		c.t.Fatal("the server does not let go of the connection")
	}
}

func (c *rawClient) read() {
	defer close(c.frames)
	decoder := hpack.NewDecoder(4096, nil)
	for {
		var h [frameHeaderLen]byte
		if _, err := io.ReadFull(c.nc, h[:]); err != nil {
			return
		}
		f := sent{frame: frame{kind: h[3], flags: h[4], stream: binary.BigEndian.Uint32(h[5:])}}
		f.payload = make([]byte, int(h[0])<<16|int(h[1])<<8|int(h[2]))
		if _, err := io.ReadFull(c.nc, f.payload); err != nil {
			return
		}
		switch f.kind {
		case frameHeaders:
			f.fields, _ = decoder.DecodeFull(f.payload)
			if len(f.fields) > 0 && f.fields[0].Name == ":status" {
				f.status = f.fields[0].Value
			}
		case frameRSTStream:
			f.code = code(binary.BigEndian.Uint32(f.payload))
		case frameGoAway:
			f.last, f.code = binary.BigEndian.Uint32(f.payload), code(binary.BigEndian.Uint32(f.payload[4:]))
		}
		c.frames <- f
	}
}

// encode returns a header block of pairs of names and values.
func (c *rawClient) encode(pairs ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		c.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

func get(more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/"}, more...)
}

func post(more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/"}, more...)
}

// open begins a stream.
func (c *rawClient) open(end bool, pairs []string) uint32 {
	if c.stream++; c.stream%2 == 0 {
		c.stream++
	}
	c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.encode(pairs...), EndStream: end, EndHeaders: true})
	return c.stream
}

// await returns the first frame that pleases.
func (c *rawClient) await(what string, pleases func(sent) bool) sent {
	c.t.Helper()
	guard := time.After(hangGuard)
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				c.t.Fatalf("the connection ended without %s", what)
			}
			if pleases(f) {
				return f
			}
		case <-guard:
			c.t.Fatalf("%s does not come", what)
		}
	}
}

func (c *rawClient) wantStatus(stream uint32, status string) sent {
	c.t.Helper()
	f := c.await("headers", func(f sent) bool { return f.kind == frameHeaders && f.stream == stream })
	if f.status != status {
		c.t.Errorf("stream %d: status %q, want %q", stream, f.status, status)
	}
	return f
}

func (c *rawClient) wantReset(stream uint32, want code) {
	c.t.Helper()
	f := c.await("a reset", func(f sent) bool {
		return f.stream == stream && (f.kind == frameRSTStream || f.kind == frameHeaders) || f.kind == frameGoAway
	})
	if f.kind != frameRSTStream || f.code != want {
		c.t.Errorf("stream %d: got frame %d with code %#x, status %q, want a reset with %#x", stream, f.kind, f.code, f.status, want)
	}
}

func (c *rawClient) wantGoAway(want code) sent {
	c.t.Helper()
	f := c.await("GOAWAY", func(f sent) bool { return f.kind == frameGoAway })
	if f.code != want {
		c.t.Errorf("GOAWAY with %#x, want %#x", f.code, want)
	}
	return f
}

// wantEnd wants the connection to be closed.
func (c *rawClient) wantEnd() {
	c.t.Helper()
	guard := time.After(hangGuard)
	for {
		select {
		case _, ok := <-c.frames:
			if !ok {
				return
			}
		case <-guard:
			c.t.Fatal("the connection stays open")
		}
	}
}

// ping waits until the server has dealt with all that came before.
func (c *rawClient) ping() {
	c.t.Helper()
	data := [8]byte{'p', 'i', 'n', 'g'}
	c.framer.WritePing(false, data)
	c.await("a PING's answer", func(f sent) bool { return f.kind == framePing && f.flags == flagAck })
}

// body collects a stream's DATA to its end.
func (c *rawClient) body(stream uint32) string {
	c.t.Helper()
	var b []byte
	c.await("the end of the stream", func(f sent) bool {
		if f.stream != stream {
			return false
		}
		if f.kind == frameData {
			b = append(b, f.payload...)
		}
		return f.kind == frameRSTStream || f.flags&flagEndStream != 0 && (f.kind == frameData || f.kind == frameHeaders)
	})
	return string(b)
}

// A gate is a handler that waits until it is opened, or the request is over.
type gate struct {
	entered chan string
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 1000), make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.entered <- r.URL.Path
	<-g.open
}

func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
}
