package http2

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

func TestLimitsStreams(t *testing.T) {
	g := newGate()
	c := dial(t, &Server{Handler: g, Limits: Limits{Streams: 3}})
	defer c.close()
	for range 3 {
		c.open(true, get())
	}
	c.wantReset(c.open(true, get()), codeRefusedStream)
	close(g.open)
	c.wantStatus(1, "200")
}

// Handlers of streams that the client has reset go on, and count (CVE-2023-44487).
func TestLimitsHandlersOfResetStreams(t *testing.T) {
	g := newGate()
	c := dial(t, &Server{Handler: g, Limits: Limits{Streams: 2}})
	defer c.close()
	for range 2 {
		c.framer.WriteRSTStream(c.open(true, get()), xhttp2.ErrCodeCancel)
		<-g.entered
	}
	waits := c.open(true, get())
	forgotten := c.open(true, get())
	c.framer.WriteRSTStream(forgotten, xhttp2.ErrCodeCancel)
	c.ping()
	if n := len(g.entered); n != 0 {
		t.Errorf("%d handlers run beyond the limit", n)
	}
	close(g.open)
	c.wantStatus(waits, "200")
	if n := len(g.entered); n != 1 {
		t.Errorf("%d more handlers ran, want 1", n)
	}
}

func TestLimitsHeaders(t *testing.T) {
	big := strings.Repeat("v", 1000)
	many := get()
	for range 20 {
		many = append(many, "x-many", "1")
	}
	for _, tt := range []struct {
		name   string
		limits Limits
		pairs  []string
		want   string
	}{
		{"within", Limits{HeaderList: 1400, HeaderCount: 24}, get("x-big", big), "200"},
		{"list", Limits{HeaderList: 1100}, get("x-big", big), "431"},
		{"count", Limits{HeaderCount: 23}, many, "431"},
		{"count within", Limits{HeaderCount: 24}, many, "200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, &Server{Handler: echo(), Limits: tt.limits})
			defer c.close()
			c.wantStatus(c.open(true, tt.pairs), tt.want)
			c.wantStatus(c.open(true, get()), "200") // the tables of the compression still agree
		})
	}
}

func TestLimitsTrailers(t *testing.T) {
	c := dial(t, &Server{Handler: echo(), Limits: Limits{Trailers: 500}})
	defer c.close()
	id := c.open(false, post())
	c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode("x", strings.Repeat("v", 500)), EndStream: true, EndHeaders: true})
	c.wantReset(id, codeEnhanceYourCalm)
}

func TestLimitsHeaderBlock(t *testing.T) {
	for name, limits := range map[string]Limits{"bytes": {HeaderBlock: 5000}, "frames": {Continuations: 3}} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, &Server{Handler: echo(), Limits: limits})
			defer c.close()
			c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(get()...), EndStream: true})
			fragment := append([]byte{0, 1, 'a', 0x7f, 0xa1, 0x06}, bytes.Repeat([]byte{'x'}, 928)...)
			for range 10 {
				c.framer.WriteContinuation(1, false, fragment)
			}
			c.wantGoAway(codeEnhanceYourCalm)
			c.wantEnd()
		})
	}
}

func TestLimitsHeaderMemory(t *testing.T) {
	g := newGate()
	c := dial(t, &Server{Handler: g, Limits: Limits{HeaderMemory: 3000}})
	defer c.close()
	first := c.open(true, get("x-big", strings.Repeat("v", 2000)))
	c.wantReset(c.open(true, get("x-big", strings.Repeat("w", 1000))), codeRefusedStream)
	close(g.open)
	c.wantStatus(first, "200")
	c.wantStatus(c.open(true, get("x-big", strings.Repeat("w", 1000))), "200")
}

