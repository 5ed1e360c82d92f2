package http2

import (
	"strconv"

	"github.com/postern-lb/postern/internal/engine"
)

// The encoder has no state: it writes literals that enter no table. That costs some
// bytes on the wire and saves a table for each connection, the look-ups in it, and
// the lock that would keep the order of header blocks that of the frames. There is
// nothing that SETTINGS_HEADER_TABLE_SIZE could change while a response is being
// written, which is where net/http's server had GO-2026-6617.

const (
	staticStatus200     = 8
	staticStatus        = 8 // any index whose name is :status
	staticContentLength = 28
	staticDate          = 33
	neverIndexed        = 0x10
)

// statusIndex finds the statuses that are in the static table whole. It never changes.
var statusIndex = map[int]byte{200: staticStatus200, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}

// encodedNames maps names as http.Header has them to the beginning of a literal. It
// never changes.
var encodedNames = makeEncodedNames(
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age", "Alt-Svc", "Content-Security-Policy",
	"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Grpc-Accept-Encoding", "Grpc-Encoding", "Grpc-Message",
	"Grpc-Status", "Grpc-Status-Details-Bin", "Permissions-Policy", "Referrer-Policy", "Server-Timing", "Traceparent",
	"Trailer", "X-Content-Type-Options", "X-Frame-Options", "X-Powered-By", "X-Request-Id", "X-Xss-Protection",
)

func makeEncodedNames(more ...string) map[string]string {
	m := make(map[string]string, staticTableLen+len(more))
	for i := len(staticTable) - 1; i >= 0; i-- { // the first index of a name is left
		n := staticTable[i].name
		b := appendInteger(nil, 4, i+1)
		if n.lower == "set-cookie" || n.lower == "authorization" {
			b[0] |= neverIndexed
		}
		m[n.canonical] = string(b)
	}
	for _, canonical := range more {
		m[canonical] = string(appendNewName(nil, canonical))
	}
	return m
}

// appendInteger appends an integer whose first byte has prefix bits for it and is
// zero above (RFC 7541, section 5.1).
func appendInteger(b []byte, prefix, n int) []byte {
	full := 1<<prefix - 1
	if n < full {
		return append(b, byte(n))
	}
	b = append(b, byte(full))
	for n -= full; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// appendNewName appends the beginning of a literal with the name spelt out.
func appendNewName(b []byte, canonical string) []byte {
	b = appendInteger(append(b, 0), 7, len(canonical))
	for i := range len(canonical) {
		c := canonical[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		b = append(b, c)
	}
	return b
}

// appendField appends a field. Control characters in the value become spaces, and
// there are none at its ends.
func appendField(b []byte, name, value string) []byte {
	value = trimValue(value)
	if encoded, ok := encodedNames[name]; ok {
		b = append(b, encoded...)
	} else {
		b = appendNewName(b, name)
	}
	b = appendInteger(b, 7, len(value))
	start := len(b)
	b = append(b, value...)
	for i, c := range b[start:] {
		if !engine.Is(c, engine.Value) {
			b[start+i] = ' '
		}
	}
	return b
}

func trimValue(s string) string {
	blank := func(c byte) bool { return isSpace(c) || !engine.Is(c, engine.Value) }
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// hopByHop reports whether a header belongs to one connection of HTTP/1.1 (RFC 9113,
// section 8.2.2).
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func appendStatus(b []byte, status int) []byte {
	if i, ok := statusIndex[status]; ok {
		return append(b, 0x80|i)
	}
	b = append(b, staticStatus, 3)
	return strconv.AppendInt(b, int64(status), 10)
}

func appendContentLength(b []byte, n int64) []byte {
	var text [20]byte
	digits := strconv.AppendInt(text[:0], n, 10)
	b = appendInteger(b, 4, staticContentLength)
	return append(append(b, byte(len(digits))), digits...)
}

func appendDate(b []byte, date string) []byte {
	b = appendInteger(b, 4, staticDate)
	return append(append(b, byte(len(date))), date...)
}
