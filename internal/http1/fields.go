package http1

import (
	"fmt"
	"net/http"

	"github.com/postern-lb/postern/internal/engine"
)

// Fields are headers that are the same for many requests, checked and written out
// once. They never change after the last Add, and may be used by many calls at once.
// The nil and the zero value hold none.
type Fields struct {
	names   []string
	values  [][]string
	lengths uint64 // bit i: a name of i bytes, modulo 64, is among the names
	text    []byte
}

// Add appends one header. The error says that name or value cannot be sent: a name is
// a token in canonical form, a value has no control characters. A name that the
// connection frames its messages with is refused too.
func (f *Fields) Add(name, value string) error {
	switch {
	case !engine.IsToken(name) || name != http.CanonicalHeaderKey(name):
		return fmt.Errorf("http1: %q is no header name in canonical form", name)
	case isFraming(name):
		return fmt.Errorf("http1: header %q frames messages and cannot be set", name)
	case !engine.All(value, engine.Value):
		return fmt.Errorf("http1: control character in a value of header %q", name)
	}
	f.names = append(f.names, name)
	f.values = append(f.values, []string{value}[:1:1])
	f.lengths |= 1 << (len(name) & 63)
	f.text = append(append(append(append(f.text, name...), ": "...), trimString(value)...), crlf...)
	return nil
}

// Set puts the fields into h, over what is there. The values are shared.
func (f *Fields) Set(h http.Header) {
	if f == nil {
		return
	}
	for i, name := range f.names {
		h[name] = f.values[i]
	}
}

// has reports whether name is among the fields.
func (f *Fields) has(name string) bool {
	if f == nil || f.lengths&(1<<(len(name)&63)) == 0 {
		return false
	}
	for _, n := range f.names {
		if n == name {
			return true
		}
	}
	return false
}

// isFraming reports whether a header says where a message ends or goes, which is for
// the engine to say.
func isFraming(name string) bool {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	}
	return false
}
