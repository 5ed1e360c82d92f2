package http2

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/postern-lb/postern/internal/engine"
)

// template is never changed; [http.Request.WithContext] of it is the one way to
// make a request with a context in one allocation.
var template http.Request

// A pseudo is the pseudo-header fields of a request (RFC 9113, section 8.3.1).
type pseudo struct {
	method, scheme, authority, path string
	seen                            uint8
}

// set takes one of them; false if it must not be there.
func (p *pseudo) set(f *field) bool {
	bit := uint8(1) << (f.name.kind - kindMethod)
	if f.name.kind == kindStrange || p.seen&bit != 0 {
		return false
	}
	p.seen |= bit
	switch f.name.kind {
	case kindMethod:
		p.method = f.value
	case kindScheme:
		p.scheme = f.value
	case kindAuthority:
		p.authority = f.value
	case kindPath:
		p.path = f.value
	}
	return true
}

func (p *pseudo) has(k kind) bool { return p.seen&(1<<(k-kindMethod)) != 0 }

// check says what is wrong with them together; nothing if it is all right.
func (p *pseudo) check() string {
	switch {
	case !engine.IsToken(p.method):
		return ":method"
	case !engine.All(p.authority, engine.Host):
		return ":authority" // userinfo too: it is deprecated and no host
	case p.method == http.MethodConnect:
		if p.has(kindScheme) || p.has(kindPath) || p.authority == "" {
			return "CONNECT"
		}
		return ""
	case p.scheme != "https" && p.scheme != "http":
		return ":scheme"
	case p.path == "*" && p.method == http.MethodOptions:
	case !strings.HasPrefix(p.path, "/") || !engine.All(p.path, engine.Target):
		return ":path"
	}
	return ""
}

// build makes the request of a header block, or says what is malformed (RFC 9113,
// section 8.1.1). The request is then one that says no more than what was asked for.
func (s *stream) build(h *headerBlock, end bool) (fault string) {
	var p pseudo
	host := ""
	s.begin(end, len(h.fields))
	if fault = s.sort(h, &p, &host); fault == "" {
		fault = p.check()
	}
	if fault == "" && !h.tooLarge() {
		fault = s.complete(s.req, &p, host, end)
	}
	if fault != "" || h.tooLarge() {
		s.standIn(&p)
	}
	return fault
}

// begin makes the request one that says nothing, with room for n headers.
func (s *stream) begin(end bool, n int) {
	s.request, s.req, s.bodyless = s.blank, &s.request, end
	if s.requestHeader == nil {
		s.requestHeader = make(http.Header, n)
	}
	if cap(s.values) < n {
		s.values = make([]string, 0, max(n, 16))
	}
	s.request.Header = s.requestHeader
}

// sort puts the fields of a header block where they belong.
func (s *stream) sort(h *headerBlock, p *pseudo, host *string) string {
	header, regular := s.req.Header, false
	values := s.values[:0]
	for i := range h.fields {
		f := &h.fields[i]
		if f.name.kind >= kindMethod {
			if regular || !p.set(f) {
				return "pseudo-header field"
			}
			continue
		}
		regular = true
		if fault := s.special(f, host); fault != "" {
			return fault
		}
		if f.name.kind == kindHost {
			continue
		}
		key := f.name.canonical
		if have := header[key]; have != nil {
			header[key] = append(have, f.value)
			continue
		}
		n := len(values)
		values = append(values, f.value)
		header[key] = values[n : n+1 : n+1]
	}
	s.values = values
	return h.bad
}

// standIn makes the request one that can be logged and answered, and no more.
func (s *stream) standIn(p *pseudo) {
	clear(s.requestHeader)
	s.request = s.blank
	r := s.req
	r.Method, r.RequestURI, r.Host = p.method, p.path, p.authority
	if !engine.IsToken(p.method) {
		r.Method = http.MethodGet
	}
	if r.RequestURI == "" || !engine.All(p.path, engine.Target) {
		r.RequestURI = "/"
	}
	if !engine.All(p.authority, engine.Host) {
		r.Host = ""
	}
	s.url = url.URL{Path: "/"}
	r.URL, r.Header, r.Body = &s.url, s.requestHeader, http.NoBody
	r.Proto, r.ProtoMajor = "HTTP/2.0", 2
	r.RemoteAddr, r.TLS = s.c.remote, s.c.tls
	s.expects, s.body.want = false, -1
}

