package lb_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

const (
	aliceSubject = "CN=alice,O=Postern"
	bobSubject   = "CN=bob,O=Postern"
)

// within is how soon a connection must be closed whose certificate has become
// unacceptable. The contract is a second; the rest is for a busy machine.
const within = 5 * time.Second

func TestReloadRevokes(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	url := "https://" + address + "/"
	alice, bob := s.client(s.alice), s.client(s.bob)
	wantGet(t, alice, url, 200, aliceSubject)
	wantGet(t, bob, url, 200, bobSubject)
	idle := watchClose(t, s, address, s.bob)

	s.write("partners.crl", s.ca.CRL(2, s.bob))
	r.reload(t)
	idle.wantClosed(t)
	wantGet(t, bob, url, 0, "")
	wantGet(t, alice, url, 200, aliceSubject)

	s.write("partners.crl", s.ca.CRL(3))
	r.reload(t)
	wantGet(t, bob, url, 200, bobSubject)
}

// TestReloadRevokesInFlight holds that a request in flight does not keep the
// connection of a revoked client.
func TestReloadRevokesInFlight(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	status := make(chan int, 1)
	go func() {
		got, _ := get(s.client(s.bob), "https://"+address+"/slow")
		status <- got
	}()
	eventually(t, "a request in flight", func() bool { return s.inFlight(t, r) })
	s.write("partners.crl", s.ca.CRL(2, s.bob))
	r.reload(t)
	select {
	case got := <-status:
		if got == 200 {
			t.Error("the request of a revoked client was answered")
		}
	case <-time.After(within):
		t.Error("the connection of a revoked client is still open")
	}
}

// A listener that was taken out of the config drains; a revocation during that time
// ends its clients all the same.
func TestReloadRevokesOnAListenerThatDrains(t *testing.T) {
	s, address, other := newSite(t), freeAddress(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	ended := make(chan int, 1)
	go func() {
		got, _ := get(s.client(s.bob), "https://"+address+"/slow")
		ended <- got
	}()
	eventually(t, "a request in flight", func() bool { return s.inFlight(t, r) })
	s.configure(verifying(other))
	r.reload(t)
	s.write("partners.crl", s.ca.CRL(2, s.bob))
	r.reload(t)
	select {
	case got := <-ended:
		if got == 200 {
			t.Error("the request of a revoked client was answered")
		}
	case <-time.After(within):
		t.Error("the connection of a revoked client is still open")
	}
}

// inFlight reports whether the target has been given a request.
func (s *site) inFlight(t *testing.T, r *running) bool {
	_, metrics := r.admin(t, "/metrics")
	return strings.Contains(metrics, `postern_target_request_count{target="`+s.target.Listener.Addr().String()+`",target_group="app"} 1`)
}

func TestReloadReplacesTheBundle(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	url := "https://" + address + "/"
	other := pki.NewRoot("Other Root")
	carol := other.Client("carol")
	wantGet(t, s.client(carol), url, 0, "")
	idle := watchClose(t, s, address, s.alice)
	s.write("bundle.pem", other.PEM())
	s.write("partners.crl", other.CRL(1))
	r.reload(t)
	idle.wantClosed(t)
	wantGet(t, s.client(s.alice), url, 0, "")
	wantGet(t, s.client(carol), url, 200, "CN=carol,O=Postern")
}

func TestReloadServesARenewedCertificate(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	open := s.client(s.alice)
	wantGet(t, open, "https://"+address+"/", 200, aliceSubject)
	renewed := s.certify("server", "localhost", "127.0.0.1")
	r.reload(t)
	if got := serverSerial(t, s, address); got != renewed.Cert.SerialNumber.String() {
		t.Errorf("the server presents serial %s, want the renewed %v", got, renewed.Cert.SerialNumber)
	}
	again := false
	wantGetReused(t, open, "https://"+address+"/", &again)
	if !again {
		t.Error("a connection from before was closed")
	}
}

// TestReloadSwappedCertificates holds that two listeners whose files trade their
// contents are served anew: the set of certificates is the same as before.
func TestReloadSwappedCertificates(t *testing.T) {
	s, one, two := newSite(t), freeAddress(t), freeAddress(t)
	second := s.certify("second", "localhost")
	first := s.certify("server", "localhost")
	plain := func(name, address, files string) string {
		return "  - {name: " + name + ", address: '" + address + "', protocol: HTTPS, certificates: [{certificate: " + files +
			".pem, private_key: " + files + "-key.pem}], default_actions: [{fixed_response: {status_code: 204}}]}\n"
	}
	s.configure("listeners:\n" + plain("one", one, "server") + plain("two", two, "second"))
	r := s.start()
	s.write("server.pem", second.ChainPEM())
	s.write("server-key.pem", second.KeyPEM())
	s.write("second.pem", first.ChainPEM())
	s.write("second-key.pem", first.KeyPEM())
	r.reload(t)
	for address, want := range map[string]*pki.Entity{one: second, two: first} {
		if got := serverSerial(t, s, address); got != want.Cert.SerialNumber.String() {
			t.Errorf("%s presents the certificate of before", address)
		}
	}
}

func TestReloadRefusesBadFilesWhole(t *testing.T) {
	s, address, added := newSite(t), freeAddress(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	url := "https://" + address + "/"
	before := r.readiness(t)
	if before.LastError != "" || !before.Ready {
		t.Fatalf("readiness %+v", before)
	}
	// A new listener beside a broken CRL: neither may take effect.
	s.write("partners.crl", s.ca.CRL(2, s.alice)[:200])
	s.edit("listeners:\n", "listeners:\n  - {name: added, address: '"+added+"', protocol: HTTP, default_actions: [{fixed_response: {status_code: 200}}]}\n")
	err := r.Reload(t.Context())
	wantFaults(t, err, []string{"postern.yaml:16:19: trust_stores[0].revocations[0]: ", "partners.crl"})
	after := r.readiness(t)
	if !after.Ready || after.Revision != before.Revision || after.LastError != err.Error() {
		t.Errorf("readiness %+v after %+v", after, before)
	}
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	wantGet(t, http.DefaultClient, "http://"+added+"/", 0, "")
	if _, metrics := r.admin(t, "/metrics"); !strings.Contains(metrics, `postern_reloads_total{outcome="refused"} 1`) {
		t.Error("the refusal is not counted")
	}

	s.write("partners.crl", s.ca.CRL(3, s.bob))
	r.reload(t)
	if got := r.readiness(t); got.LastError != "" || got.Revision != before.Revision+1 {
		t.Errorf("readiness %+v after the correction", got)
	}
	wantGet(t, s.client(s.bob), url, 0, "")
	wantGet(t, http.DefaultClient, "http://"+added+"/", 200, "")
}

func TestReloadAfterTheEnd(t *testing.T) {
	s := newSite(t)
	s.configure(verifying(freeAddress(t)))
	r := s.start()
	r.stop()
	check(t, r.wait(t))
	s.edit("name: front", "name: back")
	if err := r.Reload(t.Context()); err == nil {
		t.Error("a reload after the end succeeded")
	}
}

// TestFileChanges changes the CRL in each of the ways that files are replaced.
// Nobody calls Reload.
func TestFileChanges(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *site, crl []byte)
	}{
		{"renamed over", func(s *site, crl []byte) { s.write("partners.crl", crl) }},
		{"written in place", func(s *site, crl []byte) { check(s.t, os.WriteFile(s.path("partners.crl"), crl, 0o600)) }},
		{"as Kubernetes does", func(s *site, crl []byte) {
			check(s.t, os.Mkdir(s.path("..v2"), 0o755))
			s.write("..v2/partners.crl", crl)
			check(s.t, os.Symlink("..v2", s.path("..data.new")))
			check(s.t, os.Rename(s.path("..data.new"), s.path("..data")))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, address := newSite(t), freeAddress(t)
			if test.name == "as Kubernetes does" {
				check(t, os.Mkdir(s.path("..v1"), 0o755))
				check(t, os.Rename(s.path("partners.crl"), s.path("..v1/partners.crl")))
				check(t, os.Symlink("..v1", s.path("..data")))
				check(t, os.Symlink("..data/partners.crl", s.path("partners.crl")))
			}
			s.configure(verifying(address))
			s.start()
			wantGet(t, s.client(s.bob), "https://"+address+"/", 200, bobSubject)
			idle := watchClose(t, s, address, s.bob)
			test.change(s, s.ca.CRL(2, s.bob))
			idle.wantClosed(t)
			wantGet(t, s.client(s.bob), "https://"+address+"/", 0, "")
		})
	}
}

