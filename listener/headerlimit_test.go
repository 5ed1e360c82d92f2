package listener

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// plainRequest is a request as read from a client, before anything is checked.
func plainRequest(change func(r *http.Request)) *http.Request {
	r := &http.Request{
		Method: "GET", Host: "example.com", RequestURI: "/", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Accept": {"*/*"}},
	}
	change(r)
	return r
}

func TestRefuseStatus(t *testing.T) {
	forwarded := func(n int) []string { return []string{strings.Repeat("192.0.2.1, ", n-1) + "192.0.2.2"} }
	for _, tt := range []struct {
		name   string
		change func(r *http.Request)
		want   int
	}{
		{"ordinary", func(r *http.Request) {}, 0},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 0},
		{"HTTP/3", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 3, 0 }, 505},
		{"HTTP/1.2", func(r *http.Request) { r.ProtoMinor = 2 }, 505},
		{"TRACE", func(r *http.Request) { r.Method = "TRACE" }, 405},
		{"CONNECT", func(r *http.Request) { r.Method, r.RequestURI = "CONNECT", "a.com:443" }, 405},
		{"custom method", func(r *http.Request) { r.Method = "PURGE" }, 0},
		{"no method", func(r *http.Request) { r.Method = "" }, 400},
		{"request line at its limit", func(r *http.Request) {
			r.RequestURI = "/" + strings.Repeat("a", MaxRequestLine-len("GET / HTTP/1.1\r\n"))
		}, 0},
		{"request line too long", func(r *http.Request) {
			r.RequestURI = "//" + strings.Repeat("a", MaxRequestLine-len("GET / HTTP/1.1\r\n"))
		}, 414},
		{"header at its limit", func(r *http.Request) {
			r.Header["A"] = []string{strings.Repeat("a", MaxRequestHeader-1-len("A: \r\n"))}
		}, 0},
		{"header too long", func(r *http.Request) {
			r.Header["A"] = []string{strings.Repeat("a", MaxRequestHeader-len("A: \r\n"))}
		}, 400},
		{"headers at their limit", func(r *http.Request) { fillHeaders(r, MaxRequestHeaders) }, 0},
		{"headers too long", func(r *http.Request) { fillHeaders(r, MaxRequestHeaders+1) }, 400},
		{"long Host", func(r *http.Request) { r.Host = strings.Repeat("a", MaxRequestHeader) }, 400},
		{"no Host", func(r *http.Request) { r.Host = "" }, 400},
		{"no Host in HTTP/1.0", func(r *http.Request) { r.Host, r.ProtoMinor = "", 0 }, 0},
		{"Host with port", func(r *http.Request) { r.Host = "[::1]:80" }, 0},
		{"Host with bad port", func(r *http.Request) { r.Host = "a.com:8o" }, 400},
		{"Host with user", func(r *http.Request) { r.Host = "a@b.com" }, 400},
		{"Host with control", func(r *http.Request) { r.Host = "a\x00.com" }, 400},
		{"chunked", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 0},
		{"identity", func(r *http.Request) { r.Header["Transfer-Encoding"] = []string{"Identity"} }, 0},
		{"gzip", func(r *http.Request) { r.Header["Transfer-Encoding"] = []string{"gzip"} }, 501},
		{"two encodings", func(r *http.Request) { r.Header["Transfer-Encoding"] = []string{"chunked", "identity"} }, 400},
		{"encoding and length", func(r *http.Request) {
			r.TransferEncoding = []string{"chunked"}
			r.Header["Content-Length"] = []string{"1"}
		}, 400},
		{"HTTP/2 with Connection", func(r *http.Request) { r.ProtoMajor = 2; r.Header["Connection"] = []string{"x"} }, 400},
		{"HTTP/2 with TE", func(r *http.Request) { r.ProtoMajor = 2; r.Header["Te"] = []string{"gzip"} }, 400},
		{"HTTP/2 with TE trailers", func(r *http.Request) { r.ProtoMajor = 2; r.Header["Te"] = []string{"trailers"} }, 0},
		{"OPTIONS *", func(r *http.Request) { r.Method, r.RequestURI = "OPTIONS", "*" }, 0},
		{"GET *", func(r *http.Request) { r.RequestURI = "*" }, 400},
		{"absolute form", func(r *http.Request) { r.RequestURI = "HTTP://a.com/b" }, 0},
		{"other scheme", func(r *http.Request) { r.RequestURI = "ftp://a.com/b" }, 400},
		{"relative", func(r *http.Request) { r.RequestURI = "a/b" }, 400},
		{"control in target", func(r *http.Request) { r.RequestURI = "/a\x01" }, 400},
		{"space in target", func(r *http.Request) { r.RequestURI = "/a b" }, 400},
		{"inside the root", func(r *http.Request) { r.RequestURI = "/a/../b" }, 0},
		{"above the root", func(r *http.Request) { r.RequestURI = "/a/../../b" }, 400},
		{"above the root, encoded", func(r *http.Request) { r.RequestURI = "/%2e%2E/b" }, 400},
		{"dots in the query", func(r *http.Request) { r.RequestURI = "/?/../../" }, 0},
		{"30 addresses", func(r *http.Request) { r.Header["X-Forwarded-For"] = forwarded(MaxForwardedFor) }, 0},
		{"31 addresses", func(r *http.Request) { r.Header["X-Forwarded-For"] = forwarded(MaxForwardedFor + 1) }, 463},
		{"31 addresses in two headers", func(r *http.Request) {
			r.Header["X-Forwarded-For"] = append(forwarded(MaxForwardedFor), "192.0.2.3")
		}, 463},
		{"empty places", func(r *http.Request) { r.Header["X-Forwarded-For"] = []string{strings.Repeat(", ", 40)} }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := RefuseStatus(plainRequest(tt.change)); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	if got := RefuseStatus(&http.Request{}); got != 505 {
		t.Errorf("the zero request gets %d", got)
	}
}

// fillHeaders makes the headers of r, Host included, total bytes long.
func fillHeaders(r *http.Request, total int) {
	total -= headerLineBytes("Host", r.Host) + headerBytes(r.Header)
	const each = 8 << 10
	for ; total > each; total -= each {
		r.Header.Add("A", strings.Repeat("a", each-len("A: \r\n")))
	}
	r.Header.Add("A", strings.Repeat("a", total-len("A: \r\n")))
}

func TestForwardedFor(t *testing.T) {
	for _, tt := range []struct {
		cfg    HeaderConfig
		client string
		sent   []string
		want   string
	}{
		{HeaderConfig{}, "192.0.2.7:8080", nil, "192.0.2.7"},
		{HeaderConfig{}, "192.0.2.7:8080", []string{"10.0.0.1"}, "10.0.0.1, 192.0.2.7"},
		{HeaderConfig{}, "192.0.2.7:8080", []string{"10.0.0.1, 10.0.0.2", "", " 10.0.0.3 "}, "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7"},
		{HeaderConfig{}, "192.0.2.7:8080", []string{""}, "192.0.2.7"},
		{HeaderConfig{}, "[2001:db8::1]:8080", nil, "2001:db8::1"},
		{HeaderConfig{}, "[::ffff:192.0.2.7]:8080", nil, "192.0.2.7"},
		{HeaderConfig{}, "[fe80::1%eth0]:8080", nil, "fe80::1"},
		{HeaderConfig{ForwardedClientPort: true}, "192.0.2.7:8080", []string{"10.0.0.1:1"}, "10.0.0.1:1, 192.0.2.7:8080"},
		{HeaderConfig{ForwardedClientPort: true}, "[2001:db8::1]:8080", nil, "[2001:db8::1]:8080"},
		{HeaderConfig{ForwardedFor: ForwardedPreserve, ForwardedClientPort: true}, "192.0.2.7:8080", []string{"10.0.0.1"}, "10.0.0.1"},
		{HeaderConfig{ForwardedFor: ForwardedPreserve}, "192.0.2.7:8080", nil, ""},
		{HeaderConfig{ForwardedFor: ForwardedRemove}, "192.0.2.7:8080", []string{"10.0.0.1"}, ""},
		{HeaderConfig{}, "", []string{"10.0.0.1"}, ""},
	} {
		var client netip.AddrPort
		if tt.client != "" {
			client = netip.MustParseAddrPort(tt.client)
		}
		h := http.Header{}
		if tt.sent != nil {
			h["X-Forwarded-For"] = tt.sent
		}
		p := mustHeaderPolicy(t, tt.cfg)
		p.Sanitize(h)
		p.Connection(ConnectionInfo{Client: client}).Set(h)
		if got := strings.Join(h["X-Forwarded-For"], "|"); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt, got, tt.want)
		}
	}
}

func TestSetTraceID(t *testing.T) {
	now := time.Unix(0x63441c4a, 0)
	random := [12]byte{0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0x12, 0x34, 0x56, 0x78}
	const id = "1-63441c4a-abcdef012345678912345678"
	for _, tt := range []struct{ sent, want string }{
		{"", "Root=" + id},
		{"Root=1-67891233-a", "Self=" + id + ";Root=1-67891233-a"},
		{"Root=1-67891233-a;CalledFrom=app", "Self=" + id + ";Root=1-67891233-a;CalledFrom=app"},
		{"Self=old;Root=r;CalledFrom=app", "Self=" + id + ";Root=r;CalledFrom=app"},
		{"Root=r; Self=old;Self=older", "Root=r;Self=" + id},
		{"CalledFrom=app", "Root=" + id + ";CalledFrom=app"},
		{";;", "Root=" + id},
		{strings.Repeat("a", MaxTracedHeaders), "Root=" + id},
	} {
		h := http.Header{}
		if tt.sent != "" {
			h["X-Amzn-Trace-Id"] = []string{tt.sent, "second"}
		}
		if got := SetTraceID(h, now, random); got != tt.want || strings.Join(h["X-Amzn-Trace-Id"], "|") != tt.want {
			t.Errorf("%.40q: %q, header %q, want %q", tt.sent, got, h["X-Amzn-Trace-Id"], tt.want)
		}
	}
	if got := SetTraceID(http.Header{}, time.Unix(1, 0), random); !strings.HasPrefix(got, "Root=1-00000001-") {
		t.Errorf("early time: %q", got)
	}
}

func TestTargetHost(t *testing.T) {
	for _, tt := range []struct {
		choice HostChoice
		want   string
	}{
		{HostChoice{Header: "Example.com", Port: 443}, "example.com"},
		{HostChoice{Header: "example.com:80", Port: 80}, "example.com"},
		{HostChoice{Header: "example.com:9999", Port: 443}, "example.com"},
		{HostChoice{Header: "example.com", Port: 8080}, "example.com:8080"},
		{HostChoice{Header: "example.com:8080", Port: 8080}, "example.com:8080"},
		{HostChoice{Header: "[::1]:8080", Port: 8080}, "[::1]:8080"},
		{HostChoice{Header: "example.com", Authority: "dns_name", Port: 8080}, "dns_name"},
		{HostChoice{Header: "Example.com:80", Port: 8080, Preserve: true}, "Example.com:80"},
		{HostChoice{Header: "example.com", Authority: "dns_name", Port: 443, Preserve: true}, "example.com"},
		{HostChoice{Fallback: "lb.local", Port: 443, Preserve: true}, "lb.local"},
		{HostChoice{Fallback: "lb.local", Port: 8080}, "lb.local:8080"},
		{HostChoice{Port: 8080}, ""},
	} {
		if got := TargetHost(tt.choice); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.choice, got, tt.want)
		}
	}
}
