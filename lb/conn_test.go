package lb_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// An idleConn is an open client connection that has had one answer.
type idleConn struct{ net.Conn }

// watchClose opens a connection to address as a client and makes one request.
func watchClose(t *testing.T, s *site, address string, as *pki.Entity) idleConn {
	t.Helper()
	c, err := tls.Dial("tcp", address, s.tlsConfig(as))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	check(t, c.SetDeadline(time.Now().Add(patience)))
	ask(t, c, 200)
	return idleConn{c}
}

// ask makes one HTTP/1.1 request on an open connection.
func ask(t *testing.T, c net.Conn, want int) {
	t.Helper()
	_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	check(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
		t.Fatalf("status %d, want %d; %v", resp.StatusCode, want, err)
	}
}

// runEnded runs a load balancer under a context that has ended.
func runEnded(t *testing.T, balancer *lb.LoadBalancer) error {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return balancer.Run(ctx)
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
