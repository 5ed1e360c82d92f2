package listener

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postern-lb/postern/internal/fault"
)

// Limits of a redirect action (ALB, "Action types for listener rules").
const (
	MaxRedirectPart = 128 // characters of host, path and query, as configured
	// MaxLocation is the length in bytes of the URL that a redirect may come
	// to; a longer one is answered with 507. ALB names no figure. This one is
	// what common clients and proxies take in a header.
	MaxLocation = 8 << 10
)

// A RedirectConfig sends the client to another URL. An empty part means the
// same part of the request. The parts may hold placeholders: #{protocol} in
// Protocol and Query; #{host} in Host, Path and Query; #{port} in Port, Path and
// Query; #{path} in Path and Query; #{query} in Query.
type RedirectConfig struct {
	StatusCode string  // HTTP_301 or HTTP_302
	Protocol   string  // HTTP, HTTPS or #{protocol}
	Host       string  // no port
	Port       string  // 1 to 65535 or #{port}
	Path       string  // begins with a slash; taken literally, not percent-encoded; /#{path} is the request's
	Query      *string // without question mark; empty takes the query away; nil is #{query}
}

// A Redirect is a compiled redirect action. It is never modified.
type Redirect struct {
	status   int
	protocol Protocol // of the listener
	scheme   string   // of the target
	host     template
	port     template
	path     template
	query    template
}

// A template is text between placeholders: a part is one or the other.
type template []templatePart

type templatePart struct {
	literal     string
	placeholder string // "host", "port", …; empty for a literal
}

func compileRedirect(faults *fault.List, path string, cfg *RedirectConfig, protocol Protocol) *Redirect {
	c := redirectCompiler{faults: faults, path: path}
	r := &Redirect{protocol: protocol}
	r.status = c.status(cfg.StatusCode)
	r.scheme = c.scheme(cfg.Protocol, protocol)
	r.host = c.part("host", orElse(cfg.Host, "#{host}"), []string{"host"}, isHostByte)
	r.port = c.port(orElse(cfg.Port, "#{port}"))
	r.path = c.part("path", orElse(cfg.Path, "/#{path}"), []string{"host", "port", "path"}, isPathByte)
	if cfg.Path != "" && cfg.Path[0] != '/' {
		c.fault("path", "%q does not begin with a slash: put one in front", cfg.Path)
	}
	query := "#{query}"
	if cfg.Query != nil {
		query = *cfg.Query
	}
	r.query = c.part("query", query, []string{"protocol", "host", "port", "path", "query"}, isQueryByte)
	if strings.HasPrefix(query, "?") {
		c.fault("query", "%q begins with a question mark: leave it out, it is added", query)
	}
	if r.scheme == schemeOf(protocol) && isPlain(r.host, "host") && isPlain(r.port, "port") &&
		len(r.path) == 2 && r.path[0].literal == "/" && r.path[1].placeholder == "path" {
		c.faults.Add(path, "leads back to the same URL, a loop: change protocol, host, port or path")
	}
	return r
}

// redirectCompiler carries what every check of one redirect needs.
type redirectCompiler struct {
	faults *fault.List
	path   string
}

func (c *redirectCompiler) fault(key, format string, args ...any) {
	c.faults.Add(fault.Join(c.path, key), format, args...)
}

func (c *redirectCompiler) status(code string) int {
	switch code {
	case "HTTP_301":
		return http.StatusMovedPermanently
	case "HTTP_302":
		return http.StatusFound
	}
	c.fault("status_code", "is %q: choose HTTP_301 or HTTP_302", code)
	return 0
}

// scheme checks the protocol of the target. HTTPS may not lead to HTTP.
func (c *redirectCompiler) scheme(target string, protocol Protocol) string {
	switch {
	case target == "" || target == "#{protocol}":
		return schemeOf(protocol)
	case target == string(ProtocolHTTP) && protocol == ProtocolHTTPS:
		c.fault("protocol", "is HTTP on an HTTPS listener, which would give up encryption: choose HTTPS")
	case target != string(ProtocolHTTP) && target != string(ProtocolHTTPS):
		c.fault("protocol", "is %q: choose HTTP, HTTPS or #{protocol}", target)
	}
	return schemeOf(Protocol(target))
}

func (c *redirectCompiler) port(value string) template {
	if value == "#{port}" {
		return template{{placeholder: "port"}}
	}
	if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 || value[0] == '0' {
		c.fault("port", "is %q: choose a port from 1 to 65535 or #{port}", value)
	}
	return template{{literal: value}}
}

// part cuts value at its placeholders, which must be among allowed, and checks
// the characters of the rest.
func (c *redirectCompiler) part(key, value string, allowed []string, ok func(byte) bool) template {
	if n := utf8.RuneCountInString(value); n > MaxRedirectPart {
		c.fault(key, "is %d characters long: at most %d", n, MaxRedirectPart)
	}
	var t template
	for value != "" {
		literal, rest, found := strings.Cut(value, "#{")
		if literal != "" {
			c.literal(key, literal, ok)
			t = append(t, templatePart{literal: literal})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			c.fault(key, "holds a #{ without its }: close the placeholder")
			return t
		}
		if !slices.Contains(allowed, name) {
			c.fault(key, "holds the placeholder #{%s}, which is not allowed here: choose from #{%s}",
				name, strings.Join(allowed, "}, #{"))
		}
		t = append(t, templatePart{placeholder: name})
		value = after
	}
	return t
}

func (c *redirectCompiler) literal(key, literal string, ok func(byte) bool) {
	for i := range len(literal) {
		if !ok(literal[i]) {
			c.fault(key, "holds the character %q, which is not allowed: percent-encode it or leave it out", literal[i])
			return
		}
	}
}

func orElse(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func isPlain(t template, placeholder string) bool {
	return len(t) == 1 && t[0].placeholder == placeholder
}

func (t template) uses(placeholder string) bool {
	return slices.Contains(t, templatePart{placeholder: placeholder})
}

func schemeOf(protocol Protocol) string {
	if protocol == ProtocolHTTPS {
		return "https"
	}
	return "http"
}

func isHostByte(b byte) bool { return isAlphanumeric(b) || b == '-' || b == '.' || b == '_' }

// isURLByte holds for visible ASCII that can stand in a URL. The backslash is
// out because browsers read it as a slash.
func isURLByte(b byte) bool { return b > ' ' && b < 0x7f && strings.IndexByte("\"<>\\^`{|}#", b) < 0 }

func isPathByte(b byte) bool { return isURLByte(b) && b != '?' }

func isQueryByte(b byte) bool { return isURLByte(b) }
