package listener

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHTTPForwardsAndLogs(t *testing.T) {
	seen := make(chan *http.Request, 1)
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		seen <- r.Clone(r.Context())
		w.Header().Set("Server", "target/1")
		io.WriteString(w, "hello")
	})
	for _, tt := range []struct {
		name   string
		change func(*Config)
		major  int
		want   map[int]string
	}{
		{"HTTP", func(*Config) {}, 1, map[int]string{1: "http", 15: "-", 16: "-", 19: "-", 20: "-"}},
		{"HTTPS", webHTTPS, 1, map[int]string{1: "https", 16: "TLSv1.3", 19: "web.example", 20: "web.example"}},
		{"HTTP/2", webHTTPS, 2, map[int]string{1: "h2", 16: "TLSv1.3", 19: "web.example", 20: "web.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := webServe(t, target, tt.change)
			r := w.request("GET", "/a%2Fb?x=1;y=%zz", nil)
			r.Header.Set("User-Agent", "web/1")
			res, body := w.do(w.client(tt.major), r)
			if res.StatusCode != 200 || body != "hello" || res.Header.Get("Server") != "target/1" || res.ProtoMajor != tt.major {
				t.Fatalf("got %v %q %v", res.Status, body, res.Header)
			}
			got := <-seen
			if got.RequestURI != "/a%2Fb?x=1;y=%zz" || got.Host != w.addr || got.ProtoMajor != 1 {
				t.Errorf("target saw %s, Host %s", got.RequestURI, got.Host)
			}
			_, port, _ := strings.Cut(w.addr, ":")
			line := w.line(1)
			webWant(t, line, map[int]string{
				3: "app/web/1", 5: target, 9: "200", 10: "200", 13: "GET " + w.url("/a%2Fb?x=1;y=%zz") + " " + res.Proto, 14: "web/1", 17: "main", 18: got.Header.Get("X-Amzn-Trace-Id"), 21: "0", 23: "forward", 24: "-", 25: "-",
				26: target, 27: "200", 34: "127.0.0.1",
			})
			webWant(t, line, tt.want)
			webCheckTimes(t, line, 0.02)
			webCheckTrace(t, w, line, port)
		})
	}
}

// webCheckTimes checks fields 6 to 8, 2 and 22 of a forwarded request.
func webCheckTimes(t *testing.T, line webLine, target float64) {
	t.Helper()
	for _, n := range []int{6, 7, 8} {
		seconds, err := strconv.ParseFloat(line[n], 64)
		if err != nil || seconds < 0 || seconds > 10 || n == 7 && seconds < target {
			t.Errorf("field %d, a processing time, is %q", n, line[n])
		}
	}
	if line[22] > line[2] {
		t.Errorf("created at %s, after %s", line[22], line[2])
	}
}

// webCheckTrace checks that both logs have the same conn_trace_id.
func webCheckTrace(t *testing.T, w *web, line webLine, port string) {
	t.Helper()
	webEventually(t, "a connection log line", func() bool { return len(w.conns.all()) == 1 })
	conn := connFields(t, w.conns.all()[0])
	if conn[11] != line[30] || !strings.HasPrefix(line[30], "TID_") {
		t.Errorf("conn_trace_id %q in the access log, %q in the connection log", line[30], conn[11])
	}
	if conn[3] != port || line[4] != conn[1]+":"+conn[2] {
		t.Errorf("client %s, port %s; connection log %q", line[4], port, conn)
	}
}

func TestHTTPHeadAndHTTP10(t *testing.T) {
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.Header().Set("X-Host", r.Host)
		io.WriteString(w, "hello")
	})
	w := webServe(t, target)
	res, body := w.raw("HEAD", "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if res.StatusCode != 200 || res.ContentLength != 5 || body != "" {
		t.Errorf("HEAD: %v, length %d, body %q", res.Status, res.ContentLength, body)
	}
	res, body = w.raw("GET", "GET / HTTP/1.0\r\n\r\n")
	if res.StatusCode != 200 || body != "hello" || res.Header.Get("X-Host") != w.addr || !res.Close {
		t.Errorf("HTTP/1.0: %v %v %q", res.Status, res.Header, body)
	}
	res, body = w.raw("GET", "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n")
	if res.StatusCode != 200 || body != "hello" || res.Header.Get("Connection") != "keep-alive" {
		t.Errorf("HTTP/1.0 with keep-alive: %v %v %q", res.Status, res.Header, body)
	}
}

func TestHTTPPipelining(t *testing.T) {
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	w := webServe(t, target)
	conn := w.dial()
	io.WriteString(conn, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"+
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"+
		"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	for _, want := range []string{"/1 one", "/2 two", "/3 "} {
		if _, body := webAnswer(t, r, "POST"); body != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
	w.line(3)
}

// The deadlines of one request must not end the next, nor a pause in it.
func TestHTTPDeadlinesEndWithTheirOperation(t *testing.T) {
	const idle = 300 * time.Millisecond
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
	})
	for _, change := range []func(*Config){func(*Config) {}, webHTTPS} {
		w := webServe(t, target, change, func(cfg *Config) { cfg.Timeouts.Idle = idle })
		// Idle as seen by net/http is the keep-alive's: give it more.
		s := newServing(w.l, serverSettings{idle: webWait, requestHeaders: webWait, http2: true})
		w.l.mu.Lock()
		w.l.servings = append(w.l.servings, s)
		w.l.mu.Unlock()
		w.l.serving.Store(s)
		s.start()
		conn := w.dial()
		r := bufio.NewReader(conn)
		for range 3 {
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none")
			if res, body := webAnswer(t, r, "POST"); res.StatusCode != 200 || body != "first" {
				t.Fatalf("%v %q", res.Status, body)
			}
			time.Sleep(idle + idle/2)
		}
	}
}

func TestHTTPExpectContinue(t *testing.T) {
	seen := make(chan http.Header, 1)
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		io.Copy(w, r.Body)
	})
	w := webServe(t, target)
	conn := w.dial()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("first line %q, %v", line, err)
	}
	r.ReadString('\n')
	io.WriteString(conn, "body")
	if res, body := webAnswer(t, r, "POST"); res.StatusCode != 200 || body != "body" {
		t.Errorf("%v %q", res.Status, body)
	}
	if h := <-seen; h.Get("Expect") != "" {
		t.Errorf("the target got Expect: %q", h["Expect"])
	}
}
