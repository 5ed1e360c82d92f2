package http2

import (
	"io"
	"net/http"
	"testing"
)

func TestMalformedRequests(t *testing.T) {
	method, scheme, authority, path := []string{":method", "GET"}, []string{":scheme", "https"}, []string{":authority", "a"}, []string{":path", "/"}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	good := join(method, scheme, authority, path)
	for _, tt := range []struct {
		name  string
		pairs []string
		ok    bool
	}{
		{"good", good, true},
		{"host in place of :authority", join(method, scheme, path, []string{"host", "a"}), true},
		{"host like :authority", join(good, []string{"host", "A"}), true},
		{"another host", join(good, []string{"host", "b"}), false},
		{"two hosts", join(method, scheme, path, []string{"host", "a", "host", "a"}), false},
		{"userinfo", join(method, scheme, path, []string{":authority", "u@a"}), false},
		{"control character in :authority", join(method, scheme, path, []string{":authority", "a b"}), false},
		{"no method", join(scheme, authority, path), false},
		{"no scheme", join(method, authority, path), false},
		{"no path", join(method, scheme, authority), false},
		{"empty path", join(method, scheme, authority, []string{":path", ""}), false},
		{"relative path", join(method, scheme, authority, []string{":path", "a"}), false},
		{"absolute target", join(method, scheme, authority, []string{":path", "https://a/"}), false},
		{"asterisk", join([]string{":method", "OPTIONS"}, scheme, authority, []string{":path", "*"}), true},
		{"asterisk for GET", join(method, scheme, authority, []string{":path", "*"}), false},
		{"space in the path", join(method, scheme, authority, []string{":path", "/a b"}), false},
		{"bad escape", join(method, scheme, authority, []string{":path", "/%zz"}), false},
		{"another scheme", join(method, []string{":scheme", "ftp"}, authority, path), false},
		{"two methods", join(method, good), false},
		{"bad method", join([]string{":method", "G T"}, scheme, authority, path), false},
		{"status", join(good, []string{":status", "200"}), false},
		{"protocol", join(good, []string{":protocol", "websocket"}), false},
		{"pseudo-header after a header", join(method, scheme, authority, []string{"x", "y"}, path), false},
		{"upper case", join(good, []string{"X-A", "b"}), false},
		{"empty name", join(good, []string{"", "b"}), false},
		{"space in a name", join(good, []string{"a b", "b"}), false},
		{"colon in a name", join(good, []string{"a:b", "b"}), false},
		{"CR in a value", join(good, []string{"a", "b\rc"}), false},
		{"LF in a value", join(good, []string{"a", "b\nc"}), false},
		{"NUL in a value", join(good, []string{"a", "b\x00c"}), false},
		{"space before a value", join(good, []string{"a", " b"}), false},
		{"space after a value", join(good, []string{"a", "b "}), false},
		{"connection", join(good, []string{"connection", "close"}), false},
		{"keep-alive", join(good, []string{"keep-alive", "1"}), false},
		{"transfer-encoding", join(good, []string{"transfer-encoding", "chunked"}), false},
		{"upgrade", join(good, []string{"upgrade", "h2c"}), false},
		{"proxy-connection", join(good, []string{"proxy-connection", "close"}), false},
		{"te trailers", join(good, []string{"te", "trailers"}), true},
		{"te", join(good, []string{"te", "gzip"}), false},
		{"length of nothing", join(good, []string{"content-length", "0"}), true},
		{"length without a body", join(good, []string{"content-length", "1"}), false},
		{"two lengths", join(good, []string{"content-length", "0", "content-length", "0"}), false},
		{"signed length", join(good, []string{"content-length", "+0"}), false},
		{"CONNECT", join([]string{":method", "CONNECT"}, authority), true},
		{"CONNECT with a path", join([]string{":method", "CONNECT"}, authority, path), false},
		{"CONNECT to nowhere", []string{":method", "CONNECT"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			called := false
			s := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })}
			c := dial(t, s)
			if id := c.open(true, tt.pairs); tt.ok {
				c.wantStatus(id, "200")
			} else {
				c.wantReset(id, codeProtocol)
			}
			c.wantStatus(c.open(true, good), "200")
			c.close()

			if tt.ok {
				return
			}
			called = false
			s = &Server{Handler: s.Handler, Malformed: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, r.URL.Path)
			})}
			c = dial(t, s)
			defer c.close()
			id := c.open(true, tt.pairs)
			c.wantStatus(id, "400")
			c.wantReset(id, codeProtocol)
			if called {
				t.Error("the handler saw the request")
			}
		})
	}
}
