package lb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// patience bounds every wait of the tests for something that must come. It is
// long because the machine may be busy; nothing waits that long if all is well.
const patience = 30 * time.Second

// A site is a folder with a config, the files it names, and one target.
type site struct {
	t      *testing.T
	dir    string
	root   *pki.Entity
	ca     *pki.Entity
	alice  *pki.Entity
	bob    *pki.Entity
	target *httptest.Server
	hold   chan struct{} // the target's /slow answers when it is closed
	log    *syncBuffer
}

// newSite writes files that are all good: a bundle, a CRL that names nobody, and
// a server certificate for localhost.
func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), root: pki.NewRoot("Test Root"), hold: make(chan struct{}), log: new(syncBuffer)}
	s.ca = s.root.Intermediate("Test CA")
	s.alice, s.bob = s.ca.Client("alice"), s.ca.Client("bob")
	s.target = httptest.NewServer(http.HandlerFunc(s.serveTarget))
	t.Cleanup(s.target.Close)
	s.write("bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	s.write("partners.crl", s.ca.CRL(1))
	s.certify("server", "localhost", "127.0.0.1")
	return s
}

func (s *site) serveTarget(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		select {
		case <-s.hold:
		case <-r.Context().Done():
		}
	}
	fmt.Fprint(w, r.Header.Get("X-Amzn-Mtls-Clientcert-Subject"))
}

// certify makes NAME.pem and NAME-key.pem and returns the certificate.
func (s *site) certify(name string, hosts ...string) *pki.Entity {
	server := s.ca.Server(hosts...)
	s.write(name+".pem", server.ChainPEM())
	s.write(name+"-key.pem", server.KeyPEM())
	return server
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// write replaces a file by a rename, so that nobody reads half of it.
func (s *site) write(name string, data []byte) {
	s.t.Helper()
	temporary := s.path("." + filepath.Base(name) + ".new")
	check(s.t, os.WriteFile(temporary, data, 0o600))
	check(s.t, os.Rename(temporary, s.path(name)))
}

// configure writes postern.yaml. TARGET stands for the target's address.
func (s *site) configure(text string) {
	s.t.Helper()
	text = strings.ReplaceAll(text, "TARGET", s.target.Listener.Addr().String())
	s.write("postern.yaml", []byte("admin: {address: 127.0.0.1:0}\n"+text))
}

// verifying is a config with one listener in verify mode at address.
func verifying(address string) string {
	return `listeners:
  - name: front
    address: ` + address + `
    protocol: HTTPS
    certificates: [{certificate: server.pem, private_key: server-key.pem}]
    mutual_authentication: {mode: verify, trust_store: partners}
    default_actions: [{forward: {target_groups: [{name: app}]}}]
` + parts
}

// parts are the target group and the trust store that most configs have.
const parts = `target_groups:
  - name: app
    targets: [{address: TARGET}]
trust_stores:
  - name: partners
    ca_certificates_bundle: bundle.pem
    revocations: [partners.crl]
`

// freeAddress returns an address that nobody had bound just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func (s *site) options() lb.Options {
	return lb.Options{ConfigPath: s.path("postern.yaml"), Logger: slog.New(slog.NewTextHandler(s.log, nil))}
}

// A running is a load balancer that runs, and the means to end it.
type running struct {
	*lb.LoadBalancer
	stop context.CancelFunc
	done chan error
}

// start runs the load balancer until the test ends.
func (s *site) start() *running {
	s.t.Helper()
	balancer, err := lb.New(s.options())
	check(s.t, err)
	return s.run(balancer)
}

// run runs what New has made until the test ends.
func (s *site) run(balancer *lb.LoadBalancer) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{balancer, cancel, make(chan error, 1)}
	go func() { r.done <- balancer.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		select {
		case <-r.done:
		case <-time.After(patience):
			s.t.Error("the load balancer does not end")
		}
		if s.t.Failed() {
			s.t.Logf("log:\n%s", s.log)
		}
	})
	return r
}

// wait returns what Run returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(patience):
		t.Fatal("Run has not returned")
		return nil
	}
}

// reload reloads and fails the test if that is refused.
func (r *running) reload(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(t, r.Reload(ctx))
}

// admin returns what the admin side answers.
func (r *running) admin(t *testing.T, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + r.AdminAddress() + path)
	check(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(data)
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready     bool     `json:"ready"`
	Revision  uint64   `json:"revision"`
	Listeners []string `json:"listeners"`
	LastError string   `json:"last_reload_error"`
}

func (r *running) readiness(t *testing.T) readiness {
	t.Helper()
	_, body := r.admin(t, "/readyz")
	var out readiness
	check(t, json.Unmarshal([]byte(body), &out))
	return out
}

// client returns an HTTP client with a connection of its own that presents as,
// or nothing if that is nil.
func (s *site) client(as *pki.Entity) *http.Client {
	transport := &http.Transport{TLSClientConfig: s.tlsConfig(as)}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// get returns status and body; status 0 if there was no answer.
func get(c *http.Client, url string) (status int, body string) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

// wantGet fails the test unless the answer is as wanted.
func wantGet(t *testing.T, c *http.Client, url string, status int, body string) {
	t.Helper()
	if gotStatus, got := get(c, url); gotStatus != status || (status != 0 && got != body) {
		t.Fatalf("%s: status %d, %q; want %d, %q", url, gotStatus, got, status, body)
	}
}

// eventually waits until is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waiting in vain: %s", what)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A syncBuffer is a bytes.Buffer for many goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
