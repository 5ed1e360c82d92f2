package lb_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// A sourceServer is an HTTPS server of files, with whatever fault a test wants.
type sourceServer struct {
	*httptest.Server

	mu       sync.Mutex
	files    map[string][]byte
	fault    func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	statuses []int
}

func newSourceServer(t *testing.T, s *site, clientCA *pki.Entity) *sourceServer {
	f := &sourceServer{files: make(map[string][]byte)}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	server := s.ca.Server("127.0.0.1", "localhost")
	cert, err := tls.X509KeyPair(server.ChainPEM(), server.KeyPEM())
	check(t, err)
	f.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	if clientCA != nil {
		f.TLS.ClientAuth, f.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		f.TLS.ClientCAs.AppendCertsFromPEM(clientCA.PEM())
	}
	f.StartTLS()
	t.Cleanup(f.Close)
	s.write("source-ca.pem", s.root.PEM())
	return f
}

func (f *sourceServer) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	data, fault := f.files[r.URL.Path], f.fault
	f.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	if data == nil {
		http.NotFound(w, r)
		return
	}
	etag := fmt.Sprintf("%q", fmt.Sprintf("%x-%d", data[len(data)/2:len(data)/2+8], len(data)))
	status := http.StatusOK
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		status = http.StatusNotModified
	}
	f.mu.Lock()
	f.statuses = append(f.statuses, status)
	f.mu.Unlock()
	w.WriteHeader(status)
	if status == http.StatusOK {
		w.Write(data)
	}
}

func (f *sourceServer) put(path string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[path] = data
}

func (f *sourceServer) breakWith(fault func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *sourceServer) answered(status int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, got := range f.statuses {
		if got == status {
			return true
		}
	}
	return false
}

// fetching is verifying with a bundle and a list from elsewhere.
func fetching(address, bundle, list string) string {
	text := strings.Replace(verifying(address), "ca_certificates_bundle: bundle.pem", "ca_certificates_bundle: "+bundle, 1)
	return "state_directory: state\n" + strings.Replace(text, "[partners.crl]", "["+list+"]", 1)
}

func (f *sourceServer) source(path, more string) string {
	return `{url: "` + f.URL + path + `", ca_certificate: source-ca.pem` + more + "}"
}

func (r *running) sources(t *testing.T) map[string]lb.SourceReport {
	t.Helper()
	_, body := r.admin(t, "/readyz")
	var out struct{ Sources []lb.SourceReport }
	check(t, json.Unmarshal([]byte(body), &out))
	byName := make(map[string]lb.SourceReport)
	for _, s := range out.Sources {
		byName[s.Source] = s
	}
	return byName
}

