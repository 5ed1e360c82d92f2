package listener

import (
	"net/http"
	"net/netip"
	"strings"
)

// A subject is the parts of one request that rules look at, each read once.
type subject struct {
	method string
	host   string // as NormalizeHost has it
	path   string // normalised
	query  string
	header http.Header
	client netip.Addr // never IPv4-mapped, no zone

	certificates []uint64 // see certificateAnswer

	// ALB's rules see visible characters only. A part with a control
	// character in it, or a host that is none, meets no condition.
	hostVisible, pathVisible, queryVisible bool
}

func newSubject(r *http.Request, client netip.Addr) subject {
	path, query := requestTarget(r)
	s := subject{
		method: r.Method,
		path:   NormalizePath(path),
		query:  query,
		header: r.Header,
		client: client.Unmap().WithZone(""),
	}
	host, err := NormalizeHost(r.Host)
	s.host, s.hostVisible = host, err == nil && isASCII(r.Host)
	s.pathVisible, s.queryVisible = visible(s.path), visible(s.query)
	return s
}

// requestTarget returns the path and the query of r as they were sent. The
// request target is read rather than r.URL, which has lost the difference
// between some encodings. An empty path is "/" (RFC 9110, 4.2.3).
func requestTarget(r *http.Request) (path, query string) {
	target := r.RequestURI
	if target == "" { // not from a client: a test, or an embedding program
		if r.URL == nil {
			return "/", ""
		}
		path, query = r.URL.EscapedPath(), r.URL.RawQuery
		if path == "" {
			path = "/"
		}
		return path, query
	}
	target, _, _ = strings.Cut(target, "#")
	path, query, _ = strings.Cut(target, "?")
	if path != "" && path[0] != '/' {
		path = pathOfAbsolute(path)
	}
	if path == "" {
		path = "/"
	}
	return path, query
}

// pathOfAbsolute returns the path of a target in absolute form, such as
// "http://example.com/a" (RFC 9112, 3.2.2). Other forms are returned as they are.
func pathOfAbsolute(target string) string {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || strings.IndexByte(scheme, '/') >= 0 {
		return target
	}
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		return rest[slash:]
	}
	return ""
}

// withoutPort cuts the port off a Host header. Brackets of an IPv6 address stay. A
// colon with nothing behind it counts as a port.
func withoutPort(host string) string {
	end := 0
	if strings.HasPrefix(host, "[") {
		end = strings.IndexByte(host, ']') + 1
	}
	if colon := strings.IndexByte(host[end:], ':'); colon >= 0 {
		return host[:end+colon]
	}
	return host
}

// lowerASCII is strings.ToLower for ASCII only. The library's would turn the
// Kelvin sign into a k, and so one host into another.
func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] != lowerByte(s[i]) {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				b[j] = lowerByte(b[j])
			}
			return string(b)
		}
	}
	return s
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + ('a' - 'A')
	}
	return b
}

func isAlphanumeric(b byte) bool {
	l := lowerByte(b)
	return 'a' <= l && l <= 'z' || '0' <= b && b <= '9'
}

// visible reports whether s is free of control characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 9110, 5.6.2), as header names are.
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
