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
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// over returns a transport whose every connection is the next of conns.
func over(conns ...*scriptConn) *Transport {
	i := 0
	return &Transport{Dial: func(context.Context, string, string) (net.Conn, error) {
		if i == len(conns) {
			return nil, errors.New("no more connections")
		}
		i++
		return conns[i-1], nil
	}}
}

func ask(tr *Transport, method string) (*http.Response, error) {
	req, _ := http.NewRequest(method, "http://target.example/", nil)
	return tr.RoundTrip(req)
}

func TestBadResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name, response string
		reason         Reason // empty for a connection that ends
	}{
		{"not HTTP", "220 mail.example ESMTP\r\n\r\n", BadStatusLine},
		{"no code", "HTTP/1.1 OK\r\n\r\n", BadStatusLine},
		{"code of two digits", "HTTP/1.1 20 OK\r\n\r\n", BadStatusLine},
		{"code of four digits", "HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine},
		{"code below 100", "HTTP/1.1 099 OK\r\n\r\n", BadStatusLine},
		{"signed code", "HTTP/1.1 +20 OK\r\n\r\n", BadStatusLine},
		{"control character in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n", BadStatusLine},
		{"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", BadVersion},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", BadVersion},
		{"empty line first", "\r\n" + ok + "\r\n", BadStatusLine},
		{"bare LF", "HTTP/1.1 200 OK\n\n", BareLF},
		{"folded", ok + "A: b\r\n c\r\n\r\n", FoldedField},
		{"space before the colon", ok + "Content-Length : 0\r\n\r\n", BadFieldName},
		{"no colon", ok + "no colon\r\n\r\n", BadFieldName},
		{"CR in a value", ok + "A: b\rc\r\n\r\n", BadFieldValue},
		{"two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", BadLength},
		{"negative length", ok + "Content-Length: -1\r\n\r\n", BadLength},
		{"length and chunks", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", LengthAndChunked},
		{"gzip coding", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", BadEncoding},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", EncodingIn10},
		{"headers over 32 K", ok + "A: " + strings.Repeat("a", 32<<10) + "\r\n\r\n", FieldTooLong},
		{"many headers over 32 K", ok + strings.Repeat("A: "+strings.Repeat("a", 1<<10)+"\r\n", 33) + "\r\n", HeadTooLong},
		{"too many headers", ok + strings.Repeat("A:\r\n", 501) + "\r\n", TooManyFields},
		{"switch that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", BadSwitch},
		{"endless 103", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17) + ok + "Content-Length: 0\r\n\r\n", TooManyInterim},
		{"nothing", "", ""},
		{"half a status line", "HTTP/1.1 2", ""},
		{"half the headers", ok + "A: b\r\n", ""},
		{"only 100", "HTTP/1.1 100 Continue\r\n\r\n", ""},
	} {
		for _, piece := range []int{0, 1} {
			c := &scriptConn{in: []byte(tt.response), piece: piece}
			_, err := ask(over(c), "POST")
			broken, _ := errors.AsType[*Error](err)
			if tt.reason == "" && !errors.Is(err, io.ErrUnexpectedEOF) || tt.reason != "" && (broken == nil || broken.Reason != tt.reason) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.reason)
			}
			if !c.closed {
				t.Errorf("%s: the connection was left open", tt.name)
			}
		}
	}
}

var goodResponses = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata",
	"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ndata",
	"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 299 Any reason at all\r\ncontent-type: text/plain\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\ndata\r\n0\r\nX-Sum: 42\r\nX-Late: 1\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\nuntil the end",
	"HTTP/1.0 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndata",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\nEtag: \"a\"\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
}

type responseView struct {
	Status, Proto, Body string
	Code                int
	Header, Trailer     http.Header
	TransferEncoding    []string
	ContentLength       int64
	Close               bool
	Err                 error
}

func responseViewOf(res *http.Response) responseView {
	body, err := io.ReadAll(res.Body)
	v := responseView{
		strings.TrimSpace(res.Status), res.Proto, string(body), res.StatusCode, res.Header, res.Trailer,
		res.TransferEncoding, res.ContentLength, res.Close, err,
	}
	if len(v.Trailer) == 0 {
		v.Trailer = nil
	}
	return v
}

func referenceResponse(t testing.TB, text, method string) responseView {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		if res.StatusCode >= 200 {
			return responseViewOf(res)
		}
	}
}

