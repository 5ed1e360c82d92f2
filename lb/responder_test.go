package lb_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// opensslResponder runs `openssl ocsp` for the site's CA until the test ends or stop is
// called. The marks say what its index has: V or R for each client.
func opensslResponder(t *testing.T, s *site, marks map[*pki.Entity]string) (address string, stop func()) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	address = freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	writeIndex(s, marks)
	s.write("ocsp-ca.pem", s.ca.PEM())
	s.write("ocsp-ca-key.pem", s.ca.KeyPEM())
	command := exec.Command(openssl, "ocsp", "-port", port, "-index", s.path("index.txt"), "-CA", s.path("ocsp-ca.pem"),
		"-rsigner", s.path("ocsp-ca.pem"), "-rkey", s.path("ocsp-ca-key.pem"), "-ndays", "1")
	said := new(syncBuffer)
	command.Stdout, command.Stderr = said, said
	check(t, command.Start())
	stop = func() { command.Process.Kill(); command.Wait() }
	t.Cleanup(stop)
	// A connection that sends nothing would occupy it for good.
	eventually(t, "the responder to listen", func() bool { return strings.Contains(said.String(), "waiting for OCSP client") })
	return address, stop
}

// writeIndex writes the books that the responder answers from; it reads them again when
// they change.
func writeIndex(s *site, marks map[*pki.Entity]string) {
	var b strings.Builder
	for client, mark := range marks {
		revoked := ""
		if mark == "R" {
			revoked = time.Now().Add(-time.Minute).UTC().Format("060102150405Z") + ",keyCompromise"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%032X\tunknown\t/CN=%s\n", mark, client.Cert.NotAfter.UTC().Format("060102150405Z"), revoked,
			client.Cert.SerialNumber, client.Cert.Subject.CommonName)
	}
	s.write("index.txt", []byte(b.String()))
}

func asking(address, settings string) string {
	return strings.Replace(verifying(address), "    revocations: [partners.crl]\n", "    ocsp: "+settings+"\n", 1)
}

func TestOCSPHardFail(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	carol := s.ca.Client("carol")
	marks := map[*pki.Entity]string{s.alice: "V", s.bob: "R"}
	responder, stop := opensslResponder(t, s, marks)
	s.configure(asking(address, "{mode: hard_fail, responder: 'http://"+responder+"/', refresh_interval: 1s}"))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	wantGet(t, s.client(s.bob), url, 0, "")    // revoked
	wantGet(t, s.client(carol), url, 0, "")    // the responder does not know it
	open := watchClose(t, s, address, s.alice) // and is told that it was revoked meanwhile
	marks[s.alice] = "R"
	writeIndex(s, marks)
	open.wantClosed(t)
	wantGet(t, s.client(s.alice), url, 0, "")
	if log := s.log.String(); !strings.Contains(log, "says ") || !strings.Contains(log, "OCSP responder since") {
		t.Errorf("the log does not say who revoked:\n%s", log)
	}
	_, metrics := r.admin(t, "/metrics")
	for _, result := range []string{"good", "revoked", "unknown"} {
		if !strings.Contains(metrics, `postern_ocsp_queries_total{result="`+result+`",trust_store="partners"}`) {
			t.Errorf("no metric for %s", result)
		}
	}
	stop()
	wantGet(t, s.client(s.ca.Client("dave")), url, 0, "")
}

func TestOCSPSoftFail(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	responder, stop := opensslResponder(t, s, map[*pki.Entity]string{s.alice: "V", s.bob: "R"})
	s.configure(asking(address, "{mode: soft_fail, responder: 'http://"+responder+"/', refresh_interval: 1s}"))
	s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	// Nobody waits for the answer, so that a stranger to the cache may get in for a moment.
	eventually(t, "bob to be kept out", func() bool {
		status, _ := get(s.client(s.bob), url)
		return status == 0
	})
	stop()
	wantGet(t, s.client(s.ca.Client("carol")), url, 200, "CN=carol,O=Postern")
}

