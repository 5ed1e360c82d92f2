package http1

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-lb/postern/internal/engine"
)

// A startLine is a request line: three parts of the head's text.
type startLine struct {
	method, target string
	minor          int // of HTTP/1
}

const versionLen = len("HTTP/1.1")

// parseRequestLine reads a request line without its CRLF: single spaces, a token,
// a target of visible ASCII and a version (RFC 9112, section 3).
func parseRequestLine(line string) (startLine, *Error) {
	var l startLine
	space := strings.IndexByte(line, ' ')
	if space <= 0 || !engine.IsToken(line[:space]) {
		return l, bad(BadRequestLine, 0)
	}
	l.method = line[:space]
	rest := line[space+1:]
	last := len(rest) - versionLen - 1
	if last < 1 || rest[last] != ' ' || !isVersion(rest[last+1:]) {
		return l, bad(BadRequestLine, space+1)
	}
	l.target = rest[:last]
	if !engine.All(l.target, engine.Target) {
		return l, bad(BadTarget, space+1)
	}
	switch rest[last+1:] {
	case "HTTP/1.1":
		l.minor = 1
	case "HTTP/1.0":
	default:
		return l, &Error{BadVersion, http.StatusHTTPVersionNotSupported, space + last + 2}
	}
	return l, nil
}

// isVersion reports whether s has the form of an HTTP version (RFC 9112, 2.3).
func isVersion(s string) bool {
	return len(s) == versionLen && s[:5] == "HTTP/" && s[5]-'0' <= 9 && s[6] == '.' && s[7]-'0' <= 9
}

// parseTarget fills in u like url.ParseRequestURI, which it calls for all but the
// common case: a path without escapes.
func parseTarget(u *url.URL, method, target string) *Error {
	if target[0] == '/' {
		end := 0
		for end < len(target) && engine.Is(target[end], engine.Path) {
			end++
		}
		if end == len(target) {
			u.Path = target
			return nil
		}
		if query := target[end+1:]; target[end] == '?' && query != "" {
			u.Path, u.RawQuery = target[:end], query
			return nil
		}
	}
	return parseRareTarget(u, method, target)
}

func parseRareTarget(u *url.URL, method, target string) *Error {
	authority := method == http.MethodConnect && target[0] != '/'
	if authority {
		target = "http://" + target
	}
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return bad(BadTarget, -1)
	}
	*u = *parsed
	if authority {
		u.Scheme = ""
	}
	return nil
}

// checkHost holds the rules about Host: one in HTTP/1.1, at most one in HTTP/1.0
// (RFC 9112, section 3.2).
func (p *headParser) checkHost(minor int) *Error {
	if p.hosts > 1 || p.hosts == 0 && minor > 0 || !engine.All(p.host, engine.Host) {
		return bad(BadHost, -1)
	}
	return nil
}

// closes reports whether the connection ends with this message (RFC 9112, 9.3).
func (f *framing) closes(minor int) bool {
	return f.close || minor == 0 && !f.keepAlive
}
