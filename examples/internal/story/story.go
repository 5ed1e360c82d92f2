// Package story starts the load balancer of an example for the example's test,
// with certificates made for it and ports that are free. Start from [New].
package story

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// wait is the longest that a test waits for anything.
const wait = 20 * time.Second

// A Story is a temporary folder laid out as the examples' configs expect it:
// pki/server.pem, pki/ca-bundle.pem, pki/partners.crl and so on.
type Story struct {
	Dir string
	t   testing.TB

	roots   *x509.CertPool
	clients map[string]*pki.Entity
}

// New makes the certificates: a partners' CA with the clients acme-1, globex (whose
// URI is spiffe://partners.example/globex), initech and retired, of which the
// CRL revokes the last; and mallory, whose CA is another one of the same name.
func New(t testing.TB) *Story {
	t.Helper()
	s := &Story{Dir: t.TempDir(), t: t, roots: x509.NewCertPool()}
	// Long enough for postern check to have no warning of the end.
	year := pki.Window(time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	web, ca := pki.NewRoot("Web CA"), pki.NewRoot("Partners CA", year)
	s.roots.AddCert(web.Cert)
	s.clients = map[string]*pki.Entity{
		"acme-1": ca.Client("acme-1"), "globex": ca.Client("globex", pki.URI("spiffe://partners.example/globex")),
		"initech": ca.Client("initech"), "retired": ca.Client("acme-retired"),
		"mallory": pki.NewRoot("Partners CA").Client("acme-1"),
	}
	server := web.ServerWith([]string{"localhost", "127.0.0.1"}, year)
	s.write("pki/server.pem", server.ChainPEM())
	s.write("pki/server-key.pem", server.KeyPEM())
	s.write("pki/ca-bundle.pem", ca.PEM())
	s.write("pki/partners.crl", pki.CRLPEM(ca.CRL(1, s.clients["retired"])))
	return s
}

func (s *Story) write(name string, data []byte) {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Config copies an example's config into the folder, with the addresses that the
// map names replaced, and returns its path. It must pass postern check.
func (s *Story) Config(file string, addresses map[string]string) string {
	s.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(data)
	for old, replacement := range addresses {
		if !strings.Contains(text, old) {
			s.t.Fatalf("%s does not name %s", file, old)
		}
		text = strings.ReplaceAll(text, old, replacement)
	}
	s.write("postern.yaml", []byte("admin: {address: \""+FreeAddress(s.t)+"\"}\n"+text))
	path := filepath.Join(s.Dir, "postern.yaml")
	warnings, err := lb.Check(path)
	if err != nil || len(warnings) > 0 {
		s.t.Fatalf("checking %s: %v, warnings %v", file, err, warnings)
	}
	return path
}

// Run serves a config until the test ends.
func (s *Story) Run(config string) {
	s.t.Helper()
	balancer, err := lb.New(lb.Options{ConfigPath: config, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- balancer.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// Client returns an HTTP client with the certificate of that name, or without
// one if the name is empty. Each of its requests has a connection of its own.
func (s *Story) Client(name string) *http.Client {
	cfg := &tls.Config{RootCAs: s.roots}
	if name != "" {
		cert := s.clients[name].TLS()
		// Whatever the server names as its CAs, this is what the client sends.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return &http.Client{
		Timeout:   wait,
		Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true},
	}
}

// Request sends a request and returns status and body; the status is 0 if there
// was no answer.
func (s *Story) Request(client, method, url string) (status int, body string) {
	s.t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.Client(client).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// AwaitLog waits until a log holds a text.
func (s *Story) AwaitLog(name, text string) {
	s.t.Helper()
	var data []byte
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		data, _ = os.ReadFile(filepath.Join(s.Dir, "logs", name))
		if strings.Contains(string(data), text) {
			return
		}
	}
	s.t.Errorf("%s lacks %q:\n%s", name, text, data)
}

// Serve runs a target until the test ends and returns its address.
func Serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: wait}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	return ln.Addr().String()
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