// With certificates that name their responder, only hosts on the list are asked.
func TestOCSPAllowedHosts(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	asked := make(chan string, 10)
	elsewhere := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	go elsewhere.Serve(ln)
	t.Cleanup(func() { elsewhere.Close() })
	named := s.ca.Client("carol", ocspServers("http://"+ln.Addr().String()+"/carol"))
	s.configure(asking(address, "{mode: hard_fail, allowed_hosts: [ocsp.partners.example]}"))
	s.start()
	wantGet(t, s.client(named), "https://"+address+"/", 0, "")
	select {
	case path := <-asked:
		t.Errorf("a host that is not on the list was asked for %s", path)
	default:
	}
}

func TestOCSPFaultsHaveTheirPlace(t *testing.T) {
	for settings, want := range map[string]string{
		"{mode: hard_fail}":                                  "trust_stores[0].ocsp: names nobody to ask: list allowed_hosts",
		"{mode: soft_fail, responder: 'ldap://a/'}":          `trust_stores[0].ocsp: "ldap://a/" is not the address of a responder`,
		"{mode: perhaps}":                                    "trust_stores[0].ocsp.mode",
		"{mode: soft_fail, responder: 'http://u:p@h/'}":      "is not the address of a responder",
		"{mode: hard_fail, allowed_hosts: [a], timeout: 1h}": "trust_stores[0].ocsp.timeout",
	} {
		s := newSite(t)
		s.configure(asking("127.0.0.1:0", settings))
		if _, err := lb.Check(s.path("postern.yaml")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", settings, err, want)
		}
	}
}

// A lateProof sends the TLS records of a client one by one, and the one in which it proves
// that it holds its key, the fourth, late: when the answer about it has come.
type lateProof struct {
	net.Conn
	records int
}

// Write implements net.Conn.
func (c *lateProof) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) >= 5 {
		size := min(5+int(b[3])<<8+int(b[4]), len(b))
		if c.records++; c.records == 4 {
			time.Sleep(500 * time.Millisecond)
		}
		if _, err := c.Conn.Write(b[:size]); err != nil {
			return 0, err
		}
		b = b[size:]
	}
	return total, nil
}

// News that comes while the handshake runs is not overlooked.
func TestOCSPNewsDuringTheHandshake(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	responder, _ := opensslResponder(t, s, map[*pki.Entity]string{s.alice: "V", s.bob: "R"})
	s.configure(asking(address, "{mode: soft_fail, responder: 'http://"+responder+"/'}"))
	s.start()
	raw, err := net.Dial("tcp", address)
	check(t, err)
	defer raw.Close()
	c := tls.Client(&lateProof{Conn: raw}, s.tlsConfig(s.bob))
	check(t, c.SetDeadline(time.Now().Add(within)))
	if err := c.Handshake(); err == nil {
		_, err = c.Read(make([]byte, 1))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a revoked client stays connected")
		}
	}
}

func ocspServers(urls ...string) pki.Option {
	return pki.Template(func(c *x509.Certificate) { c.OCSPServer = urls })
}

// A client names where its CA's list is; the CA is not even in the bundle. When the list
// there changes, the client's open connection is closed.
func TestCRLDistributionPoint(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	var list atomic.Pointer[[]byte]
	serve := func(der []byte) { list.Store(&der) }
	serve(s.ca.CRL(1))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(*list.Load()) }))
	t.Cleanup(server.Close)
	carol := s.ca.Client("carol", pki.Template(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{server.URL + "/ca.crl"} }))
	s.write("bundle.pem", s.root.PEM())
	s.configure("state_directory: state\n" + strings.Replace(verifying(address), "    revocations: [partners.crl]\n",
		"    crl_distribution_points: {allowed_hosts: ['"+server.Listener.Addr().String()+"'], refresh_interval: 1s}\n", 1))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(carol), url, 200, "CN=carol,O=Postern")
	open := watchClose(t, s, address, carol)
	eventually(t, "the list", func() bool {
		_, metrics := r.admin(t, "/metrics")
		return strings.Contains(metrics, `postern_crl_distribution_point_lists{trust_store="partners"} 1`)
	})
	serve(s.ca.CRL(2, carol))
	open.wantClosed(t)
	wantGet(t, s.client(carol), url, 0, "")
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	if files, err := filepath.Glob(s.path("state/crl-distribution-points/partners/*.crl")); err != nil || len(files) != 1 {
		t.Errorf("the copies are %v, %v", files, err)
	}
}
