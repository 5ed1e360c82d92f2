package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-lb/postern/internal/pki"
)

//go:embed postern.yaml.tmpl
var configTemplate string

// preferredPort is the first of the ports that the demo takes if they are free.
const preferredPort = 8443

// A site is one demo: its folder, its addresses and its targets.
type site struct {
	dir   string
	log   *os.File
	admin string
	// addresses of the listeners, by mode: verify, passthrough, off, forbidden.
	addresses map[string]string
	targets   []net.Listener
}

func newSite(dir string, anyPort bool) (*site, error) {
	s := &site{dir: dir, addresses: make(map[string]string)}
	for _, sub := range []string{"pki", "logs"} {
		if err := os.MkdirAll(s.path(sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := s.makePKI(); err != nil {
		return nil, fmt.Errorf("writing the demo's certificates: %w", err)
	}
	if err := s.chooseAddresses(anyPort); err != nil {
		return nil, err
	}
	if err := s.writeConfig(); err != nil {
		return nil, fmt.Errorf("writing the demo's config: %w", err)
	}
	var err error
	s.log, err = os.Create(s.path("logs", "postern.log"))
	return s, err
}

func (s *site) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// makePKI makes a root, an intermediate that issues everything else, a server,
// and clients of which each is refused for another reason but the first.
func (s *site) makePKI() error {
	root := pki.NewRoot("Demo Root CA")
	ca := root.Intermediate("Demo Partners CA")
	stranger := pki.NewRoot("Somebody Else CA")
	bob := ca.Client("bob")
	clients := map[string]*pki.Entity{
		"alice":   ca.Client("alice", pki.URI("spiffe://partners.example/alice")),
		"bob":     bob,
		"carol":   ca.Client("carol", pki.Expired),
		"mallory": stranger.Client("alice"),
	}
	server := ca.Server("localhost", "127.0.0.1")
	files := map[string][]byte{
		"ca-bundle.pem":    append(root.PEM(), ca.PEM()...),
		"root.pem":         root.PEM(),
		"server.pem":       server.ChainPEM(),
		"partners.crl.pem": pki.CRLPEM(ca.CRL(1, bob)),
	}
	keys := map[string][]byte{"server-key.pem": server.KeyPEM()}
	for name, client := range clients {
		files[name+".pem"] = client.ChainPEM()
		keys[name+"-key.pem"] = client.KeyPEM()
	}
	return errors.Join(s.writeAll(files, 0o644), s.writeAll(keys, 0o600))
}

func (s *site) writeAll(files map[string][]byte, mode os.FileMode) error {
	for name, data := range files {
		if err := os.WriteFile(s.path("pki", name), data, mode); err != nil {
			return err
		}
	}
	return nil
}

// chooseAddresses takes ports that are free: well-known ones if it can, so that
// the commands stay the same from run to run.
func (s *site) chooseAddresses(anyPort bool) error {
	port := preferredPort
	if anyPort {
		port = 0
	}
	for _, mode := range []string{"verify", "passthrough", "off", "forbidden"} {
		address, err := freeAddress(port)
		if err != nil {
			return err
		}
		s.addresses[mode] = address
		if port != 0 {
			port++
		}
	}
	var err error
	if s.admin, err = freeAddress(0); err != nil {
		return err
	}
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.targets = append(s.targets, ln)
	}
	return nil
}

func freeAddress(port int) (string, error) {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil && port != 0 {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func (s *site) writeConfig() error {
	t, err := template.New("config").Parse(configTemplate)
	if err != nil {
		return err
	}
	var out strings.Builder
	var targets []string
	for _, ln := range s.targets {
		targets = append(targets, ln.Addr().String())
	}
	if err := t.Execute(&out, map[string]any{
		"Admin": s.admin, "Addresses": s.addresses, "Targets": targets,
	}); err != nil {
		return err
	}
	return os.WriteFile(s.path("postern.yaml"), []byte(out.String()), 0o644)
}

// serveTargets runs the targets: each answers with the request as it arrived.
func (s *site) serveTargets(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, ln := range s.targets {
		server := &http.Server{Handler: echo(i + 1), ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() error {
			if err := server.Serve(ln); err != http.ErrServerClosed {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	return group.Wait()
}

// echo answers with the request line and the headers that matter here.
func echo(number int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "target %d got %s %s\n", number, r.Method, r.URL)
		for _, name := range shownHeaders {
			for _, value := range r.Header.Values(name) {
				fmt.Fprintf(w, "%s: %s\n", name, value)
			}
		}
	})
}

var shownHeaders = []string{
	"X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Serial-Number", "X-Amzn-Mtls-Clientcert-Issuer",
	"X-Amzn-Mtls-Clientcert-Subject", "X-Amzn-Mtls-Clientcert-Validity", "X-Amzn-Mtls-Clientcert-Leaf",
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port",
}

// awaitReady returns once the load balancer is ready and has a healthy target.
func (s *site) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for {
		if s.answers(ctx, "/readyz") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the demo to be ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *site) answers(ctx context.Context, path string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
