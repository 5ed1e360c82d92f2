package http1

import (
	"bytes"
	"math"
	"net/http"

	"github.com/postern-lb/postern/internal/engine"
)

// A scanner finds the end of a head while its bytes come in, and the ends of its
// lines. It looks at every byte once.
type scanner struct {
	limits *Limits
	pos    int   // where to go on
	start  int   // of the line that pos is in
	ends   []int // one for each line that is complete: just behind its CRLF
}

func (s *scanner) reset() { s.pos, s.start, s.ends = 0, 0, s.ends[:0] }

// scan goes on over raw, which begins with the bytes of the calls before. Done
// means that the head is complete and is raw[:s.pos].
func (s *scanner) scan(raw []byte) (done bool, err *Error) {
	for {
		i := bytes.IndexByte(raw[s.pos:], '\n')
		if i < 0 {
			s.pos = len(raw)
			return false, s.checkSize(len(raw), false)
		}
		end := s.pos + i + 1
		if end-s.start < 2 || raw[end-2] != '\r' {
			return false, bad(BareLF, end-1)
		}
		if err := s.checkSize(end, true); err != nil {
			return false, err
		}
		s.pos = end
		if end-s.start == 2 && len(s.ends) > 0 { // an empty start line is left to be refused
			return true, nil
		}
		s.start = end
		s.ends = append(s.ends, end)
	}
}

// checkSize looks at the line that ends at end, or has got so far.
func (s *scanner) checkSize(end int, complete bool) *Error {
	n := end - s.start
	switch {
	case len(s.ends) == 0:
		if n > s.limits.RequestLine {
			return &Error{LineTooLong, http.StatusRequestURITooLong, end}
		}
	case complete && n == 2, n < 2: // the empty line, or what may become it
	case n >= s.limits.Header:
		return bad(FieldTooLong, s.start)
	case end-s.ends[0] > s.limits.Headers:
		return bad(HeadTooLong, s.start)
	case len(s.ends) > s.limits.HeaderCount:
		return bad(TooManyFields, s.start)
	}
	return nil
}

// maxHead is the size of a buffer in which every head within the limits fits.
func (l *Limits) maxHead() int { return l.RequestLine + l.Headers + 4 }

// framing is what the headers of a message say about where it ends and what comes
// after.
type framing struct {
	host      string
	hosts     int
	length    int64 // -1 if there is no Content-Length
	chunked   bool
	close     bool // Connection lists close
	keepAlive bool // Connection lists keep-alive
	upgrade   bool // there is an Upgrade header
	expect    string
	trailer   []string // values of Trailer
	encodings int
}

// A headParser turns lines into headers. Raw and text are the same bytes; text is
// the one copy that all names and values are parts of.
type headParser struct {
	raw    []byte
	text   string
	header http.Header
	values []string // what is left of all
	all    []string // room for one value for each line, in one allocation
	// response keeps Host among the headers.
	response bool
	framing
}

// reset forgets a message of which nobody uses the map and the values any more, and
// keeps the room they take.
func (p *headParser) reset() {
	clear(p.header)
	clear(p.all)
	*p = headParser{header: p.header, all: p.all}
}

// parse reads the header lines; ends are those of the scanner, the start line's
// first.
func (p *headParser) parse(ends []int) *Error {
	p.length = -1
	n := len(ends) - 1
	if p.header == nil { // not left by the message before
		p.header = make(http.Header, n)
	}
	if cap(p.all) < n {
		p.all = make([]string, n)
	}
	p.all = p.all[:n]
	p.values = p.all
	for i := range n {
		if err := p.line(ends[i], ends[i+1]-2); err != nil {
			return err
		}
	}
	return nil
}

// line reads one header line, without its CRLF (RFC 9112, section 5).
func (p *headParser) line(from, to int) *Error {
	raw := p.raw
	n, canonical := nameShape(raw[from:to])
	colon := from + n
	switch {
	case n == 0 && (raw[from] == ' ' || raw[from] == '\t'):
		return bad(FoldedField, from)
	case n == 0 || colon == to || raw[colon] != ':':
		return bad(BadFieldName, colon)
	}
	first, last := trimOWS(raw, colon+1, to)
	if !plainText(raw[first:last]) {
		return bad(BadFieldValue, first)
	}
	name := p.text[from:colon]
	if !canonical {
		name = canonicalName(name)
	}
	return p.field(name, p.text[first:last], from)
}

