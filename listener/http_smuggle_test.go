package listener

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Every attack is one request on the wire, and most hide a second one,
// GET /hidden. None may make the target see more than one, nor the hidden one.
func TestHTTPSmuggling(t *testing.T) {
	const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	large := strings.Repeat("x", 8<<10)
	for _, tt := range []struct {
		name, text string
		status     int
		reaches    int32 // how many requests the target may see
	}{
		{"CL and TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, 400, 0},
		{"TE and CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n0\r\n\r\n" + hidden, 400, 0},
		{"two CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 32\r\n\r\n" + hidden, 400, 0},
		{"CL list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 32\r\n\r\n" + hidden, 400, 0},
		{"CL sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n" + hidden, 400, 0},
		{"TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + hidden, 501, 0},
		{"TE twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden, 501, 0},
		{"TE list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + hidden, 501, 0},
		{"TE vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden, 400, 0},
		{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, 400, 0},
		{"byte that is not ASCII in the target", "GET /\xff%2f HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
		{"bare LF", "GET / HTTP/1.1\nHost: a.example\nX-A: b\n\n", 400, 0},
		{"obs-fold", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n c\r\n\r\n", 400, 0},
		{"CL twice", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400, 0},
		{"space before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, 400, 0},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", 400, 0},
		{"CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n", 400, 0},
		{"colon first", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, 0},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400, 0},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 0},
		{"space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, 0},
		{"slash in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, 0},
		{"bare chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + hidden, 0, 1},
		{"CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, 0},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, 0},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, 0},
		{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, 0},
		{"preface without ALPN", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 0},
		{"climbs", "GET /a/../../b HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
		{"asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
		{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
		{"one header of 16 K", "GET / HTTP/1.1\r\nHost: a\r\nX-Large: " + large + large + "\r\n\r\n", 400, 0},
		{"headers of 64 K", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Large: "+large+"\r\n", 8) + "\r\n", 400, 0},
		{"long URI", "GET /" + large + large + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, 0},
		{"31 addresses", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + strings.Repeat("192.0.2.1, ", 30) + "192.0.2.1\r\n\r\n", 463, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reached, smuggled atomic.Int32
			target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				reached.Add(1)
				if r.URL.Path == "/hidden" && r.Header.Get("X-Amzn-Trace-Id") == "" {
					smuggled.Add(1)
				}
			})
			w := webServe(t, target)
			conn := w.dial()
			go io.WriteString(conn, tt.text)
			r := bufio.NewReader(conn)
			res, body := webAnswer(t, r, "POST")
			if tt.status != 0 && res.StatusCode != tt.status {
				t.Errorf("got %s %.80q, want %d", res.Status, body, tt.status)
			}
			if tt.status >= 400 && tt.status != 405 && tt.status != 463 && !res.Close {
				t.Errorf("the connection stays open after %s", res.Status)
			}
			conn.Close()
			w.wantNoConnections()
			if n := reached.Load(); n > tt.reaches || smuggled.Load() > 0 {
				t.Errorf("the target saw %d requests, %d smuggled; want at most %d", n, smuggled.Load(), tt.reaches)
			}
			if tt.status != 0 {
				webWant(t, w.line(1), map[int]string{5: "-", 9: res.Status[:3], 10: "-", 21: "-"})
				if body != Page(tt.status) {
					t.Errorf("page %q", body)
				}
			}
		})
	}
}

// What is let pass reaches the target in one unambiguous form.
func TestHTTPOddRequests(t *testing.T) {
	type request struct{ target, host, value string }
	seen := make(chan request, 1)
	target := webTarget(t, func(_ http.ResponseWriter, r *http.Request) {
		seen <- request{r.RequestURI, r.Host, r.Header.Get("X-A")}
	})
	w := webServe(t, target)
	_, port, _ := strings.Cut(w.addr, ":")
	for _, tt := range []struct {
		name, text string
		want       request
	}{
		{"absolute form", "GET http://b.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", request{"/x?y", "b.example", ""}},
		{"options", "OPTIONS * HTTP/1.1\r\nHost: A.example\r\n\r\n", request{"*", "a.example:" + port, ""}},
		{"30 addresses", "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: " + strings.Repeat("192.0.2.1, ", 29) + "192.0.2.1\r\n\r\n",
			request{"/", "a.example:" + port, ""}},
	} {
		res, _ := w.raw("POST", tt.text)
		if res.StatusCode != 200 {
			t.Errorf("%s: %s", tt.name, res.Status)
			continue
		}
		select {
		case got := <-seen:
			if got != tt.want {
				t.Errorf("%s: the target got %+v, want %+v", tt.name, got, tt.want)
			}
		case <-time.After(webWait):
			t.Errorf("%s: nothing reached the target", tt.name)
		}
	}
}
