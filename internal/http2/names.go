package http2

import (
	"net/http"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// A kind says what a field means to the server.
type kind uint8

const (
	kindPlain kind = iota
	kindHost
	kindCookie
	kindLength
	kindExpect
	kindTrailer
	kindPriority
	kindTE
	kindHopByHop // forbidden in HTTP/2 (RFC 9113, section 8.2.2)
	kindMalformed

	// From here on: pseudo-header fields (RFC 9113, section 8.3).
	kindMethod
	kindScheme
	kindAuthority
	kindPath
	kindStrange // a pseudo-header field that no request has
)

// A name is the name of a field, looked at once. It never changes and is shared.
type name struct {
	lower     string
	canonical string // as http.Header has it
	kind      kind
}

// newName classifies a name as it was sent.
func newName(lower string) *name {
	n := &name{lower: lower}
	switch lower {
	case "host":
		n.kind = kindHost
	case "cookie":
		n.kind = kindCookie
	case "content-length":
		n.kind = kindLength
	case "expect":
		n.kind = kindExpect
	case "trailer":
		n.kind = kindTrailer
	case "priority":
		n.kind = kindPriority
	case "te":
		n.kind = kindTE
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		n.kind = kindHopByHop
	case ":method":
		n.kind = kindMethod
	case ":scheme":
		n.kind = kindScheme
	case ":authority":
		n.kind = kindAuthority
	case ":path":
		n.kind = kindPath
	default:
		if strings.HasPrefix(lower, ":") {
			n.kind = kindStrange
		} else if !isLowerToken(lower) {
			n.kind = kindMalformed
		}
	}
	if n.kind < kindMalformed {
		n.canonical = http.CanonicalHeaderKey(lower)
	}
	return n
}

// commonNames are the names that cost no allocation. It never changes.
var commonNames = makeCommonNames(
	"access-control-request-headers", "access-control-request-method", "content-security-policy", "dnt", "forwarded",
	"grpc-accept-encoding", "grpc-encoding", "grpc-timeout", "keep-alive", "origin", "pragma", "priority", "proxy-connection",
	"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
	"sec-fetch-user", "te", "traceparent", "tracestate", "trailer", "upgrade", "upgrade-insecure-requests",
	"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
	"x-request-id", "x-requested-with", "connection",
)

func makeCommonNames(more ...string) map[string]*name {
	m := make(map[string]*name, len(more)+len(staticTable))
	for _, e := range staticTable {
		m[e.name.lower] = e.name
	}
	for _, lower := range more {
		m[lower] = newName(lower)
	}
	return m
}

// nameOf returns the name that the bytes spell.
func nameOf(b []byte) *name {
	if n := commonNames[string(b)]; n != nil {
		return n
	}
	return newName(string(b))
}

// An entry is a field in a table of the compression.
type entry struct {
	name  *name
	value string
	valid bool // the value is one that HTTP allows
}

func (e *entry) size() int { return len(e.name.lower) + len(e.value) + fieldOverhead }

// staticTable is RFC 7541, appendix A, as its decoder has it. It never changes.
var staticTable = makeStaticTable()

const staticTableLen = 61

func makeStaticTable() []entry {
	names := make(map[string]*name)
	table := make([]entry, 0, staticTableLen)
	decoder := hpack.NewDecoder(0, func(f hpack.HeaderField) {
		if names[f.Name] == nil {
			names[f.Name] = newName(f.Name)
		}
		table = append(table, entry{names[f.Name], f.Value, true})
	})
	for i := range staticTableLen {
		if _, err := decoder.Write([]byte{0x80 | byte(i+1)}); err != nil {
			panic("http2: internal error: " + err.Error())
		}
	}
	return table
}

// isLowerToken reports whether s is a field name that HTTP/2 allows: a token
// without upper-case letters (RFC 9113, section 8.2.1).
func isLowerToken(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&classLowerToken == 0 {
			return false
		}
	}
	return s != ""
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&(classLowerToken|classUpper) == 0 {
			return false
		}
	}
	return s != ""
}

// validValue holds field values to RFC 9113, section 8.2.1, and to having no control
// character but the tab (RFC 9110, section 5.5).
func validValue[T string | []byte](v T) bool {
	for i := range len(v) {
		if classes[v[i]]&classValue == 0 {
			return false
		}
	}
	return len(v) == 0 || !isSpace(v[0]) && !isSpace(v[len(v)-1])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// A class is a set of kinds that a byte belongs to.
type class uint8

const (
	classLowerToken class = 1 << iota // may stand in a field name
	classUpper
	classValue // may stand in a field value
	classPath  // needs no percent-encoding in a path, and never gets one
	classHost  // may stand in a Host (RFC 3986, section 3.2.2)
	classTarget
)

// classes is computed before main and never changes.
var classes = makeClasses()

func makeClasses() (t [256]class) {
	mark := func(chars string, c class) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	for c := range t {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= classValue
		}
		if c > 0x20 && c < 0x7f {
			t[c] |= classTarget
		}
	}
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mark(lower+digits, classLowerToken|classPath|classHost)
	mark(upper, classUpper|classPath|classHost)
	mark("!#$%&'*+-.^_`|~", classLowerToken)
	mark("-_.~$&+,/:;=@", classPath)
	mark("!$%&'()*+,-.:;=[]_~", classHost)
	return t
}

func all(s string, want class) bool {
	for i := range len(s) {
		if classes[s[i]]&want == 0 {
			return false
		}
	}
	return true
}