// TestFileCorrected breaks the config, then a file it names, and mends them: each
// time the change is noticed without a signal, also while the config cannot be read.
func TestFileCorrected(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	good, err := os.ReadFile(s.path("postern.yaml"))
	check(t, err)
	refused := func(part string) {
		t.Helper()
		eventually(t, "a refusal for "+part, func() bool { return strings.Contains(r.readiness(t).LastError, part) })
	}
	s.write("postern.yaml", []byte("listeners: [\n"))
	refused("postern.yaml:")
	s.write("partners.crl", nil)
	s.write("postern.yaml", good)
	refused("partners.crl is empty")
	s.write("partners.crl", s.ca.CRL(2, s.bob))
	eventually(t, "a good reload", func() bool { return r.readiness(t).LastError == "" })
	wantGet(t, s.client(s.bob), "https://"+address+"/", 0, "")
}

// An old list copied back gives revoked clients their access again: the log says so.
func TestReloadTellsOfAnOlderList(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.write("partners.crl", s.ca.CRL(2, s.bob))
	s.configure(verifying(address))
	r := s.start()
	s.write("partners.crl", s.ca.CRL(3, s.bob))
	r.reload(t)
	if text := s.log.String(); strings.Contains(text, "older") {
		t.Errorf("a newer list was taken for an older one:\n%s", text)
	}
	s.write("partners.crl", s.ca.CRL(1))
	r.reload(t)
	if text := s.log.String(); !strings.Contains(text, "older than the one it replaces") || !strings.Contains(text, "number_now=1") {
		t.Errorf("nothing was said of the older list:\n%s", text)
	}
	wantGet(t, s.client(s.bob), "https://"+address+"/", 200, bobSubject)
}