// field takes one header. Host and Transfer-Encoding do not go into the map: a
// request has fields for them.
func (p *headParser) field(name, value string, offset int) *Error {
	switch name {
	case "Host":
		if !p.response {
			p.host = value
			p.hosts++
			return nil
		}
	case "Transfer-Encoding":
		p.encodings++
		p.chunked = p.encodings == 1 && equalFold(value, "chunked")
		return nil
	case "Content-Length":
		n, ok := parseLength(value)
		if !ok || p.length >= 0 {
			return bad(BadLength, offset)
		}
		p.length = n
	case "Connection":
		p.close = p.close || hasToken(value, "close")
		p.keepAlive = p.keepAlive || hasToken(value, "keep-alive")
	case "Upgrade":
		p.upgrade = true
	case "Expect":
		p.expect = value
	case "Trailer":
		p.trailer = append(p.trailer, value)
	}
	p.add(name, value)
	return nil
}

func (p *headParser) add(name, value string) {
	if before := p.header[name]; before != nil {
		p.header[name] = append(before, value)
		return
	}
	slot := p.values[:1:1]
	p.values = p.values[1:]
	slot[0] = value
	p.header[name] = slot
}

// checkFraming holds the rules that headers must keep together (RFC 9112, 6.1).
// Minor is the protocol's minor version.
func (p *headParser) checkFraming(minor int) *Error {
	if p.encodings == 0 {
		return nil
	}
	switch {
	case minor == 0:
		return bad(EncodingIn10, -1)
	case p.length >= 0:
		return bad(LengthAndChunked, -1)
	case !p.chunked:
		return &Error{BadEncoding, http.StatusNotImplemented, -1}
	}
	return nil
}

// announced returns a map with the names that Trailer lists, and takes Trailer out
// of the headers. It is nil if there are none.
func (p *headParser) announced() (http.Header, *Error) {
	if p.trailer == nil || !p.chunked {
		return nil, nil
	}
	delete(p.header, "Trailer")
	trailer := make(http.Header)
	for _, value := range p.trailer {
		for name := range tokens(value) {
			name = http.CanonicalHeaderKey(name)
			if !trailerAllowed(name) {
				return nil, bad(BadTrailer, -1)
			}
			trailer[name] = nil
		}
	}
	return trailer, nil
}

// trailerAllowed reports whether a field may come after the body: none that says
// where the body ends or where the message goes (RFC 9110, section 6.5.1).
func trailerAllowed(name string) bool {
	switch name {
	case "Transfer-Encoding", "Content-Length", "Host", "Trailer", "Connection", "Upgrade", "Expect", "Te",
		"Keep-Alive", "Proxy-Connection", "Authorization", "Content-Encoding", "Content-Type", "Content-Range", "Max-Forwards":
		return false
	}
	return engine.IsToken(name)
}

// maxLengthDigits is how many digits a Content-Length may have: what an int64 holds.
const maxLengthDigits = 19

// parseLength reads a Content-Length: digits and nothing else (RFC 9110, 8.6).
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > maxLengthDigits {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = 10*n + uint64(c)
	}
	return int64(n), n <= math.MaxInt64
}

// tokens yields the members of a comma-separated list that are not empty.
func tokens(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for start := 0; start < len(list); {
			end := start
			for end < len(list) && list[end] != ',' {
				end++
			}
			if member := trimString(list[start:end]); member != "" && !yield(member) {
				return
			}
			start = end + 1
		}
	}
}

func trimString(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// hasToken reports whether a list holds a token, which is given in lower case.
func hasToken(list, lower string) bool {
	if equalFold(list, lower) {
		return true
	}
	for member := range tokens(list) {
		if equalFold(member, lower) {
			return true
		}
	}
	return false
}
