package listener

import (
	"net/http"
	"strconv"
	"strings"
)

// Location returns the status and the URL of the redirect for r, which came in
// at port of the listener. The URL always names its port, even a default one, as
// ALB's do.
//
// Status is 301 or 302; or 507 if the URL would be longer than MaxLocation, or
// 400 if the URL needs the host of the request and that is absent or is not a
// host name or address. Location is empty then. What the client sent stands in the
// URL as it was sent, except that bytes which are not visible ASCII are
// percent-encoded: nothing in it can end the header, and nothing in the path
// can change the host, which the URL always states.
func (d *Redirect) Location(r *http.Request, port uint16) (status int, location string) {
	path, query := requestTarget(r)
	v := placeholderValues{
		protocol: schemeOf(d.protocol),
		port:     strconv.Itoa(int(port)),
		path:     strings.TrimPrefix(path, "/"),
		query:    query,
	}
	v.host = withoutPort(r.Host)
	if (d.host.uses("host") || d.path.uses("host") || d.query.uses("host")) && !validHostName(v.host) {
		return http.StatusBadRequest, ""
	}
	size := 0
	for _, t := range []template{d.host, d.port, d.path, d.query} {
		size += t.size(&v)
	}
	if size > MaxLocation {
		return http.StatusInsufficientStorage, "" // before building what may be thrown away
	}
	b := make([]byte, 0, size+len("https://:?"))
	b = append(b, d.scheme...)
	b = append(b, "://"...)
	b = d.host.append(b, &v)
	b = append(b, ':')
	b = d.port.append(b, &v)
	b = d.path.append(b, &v)
	before := len(b)
	b = d.query.append(append(b, '?'), &v)
	if len(b) == before+1 {
		b = b[:before]
	}
	if len(b) > MaxLocation {
		return http.StatusInsufficientStorage, ""
	}
	return d.status, string(b)
}

// Write answers r with the redirect: the Location header and ALB's page for it.
// Port is the listener's. A redirect that cannot be made gets the page of its
// status; see [Redirect.Location].
func (d *Redirect) Write(w http.ResponseWriter, r *http.Request, port uint16, p *ResponsePolicy) {
	status, location := d.Location(r, port)
	if location != "" {
		w.Header().Set("Location", location)
	}
	WritePage(w, r, status, p)
}

// placeholderValues is what the placeholders stand for in one request.
type placeholderValues struct {
	protocol, host, port, path, query string
}

func (v *placeholderValues) get(placeholder string) string {
	switch placeholder {
	case "protocol":
		return v.protocol
	case "host":
		return v.host
	case "port":
		return v.port
	case "path":
		return v.path
	}
	return v.query
}

// size returns the length of the expansion, if nothing needs encoding.
func (t template) size(v *placeholderValues) int {
	n := 0
	for _, part := range t {
		n += len(part.literal)
		if part.placeholder != "" {
			n += len(v.get(part.placeholder))
		}
	}
	return n
}

func (t template) append(b []byte, v *placeholderValues) []byte {
	for _, part := range t {
		if part.placeholder == "" {
			b = append(b, part.literal...)
			continue
		}
		b = appendVisible(b, v.get(part.placeholder))
	}
	return b
}

// appendVisible appends s with what is not visible ASCII percent-encoded, and
// with "#", which would begin a fragment.
func appendVisible(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '#' {
			b = append(b, '%', digits[c>>4], digits[c&15])
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// validHostName reports whether s, without port, can be the host of a URL: a
// name of letters, digits, '-', '.' and '_', or an IPv6 address in brackets.
func validHostName(s string) bool {
	name, bracketed := s, false
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if name, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return false
		}
	}
	for i := range len(name) {
		if b := name[i]; !(bracketed && (isHex(b) || b == ':' || b == '.') || !bracketed && isHostByte(b)) {
			return false
		}
	}
	return name != ""
}
