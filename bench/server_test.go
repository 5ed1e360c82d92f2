package bench_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

// A testServer is a net/http server that demands client certificates, and the
// files that a client of it needs.
type testServer struct {
	address string
	url     string
	dir     string

	accepted   atomic.Int64 // TCP connections
	handshakes atomic.Int64 // finished by the server, clients accepted
	resumed    atomic.Int64 // of handshakes
	requests   atomic.Int64
	clients    atomic.Pointer[map[string]bool]
}

func (s *testServer) file(name string) string { return filepath.Join(s.dir, name) }

// startServer serves handler, with HTTP/2 on offer, until the test ends.
func startServer(t *testing.T, handler http.Handler) *testServer {
	t.Helper()
	s := &testServer{dir: t.TempDir()}
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	client, stranger := sub.Client("client"), pki.NewRoot("elsewhere").Client("stranger")
	server := root.Server("127.0.0.1", "bench.example")
	for name, data := range map[string][]byte{
		"root.pem": root.PEM(), "sub.pem": sub.ChainPEM(), "sub-key.pem": sub.KeyPEM(),
		"client.pem": client.ChainPEM(), "client-key.pem": client.KeyPEM(),
		"stranger.pem": stranger.ChainPEM(), "stranger-key.pem": stranger.KeyPEM(),
	} {
		if err := os.WriteFile(s.file(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(root.Cert)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handler.ServeHTTP(w, r)
	}))
	h.EnableHTTP2 = true
	h.Config.ErrorLog = quiet()
	h.Listener = countingListener{h.Listener, &s.accepted}
	h.TLS = &tls.Config{
		Certificates: []tls.Certificate{server.TLS()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
		VerifyConnection: s.note,
	}
	h.StartTLS()
	t.Cleanup(h.Close)
	s.url = h.URL
	s.address = strings.TrimPrefix(h.URL, "https://")
	return s
}

// note counts a handshake; crypto/tls calls it when the client is accepted.
func (s *testServer) note(state tls.ConnectionState) error {
	s.handshakes.Add(1)
	if state.DidResume {
		s.resumed.Add(1)
	}
	for {
		old := s.clients.Load()
		seen := map[string]bool{state.PeerCertificates[0].Subject.CommonName: true}
		if old != nil {
			for name := range *old {
				seen[name] = true
			}
		}
		if s.clients.CompareAndSwap(old, &seen) {
			return nil
		}
	}
}

type countingListener struct {
	net.Listener
	count *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.count.Add(1)
	}
	return conn, err
}

func answer(status, size int) http.Handler {
	body := []byte(strings.Repeat("x", size))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}