// What the client gives up, and what it makes the server give up, counts alike
// (CVE-2023-44487, CVE-2025-8671).
func TestLimitsResets(t *testing.T) {
	for name, giveUp := range map[string]func(c *rawClient){
		"by the client": func(c *rawClient) { c.framer.WriteRSTStream(c.open(true, get()), xhttp2.ErrCodeCancel) },
		"malformed":     func(c *rawClient) { c.open(true, get("Upper", "x")) },
		"window of 0":   func(c *rawClient) { c.framer.WriteWindowUpdate(c.open(false, post()), 0) },
		"window":        func(c *rawClient) { c.framer.WriteWindowUpdate(c.open(false, post()), maxWindow) },
		"itself": func(c *rawClient) {
			c.framer.WritePriority(c.open(false, post()), xhttp2.PriorityParam{StreamDep: c.stream})
		},
		"DATA after the end": func(c *rawClient) { c.framer.WriteData(c.open(true, get()), false, []byte("x")) },
		"longer than said": func(c *rawClient) {
			c.framer.WriteData(c.open(false, post("content-length", "1")), false, []byte("xy"))
		},
	} {
		for _, malformed := range []http.Handler{nil, echo()} {
			t.Run(name, func(t *testing.T) {
				g := newGate()
				c := dial(t, &Server{Handler: g, Malformed: malformed, Limits: Limits{Resets: 20}})
				defer c.close()
				defer close(g.open)
				for range 500 {
					giveUp(c)
				}
				c.wantGoAway(codeEnhanceYourCalm)
			})
		}
	}
}

func TestLimitsIdleFrames(t *testing.T) {
	var stream uint32
	for name, send := range map[string]func(c *rawClient){
		"PING":          func(c *rawClient) { c.framer.WritePing(false, [8]byte{}) },
		"PING answer":   func(c *rawClient) { c.framer.WritePing(true, [8]byte{}) },
		"SETTINGS":      func(c *rawClient) { c.framer.WriteSettings() },
		"SETTINGS ack":  func(c *rawClient) { c.framer.WriteSettingsAck() },
		"PRIORITY":      func(c *rawClient) { c.framer.WritePriority(99, xhttp2.PriorityParam{}) },
		"empty DATA":    func(c *rawClient) { c.framer.WriteData(stream, false, nil) },
		"padding":       func(c *rawClient) { c.framer.WriteDataPadded(stream, false, nil, make([]byte, 9)) },
		"WINDOW_UPDATE": func(c *rawClient) { c.framer.WriteWindowUpdate(stream, 1) },
		"of connection": func(c *rawClient) { c.framer.WriteWindowUpdate(0, 1) },
		"unknown":       func(c *rawClient) { c.framer.WriteRawFrame(0xbe, 0, 0, nil) },
		"update":        func(c *rawClient) { c.framer.WriteRawFrame(framePriorityUpdate, 0, 0, []byte("\x00\x00\x00\x01u=1")) },
		"GOAWAY":        func(c *rawClient) { c.framer.WriteGoAway(0, xhttp2.ErrCodeNo, nil) },
		"reset again":   func(c *rawClient) { c.framer.WriteRSTStream(stream-2, xhttp2.ErrCodeCancel) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, &Server{Handler: echo(), Limits: Limits{IdleFrames: 100}})
			defer c.close()
			c.wantStatus(c.open(true, get()), "200")
			stream = c.open(false, post())
			for range 1000 {
				send(c)
			}
			c.wantGoAway(codeEnhanceYourCalm)
			c.wantEnd()
		})
	}
}

// Replies to a client that does not read them are bounded.
func TestLimitsReplies(t *testing.T) {
	c := dialSilent(t, &Server{Handler: echo(), Limits: Limits{Replies: 500}})
	defer c.close()
	c.preface()
	c.nc.SetWriteDeadline(time.Now().Add(hangGuard))
	var err error
	for i := 0; i < 10_000 && err == nil; i++ {
		err = c.framer.WritePing(false, [8]byte{})
	}
	if err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("10,000 pings whose answers were not read: %v", err)
	}
}

// So are windows that are granted again for padding: a frame of 264 bytes asks for 13.
func TestLimitsRepliesToPadding(t *testing.T) {
	c := dialSilent(t, &Server{Handler: echo(), Limits: Limits{Replies: 500}})
	defer c.close()
	c.preface()
	c.nc.SetWriteDeadline(time.Now().Add(hangGuard))
	id := c.open(false, post())
	var err error
	for i := 0; i < 3000 && err == nil; i++ {
		err = c.framer.WriteDataPadded(id, false, []byte{'x'}, make([]byte, 255))
	}
	if err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("3,000 padded frames whose grants were not read: %v", err)
	}
}

