package listener

import (
	"net/http"
	"strings"
)

// Sizes of a request in bytes (ALB, "Quotas for your Application Load
// Balancers"). A single header is refused from its limit on, as was seen of ALB;
// the others are refused above theirs.
const (
	MaxRequestLine    = 16 << 10
	MaxRequestHeader  = 16 << 10
	MaxRequestHeaders = 64 << 10
)

// CheckLimits reports whether the request line and the headers of r, as HTTP/1.1
// would send them, are within ALB's limits. If not, status is what to answer:
// 414 for the request line, 400 for the headers.
func CheckLimits(r *http.Request) (status int, ok bool) {
	line := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n")
	if line > MaxRequestLine {
		return http.StatusRequestURITooLong, false
	}
	total := headerLineBytes("Host", r.Host)
	if total >= MaxRequestHeader {
		return http.StatusBadRequest, false
	}
	for name, values := range r.Header {
		for _, value := range values {
			size := headerLineBytes(name, value)
			total += size
			if size >= MaxRequestHeader || total > MaxRequestHeaders {
				return http.StatusBadRequest, false
			}
		}
	}
	return 0, true
}

// RefuseStatus returns the status with which ALB answers r before any rule is
// looked at, or 0 if r may go on. R is as the client sent it, not sanitised yet.
//
//   - 505: a version other than HTTP/1.0, HTTP/1.1 and HTTP/2
//   - 414, 400: see [CheckLimits]
//   - 405: TRACE, and CONNECT, which is for forward proxies
//   - 501: a Transfer-Encoding other than chunked and identity
//   - 400: Transfer-Encoding together with Content-Length; headers that HTTP/2
//     forbids (RFC 9113, 8.2.2); a Host that is no host name or address (see
//     [NormalizeHost]), or none in HTTP/1.1; a target that is no path or, in
//     HTTP/1, http URL, holds a fragment or control characters, or whose path
//     climbs above the root (see [PathClimbs])
//   - 463: more than MaxForwardedFor addresses in X-Forwarded-For
func RefuseStatus(r *http.Request) int {
	if r.ProtoMajor != 2 && (r.ProtoMajor != 1 || r.ProtoMinor > 1) {
		return http.StatusHTTPVersionNotSupported
	}
	if status, ok := CheckLimits(r); !ok {
		return status
	}
	switch {
	case r.Method == http.MethodTrace || r.Method == http.MethodConnect:
		return http.StatusMethodNotAllowed
	case !isToken(r.Method) || !hostAllowed(r) || !targetAllowed(r):
		return http.StatusBadRequest
	}
	if status := refuseFraming(r); status != 0 {
		return status
	}
	if countForwarded(r.Header) > MaxForwardedFor {
		return StatusTooManyForwarded
	}
	return 0
}

// hostAllowed checks the Host header. Only HTTP/1.0 may do without. What the
// normaliser refuses would belong to no rule and to no listener, and a target
// might all the same take it for a host that does.
func hostAllowed(r *http.Request) bool {
	if r.Host == "" {
		return r.ProtoMajor == 1 && r.ProtoMinor == 0
	}
	name := withoutPort(r.Host)
	if !validHostName(name) {
		return false
	}
	_, err := NormalizeHost(r.Host)
	return err == nil
}

// targetAllowed checks the form and the characters of the request target. A
// fragment is no part of one (RFC 9112, 3.2), and rules would not see what stands
// in it. In HTTP/2 a target is a path (RFC 9113, 8.3.1): a host in it would be
// another than :authority, which all checks go by.
func targetAllowed(r *http.Request) bool {
	target := r.RequestURI
	if target == "*" {
		return r.Method == http.MethodOptions
	}
	if !visible(target) || strings.ContainsAny(target, " #") {
		return false
	}
	if target != "" && target[0] != '/' && (r.ProtoMajor != 1 || !hasHTTPScheme(target)) {
		return false
	}
	path, _ := requestTarget(r)
	return !PathClimbs(path)
}

// hasHTTPScheme reports whether a target is in absolute form, for HTTP.
func hasHTTPScheme(target string) bool {
	scheme, _, ok := strings.Cut(target, "://")
	return ok && (equalFoldASCII(scheme, "http") || equalFoldASCII(scheme, "https"))
}

// refuseFraming checks the headers that say where the message ends. Servers move
// most of them to fields of the request; both places are looked at.
func refuseFraming(r *http.Request) int {
	encodings := r.Header["Transfer-Encoding"]
	for _, list := range [2][]string{r.TransferEncoding, encodings} {
		for _, encoding := range list {
			if !equalFoldASCII(encoding, "chunked") && !equalFoldASCII(encoding, "identity") {
				return http.StatusNotImplemented
			}
		}
	}
	_, hasLength := r.Header["Content-Length"]
	if hasLength && len(encodings)+len(r.TransferEncoding) > 0 || len(encodings) > 1 {
		return http.StatusBadRequest
	}
	if r.ProtoMajor == 2 && hasConnectionHeader(r.Header) {
		return http.StatusBadRequest
	}
	return 0
}

// hasConnectionHeader looks for headers that make an HTTP/2 request malformed.
func hasConnectionHeader(h http.Header) bool {
	for _, name := range [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
		if _, ok := h[name]; ok {
			return true
		}
	}
	te := h["Te"]
	return len(te) > 1 || len(te) == 1 && te[0] != "trailers"
}
