package listener

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// A certificate in these tests is told by its subject.
func subjectOf(cert *tls.Certificate) string { return cert.Leaf.Subject.CommonName }

func named(commonName string) pki.Option { return pki.Subject(pkix.Name{CommonName: commonName}) }

func indexOf(t testing.TB, certs ...*pki.Entity) *CertificateIndex {
	t.Helper()
	var others []tls.Certificate
	for _, e := range certs[1:] {
		others = append(others, e.TLS())
	}
	index, err := NewCertificateIndex(certs[0].TLS(), others)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestChooseByName(t *testing.T) {
	root := pki.NewRoot("root")
	index := indexOf(t,
		root.ServerWith([]string{"default.example"}, named("default")),
		root.ServerWith([]string{"*.example"}, named("wildcard")),
		root.ServerWith([]string{"a.example", "A.Second.example"}, named("exact")),
		root.ServerWith([]string{"ignored.example"}, pki.DNS("w*.example", "*", "10.0.0.1", "odd name"), named("odd")),
		root.ServerWith([]string{"x"}, pki.DNS(), pki.IP(net.ParseIP("10.0.0.2")), named("common.name")),
	)
	for _, tt := range []struct {
		sni, want string
		matched   bool
	}{
		{"default.example", "default", true}, // the default is on the list too
		{"a.example", "exact", true},
		{"A.EXAMPLE", "exact", true},
		{"a.example.", "exact", true},
		{"a.second.example", "exact", true},
		{"b.example", "wildcard", true},
		{"w.example", "wildcard", true},
		{"b.a.example", "default", false}, // one label only
		{"example", "default", false},     // not the apex
		{"common.name", "common.name", true},
		{"", "default", false},
		{"elsewhere.test", "default", false},
		{"10.0.0.1", "default", false},
		{"10.0.0.2", "default", false},
		{"a.example:443", "exact", true},
		{"*.example", "default", false},
		{"a.example\x00.test", "default", false},
		{strings.Repeat("a", 300) + ".example", "default", false},
	} {
		cert, matched := index.Choose(helloFor(tt.sni))
		if subjectOf(cert) != tt.want || matched != tt.matched {
			t.Errorf("Choose(%.40q) = %s, %v, want %s, %v", tt.sni, subjectOf(cert), matched, tt.want, tt.matched)
		}
	}
}

// helloFor is a client that supports every certificate there is.
func helloFor(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        name,
		SupportedVersions: []uint16{tls.VersionTLS13, tls.VersionTLS12},
		SignatureSchemes: []tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512},
	}
}

