package http1

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-lb/postern/internal/engine"
)

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// compose writes the request's head into the call's buffer, and its body too if
// that is small and in memory. It touches no connection.
func (c *Call) compose() error {
	req := c.res.Request
	if req.URL == nil {
		return fmt.Errorf("http1: request without a URL")
	}
	c.host = hostKey{req.URL.Scheme, req.URL.Host}
	if c.host.scheme != "http" && c.host.scheme != "https" {
		return fmt.Errorf("http1: unsupported URL scheme %q", c.host.scheme)
	}
	if c.host.address == "" {
		return fmt.Errorf("http1: no host in the request's URL")
	}
	b, err := c.appendRequest(c.head.B[:0])
	if err != nil {
		return err
	}
	c.text = b
	if !hasBody(req) {
		closeBody(req)
		return nil
	}
	if !c.inMemory() {
		c.up = newUpload(c)
		return nil
	}
	return c.inline()
}

// inMemory reports whether the request's body is small and can be read without
// waiting. The body may be wrapped, so the server is asked about the request whose
// context this is; that it is the same body follows from the length well enough: if
// not, reading may wait, and no more.
func (c *Call) inMemory() bool {
	req := c.res.Request
	if req.ContentLength <= 0 || req.ContentLength > inlineBody {
		return false
	}
	return req.GetBody != nil || serverBodyReady(c.ctx, req.ContentLength)
}

func serverBodyReady(ctx context.Context, length int64) bool {
	c, _ := ctx.Value(connKey{}).(*conn)
	if c == nil {
		return false
	}
	x := c.current.Load()
	return x != nil && x.req.ContentLength == length && BodyReady(ctx)
}

// inline appends the whole body to the head.
func (c *Call) inline() error {
	req := c.res.Request
	defer req.Body.Close()
	left := int(req.ContentLength)
	for {
		start := len(c.text)
		c.text = append(c.text, make([]byte, left+1)...)
		n, err := req.Body.Read(c.text[start:])
		c.text = c.text[:start+n]
		if left -= n; left < 0 {
			return errBodyTooLong
		}
		switch {
		case err == io.EOF && left == 0:
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

var errBodyTooLong = fmt.Errorf("http1: request body is longer than its Content-Length")

// appendRequest appends the head of a request (RFC 9112, section 3).
func (c *Call) appendRequest(b []byte) ([]byte, error) {
	req := c.res.Request
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if !engine.IsToken(method) || !engine.All(host, engine.Host) {
		return nil, fmt.Errorf("http1: invalid method %q or host %q", method, host)
	}
	b = append(append(b, method...), ' ')
	start := len(b)
	b = appendTarget(b, req)
	for _, c := range b[start:] {
		if !engine.Is(c, engine.Target) {
			return nil, fmt.Errorf("http1: byte %#x in the request target", c)
		}
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), host...), crlf...)
	if c.transport.DisableKeepAlives || req.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	b = appendRequestFraming(b, req, method)
	b, err := appendRequestHeaders(b, req.Header, c.Fields)
	return append(b, crlf...), err
}

func appendTarget(b []byte, req *http.Request) []byte {
	u := req.URL
	if req.Method == http.MethodConnect || u.Opaque != "" {
		if req.Method == http.MethodConnect && u.Path == "" {
			return append(b, u.Host...)
		}
		return append(b, u.RequestURI()...)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	b = append(b, path...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}

// appendRequestFraming says how long the body is: a length that is known, else
// chunks.
func appendRequestFraming(b []byte, req *http.Request, method string) []byte {
	switch {
	case !hasBody(req):
		if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
			b = append(b, "Content-Length: 0\r\n"...)
		}
	case req.ContentLength > 0:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), req.ContentLength, 10), crlf...)
	default:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range req.Trailer {
			if name = http.CanonicalHeaderKey(name); trailerAllowed(name) {
				b = append(append(append(b, "Trailer: "...), name...), crlf...)
			}
		}
	}
	return b
}

// fewFields is how many headers are sorted without an allocation.
const fewFields = 32

type field struct {
	name   string
	values []string
}

// sortedFields appends the headers by name, so that a target always sees one
// request as the same bytes. A request has few enough for the simplest of sorts.
func sortedFields(room []field, h http.Header) []field {
	for name, values := range h {
		room = append(room, field{name, values})
	}
	if len(room) > fewFields {
		slices.SortFunc(room, func(a, b field) int { return strings.Compare(a.name, b.name) })
		return room
	}
	for i := 1; i < len(room); i++ {
		f, j := room[i], i
		for ; j > 0 && room[j-1].name > f.name; j-- {
			room[j] = room[j-1]
		}
		room[j] = f
	}
	return room
}

// appendRequestHeaders appends the headers but those that are the connection's or
// among fields, and then these. A header that cannot be sent is an error, since the
// request would mean something else without it. An empty User-Agent is net/http's mark
// for none.
func appendRequestHeaders(b []byte, h http.Header, fields *Fields) ([]byte, error) {
	var room [fewFields]field
	for _, f := range sortedFields(room[:0], h) {
		name, values := f.name, f.values
		if isFraming(name) || fields.has(name) || name == "User-Agent" && (len(values) == 0 || values[0] == "") {
			continue
		}
		if !engine.IsToken(name) {
			return nil, fmt.Errorf("http1: invalid header name %q", name)
		}
		for _, value := range values {
			b = append(append(b, name...), ": "...)
			start := len(b)
			b = append(b, trimString(value)...)
			if !plainText(b[start:]) {
				return nil, fmt.Errorf("http1: control character in a value of header %q", name)
			}
			b = append(b, crlf...)
		}
	}
	if fields != nil {
		b = append(b, fields.text...)
	}
	return b, nil
}
