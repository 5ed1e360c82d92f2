package lb_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptrace"
	"os"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// An idleConn is an open client connection that has had one answer.
type idleConn struct{ *tls.Conn }

// watchClose opens a connection to address as a client and makes one request.
func watchClose(t *testing.T, s *site, address string, as *pki.Entity) idleConn {
	t.Helper()
	c, err := tls.Dial("tcp", address, s.tlsConfig(as))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	check(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = c.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	check(t, err)
	buf := make([]byte, 4096)
	if n, err := c.Read(buf); err != nil || string(buf[:min(n, 12)]) != "HTTP/1.1 200" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	return idleConn{c}
}

func (c idleConn) wantClosed(t *testing.T) {
	t.Helper()
	check(t, c.SetReadDeadline(time.Now().Add(within)))
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the connection is still open after %v", within)
		} else if err != nil {
			return
		}
	}
}

func (s *site) tlsConfig(as *pki.Entity) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.root.Cert)
	cfg := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if as != nil {
		cfg.Certificates = []tls.Certificate{as.TLS()}
	}
	return cfg
}

// serverSerial returns the serial number of the certificate that a new connection
// is shown.
func serverSerial(t *testing.T, s *site, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, s.tlsConfig(s.alice))
	check(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// wantGetReused wants status 200 and notes whether the connection had served
// before.
func wantGetReused(t *testing.T, c *http.Client, url string, reused *bool) {
	t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { *reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, url, nil)
	check(t, err)
	resp, err := c.Do(req)
	check(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
}
