package http2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

type testKey struct{}

func TestRequestLooksLikeNetHTTPs(t *testing.T) {
	c := dial(t, &Server{
		Context: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, testKey{}, "value")
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintln(w, r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.RequestURI, r.URL.Path, r.URL.RawQuery, r.ContentLength, r.Header, r.Trailer,
				string(body), err, r.Context().Value(testKey{}), r.RemoteAddr)
		})})
	defer c.close()
	id := c.open(false, post("cookie", "a=b", "cookie", "c=d", "x-a", "1", "x-a", "2", "trailer", "X-T, Content-Length", "expect", "100-continue"))
	c.wantStatus(id, "100")
	c.framer.WriteData(id, false, []byte("body"))
	c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode("x-t", "t", "x-u", "u"), EndStream: true, EndHeaders: true})
	want := "POST HTTP/2.0 2 0 a.example / /  -1 map[Cookie:[a=b; c=d] X-A:[1 2]] map[X-T:[t] X-U:[u]] body <nil> value pipe\n"
	if got := c.body(id); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Bytes go both ways at once.
func TestStreamsBothWays(t *testing.T) {
	c := dial(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			if err != nil {
				return
			}
			w.Write(bytes.ToUpper(b[:n]))
			w.(http.Flusher).Flush()
		}
	})})
	defer c.close()
	id := c.open(false, post())
	c.wantStatus(id, "200")
	for _, word := range []string{"a", "bc", "def"} {
		c.framer.WriteData(id, false, []byte(word))
		f := c.await("DATA", func(f sent) bool { return f.kind == frameData })
		if string(f.payload) != strings.ToUpper(word) {
			t.Errorf("sent %q, got %q", word, f.payload)
		}
	}
	c.framer.WriteData(id, true, nil)
	c.body(id)
}

func TestHandlerIsTold(t *testing.T) {
	for name, end := range map[string]func(c *rawClient, id uint32){
		"reset":  func(c *rawClient, id uint32) { c.framer.WriteRSTStream(id, xhttp2.ErrCodeCancel) },
		"closed": func(c *rawClient, _ uint32) { c.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error, 3)
			entered := make(chan bool)
			c := dial(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				after := make(chan bool)
				context.AfterFunc(r.Context(), func() { close(after) })
				derived, cancel := context.WithCancel(r.Context())
				defer cancel()
				entered <- true
				_, err := r.Body.Read(make([]byte, 1))
				errs <- err
				<-after
				<-derived.Done()
				errs <- r.Context().Err()
				_, err = w.Write(make([]byte, 1<<20))
				errs <- err
			})})
			id := c.open(false, post())
			<-entered
			end(c, id)
			err := <-errs
			if reset := (*ResetError)(nil); (name == "reset") != errors.As(err, &reset) || err == nil || err == io.EOF {
				t.Errorf("reading: %v", err)
			}
			if err := <-errs; err != context.Canceled {
				t.Errorf("context: %v", err)
			}
			if err := <-errs; err == nil {
				t.Error("writing: no error")
			}
			c.close()
		})
	}
}

func TestAborts(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"too short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Write([]byte("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, &Server{Handler: handler})
			defer c.close()
			id := c.open(true, get())
			f := c.await("a reset", func(f sent) bool {
				return f.kind == frameRSTStream || f.flags&flagEndStream != 0 && f.kind == frameData
			})
			if f.stream != id || f.kind != frameRSTStream || f.code != codeInternal {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// A window may become negative, and DATA goes on only when it is positive again.
func TestNegativeWindow(t *testing.T) {
	c := dial(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1000)) })})
	defer c.close()
	c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
	id := c.open(true, get())
	data := func() int {
		f := c.await("DATA", func(f sent) bool { return f.kind == frameData && f.stream == id })
		return len(f.payload)
	}
	if n := data(); n != 100 {
		t.Fatalf("got %d bytes, want 100", n)
	}
	c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 40}) // the window is -60
	c.framer.WriteWindowUpdate(id, 60)
	c.ping()
	if n := len(c.frames); n > 0 {
		t.Errorf("%d frames came with a window of 0", n)
	}
	c.framer.WriteWindowUpdate(id, 1)
	if n := data(); n != 1 {
		t.Errorf("got %d bytes, want 1", n)
	}
	c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
	if n := data(); n != 899 {
		t.Errorf("got %d bytes, want the rest", n)
	}
}

// With the connection's window short, the most urgent stream goes first, and equals
// take turns.
func TestPriorities(t *testing.T) {
	c := dial(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 200_000)) })})
	defer c.close()
	c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
	filler := c.open(true, get())
	for got := 0; got < initialWindow; {
		got += len(c.await("DATA", func(f sent) bool { return f.kind == frameData && f.stream == filler }).payload)
	}
	low, same, high, updated := c.open(true, get("priority", "u=6")), c.open(true, get("priority", "u=6, i")), c.open(true, get("priority", "u=1")), c.open(true, get("priority", "u=7"))
	for range []uint32{low, same, high, updated} {
		c.await("headers", func(f sent) bool { return f.kind == frameHeaders })
	}
	c.framer.WriteRSTStream(filler, xhttp2.ErrCodeCancel)
	c.framer.WriteRawFrame(framePriorityUpdate, 0, 0, []byte{0, 0, 0, byte(updated), 'u', '=', '0'})
	c.ping()
	next := func() map[uint32]int {
		got := make(map[uint32]int)
		c.framer.WriteWindowUpdate(0, 100_000)
		for total := 0; total < 100_000; {
			f := c.await("DATA", func(f sent) bool { return f.kind == frameData })
			got[f.stream] += len(f.payload)
			total += len(f.payload)
		}
		return got
	}
	for _, want := range []uint32{updated, high} {
		if got := next(); got[want] != 100_000 {
			t.Errorf("got %v, want stream %d alone", got, want)
		}
		c.framer.WriteRSTStream(want, xhttp2.ErrCodeCancel)
	}
	if got := next(); got[low] < 40_000 || got[same] < 40_000 {
		t.Errorf("got %v, want equal shares of %d and %d", got, low, same)
	}
}