func TestSourcePolledOverHTTPS(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newSourceServer(t, s, nil)
	f.put("/bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	f.put("/partners.crl", s.ca.CRL(1))
	s.configure(fetching(address, f.source("/bundle.pem", ""), f.source("/partners.crl", ", poll_interval: 1s")))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.bob), url, 200, bobSubject)
	eventually(t, "a conditional request", func() bool { return f.answered(http.StatusNotModified) })
	f.put("/partners.crl", s.ca.CRL(2, s.bob))
	eventually(t, "the revocation in force", func() bool {
		status, _ := get(s.client(s.bob), url)
		return status == 0
	})
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	_, body := r.admin(t, "/metrics")
	for _, want := range []string{
		`postern_source_last_attempt_success{source="` + f.URL + `/partners.crl"} 1`,
		`postern_source_consecutive_failures{source="` + f.URL + `/partners.crl"} 0`,
		`postern_source_last_success_timestamp_seconds{source="` + f.URL + `/partners.crl"}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestSourceFaults holds that no faulty answer takes the place of the last good copy,
// neither at once nor over a restart.
func TestSourceFaults(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newSourceServer(t, s, nil)
	bundle := append(s.root.PEM(), s.ca.PEM()...)
	f.put("/bundle.pem", bundle)
	f.put("/partners.crl", s.ca.CRL(1, s.bob))
	s.configure(fetching(address, f.source("/bundle.pem", ""), f.source("/partners.crl", ", timeout: 1s, max_size: 4KB, poll_interval: 1h")))
	name, url := f.URL+"/partners.crl", "https://"+address+"/"
	crl := s.ca.CRL(2)
	faults := map[string]struct {
		want  string
		fault func(w http.ResponseWriter, r *http.Request) bool
	}{
		"forbidden": {"403 Forbidden", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(403); return true }},
		"gone":      {"410 Gone", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(410); return true }},
		"garbage":   {"is refused", func(w http.ResponseWriter, _ *http.Request) bool { w.Write([]byte("<html>hello</html>")); return true }},
		"empty":     {"is empty", func(w http.ResponseWriter, _ *http.Request) bool { return true }},
		"truncated": {"unexpected EOF", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(crl)))
			w.Write(crl[:len(crl)/2])
			return true
		}},
		"without length": {"does not tell its length", func(w http.ResponseWriter, _ *http.Request) bool {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\n\r\n%s", crl)
				conn.Close()
			}
			return true
		}},
		"slow": {"no whole answer within 1s", func(w http.ResponseWriter, r *http.Request) bool {
			w.Write(crl[:10])
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}},
		"too large": {"more than 4096 bytes", func(w http.ResponseWriter, _ *http.Request) bool {
			http.NewResponseController(w).Flush() // no length
			w.Write(make([]byte, 8192))
			return true
		}},
		"said too large": {"more than 4096 bytes", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "8192")
			w.Write(make([]byte, 8192))
			return true
		}},
		"redirect": {"redirects are not followed", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/bundle.pem", http.StatusFound)
			return true
		}},
		"compressed": {"content encoding", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(crl)
			return true
		}},
	}
	r := s.start()
	wantGet(t, s.client(s.bob), url, 0, "")
	failures := 0
	for label, c := range faults {
		f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == "/partners.crl" && c.fault(w, r)
		})
		r.reload(t)
		failures++
		got := r.sources(t)[name]
		if !strings.Contains(got.Error, c.want) || got.Failures != failures {
			t.Errorf("%s: failures %d, error %q; want %d and %q", label, got.Failures, got.Error, failures, c.want)
		}
		wantGet(t, s.client(s.bob), url, 0, "")
		wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	}
	if !strings.Contains(s.log.String(), "fetching a source: the last good copy stays") {
		t.Error("the log says nothing")
	}
	f.Close()
	r.stop()
	check(t, r.wait(t))
	s.start()
	wantGet(t, s.client(s.bob), url, 0, "")
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
}

// TestSourceWithoutCopy holds that a start without any copy fails and says why.
func TestSourceWithoutCopy(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newSourceServer(t, s, s.ca)
	f.put("/bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	s.write("client.pem", s.alice.ChainPEM())
	s.write("client-key.pem", s.alice.KeyPEM())
	s.write("other.pem", pki.NewRoot("Other").PEM())
	for label, c := range map[string]struct{ source, want string }{
		"wrong CA":              {`{url: "` + f.URL + `/bundle.pem", ca_certificate: other.pem}`, "unknown authority"},
		"no client certificate": {f.source("/bundle.pem", ""), "certificate required"},
		"nothing there":         {f.source("/none.pem", ", client_certificate: client.pem, client_key: client-key.pem"), "404 Not Found"},
	} {
		s.configure(fetching(address, c.source, "partners.crl"))
		_, err := lb.New(s.options())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "trust_stores[0].ca_certificates_bundle") {
			t.Errorf("%s: %v; want %q", label, err, c.want)
		}
	}
	s.configure(fetching(address, f.source("/bundle.pem", ", client_certificate: client.pem, client_key: client-key.pem"), "partners.crl"))
	if _, err := lb.Check(s.path("postern.yaml")); err != nil {
		t.Errorf("check: %v", err)
	}
	if left, _ := filepath.Glob(s.path("state/sources/*/content-*")); len(left) > 0 {
		t.Errorf("failed starts and the check leave %v", left)
	}
	s.start()
	wantGet(t, s.client(s.bob), "https://"+address+"/", 200, bobSubject)
}

// TestSourceSetThatFits holds that a new bundle that does not fit with the revocation
// list is not used, nor after a restart, until the list follows.
func TestSourceSetThatFits(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newSourceServer(t, s, nil)
	f.put("/bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	f.put("/partners.crl", s.ca.CRL(1))
	s.configure(fetching(address, f.source("/bundle.pem", ""), f.source("/partners.crl", "")))
	url := "https://" + address + "/"
	r := s.start()
	other := pki.NewRoot("Other Root")
	carol := other.Client("carol")
	f.put("/bundle.pem", other.PEM())
	r.reload(t)
	wantOld := func(r *running) {
		t.Helper()
		wantGet(t, s.client(s.bob), url, 200, bobSubject)
		wantGet(t, s.client(carol), url, 0, "")
		if !r.sources(t)[f.URL+"/bundle.pem"].Waiting {
			t.Error("the newest copy is not said to be refused")
		}
	}
	wantOld(r)
	r.stop()
	check(t, r.wait(t))
	r = s.start()
	wantOld(r)
	f.put("/partners.crl", other.CRL(1))
	r.reload(t)
	wantGet(t, s.client(s.bob), url, 0, "")
	wantGet(t, s.client(carol), url, 200, "CN=carol,O=Postern")
	if r.sources(t)[f.URL+"/bundle.pem"].Waiting {
		t.Error("the newest copy is still said to be refused")
	}
}

// TestSourceCopyDamaged holds that a copy which is not what was fetched is not used.
func TestSourceCopyDamaged(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newSourceServer(t, s, nil)
	f.put("/bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	s.configure(fetching(address, f.source("/bundle.pem", ""), "partners.crl"))
	r := s.start()
	r.stop()
	check(t, r.wait(t))
	f.Close()
	contents, err := filepath.Glob(s.path("state/sources/*/content-*"))
	check(t, err)
	if len(contents) != 1 {
		t.Fatalf("%d copies, want 1", len(contents))
	}
	check(t, os.WriteFile(contents[0], pki.NewRoot("Evil").PEM(), 0o600))
	if _, err := lb.New(s.options()); err == nil || !strings.Contains(err.Error(), "there is no copy") {
		t.Errorf("a damaged copy was used: %v", err)
	}
}

// TestSourceFolder holds that the files of folders come and go, as in a secret that
// Kubernetes mounts, and that faults name their file.
func TestSourceFolder(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	mount := func(generation string, files map[string][]byte) {
		t.Helper()
		check(t, os.MkdirAll(s.path("crls/.."+generation), 0o700))
		for name, data := range files {
			check(t, os.WriteFile(s.path("crls/.."+generation+"/"+name), data, 0o600))
			os.Symlink("..data/"+name, s.path("crls/"+name))
		}
		check(t, os.Symlink(".."+generation, s.path("crls/..new")))
		check(t, os.Rename(s.path("crls/..new"), s.path("crls/..data")))
	}
	check(t, os.MkdirAll(s.path("cas"), 0o700))
	s.write("cas/root.pem", s.root.PEM())
	s.write("cas/ca.crt", s.ca.PEM())
	s.write("cas/ca.crt~", []byte("left by an editor"))
	s.write("cas/.hidden.pem", []byte("hidden"))
	mount("1", map[string][]byte{"a.crl": s.ca.CRL(1)})
	s.configure(fetching(address, "cas", "crls"))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.bob), url, 200, bobSubject)
	mount("2", map[string][]byte{"a.crl": s.ca.CRL(2, s.bob)})
	eventually(t, "the revocation in force", func() bool {
		status, _ := get(s.client(s.bob), url)
		return status == 0
	})
	other := pki.NewRoot("Other Root")
	carol := other.Client("carol")
	s.write("cas/other.pem", other.PEM())
	eventually(t, "a CA that was added", func() bool {
		status, _ := get(s.client(carol), url)
		return status == 200
	})
	check(t, os.Remove(s.path("cas/other.pem")))
	eventually(t, "a CA that was removed", func() bool {
		status, _ := get(s.client(carol), url)
		return status == 0
	})
	s.write("cas/bad.pem", []byte("garbage"))
	eventually(t, "an error that names the file", func() bool { return strings.Contains(r.readiness(t).LastError, "bad.pem: ") })
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
}
