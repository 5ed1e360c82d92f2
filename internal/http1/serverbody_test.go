package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestUnreadBodies leaves bodies to the server: the next request must be the next
// request.
func TestUnreadBodies(t *testing.T) {
	next := "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		drain         int64
		served        int
	}{
		{"small", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 0, 2},
		{"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0, 2},
		{"at the limit", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 5, 2},
		{"over the limit", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 4, 1},
		{"chunks over the limit", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 4, 1},
		{"never", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", -1, 1},
		{"malformed chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", 0, 1},
		{"permission never given", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 33\r\n\r\n", 0, 1},
	} {
		served := 0
		s := handler(func(http.ResponseWriter, *http.Request) { served++ })
		s.Limits.Drain = tt.drain
		out := converse(s, &scriptConn{in: []byte(tt.request + next)})
		if served != tt.served {
			t.Errorf("%s: %d requests served, want %d: %q", tt.name, served, tt.served, out)
		}
	}
}

// TestAnswerDoesNotWaitForABody has a client that sends its body only after the
// answer: it gets one at once, with the word that it is the last.
func TestAnswerDoesNotWaitForABody(t *testing.T) {
	nc := dialServer(t, handler(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }))
	began := time.Now()
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
	out, err := io.ReadAll(nc)
	if took := time.Since(began); !strings.Contains(string(out), "Connection: close\r\n") || err != nil || took > time.Second {
		t.Errorf("got %q %v after %v", out, err, took)
	}
}

// badChunks break the coding; what was good before them may be read.
var badChunks = []struct {
	name, body string
	reason     Reason // empty for a body that breaks off
}{
	{"bare LF after the size (CVE-2025-22871)", "5\nhello\r\n0\r\n\r\n", BareLF},
	{"bare LF in the extension", "5;a\nhello\r\n0\r\n\r\n", BareLF},
	{"bare LF after the data", "5\r\nhello\n0\r\n\r\n", BadChunk},
	{"bare LF at the end", "0\r\n\n", BareLF},
	{"bare CR in the extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"space after the size", "5 \r\nhello\r\n0\r\n\r\n", BadChunk},
	{"space before the size", " 5\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"sign", "+5\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"0x", "0x5\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"no size", "\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"16 digits", "0000000000000005\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"more data than the size", "4\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"long extension", "5;" + strings.Repeat("a", 256) + "\r\nhello\r\n0\r\n\r\n", BadChunk},
	{"endless size line", strings.Repeat("0", 10_000), BadChunk},
	{"many extensions", strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 100) + "0\r\n\r\n", ChunkTooCostly},
	{"trailer that frames", "0\r\nContent-Length: 5\r\n\r\n", BadTrailer},
	{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", BadTrailer},
	{"trailer without a colon", "0\r\nabc\r\n\r\n", BadTrailer},
	{"long trailers", "0\r\nA: " + strings.Repeat("a", 9000) + "\r\n\r\n", BadTrailer},
	{"many trailers", "0\r\n" + strings.Repeat("A:\r\n", 501) + "\r\n", BadTrailer},
	{"breaks off in the data", "5\r\nhel", ""},
	{"breaks off after the data", "5\r\nhello", ""},
	{"breaks off before the end", "5\r\nhello\r\n0\r\n", ""},
	{"breaks off in the size", "5", ""},
}

func TestBadChunks(t *testing.T) {
	for _, tt := range badChunks {
		for _, piece := range []int{0, 1} {
			var err error
			served := 0
			s := handler(func(w http.ResponseWriter, r *http.Request) { _, err = io.ReadAll(r.Body); served++ })
			next := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
			if tt.reason == "" {
				next = ""
			}
			converse(s, &scriptConn{in: []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + tt.body + next), piece: piece})
			broken, _ := errors.AsType[*Error](err)
			switch {
			case served != 1:
				t.Errorf("%s: %d requests served", tt.name, served)
			case tt.reason == "" && err != io.ErrUnexpectedEOF:
				t.Errorf("%s: error %v, want unexpected EOF", tt.name, err)
			case tt.reason != "" && (broken == nil || broken.Reason != tt.reason):
				t.Errorf("%s: error %v, want %s", tt.name, err, tt.reason)
			}
		}
	}
}

func TestPermissionToSend(t *testing.T) {
	const request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
	nc := dialServer(t, handler(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(100) // of no effect by now
		w.Write(body)
	}))
	io.WriteString(nc, request)
	line, _ := bufio.NewReaderSize(io.LimitReader(nc, 25), 16).ReadString('\n')
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, want 100", line)
	}
	io.WriteString(nc, "data")
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || res.StatusCode != 200 || res.Close {
		t.Errorf("then got %+v %v, want 200", res, err)
	}
}

// TestReadFrom copies bodies into answers of every kind and expects what net/http sends.
func TestReadFrom(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"empty with 204": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204); copyOK(t, w, "", nil) },
		"text with 204": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(204)
			copyOK(t, w, "x", http.ErrBodyNotAllowed)
		},
		"too long": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "3")
			copyOK(t, w, "long", http.ErrContentLength)
		},
		"small": func(w http.ResponseWriter, r *http.Request) { copyOK(t, w, "small", nil) },
		"large": func(w http.ResponseWriter, r *http.Request) { copyOK(t, w, strings.Repeat("large", 20000), nil) },
		"large and exact": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			copyOK(t, w, strings.Repeat("large", 20000), nil)
		},
		"after a write": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "a")
			copyOK(t, w, strings.Repeat("b", 40000), nil)
		},
		"with a long head": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("l", 30000))
			copyOK(t, w, strings.Repeat("c", 40000), nil)
		},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			s := &Server{Handler: h, Recycle: true}
			out := converse(s, &scriptConn{in: []byte(method + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")})
			got, want := readResponse(t, method, out), readResponse(t, method, netHTTP(t, h, method+" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
			if got != want && name != "too long" {
				t.Errorf("%s %s: got %.100q, net/http sends %.100q", method, name, got, want)
			}
		}
	}
}

func copyOK(t *testing.T, w http.ResponseWriter, text string, want error) {
	n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(text)})
	if _, ours := w.(*response); ours && (err != want || want == nil && n != int64(len(text))) {
		t.Errorf("copying %d bytes: %d, %v; want %v", len(text), n, err, want)
	}
}

// readResponse returns the status and the body of one response.
func readResponse(t *testing.T, method, stream string) string {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(stream)), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(body), " ", err)
}
