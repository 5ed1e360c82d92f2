package http2

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// serve starts a server on a socket of its own, without TLS, and returns a client
// and the address.
func serve(t testing.TB, s *Server) (*http.Client, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.ServeConn(context.Background(), nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.Close()
		conns.Wait()
	})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, ln.Addr().String()
}

func TestSmoke(t *testing.T) {
	client, addr := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("X-Test", "yes")
		w.Header().Set("Trailer", "X-End")
		fmt.Fprintf(w, "%s %s %s %d %v %v", r.Method, r.RequestURI, r.Host, len(body), err, r.Trailer)
		w.Header().Set("X-End", "end")
	})})
	for i := range 3 {
		res, err := client.Post("http://"+addr+"/a?b=c", "text/plain", strings.NewReader(strings.Repeat("x", i*500_000)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if want := fmt.Sprintf("POST /a?b=c %s %d <nil> map[]", addr, i*500_000); string(body) != want || err != nil {
			t.Errorf("got %q, %v, want %q", body, err, want)
		}
		if res.Header.Get("X-Test") != "yes" || res.Trailer.Get("X-End") != "end" {
			t.Errorf("headers %v, trailers %v", res.Header, res.Trailer)
		}
	}
}
