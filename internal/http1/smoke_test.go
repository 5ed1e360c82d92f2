package http1

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// serveOn runs a server on a port of its own and returns the address.
func serveOn(t testing.TB, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(t.Context(), nc)
		}
	}()
	t.Cleanup(func() { ln.Close(); s.Close() })
	return ln.Addr().String()
}

func handler(f func(http.ResponseWriter, *http.Request)) *Server {
	return &Server{Handler: http.HandlerFunc(f)}
}

func TestServesNetHTTPsClient(t *testing.T) {
	address := serveOn(t, handler(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Host+" "+string(body))
	}))
	for range 3 {
		res, err := http.Post("http://"+address+"/widgets?a=b", "text/plain", strings.NewReader("data"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if want := "POST /widgets " + address + " data"; string(body) != want || err != nil {
			t.Errorf("got %q %v, want %q", body, err, want)
		}
	}
}