// Each row is certificates for one name, best last, so that the order given
// cannot be what decides.
func TestChooseTheBest(t *testing.T) {
	root := pki.NewRoot("root")
	sha384Root := pki.NewRoot("root on P-384", pki.Curve(elliptic.P384()))
	weeks := func(n int) pki.Option {
		begin := time.Now().Add(-time.Hour)
		return pki.Window(begin, begin.Add(time.Duration(n)*7*24*time.Hour))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := func(issuer *pki.Entity, options ...pki.Option) *pki.Entity {
		return issuer.ServerWith([]string{"a.example"}, options...)
	}
	worse, best := named("worse"), named("best")
	for _, tt := range []struct {
		name  string
		certs []*pki.Entity
	}{
		{"ECDSA before RSA", []*pki.Entity{
			server(sha384Root, worse, pki.Key(rsaKey), weeks(9)), server(root, best)}},
		{"ECDSA before RSA though expired", []*pki.Entity{
			server(root, worse, pki.Key(rsaKey)), server(root, best, pki.Expired)}},
		{"not expired before a better hash", []*pki.Entity{
			server(sha384Root, worse, pki.Expired), server(root, best)}},
		{"begun before not yet valid", []*pki.Entity{
			server(sha384Root, worse, pki.NotYetValid), server(root, best)}},
		{"hash before key length", []*pki.Entity{
			server(root, worse, pki.Curve(elliptic.P384())), server(sha384Root, best)}},
		{"key length before validity", []*pki.Entity{
			server(root, worse, weeks(9)), server(root, best, pki.Curve(elliptic.P384()), weeks(1))}},
		{"the longer validity", []*pki.Entity{
			server(root, worse, weeks(1)), server(root, best, weeks(9))}},
		{"exact before wildcard", []*pki.Entity{
			root.ServerWith([]string{"*.example"}, worse), server(root, best, pki.Key(rsaKey), pki.Expired)}},
		{"of two that expired, the better hash", []*pki.Entity{
			server(root, worse, pki.Expired), server(sha384Root, best, pki.Expired)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certs := append([]*pki.Entity{root.Server("default.example")}, tt.certs...)
			if cert, matched := indexOf(t, certs...).Choose(helloFor("a.example")); subjectOf(cert) != "best" || !matched {
				t.Errorf("chose %s, matched %v", subjectOf(cert), matched)
			}
		})
	}
}

func TestChooseWhatTheClientSupports(t *testing.T) {
	root := pki.NewRoot("root")
	p256 := root.ServerWith([]string{"a.example"}, named("p256"))
	p384 := root.ServerWith([]string{"a.example"}, named("p384"), pki.Curve(elliptic.P384()))
	rsa := root.ServerWith([]string{"a.example", "*.example"}, named("rsa"), pki.RSA(2048))
	wildcard := root.ServerWith([]string{"*.example"}, named("wildcard"))
	oldP256 := root.ServerWith([]string{"x"}, pki.DNS(), named("a.example"))
	oldRSA := root.ServerWith([]string{"x"}, pki.DNS(), named("A.Example"), pki.RSA(2048))
	onlyRSA := []tls.SignatureScheme{tls.PSSWithSHA256}
	onlyP256 := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	for _, tt := range []struct {
		name   string
		certs  []*pki.Entity
		client []tls.SignatureScheme
		want   string
	}{
		{"RSA only", []*pki.Entity{p256, rsa, p384}, onlyRSA, "rsa"},
		{"P-256 only", []*pki.Entity{p384, rsa, p256}, onlyP256, "p256"},
		{"the exact one is not supported", []*pki.Entity{rsa, wildcard}, onlyP256, "wildcard"},
		{"common names", []*pki.Entity{oldP256, oldRSA}, onlyRSA, "A.Example"},
		{"none is: the first by preference", []*pki.Entity{rsa, p256, p384}, []tls.SignatureScheme{tls.Ed25519}, "p384"},
		{"the only one is not", []*pki.Entity{p256}, onlyRSA, "p256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certs := append([]*pki.Entity{root.Server("default.example")}, tt.certs...)
			hello := helloFor("a.example")
			hello.SignatureSchemes = tt.client
			cert, matched := indexOf(t, certs...).Choose(hello)
			if subjectOf(cert) != tt.want || !matched {
				t.Errorf("chose %s, matched %v, want %s", subjectOf(cert), matched, tt.want)
			}
		})
	}
}

// An unknown name must not fail a handshake, and a real client of each kind gets
// the certificate it can use.
func TestChooseInHandshakes(t *testing.T) {
	root := pki.NewRoot("root")
	index := indexOf(t,
		root.ServerWith([]string{"default.example"}, named("default")),
		root.ServerWith([]string{"a.example"}, named("rsa"), pki.RSA(2048)),
		root.ServerWith([]string{"a.example"}, named("ecdsa")))
	server := &tls.Config{MinVersion: tls.VersionTLS10, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, _ := index.Choose(hello)
		return cert, nil
	}}
	for _, tt := range []struct {
		name, want string
		client     *tls.Config
	}{
		{"a name nobody has", "default", &tls.Config{ServerName: "nobody.test"}},
		{"no name", "default", &tls.Config{ServerName: "127.0.0.1"}}, // Go sends none for an address
		{"any certificate", "ecdsa", &tls.Config{ServerName: "a.example"}},
		{"RSA suites only", "rsa", &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}},
	} {
		state, err := handshake(t, server, tt.client)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := state.PeerCertificates[0].Subject.CommonName; got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestNewCertificateIndexRefuses(t *testing.T) {
	good := pki.NewRoot("root").Server("a.example").TLS()
	for _, tt := range []struct {
		name string
		cert tls.Certificate
	}{
		{"no chain", tls.Certificate{PrivateKey: good.PrivateKey}},
		{"no key", tls.Certificate{Certificate: good.Certificate}},
		{"no DER", tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: good.PrivateKey}},
	} {
		if x, err := NewCertificateIndex(good, []tls.Certificate{tt.cert}); err == nil || x != nil {
			t.Errorf("%s: got %v, %v", tt.name, x, err)
		} else if !strings.HasPrefix(err.Error(), "certificates[1]: ") {
			t.Errorf("%s: %q does not say which", tt.name, err)
		}
	}
}

