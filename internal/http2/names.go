package http2

import (
	"net/http"
	"strings"

	"github.com/postern-lb/postern/internal/engine"
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
		if engine.ClassOf(s[i])&(engine.Token|engine.Upper) != engine.Token {
			return false
		}
	}
	return s != ""
}

// validValue holds field values to RFC 9113, section 8.2.1, and to having no control
// character but the tab (RFC 9110, section 5.5).
func validValue[T string | []byte](v T) bool {
	return engine.All(v, engine.Value) && (len(v) == 0 || !isSpace(v[0]) && !isSpace(v[len(v)-1]))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