func TestLimitsReceiveWindows(t *testing.T) {
	for name, limits := range map[string]Limits{
		"stream": {StreamWindow: 1}, "connection": {ConnWindow: 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			defer close(g.open)
			c := dial(t, &Server{Handler: g, Limits: limits})
			id := c.open(false, post())
			for range 5 {
				c.framer.WriteData(id, false, make([]byte, 16000))
			}
			if name == "stream" {
				c.wantReset(id, codeFlowControl)
			} else {
				c.wantGoAway(codeFlowControl)
			}
			c.nc.Close()
		})
	}
}

// TestTimeouts runs on a clock of its own, so that its waits cost nothing.
func TestTimeouts(t *testing.T) {
	blocked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	large := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) })
	server := func(h http.Handler) *Server {
		return &Server{Handler: h, HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, WriteTimeout: 30 * time.Second}
	}
	for _, tt := range []struct {
		name     string
		handler  http.Handler
		act      func(c *rawClient)
		min, max time.Duration
	}{
		{"no preface", echo(), func(c *rawClient) { go c.read() }, 10 * time.Second, 11 * time.Second},
		{"half a preface", echo(), func(c *rawClient) { go c.read(); io.WriteString(c.nc, preface[:9]) }, 10 * time.Second, 11 * time.Second},
		{"idle", echo(), func(c *rawClient) { go c.read(); c.preface() }, time.Minute, 62 * time.Second},
		{"idle after a request", echo(), func(c *rawClient) {
			go c.read()
			c.preface()
			time.Sleep(45 * time.Second)
			c.wantStatus(c.open(true, get()), "200")
		}, 105 * time.Second, 107 * time.Second},
		{"half a header block", blocked, func(c *rawClient) {
			go c.read()
			c.preface()
			c.open(true, get())
			c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x82}})
		}, 10 * time.Second, 12 * time.Second},
		{"half a frame", blocked, func(c *rawClient) {
			go c.read()
			c.preface()
			c.open(true, get())
			c.nc.Write([]byte{0, 0, 8, framePing})
		}, 10 * time.Second, 12 * time.Second},
		{"reads nothing", large, func(c *rawClient) { c.preface(); c.open(true, get()) }, 22 * time.Second, 32 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := dialSilent(t, server(tt.handler))
				began := time.Now()
				tt.act(c)
				<-c.served
				if took := time.Since(began); took < tt.min || took > tt.max {
					t.Errorf("the connection was closed after %v, want %v to %v", took, tt.min, tt.max)
				}
				c.nc.Close()
			})
		})
	}
}

// A stream that gets no window is reset; one that gets a little goes on.
func TestWriteTimeoutOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		c := dial(t, &Server{WriteTimeout: 30 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			failed <- err
		})})
		id := c.open(true, get())
		for range 5 {
			time.Sleep(29 * time.Second)
			c.framer.WriteWindowUpdate(id, 5000)
			c.framer.WriteWindowUpdate(0, 5000)
		}
		before := time.Now()
		c.wantReset2(id, codeCancel)
		if took := time.Since(before); took > 61*time.Second || took < 29*time.Second {
			t.Errorf("reset after %v", took)
		}
		if err := <-failed; err == nil {
			t.Error("the handler was not told")
		}
		c.close()
	})
}

// wantReset2 is wantReset for a stream with an answer.
func (c *rawClient) wantReset2(stream uint32, want code) {
	c.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case f, ok := <-c.frames:
			if ok && f.kind == frameRSTStream && f.stream == stream && f.code == want {
				return
			}
			if !ok {
				c.t.Fatal("no reset")
			}
		case <-deadline:
			c.t.Fatal("no reset in time")
		}
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 2)
		c := dial(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			control.SetReadDeadline(time.Now().Add(time.Second))
			_, err := r.Body.Read(make([]byte, 1))
			got <- err
			control.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = w.Write(make([]byte, 1<<20))
			got <- err
		})})
		began := time.Now()
		c.open(false, post())
		for i, what := range []string{"read", "write"} {
			err := <-got
			if timeout, ok := err.(interface{ Timeout() bool }); !ok || !timeout.Timeout() {
				t.Errorf("%s: got %v, want a timeout", what, err)
			}
			if took := time.Since(began); took != time.Duration(i+1)*time.Second {
				t.Errorf("%s: after %v", what, took)
			}
		}
		c.close()
	})
}
