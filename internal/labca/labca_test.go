package labca_test

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/labca"
)

// lab makes a root and a CA below it, and returns the latter, open.
func lab(t *testing.T) *labca.CA {
	t.Helper()
	dir := t.TempDir()
	root, err := labca.Create(filepath.Join(dir, "rootca"), labca.Request{CommonName: "Root"})
	check(t, err)
	ca, err := labca.CreateBelow(filepath.Join(dir, "ca"), labca.Request{CommonName: "CA", Organization: []string{"Lab"}}, root)
	check(t, err)
	check(t, root.Close())
	t.Cleanup(func() { ca.Close() })
	return ca
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openssl runs the real program in the CA's folder.
func openssl(t *testing.T, ca *labca.CA, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	command := exec.Command(path, args...)
	command.Dir = filepath.Dir(ca.Path("x"))
	out, err := command.CombinedOutput()
	return string(out), err
}

// verifyAll asks openssl about a certificate and the lists of both CAs.
func verifyAll(t *testing.T, ca *labca.CA, name string) (string, error) {
	t.Helper()
	var lists []byte
	for _, file := range []string{"crl.pem", "../rootca/crl.pem"} {
		data, err := os.ReadFile(ca.Path(file))
		check(t, err)
		lists = append(lists, data...)
	}
	check(t, os.WriteFile(ca.Path("all.crl"), lists, 0o600))
	return openssl(t, ca, "verify", "-purpose", "sslclient", "-crl_check_all", "-CRLfile", "all.crl",
		"-CAfile", "../rootca/ca.pem", "-untrusted", name+".pem", name+".pem")
}

func TestOpenSSLAgrees(t *testing.T) {
	ca := lab(t)
	for _, r := range []labca.Request{
		{CommonName: "alice", Organization: []string{"Acme"}, Names: []string{"spiffe://lab.example/alice", "a@lab.example", "10.0.0.1", "a.lab.example"}},
		{CommonName: "bob", KeyType: "rsa2048"},
		{CommonName: "carol", Days: -3},
		{CommonName: "dave", KeyType: "p384", CRLs: []string{"http://lab.example/ca.crl"}, OCSP: []string{"http://lab.example/ocsp"}},
	} {
		_, err := ca.Client(r.CommonName, r)
		check(t, err)
	}
	check(t, ca.Revoke("bob", "keyCompromise"))
	for name, want := range map[string]string{"alice": "OK", "bob": "certificate revoked", "carol": "certificate has expired", "dave": "OK"} {
		if out, _ := verifyAll(t, ca, name); !strings.Contains(out, want) {
			t.Errorf("openssl says of %s: %s; want %q", name, out, want)
		}
	}
	out, err := openssl(t, ca, "x509", "-in", "alice.pem", "-noout", "-ext", "subjectAltName,extendedKeyUsage")
	check(t, err)
	for _, want := range []string{"URI:spiffe://lab.example/alice", "email:a@lab.example", "IP Address:10.0.0.1", "DNS:a.lab.example", "Client Authentication"} {
		if !strings.Contains(out, want) {
			t.Errorf("the certificate does not say %s: %s", want, out)
		}
	}
}

// openssl ca goes on where we stopped, and we where it did.
func TestOpenSSLTakesTurns(t *testing.T) {
	ca := lab(t)
	_, err := ca.Client("alice", labca.Request{CommonName: "alice"})
	check(t, err)
	for _, args := range [][]string{
		{"req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "erin-key.pem", "-subj", "/O=Acme/CN=erin", "-out", "erin.csr"},
		{"ca", "-config", "openssl.cnf", "-batch", "-notext", "-extensions", "client", "-in", "erin.csr", "-out", "erin.pem"},
		{"ca", "-config", "openssl.cnf", "-revoke", "alice.pem", "-crl_reason", "superseded"},
		{"ca", "-config", "openssl.cnf", "-gencrl", "-out", "crl.pem"},
	} {
		if out, err := openssl(t, ca, args...); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	dir := filepath.Dir(ca.Path("x"))
	check(t, ca.Close())
	again, err := labca.Open(dir)
	check(t, err)
	defer again.Close()
	check(t, again.Revoke("erin", "unspecified"))
	list, err := again.List(time.Now())
	check(t, err)
	if len(list) != 2 || list[0].Reason != "superseded" || list[1].Subject != "/O=Acme/CN=erin" || list[1].Status != "revoked" || list[1].Name != "erin" {
		t.Errorf("the books say %+v", list)
	}
	out, err := openssl(t, again, "crl", "-in", "crl.pem", "-noout", "-text")
	check(t, err)
	if strings.Count(out, "Serial Number:") != 2 || !strings.Contains(out, "Superseded") {
		t.Errorf("the list is %s", out)
	}
	if number := crlNumber(t, again); number != 3 {
		t.Errorf("the list has number %d, want 3", number)
	}
}

func crlNumber(t *testing.T, ca *labca.CA) int64 {
	t.Helper()
	return parseCRL(t, ca).Number.Int64()
}

func TestRenew(t *testing.T) {
	ca := lab(t)
	first, err := ca.Client("alice", labca.Request{CommonName: "alice", Units: []string{"Ops"}, Names: []string{"spiffe://lab.example/alice"}, Days: -1})
	check(t, err)
	same, err := ca.Renew("alice", 0, false)
	check(t, err)
	other, err := ca.Renew("alice", 30, true)
	check(t, err)
	for _, c := range []*x509.Certificate{same, other} {
		if c.Subject.String() != first.Subject.String() || c.URIs[0].String() != first.URIs[0].String() || !c.NotAfter.After(time.Now()) {
			t.Errorf("renewed, it says %v, %v, until %v", c.Subject, c.URIs, c.NotAfter)
		}
		if !slices.Equal(c.ExtKeyUsage, first.ExtKeyUsage) || c.SerialNumber.Cmp(first.SerialNumber) == 0 {
			t.Errorf("renewed, it has use %v and serial number %v", c.ExtKeyUsage, c.SerialNumber)
		}
	}
	if !sameKey(first, same) || sameKey(same, other) {
		t.Error("the key was not kept, or not changed")
	}
	if out, err := verifyAll(t, ca, "alice"); err != nil {
		t.Errorf("openssl says %s", out)
	}
}

func sameKey(a, b *x509.Certificate) bool {
	return string(a.RawSubjectPublicKeyInfo) == string(b.RawSubjectPublicKeyInfo)
}

func TestRefusals(t *testing.T) {
	ca := lab(t)
	dir := filepath.Dir(ca.Path("x"))
	_, err := ca.Client("alice", labca.Request{CommonName: "alice"})
	check(t, err)
	check(t, ca.Revoke("alice", "unspecified"))
	errorOf := func(_ any, err error) error { return err }
	for want, err := range map[string]error{
		"there already":       errorOf(ca.Client("alice", labca.Request{CommonName: "alice"})),
		"cannot be the name":  errorOf(ca.Client("../alice", labca.Request{CommonName: "alice"})),
		"none of ca":          errorOf(ca.Client("ca", labca.Request{CommonName: "ca"})),
		"needs a name":        errorOf(ca.Client("x", labca.Request{})),
		"key type":            errorOf(ca.Client("x", labca.Request{CommonName: "x", KeyType: "dsa"})),
		"days":                errorOf(ca.Client("x", labca.Request{CommonName: "x", Days: 1 << 30})),
		"no URI":              errorOf(ca.Client("x", labca.Request{CommonName: "x", Names: []string{"http://[::"}})),
		"there is no":         errorOf(ca.Renew("nobody", 0, false)),
		"not the name":        errorOf(ca.Renew("../alice", 0, false)),
		"revoked already":     ca.Revoke("alice", "unspecified"),
		"neither the name of": ca.Revoke("0102", "unspecified"),
		"choose unspecified":  ca.Revoke("alice", "boredom"),
		"another command":     errorOf(labca.Open(dir)),
		"holds no CA":         errorOf(labca.Open(t.TempDir())),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	check(t, ca.Close())
	if _, err := labca.Create(dir, labca.Request{CommonName: "again"}); err == nil || !strings.Contains(err.Error(), "holds a CA already") {
		t.Errorf("a CA was made over another: %v", err)
	}
	check(t, os.WriteFile(ca.Path("index.txt"), []byte("X\t1\n"), 0o600))
	if _, err := labca.Open(dir); err == nil || !strings.Contains(err.Error(), "index.txt:1") {
		t.Errorf("a broken index gives %v", err)
	}
}

func TestKeysAreTheOwners(t *testing.T) {
	ca := lab(t)
	_, err := ca.Server("server", labca.Request{CommonName: "localhost", Names: []string{"localhost"}})
	check(t, err)
	path, err := ca.PKCS12("server", "secret")
	check(t, err)
	for _, file := range []string{ca.Path("ca-key.pem"), ca.Path("server-key.pem"), path} {
		info, err := os.Stat(file)
		check(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	if out, err := openssl(t, ca, "pkcs12", "-in", "server.p12", "-passin", "pass:secret", "-nokeys"); err != nil || strings.Count(out, "BEGIN CERTIFICATE") != 3 {
		t.Errorf("openssl finds in the PKCS #12 file: %v\n%s", err, out)
	}
}

func parseCRL(t *testing.T, ca *labca.CA) *x509.RevocationList {
	t.Helper()
	out, err := openssl(t, ca, "crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	der, err := os.ReadFile(ca.Path("crl.der"))
	check(t, err)
	list, err := x509.ParseRevocationList(der)
	check(t, err)
	return list
}