// The encoder must not be shared with what SETTINGS change: net/http's server had a
// race there (GO-2026-6617). This is for the race detector.
func TestSettingsWhileResponding(t *testing.T) {
	c := dial(t, &Server{Handler: echo(), Limits: Limits{IdleFrames: 1 << 20}})
	defer c.close()
	for i := range 200 {
		id := c.open(true, get())
		c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: uint32(i * 100)}, xhttp2.Setting{ID: xhttp2.SettingMaxFrameSize, Val: 1<<14 + uint32(i)})
		c.wantStatus(id, "200")
	}
}

func TestConnectionCloseIsGraceful(t *testing.T) {
	c := dial(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("last") != "" {
			w.Header().Set("Connection", "close")
		}
	})})
	c.open(true, get("last", "yes"))
	if f := c.wantGoAway(codeNo); f.last != maxStreamID {
		t.Errorf("GOAWAY names stream %d at first", f.last)
	}
	f := c.await("PING", func(f sent) bool { return f.kind == framePing })
	late := c.open(true, get()) // was on its way
	c.wantStatus(late, "200")
	c.framer.WritePing(true, [8]byte(f.payload))
	if f := c.wantGoAway(codeNo); f.last != late {
		t.Errorf("GOAWAY names stream %d, want %d", f.last, late)
	}
	c.wantEnd()
	c.close()
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var states []http.ConnState
		s := &Server{Handler: g, State: func(_ net.Conn, state http.ConnState) { states = append(states, state) }}
		idle := dial(t, s)
		idle.ping()
		busy := dial(t, s)
		id := busy.open(true, get())
		<-g.entered
		done := make(chan error)
		go func() { done <- s.Shutdown(context.Background()) }()
		idle.wantGoAway(codeNo)
		idle.wantEnd()
		busy.wantGoAway(codeNo)
		time.Sleep(2 * goodbyeWait)
		busy.open(true, get()) // too late
		synctest.Wait()
		close(g.open)
		busy.wantStatus(id, "200")
		busy.wantEnd()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(g.entered) > 0 {
			t.Error("a request was taken after the last GOAWAY")
		}
		late := dial(t, s)
		late.wantEnd()
		for _, c := range []*rawClient{idle, busy, late} {
			c.close()
		}
		if got := fmt.Sprint(states[:2], states[len(states)-3:]); got != "[new new] [closed new closed]" {
			t.Errorf("states %v", states)
		}
	})
}

func TestShutdownGivesUp(t *testing.T) {
	g := newGate()
	s := &Server{Handler: g}
	c := dial(t, s)
	c.open(true, get())
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	s.Close()
	c.wantEnd()
	close(g.open)
	c.close()
}

// Retire tells the client at once, answers what is in flight, and no more.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		conns := make(chan net.Conn, 4)
		s := &Server{Handler: g, State: func(nc net.Conn, state http.ConnState) {
			if state == http.StateNew {
				conns <- nc
			}
		}}
		quick, stuck := dial(t, s), dial(t, s)
		first, second := quick.open(true, get()), stuck.open(true, get())
		<-g.entered
		<-g.entered
		began := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			nc := <-conns
			for range 10 {
				wg.Go(func() { s.Retire(nc, 5*time.Second) })
			}
		}
		wg.Wait()
		if f := quick.wantGoAway(codeNo); f.last != first {
			t.Errorf("GOAWAY names %d", f.last)
		}
		stuck.wantGoAway(codeNo)
		quick.open(true, get())
		synctest.Wait()
		if len(g.entered) > 0 {
			t.Error("a request was taken after GOAWAY")
		}
		stuck.wantEnd()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("cut after %v", took)
		}
		close(g.open)
		quick.close()
		stuck.close()
		_ = second
	})
}

func TestUploadBeyondTheWindows(t *testing.T) {
	client, addr := serve(t, &Server{Limits: Limits{StreamWindow: 1, ConnWindow: 1}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{r.Body}, make([]byte, 700))
		fmt.Fprint(w, n, err)
	})})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			res, err := client.Post("http://"+addr, "", strings.NewReader(strings.Repeat("x", 300_000)))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); string(body) != "300000 <nil>" {
				t.Errorf("got %q", body)
			}
		})
	}
	wg.Wait()
}

// Bodies that nobody reads give their part of the connection's window back.
func TestUnreadBodies(t *testing.T) {
	client, addr := serve(t, &Server{Limits: Limits{ConnWindow: initialWindow}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})})
	for range 50 {
		res, err := client.Post("http://"+addr, "", strings.NewReader(strings.Repeat("x", 50_000)))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
}
