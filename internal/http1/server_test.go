package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// responders are handlers whose answers are compared with what net/http makes of them.
var responders = map[string]http.HandlerFunc{
	"nothing":    func(w http.ResponseWriter, r *http.Request) {},
	"small":      func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
	"status":     func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404); io.WriteString(w, "gone") },
	"no content": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204); io.WriteString(w, "not sent") },
	"not modified": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"a"`)
		w.WriteHeader(304)
	},
	"length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	},
	"flushed": func(w http.ResponseWriter, r *http.Request) {
		for _, s := range []string{"one", "two", "three"} {
			io.WriteString(w, s)
			http.NewResponseController(w).Flush()
		}
	},
	"flushed with length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "6")
		w.(http.Flusher).Flush()
		io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	},
	"large": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("0123456789", 10_000)) },
	"large in pieces": func(w http.ResponseWriter, r *http.Request) {
		for i := range 3000 {
			fmt.Fprintf(w, "%d,", i*i)
		}
	},
	"large with length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		w.Write(bytes.Repeat([]byte("x"), 100_000))
	},
	"copied": func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, strings.NewReader(strings.Repeat("ab", 50_000)))
	},
	"headers": func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Two"] = []string{"1", "2"}
		w.Header().Set("X-Evil", "a\r\nSet-Cookie: b")
		w.Header()["Bad Name"] = []string{"1"}
		w.Header()["Date"] = nil
	},
	"late headers": func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
	},
	"close": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	},
	"trailers": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "data")
		w.Header().Set("X-Sum", "42")
	},
	"trailers by prefix": func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
	},
	"informed": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		io.WriteString(w, "final")
	},
	"echo": func(w http.ResponseWriter, r *http.Request) { body, _ := io.ReadAll(r.Body); w.Write(body) },
	"two statuses": func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(201)
		w.WriteHeader(500)
	},
}

// TestAnswersAsNetHTTPDoes compares every responder under every kind of request,
// each twice on one connection.
func TestAnswersAsNetHTTPDoes(t *testing.T) {
	for name, h := range responders {
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndata",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n0\r\n\r\n",
		} {
			if name == "trailers" && strings.Contains(request, "1.0\r\nConnection") {
				continue // net/http closes; we drop the trailers and count
			}
			if name == "informed" && strings.Contains(request, "1.0\r\n") {
				continue // net/http sends 103 to a client that knows no 1xx
			}
			got := summarise(t, converse(&Server{Handler: h}, &scriptConn{in: []byte(request + request)}), request)
			want := summarise(t, netHTTP(t, h, request+request), request)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %q:\ngot  %q\nwant %q", name, request, got, want)
			}
		}
	}
}

// summarise describes a stream of responses, without what is ours to do otherwise.
func summarise(t *testing.T, stream, request string) (all []string) {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	r := bufio.NewReader(strings.NewReader(stream))
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: %v", stream, err)
			}
			return all
		}
		body, err := io.ReadAll(res.Body)
		if date := res.Header["Date"]; date != nil {
			res.Header.Set("Date", "now")
		}
		res.Header.Del("Content-Type") // net/http sniffs
		if res.Close {
			res.Header.Del("Connection")
		}
		length := res.ContentLength
		if method == "GET" && len(res.TransferEncoding) == 0 && res.Close {
			length = 0 // net/http counts up to 2 K for HTTP/1.0, and we more
			res.Header.Del("Content-Length")
		}
		// The buffers differ in size, so that chunks begin earlier there.
		if len(body) > 2048 || length > 2048 || method == "HEAD" && length < 0 {
			length, res.TransferEncoding = 0, nil
			res.Header.Del("Content-Length")
		}
		all = append(all, fmt.Sprint(res.Status, res.Proto, res.Header, length, res.TransferEncoding, res.Close, res.Trailer, len(body), err))
	}
}

func TestPipelining(t *testing.T) {
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.URL.Path, string(body))
	})
	out := converse(s, &scriptConn{in: []byte(
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
			"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
			"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
			"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\r\n")})
	var got []string
	for _, res := range readResponses(t, out, "GET", "POST", "POST", "GET") {
		body, _ := io.ReadAll(res.Body)
		got = append(got, string(body))
	}
	if want := []string{"/1", "/2abc", "/3abc", "/4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHeadersThatTakeTooLong(t *testing.T) {
	s := handler(nil)
	s.HeaderTimeout, s.IdleTimeout = 80*time.Millisecond, time.Minute
	nc := dialServer(t, s)
	began := time.Now()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // one byte at a time restarts nothing
		for _, c := range []byte("GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") {
			if _, err := nc.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	out, _ := io.ReadAll(nc)
	if !strings.HasPrefix(string(out), "HTTP/1.1 408 ") || time.Since(began) > time.Second {
		t.Errorf("got %q after %v, want 408 after 80 ms", out, time.Since(began))
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	s := handler(func(http.ResponseWriter, *http.Request) {})
	s.IdleTimeout = 100 * time.Millisecond
	nc := dialServer(t, s)
	began := time.Now()
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	out, err := io.ReadAll(nc)
	if took := time.Since(began); !strings.HasPrefix(string(out), "HTTP/1.1 200") || strings.Contains(string(out), "408") ||
		err != nil || took < 70*time.Millisecond || took > 2*time.Second {
		t.Errorf("got %q %v after %v", out, err, took)
	}
}

// TestIdleTimeoutDoesNotCutBodies has a body and a handler slower than the timeout.
func TestIdleTimeoutDoesNotCutBodies(t *testing.T) {
	s := handler(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	s.IdleTimeout, s.HeaderTimeout = 50*time.Millisecond, 50*time.Millisecond
	nc := dialServer(t, s)
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
	time.Sleep(120 * time.Millisecond)
	io.WriteString(nc, "ok")
	if out, _ := io.ReadAll(nc); !strings.HasSuffix(string(out), "\r\n\r\nok") {
		t.Errorf("got %q", out)
	}
}

func TestClientThatReadsNothing(t *testing.T) {
	done := make(chan error, 1)
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				done <- err
				return
			}
		}
	})
	s.WriteTimeout = 100 * time.Millisecond
	nc := dialServer(t, s)
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the handler still writes")
	}
}

func TestContextEndsWithTheClient(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		ahead         string // sent with the farewell
		ends          bool
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", true},
		{"body read", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok", "", true},
		{"next request sent", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := make(chan bool, 2)
			arrived := make(chan struct{}, 2)
			nc := dialServer(t, handler(func(w http.ResponseWriter, r *http.Request) {
				io.ReadAll(r.Body)
				arrived <- struct{}{}
				select {
				case <-r.Context().Done():
					result <- true
				case <-time.After(500 * time.Millisecond):
					result <- false
				}
			}))
			io.WriteString(nc, tt.request)
			<-arrived
			io.WriteString(nc, tt.ahead)
			nc.(*net.TCPConn).CloseWrite()
			if got := <-result; got != tt.ends {
				t.Errorf("context ended: %v, want %v", got, tt.ends)
			}
		})
	}
}

func TestContextEndsWithTheHandler(t *testing.T) {
	var ctx context.Context
	converse(handler(func(w http.ResponseWriter, r *http.Request) { ctx = r.Context() }),
		&scriptConn{in: []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")})
	if ctx.Err() == nil {
		t.Error("the context goes on")
	}
}

func TestHijack(t *testing.T) {
	states := make(chan http.ConnState, 8)
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			defer nc.Close()
			early := rw.Reader.Buffered()
			buf := make([]byte, 9)
			io.ReadFull(rw, buf)
			fmt.Fprintf(rw, "%d %s", early, buf)
			rw.Flush()
		}()
	})
	s.State = func(_ net.Conn, state http.ConnState) { states <- state }
	nc := dialServer(t, s)
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\nearly")
	time.Sleep(20 * time.Millisecond)
	io.WriteString(nc, "late")
	if out, err := io.ReadAll(nc); string(out) != "5 earlylate" || err != nil {
		t.Errorf("got %q %v", out, err)
	}
	for _, want := range []http.ConnState{http.StateNew, http.StateActive, http.StateHijacked} {
		if got := <-states; got != want {
			t.Errorf("state %v, want %v", got, want)
		}
	}
}

func TestStates(t *testing.T) {
	var got []http.ConnState
	s := handler(func(http.ResponseWriter, *http.Request) {})
	s.State = func(_ net.Conn, state http.ConnState) { got = append(got, state) }
	converse(s, &scriptConn{in: []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")})
	want := []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive, http.StateIdle, http.StateClosed}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestShutdown(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{})
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-release
		}
	})
	address := serveOn(t, s)
	idle, busy := connect(t, address), connect(t, address)
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	http.ReadResponse(bufio.NewReader(idle), nil)
	io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a request in flight: %v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("idle connection: %v, want EOF", err)
	}
	close(release)
	res, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil || !res.Close {
		t.Errorf("busy connection: %v, close %v", err, res != nil && res.Close)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	late := connect(t, address)
	if _, err := late.Read(make([]byte, 1)); err == nil {
		t.Error("a connection was served after Shutdown")
	}
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	return nc
}

func TestPanicsCutTheConnection(t *testing.T) {
	c := &scriptConn{in: []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")}
	calls := 0
	out := converse(handler(func(w http.ResponseWriter, r *http.Request) {
		calls++
		io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}), c)
	if out != "" || calls != 1 || !c.closed {
		t.Errorf("sent %q in %d calls, closed %v", out, calls, c.closed)
	}
}

// TestSmallAnswersLeaveInOneWrite counts what would be TLS records.
func TestSmallAnswersLeaveInOneWrite(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"small": responders["small"], "length": responders["length"], "trailers": responders["trailers"]} {
		c := &countingConn{scriptConn: scriptConn{in: []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")}}
		(&Server{Handler: h}).ServeConn(t.Context(), c)
		if n := c.writes.Load(); n != 1 {
			t.Errorf("%s: %d writes, want 1", name, n)
		}
	}
}

type countingConn struct {
	scriptConn
	writes atomic.Int32
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.scriptConn.Write(p)
}

// TestBodyReadByALeftBehindGoroutine has a goroutine read the body after the
// handler has returned, as transports do with a request that they have given up.
func TestBodyReadByALeftBehindGoroutine(t *testing.T) {
	errs := make(chan error, 1)
	nc := dialServer(t, handler(func(w http.ResponseWriter, r *http.Request) {
		reading := make(chan struct{})
		go func() {
			r.Body.Read(make([]byte, 1))
			close(reading)
			_, err := io.ReadAll(r.Body)
			errs <- err
		}()
		<-reading
		time.Sleep(20 * time.Millisecond)
		w.WriteHeader(502)
	}))
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
	if out, _ := io.ReadAll(nc); !strings.HasPrefix(string(out), "HTTP/1.1 502") {
		t.Errorf("got %q", out)
	}
	if err := <-errs; err == nil {
		t.Error("the body came to an end")
	}
}