// TestGoodResponsesAreUnderstoodAsByNetHTTP has each of them whole, bytewise and cut in two at
// every place.
func TestGoodResponsesAreUnderstoodAsByNetHTTP(t *testing.T) {
	for _, text := range goodResponses {
		for _, method := range []string{"GET", "HEAD"} {
			want := referenceResponse(t, text, method)
			want.Header.Del("Connection") // net/http deletes close, and we do not
			check := func(c *scriptConn) {
				res, err := ask(over(c), method)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				got := responseViewOf(res)
				got.Header.Del("Connection")
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%s %q:\ngot  %+v\nwant %+v", method, text, got, want)
				}
			}
			check(&scriptConn{in: []byte(text)})
			check(&scriptConn{in: []byte(text), piece: 1})
			for cut := 1; cut < len(text); cut++ {
				check(&scriptConn{in: []byte(text), cut: cut})
			}
		}
	}
}

func TestBodiesThatBreakOff(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nA: b\r\n",
	} {
		c := &scriptConn{in: []byte(text)}
		res, err := ask(over(c), "GET")
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "half" || err != io.ErrUnexpectedEOF || !c.closed {
			t.Errorf("%q: got %q %v, closed %v", text, body, err, c.closed)
		}
	}
}

// FuzzResponse has a target send anything in answer to one request. What net/http
// refuses is refused, what is taken is understood alike, and what comes after it never
// answers another request.
func FuzzResponse(f *testing.F) {
	for _, text := range goodResponses {
		f.Add([]byte(text))
		f.Add([]byte(text + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
	}
	for _, tt := range badChunks {
		f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + tt.body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tr := over(&scriptConn{in: data}, &scriptConn{in: []byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")})
		res, err := ask(tr, "GET")
		if err == nil {
			got := responseViewOf(res)
			r := bufio.NewReaderSize(bytes.NewReader(data), 64<<10) // it takes no trailers longer than its buffer
			want, err := http.ReadResponse(r, &http.Request{Method: "GET"})
			for err == nil && want.StatusCode < 200 {
				want, err = http.ReadResponse(r, &http.Request{Method: "GET"})
			}
			if err != nil {
				t.Fatalf("%q: net/http refuses what gave %+v: %v", data, got, err)
			}
			if v := responseViewOf(want); got.Err == nil && (v.Body != got.Body || v.Code != got.Code || v.Err != nil) {
				t.Fatalf("%q:\ngot  %+v\nwant %+v", data, got, v)
			}
		}
		// The first connection is at its end, so only the second can answer.
		if tr.pool.hosts == nil {
			return
		}
		res, err = ask(tr, "POST")
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != "good" {
			t.Fatalf("%q: the next request got %q", data, body)
		}
	})
}

func TestRequestBytes(t *testing.T) {
	body := func(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
	for _, tt := range []struct {
		name string
		edit func(*http.Request)
		want string
	}{
		{"plain", func(*http.Request) {}, "GET /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\n\r\n"},
		{"host and headers", func(r *http.Request) {
			r.Host = "front.example:8443"
			r.Header = http.Header{"X-Two": {"1", " 2 "}, "User-Agent": {""}}
		}, "GET /a%20b?c=d HTTP/1.1\r\nHost: front.example:8443\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n"},
		{"post without a body", func(r *http.Request) { r.Method = "POST" },
			"POST /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\nContent-Length: 0\r\n\r\n"},
		{"length", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(body("data")), 4 },
			"GET /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\nContent-Length: 4\r\n\r\ndata"},
		{"chunks", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(body("data")), -1 },
			"GET /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n0\r\n\r\n"},
		{"trailer", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(body("data")), -1
			r.Trailer = http.Header{"X-Sum": {"42"}}
		}, "GET /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\ndata\r\n0\r\nX-Sum: 42\r\n\r\n"},
		{"framing that is not the caller's", func(r *http.Request) {
			r.Header = http.Header{"Content-Length": {"9"}, "Transfer-Encoding": {"chunked"}, "Host": {"evil"}}
		}, "GET /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\n\r\n"},
		{"closing", func(r *http.Request) { r.Close = true },
			"GET /a%20b?c=d HTTP/1.1\r\nHost: target.example\r\nConnection: close\r\n\r\n"},
	} {
		req, _ := http.NewRequest("GET", "http://target.example/a%20b?c=d", nil)
		tt.edit(req)
		c := &scriptConn{in: []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")}
		if _, err := over(c).RoundTrip(req); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		c.mu.Lock()
		if got := c.out.String(); got != tt.want {
			t.Errorf("%s: sent\n%q, want\n%q", tt.name, got, tt.want)
		}
		c.mu.Unlock()
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"line end in a header":     func(r *http.Request) { r.Header.Set("A", "b\r\nC: d") },
		"line end in a name":       func(r *http.Request) { r.Header["A\r\nB"] = []string{"c"} },
		"line end in the query":    func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1\r\nHost: b" },
		"line end in the host":     func(r *http.Request) { r.Host = "a\r\nB: c" },
		"line end in the method":   func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\n" },
		"scheme":                   func(r *http.Request) { r.URL.Scheme = "ftp" },
		"no host":                  func(r *http.Request) { r.URL.Host = "" },
		"body longer than it says": func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("long")), 2 },
		"body shorter":             func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a")), 2 },
		"body that fails":          func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(failing{}), 2 },
	} {
		req, _ := http.NewRequest("POST", "http://"+scripted(t, func(nc net.Conn) { io.Copy(io.Discard, nc) }), nil)
		edit(req)
		tr := newTransport(t)
		if res, err := tr.RoundTrip(req); err == nil {
			t.Errorf("%s: got %+v", name, res)
		}
		if tr.pool.count != 0 {
			t.Errorf("%s: the connection was kept", name)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the client has gone") }

// TestContextEndsTheExchange cancels while nothing comes: before the head, within
// the body, and while the request's body stalls.
func TestContextEndsTheExchange(t *testing.T) {
	cause := errors.New("the reason")
	for _, tt := range []struct {
		name, response string
		body           io.Reader
	}{
		{"before the head", "", nil},
		{"within the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", nil},
		{"while the upload stalls", "", stalling{}},
	} {
		url := "http://" + scripted(t, func(nc net.Conn) {
			io.WriteString(nc, tt.response)
			io.Copy(io.Discard, nc)
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "POST", url, tt.body)
		time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
		began := time.Now()
		res, err := newTransport(t).RoundTrip(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
		}
		if err != cause || time.Since(began) > 2*time.Second {
			t.Errorf("%s: %v after %v", tt.name, err, time.Since(began))
		}
	}
}

// stalling is the body of a client that sends nothing.
type stalling struct{}

func (stalling) Read([]byte) (int, error) { time.Sleep(3 * time.Second); return 0, io.EOF }

// TestAnswerBeforeTheBodyIsSent has a target that does not want the whole upload.
func TestAnswerBeforeTheBodyIsSent(t *testing.T) {
	url := "http://" + scripted(t, func(nc net.Conn) {
		http.ReadRequest(bufio.NewReader(nc))
		io.WriteString(nc, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		time.Sleep(time.Second)
	})
	tr := newTransport(t)
	req, _ := http.NewRequest("POST", url, stalling{})
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); res.StatusCode != 413 || string(body) != "no" || err != nil {
		t.Errorf("got %d %q %v", res.StatusCode, body, err)
	}
	if tr.pool.count != 0 {
		t.Error("a connection with half a request on it was kept")
	}
}

func TestInformationalResponses(t *testing.T) {
	c := &scriptConn{in: []byte("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")}
	var got string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { got = fmt.Sprint(code, h); return nil },
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://target.example/", nil)
	if res, err := over(c).RoundTrip(req); err != nil || res.StatusCode != 200 || got != "103 map[Link:[a]]" {
		t.Errorf("got %q, then %v %v", got, res, err)
	}
}

func TestUpgrade(t *testing.T) {
	url := "http://" + scripted(t, func(nc net.Conn) {
		r := bufio.NewReader(nc)
		http.ReadRequest(r)
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
		io.Copy(nc, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	res, err := newTransport(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // is no concern of an upgraded connection
	conn := res.Body.(io.ReadWriteCloser)
	defer conn.Close()
	io.WriteString(conn, "late")
	got := make([]byte, 9)
	if _, err := io.ReadFull(conn, got); string(got) != "earlylate" || err != nil {
		t.Errorf("got %q %v", got, err)
	}
}

func TestPoolIsBounded(t *testing.T) {
	var open, most atomic.Int32
	gate := make(chan struct{})
	url := "http://" + scripted(t, func(nc net.Conn) {
		open.Add(1)
		defer open.Add(-1)
		r := bufio.NewReader(nc)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			most.Store(max(most.Load(), open.Load()))
			<-gate
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	tr := &Transport{MaxIdlePerHost: 2, IdleTimeout: 100 * time.Millisecond}
	errs := make(chan error, 5)
	for range 5 {
		go func() { _, err := get(t, tr, url); errs <- err }()
	}
	eventually(t, func() bool { return open.Load() == 5 })
	close(gate)
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() bool { return open.Load() <= 2 })
	eventually(t, func() bool { return open.Load() == 0 }) // the idle timeout
}

func TestCloseIdleConnections(t *testing.T) {
	var conns atomic.Int32
	url := "http://" + scripted(t, answering(&conns, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	tr := newTransport(t)
	req, _ := http.NewRequest("GET", url, nil)
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	tr.CloseIdleConnections() // while it is busy
	io.ReadAll(res.Body)
	get(t, tr, url)
	get(t, tr, url)
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}