// special looks at the fields that mean something here.
func (s *stream) special(f *field, host *string) string {
	switch f.name.kind {
	case kindMalformed, kindHopByHop:
		return "field name"
	case kindTE:
		if f.value != "trailers" {
			return "TE" // RFC 9113, section 8.2.2
		}
	case kindHost:
		if *host != "" || f.value == "" || !engine.All(f.value, engine.Host) {
			return "host"
		}
		*host = f.value
	case kindLength:
		n, err := strconv.ParseUint(f.value, 10, 63)
		if err != nil || f.value[0] == '+' || s.body.want >= 0 {
			return "content-length"
		}
		s.body.want = int64(n)
	case kindPriority:
		s.urgency = parseUrgency(f.value)
	}
	return ""
}

// complete fills in what follows from all fields together.
func (s *stream) complete(r *http.Request, p *pseudo, host string, end bool) string {
	// RFC 9113, section 8.3.1: both may be there, but must not differ.
	if p.authority != "" && host != "" && !strings.EqualFold(p.authority, host) {
		return "host differs from :authority"
	}
	r.Method, r.Host = p.method, p.authority
	if r.Host == "" {
		r.Host = host
	}
	r.URL, r.RequestURI = &s.url, p.path
	if p.method == http.MethodConnect {
		s.url.Host, r.RequestURI = p.authority, p.authority
	} else if !parsePath(&s.url, p.path) {
		return ":path"
	}
	r.Proto, r.ProtoMajor = "HTTP/2.0", 2
	r.RemoteAddr, r.TLS = s.c.remote, s.c.tls
	s.tidy(r)
	if end {
		if s.body.want > 0 {
			return "content-length without a body"
		}
		r.Body = http.NoBody
		return ""
	}
	r.Body, r.ContentLength = &s.body, s.body.want
	return ""
}

// tidy brings headers to the form that net/http gives them: one Cookie (RFC 9113,
// section 8.2.3), no Expect, and Trailer in a field of its own.
func (s *stream) tidy(r *http.Request) {
	if cookies := r.Header["Cookie"]; len(cookies) > 1 {
		r.Header["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	if expect := r.Header["Expect"]; len(expect) == 1 && strings.EqualFold(expect[0], "100-continue") {
		s.expects = true
		delete(r.Header, "Expect")
	}
	announced := r.Header["Trailer"]
	if announced == nil {
		return
	}
	delete(r.Header, "Trailer")
	for _, list := range announced {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			if !engine.IsToken(name) || !trailerAllowed(name) {
				continue
			}
			if r.Trailer == nil {
				r.Trailer = make(http.Header)
			}
			r.Trailer[name] = nil
		}
	}
}

// trailerAllowed reports whether a field may stand after a body (RFC 9110, section 6.5.1).
func trailerAllowed(canonical string) bool {
	switch canonical {
	case "Trailer", "Content-Length", "Host", "Te", "Cookie", "Expect":
		return false
	}
	return !hopByHop(canonical)
}

// parsePath fills in u like url.ParseRequestURI, which it calls for all but the
// common case: a path without escapes.
func parsePath(u *url.URL, path string) bool {
	end := 0
	for end < len(path) && engine.Is(path[end], engine.Path) {
		end++
	}
	switch {
	case end == len(path):
		u.Path = path
		return true
	case path[end] == '?' && end+1 < len(path):
		u.Path, u.RawQuery = path[:end], path[end+1:]
		return true
	}
	parsed, err := url.ParseRequestURI(path)
	if err != nil {
		return false
	}
	*u = *parsed
	return true
}
