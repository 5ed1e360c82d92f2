package http1

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newTransport returns a transport that trusts any certificate.
func newTransport(t testing.TB) *Transport {
	tr := &Transport{DialTLS: func(ctx context.Context, network, address string) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
		return d.DialContext(ctx, network, address)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestAsksNetHTTPsServer(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(body))
	})
	for name, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			s := start(echo)
			defer s.Close()
			tr := newTransport(t)
			for _, body := range []io.Reader{nil, strings.NewReader("data"), struct{ io.Reader }{strings.NewReader("data")}} {
				req, _ := http.NewRequest("POST", s.URL+"/widgets?a=b", body)
				res, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				want := "POST /widgets?a=b "
				if body != nil {
					want += "data"
				}
				if string(got) != want || err != nil {
					t.Errorf("got %q %v, want %q", got, err, want)
				}
			}
			if n := tr.pool.count; n != 1 {
				t.Errorf("%d connections in the pool, want 1", n)
			}
		})
	}
}
