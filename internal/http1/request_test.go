package http1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// badRequests are what attackers send (request smuggling, Go CVE-2025-22871 and
// CVE-2022-1705, nginx 1.31.0) and what RFC 9112 has a server refuse.
var badRequests = []struct {
	name, head string
	status     int
	reason     Reason
}{
	{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, BareLF},
	{"bare LF after a header", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, BareLF},
	{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, BareLF},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", 400, BadFieldValue},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, BadFieldValue},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: abcdefgh\x7fb\r\n\r\n", 400, BadFieldValue},
	{"folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, FoldedField},
	{"space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, FoldedField},
	{"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, BadFieldName},
	{"tab before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", 400, BadFieldName},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, BadFieldName},
	{"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, BadFieldName},
	{"name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", 400, BadFieldName},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", 400, BadHost},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400, BadHost},
	{"Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, BadHost},
	{"Host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, BadHost},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400, BadLength},
	{"two lengths in one", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400, BadLength},
	{"length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400, BadLength},
	{"negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", 400, BadLength},
	{"length in hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", 400, BadLength},
	{"empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, BadLength},
	{"length beyond 63 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", 400, BadLength},
	{"length of 20 digits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00000000000000000001\r\n\r\nx", 400, BadLength},
	{"length and chunks", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, LengthAndChunked},
	{"chunks and length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, LengthAndChunked},
	{"length and an unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n", 400, LengthAndChunked},
	{"unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501, BadEncoding},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501, BadEncoding},
	{"gzip and chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, BadEncoding},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501, BadEncoding},
	{"chunked, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501, BadEncoding},
	{"vertical tab and chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", 400, BadFieldValue},
	{"chunked in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 501, BadEncoding},
	{"empty coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 501, BadEncoding},
	{"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, EncodingIn10},
	{"trailer that frames", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", 400, BadTrailer},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadTarget},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadTarget},
	{"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"control character in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadTarget},
	{"target beyond ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadTarget},
	{"target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadTarget},
	{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadTarget},
	{"no version", "GET /\r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"empty method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, BadRequestLine},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, BadVersion},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, BadVersion},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, BadVersion},
	{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400, BadRequestLine},
	{"unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx", 417, BadExpectation},
	{"request line over 16 K", "GET /" + strings.Repeat("a", 16<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, LineTooLong},
	{"request line without end", strings.Repeat("a", 17<<10), 414, LineTooLong},
	{"header of 16 K", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 16<<10-len("X: \r\n")) + "\r\n\r\n", 400, FieldTooLong},
	{"header without end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 17<<10), 400, FieldTooLong},
	{"headers over 64 K", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("a", 8<<10)+"\r\n", 8) + "\r\n", 400, HeadTooLong},
	{"501 header lines", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: a\r\n", 500) + "\r\n", 400, TooManyFields},
}

func TestBadRequestsAreRefused(t *testing.T) {
	for _, tt := range badRequests {
		t.Run(tt.name, func(t *testing.T) {
			s := handler(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			var got *Refusal
			s.Refuse = func(_ context.Context, w io.Writer, r *Refusal) {
				got = r
				fmt.Fprintf(w, "HTTP/1.1 %d x\r\nConnection: close\r\n\r\n", r.Err.Status)
			}
			c := &scriptConn{in: []byte(tt.head + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")}
			out := converse(s, c)
			if got == nil || got.Err.Reason != tt.reason || got.Err.Status != tt.status {
				t.Fatalf("refused with %+v, want %d %s", got, tt.status, tt.reason)
			}
			if !strings.HasPrefix(out, fmt.Sprintf("HTTP/1.1 %d", tt.status)) || !c.closed {
				t.Errorf("answered %q, closed %v", out, c.closed)
			}
		})
	}
}

// goodRequests are taken, and understood as net/http understands them.
var goodRequests = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a/b;c=d?e=f&g HTTP/1.1\r\nhost: a.example:8443\r\naccept: */*\r\nUser-Agent: x\r\nX-FOO-bar: 1\r\nx-foo-bar: 2\r\n\r\n",
	"GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a%2Fb/%20c!*'() HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"GET //double//slash HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a?b?c#d HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://b.example/c?d HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n",
	"GET / HTTP/1.1\r\nHost:\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\nSpaces:  \t b c \t \r\nLatin: caf\xe9 and more text\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndata",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\ndata\r\nA;ext=\"v\"\r\n0123456789\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-More\r\n\r\n04\r\ndata\r\n000\r\nX-Sum: 42\r\nX-Late: 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: a\r\n", 499) + "\r\n",
	"GET /" + strings.Repeat("a", 16<<10-len("GET / HTTP/1.1\r\n")) + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 16<<10-len("X: \r\n")-1) + "\r\n\r\n",
	"GET / HTTP/1.1\r\n" + strings.Repeat("X: "+strings.Repeat("a", 8<<10-5)+"\r\n", 7) + "Host: a\r\n\r\n",
}

// A view is what a handler can see of a request.
type view struct {
	Method, RequestURI, Proto, Host, Body string
	URL                                   url.URL
	Header, Trailer                       http.Header
	TransferEncoding                      []string
	ContentLength                         int64
	Close                                 bool
	BodyError                             bool
}

func viewOf(r *http.Request) view {
	body, err := io.ReadAll(r.Body)
	v := view{
		Method: r.Method, RequestURI: r.RequestURI, Proto: r.Proto, Host: r.Host, Body: string(body), URL: *r.URL,
		Header: r.Header, Trailer: r.Trailer, TransferEncoding: r.TransferEncoding,
		ContentLength: r.ContentLength, Close: r.Close, BodyError: err != nil,
	}
	if len(v.Trailer) == 0 {
		v.Trailer = nil
	}
	return v
}

// viewsOf returns what handlers see of the requests in c.
func viewsOf(c *scriptConn) (views []view) {
	converse(handler(func(w http.ResponseWriter, r *http.Request) { views = append(views, viewOf(r)) }), c)
	return views
}

func reference(t testing.TB, text string) view {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.TrimPrefix(text, "\r\n"))))
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", text, err)
	}
	return viewOf(r)
}

func TestGoodRequestsAreUnderstoodAsByNetHTTP(t *testing.T) {
	for _, text := range goodRequests {
		want := reference(t, text)
		got := viewsOf(&scriptConn{in: []byte(text)})
		if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%.200q:\ngot  %.500q\nwant %.500q", text, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
		}
	}
}

// TestEverySplit has the bytes of two pipelined requests come one by one, and cut in two at every
// place.
func TestEverySplit(t *testing.T) {
	for _, text := range goodRequests {
		want := reference(t, text)
		double := text + text
		views := 2
		if want.Close || want.Method == "CONNECT" {
			views = 1
		}
		check := func(c *scriptConn, how string) {
			got := viewsOf(c)
			if want.Method == "CONNECT" && len(got) > 1 {
				got = got[:1]
			}
			if len(got) != views {
				t.Fatalf("%.200q %s: %d requests, want %d", text, how, len(got), views)
			}
			for _, v := range got {
				if !reflect.DeepEqual(v, want) {
					t.Fatalf("%.200q %s: got %+v", text, how, v)
				}
			}
		}
		check(&scriptConn{in: []byte(double), piece: 1}, "bytewise")
		for cut := 1; cut < min(len(double), 600); cut++ {
			check(&scriptConn{in: []byte(double), cut: cut}, fmt.Sprint("cut at ", cut))
		}
	}
}

// FuzzRequest asserts that whatever is taken, net/http takes too and understands
// alike, the rest of the stream included.
func FuzzRequest(f *testing.F) {
	for _, text := range goodRequests {
		f.Add([]byte(text))
	}
	for _, tt := range badRequests {
		f.Add([]byte(tt.head))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		views := viewsOf(&scriptConn{in: data})
		small := viewsOf(&scriptConn{in: data, piece: 3})
		if !reflect.DeepEqual(views, small) {
			t.Fatalf("%q: %+v whole, %+v in pieces", data, views, small)
		}
		r := bufio.NewReaderSize(strings.NewReader(string(data)), 64<<10) // it takes no trailers longer than its buffer
		for _, v := range views {
			if next, _ := r.Peek(2); string(next) == "\r\n" {
				r.Discard(2)
			}
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Fatalf("%q: net/http refuses what gave %+v: %v", data, v, err)
			}
			delete(req.Header, "Cache-Control") // net/http derives it from Pragma
			delete(v.Header, "Cache-Control")
			if want := viewOf(req); !v.BodyError && !reflect.DeepEqual(v, want) {
				t.Fatalf("%q:\ngot  %+v\nwant %+v", data, v, want)
			}
		}
	})
}

func TestRawHead(t *testing.T) {
	const head = "GET /a HTTP/1.1\r\nhOsT:  a \r\nX-Y: 1\r\n\r\n"
	var got string
	converse(handler(func(w http.ResponseWriter, r *http.Request) { got = RawHead(r) }), &scriptConn{in: []byte(head + "GET")})
	if got != head {
		t.Errorf("got %q, want %q", got, head)
	}
	if s := RawHead(new(http.Request)); s != "" {
		t.Errorf("foreign request: %q", s)
	}
}
