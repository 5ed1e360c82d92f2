package listener

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func TestHTTP2StreamLimit(t *testing.T) {
	w := webServe(t, webNamed(t, "main"), webHTTPS)
	c := w.frames()
	frame, err := c.framer.ReadFrame()
	settings, ok := frame.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("first frame %v, %v", frame, err)
	}
	if n, _ := settings.Value(http2.SettingMaxConcurrentStreams); n != 128 {
		t.Errorf("MAX_CONCURRENT_STREAMS is %d, want 128", n)
	}
	c.framer.WriteSettingsAck()
	if status := c.ask(); status != "200" { // after which the acknowledgement has been read
		t.Fatal(status)
	}
	for range 128 {
		c.headers(false)
	}
	c.headers(true)
	if status := c.status(); status != "reset" && status != "gone" {
		t.Errorf("stream 129 got %q", status)
	}
}

func TestHTTP2RequestLimit(t *testing.T) {
	w := webServe(t, "", webHTTPS, func(cfg *Config) {
		cfg.AccessLog = nil
		cfg.DefaultActions = []ActionConfig{{FixedResponse: &FixedResponseConfig{StatusCode: 204}}}
	})
	c := w.frames()
	for i := 1; i < 10_000; i++ {
		if status := c.ask(); status != "204" || c.goAway {
			t.Fatalf("request %d: %s, GOAWAY %v", i, status, c.goAway)
		}
	}
	if status := c.ask(); status != "204" {
		t.Errorf("request 10,000: %s", status)
	}
	if c.headers(true); c.status() != "gone" && !c.goAway {
		t.Error("no GOAWAY after 10,000 requests")
	}
}

// webHeap returns the heap in use after a collection.
func webHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestHTTP2RapidReset(t *testing.T) {
	const bound = 16 << 20
	target := webTarget(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w := webServe(t, target, webHTTPS, func(cfg *Config) { cfg.AccessLog = nil })
	before := webHeap()
	c := w.frames()
	go func() { // what the server has to say must be taken off its hands
		for {
			if _, err := c.framer.ReadFrame(); err != nil {
				return
			}
		}
	}()
	for range 20_000 {
		c.headers(true)
		if c.framer.WriteRSTStream(c.stream, http2.ErrCodeCancel) != nil {
			break
		}
	}
	if grown := webHeap() - before; grown > bound {
		t.Errorf("the heap grew by %d bytes, want less than %d", grown, bound)
	}
	webEventually(t, "the goroutines end", func() bool { return runtime.NumGoroutine() < 1000 })
}

func TestHTTP2ContinuationFlood(t *testing.T) {
	const bound = 16 << 20
	w := webServe(t, webNamed(t, "main"), webHTTPS)
	before := webHeap()
	c := w.frames()
	go io.Copy(io.Discard, w.dialTCP())
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82, 0x87, 0x84}, EndStream: true})
	// Each a literal header without indexing: a name of one byte and 8,000 of value.
	fragment := append([]byte{0, 1, 'a', 0x7f, 0xc1, 0x3d}, bytes.Repeat([]byte{'x'}, 8000)...)
	var err error
	sent := 0
	for ; sent < 10_000 && err == nil; sent++ {
		err = c.framer.WriteContinuation(1, false, fragment)
	}
	if err == nil {
		t.Error("80 MB of headers were taken")
	}
	if grown := webHeap() - before; grown > bound {
		t.Errorf("the heap grew by %d bytes after %d frames, want less than %d", grown, sent, bound)
	}
	webEventually(t, "the connection is closed", func() bool { return w.l.open.Load() <= 1 })
}

// A client that opens no window can hold up an answer for the idle timeout only.
func TestHTTP2StalledReader(t *testing.T) {
	const idle = 300 * time.Millisecond
	target := webTarget(t, func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, webZeros(1<<20)) })
	w := webServe(t, target, webHTTPS, webIdle(idle))
	c := w.frames()
	c.headers(true) // the window is 64 KB and is never widened
	line := w.line(1)
	webWant(t, line, map[int]string{9: "200", 10: "200", 5: target})
}