func TestIndexParsesTheLeaf(t *testing.T) {
	cert := pki.NewRoot("root").Server("a.example").TLS()
	cert.Leaf = nil
	index, err := NewCertificateIndex(cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, matched := index.Choose(helloFor("a.example")); !matched || got.Leaf == nil {
		t.Errorf("matched %v, leaf %v", matched, got.Leaf)
	}
	if cert.Leaf != nil {
		t.Error("the caller's certificate was changed")
	}
}

func TestChooseDoesNotAllocate(t *testing.T) {
	root := pki.NewRoot("root")
	listed := root.Server("a.example", "*.b.example")
	index := indexOf(t, root.Server("default.example"), listed, listed)
	for _, name := range []string{"a.example", "x.b.example", "nobody.test", ""} {
		hello := helloFor(name)
		if n := testing.AllocsPerRun(100, func() { index.Choose(hello) }); n != 0 {
			t.Errorf("Choose(%q) allocates %v times, want 0", name, n)
		}
	}
}

func TestCheckServerCertificate(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	good := sub.Server("a.example")
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*tls.Certificate)) tls.Certificate {
		c := good.TLS()
		change(&c)
		return c
	}
	server := func(options ...pki.Option) tls.Certificate {
		return root.ServerWith([]string{"a.example"}, options...).TLS()
	}
	for _, tt := range []struct {
		name    string
		cert    tls.Certificate
		err     string // part of the error; empty if there is none
		warning string // part of the only warning; empty if there is none
	}{
		{"good", good.TLS(), "", ""},
		{"good RSA", server(pki.RSA(2048)), "", ""},
		{"nothing", tls.Certificate{}, "no certificate", ""},
		{"no DER", with(func(c *tls.Certificate) { c.Certificate[1] = []byte{0} }), "parsing certificate 2", ""},
		{"key of another", with(func(c *tls.Certificate) { c.PrivateKey = root.Key }), "does not belong", ""},
		{"no key", with(func(c *tls.Certificate) { c.PrivateKey = nil }), "cannot sign", ""},
		{"Ed25519", server(pki.Key(ed)), "Ed25519", ""},
		{"P-224", server(pki.Key(p224)), "P-224", ""},
		{"RSA too short", server(pki.RSA(1024)), "1024 bits", ""},
		{"expired", server(pki.Expired), "", "expired at"},
		{"not begun", server(pki.NotYetValid), "", "not valid before"},
		{"ends soon", server(pki.Window(time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))), "", "expires soon"},
		{"no names", server(pki.DNS()), "", "no subject alternative names"},
		{"for clients", server(pki.Template(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), "", "lacks serverAuth"},
		{"wrong intermediate", with(func(c *tls.Certificate) { c.Certificate[1] = root.Intermediate("other").Cert.Raw }),
			"", "certificate 2 of the chain did not sign certificate 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			warnings, err := CheckServerCertificate(&tt.cert, time.Now())
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if got := strings.Join(warnings, "; "); (got != "") != (tt.warning != "") || !strings.Contains(got, tt.warning) {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
		})
	}
}

func TestCheckKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode os.FileMode
		want string
	}{
		{0o600, ""}, {0o400, ""}, {0o640, ""}, {0o660, "0660"}, {0o644, "0644"}, {0o604, "0604"}, {0o602, "0602"},
	} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		warning, err := CheckKeyFile(path)
		if err != nil || (warning != "") != (tt.want != "") || !strings.Contains(warning, tt.want) {
			t.Errorf("mode %04o: %q, %v, want %q", tt.mode, warning, err, tt.want)
		}
	}
	for _, bad := range []string{filepath.Dir(path), path + ".missing"} {
		if _, err := CheckKeyFile(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// What the choice adds to a handshake: candidates=1 is the look-up alone, candidates=2
// adds the question which of two kinds of key the client supports.
func BenchmarkChoose(b *testing.B) {
	root := pki.NewRoot("root")
	ecdsa, rsa := root.Server("a.example"), root.ServerWith([]string{"a.example"}, pki.RSA(2048))
	for _, bb := range []struct {
		name  string
		index *CertificateIndex
	}{
		{"candidates=1", indexOf(b, root.Server("default.example"), ecdsa)},
		{"candidates=2", indexOf(b, root.Server("default.example"), ecdsa, rsa)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			hello := helloFor("a.example")
			b.ReportAllocs()
			for b.Loop() {
				bb.index.Choose(hello)
			}
		})
	}
}
