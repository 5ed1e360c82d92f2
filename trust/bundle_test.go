package trust_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// lines returns how many lines text has.
func lines(text string) int { return strings.Count(text, "\n") }

func TestParseBundleRefuses(t *testing.T) {
	a, b := string(pki.NewRoot("a").PEM()), string(pki.NewRoot("b").PEM())
	n := lines(a)
	key := string(pki.NewRoot("k").KeyPEM())
	damaged := strings.Replace(a, "MII", "M!I", 1)
	noCert := "-----BEGIN CERTIFICATE-----\nMAMBAf8=\n-----END CERTIFICATE-----\n"
	der := string(pki.NewRoot("der").Cert.Raw)

	for _, tt := range []struct {
		name, data string
		want       []string // each must be in the fault of the same index
	}{
		{"empty", "", []string{"is empty"}},
		{"comments only", "# nothing\n", []string{"holds no certificate"}},
		{"DER", der, []string{"openssl x509 -inform DER"}},
		{"UTF-16", "-\x00-\x00", []string{"line 1: a NUL byte"}},
		{"NUL in line 2", "# x\n\x00", []string{"line 2: a NUL byte"}},
		{"byte order mark", "\xef\xbb\xbf" + a, []string{"byte order mark"}},
		{"too large", strings.Repeat("#", trust.MaxBundleBytes+1), []string{"at most 16777216"}},
		{"blank line first", "\n" + a, []string{"line 1 is blank, which ALB refuses; delete line 1"}},
		{"blank line between", a + "\n" + b, []string{fmt.Sprintf("delete line %d", n+1)}},
		{"blank line last", a + "\n", []string{fmt.Sprintf("delete line %d", n+1)}},
		{"line of blanks", a + " \t\r\n" + b, []string{fmt.Sprintf("delete line %d", n+1)}},
		{"blank line inside", strings.Replace(a, "\nMII", "\n\nMII", 1), []string{"line 2 is blank, inside the certificate"}},
		{"comment with a dash", "# e-mail\n" + a, []string{"line 1: a comment must not hold \"-\""}},
		{"text dump", "Certificate:\n    Data:\n\n        Version: 3\n" + a, []string{"lines 1 to 4 are not PEM"}},
		{"one line of text", a + "hello\n" + b, []string{fmt.Sprintf("line %d is not PEM", n+1)}},
		{"text at the end", a + "hello", []string{fmt.Sprintf("line %d is not PEM", n+1)}},
		{"private key", a + key, []string{fmt.Sprintf("line %d: a \"PRIVATE KEY\" block", n+1)}},
		{"trusted certificate", strings.ReplaceAll(a, "CERTIFICATE", "TRUSTED CERTIFICATE"), []string{"convert"}},
		{"odd BEGIN line", "-----BEGIN CERTIFICATE----\n", []string{"a BEGIN line must read", "cut short"}},
		{"END without BEGIN", "-----END CERTIFICATE-----\n", []string{"line 1: an END line without a BEGIN line"}},
		{"other END", strings.Replace(a, "END CERTIFICATE", "END CERT", 1), []string{"ends with \"-----END CERT-----\""}},
		{"cut short", a[:len(a)/2], []string{"line 1: the block that begins here has no END line"}},
		{"cut short, then another", a[:len(a)-30] + "\n" + b, []string{"no END line; it is cut short"}},
		{"headers", strings.Replace(a, "\nMII", "\nProc-Type: 4\nMII", 1), []string{"line 2: a certificate block must not have PEM headers"}},
		{"damaged base64", a + damaged, []string{fmt.Sprintf("certificate 2 (line %d): the base64 text is damaged", n+1)}},
		{"no certificate inside", a + noCert, []string{fmt.Sprintf("certificate 2 (line %d): cannot be parsed", n+1)}},
		{"bytes after the certificate", a + pemOf(append([]byte(der), 0)), []string{"certificate 2"}},
		{"bytes after the signature", string(pki.PEM(padded(t, pki.NewRoot("p").Cert))), []string{"bytes after its signature"}},
		{"version 1", string(version1(t).PEM()), []string{"version 1"}},
		{"RSA 1024", string(pki.NewRoot("r", pki.Key(rsa1024(t))).PEM()), []string{"1024 bits"}},
		{"P-224", string(pki.NewRoot("p", pki.Curve(elliptic.P224())).PEM()), []string{"P-224"}},
		{"Ed25519", string(pki.NewRoot("e", ed25519Key(t)).PEM()), []string{"Ed25519"}},
		{"SHA-1 of another CA", string(pki.PEM(respelt(t, sha1Root(t).Cert))), []string{"SHA1-RSA"}},
		{"SHA-1 with another signature", string(pki.PEM(damagedSignature(t, sha1Root(t).Cert))), []string{"SHA1-RSA"}},
		{"more than 16 KB", string(pki.NewRoot("big", manyNames(4000)).PEM()), []string{"at most 16384"}},
		{"all faults at once", "\n# a-b\n" + noCert + "text\n" + key, []string{"line 1 is blank", "line 2: a comment", "certificate 1 (line 3)", "line 6 is not PEM", "line 7: a \"PRIVATE KEY\""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := trust.ParseBundle([]byte(tt.data), time.Now())
			if err == nil {
				t.Fatal("no error")
			}
			if b != nil {
				t.Error("a bundle beside the error")
			}
			faults, ok := errors.AsType[trust.BundleError](err)
			if !ok || len(faults) != len(tt.want) {
				t.Fatalf("faults:\n%v\nwant %d", err, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.Contains(strings.ToLower(faults[i]), strings.ToLower(want)) {
					t.Errorf("fault %d: %s\nwant %q in it", i, faults[i], want)
				}
			}
		})
	}
}

func pemOf(der []byte) string { return string(pki.PEM(&x509.Certificate{Raw: der})) }

// respelt changes the issuer's name, so that the certificate is not its own
// issuer any more.
func respelt(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	der := bytes.Replace(c.Raw, []byte("by hand"), []byte("by paws"), 1)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func damagedSignature(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	der := bytes.Clone(c.Raw)
	der[len(der)-1] ^= 1
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestParseBundleBoundsFaultsAndCertificates(t *testing.T) {
	_, err := trust.ParseBundle(bytes.Repeat([]byte("\n"), 5000), time.Now())
	if faults, _ := errors.AsType[trust.BundleError](err); len(faults) != trust.MaxBundleFaults+1 {
		t.Errorf("%d faults", len(faults))
	}
	ca := pki.NewRoot("ca").PEM()
	if _, err := trust.ParseBundle(bytes.Repeat(ca, trust.MaxBundleCertificates), time.Now()); err != nil {
		t.Error(err)
	}
	_, err = trust.ParseBundle(bytes.Repeat(ca, trust.MaxBundleCertificates+5), time.Now())
	if err == nil || !strings.Contains(err.Error(), "certificate 1001 (line") || lines(err.Error()) != 0 {
		t.Errorf("error %v", err)
	}
}

func TestParseBundleAccepts(t *testing.T) {
	a, b := pki.NewRoot("a"), pki.NewRoot("b", pki.RSA(2048))
	plain := string(pki.PEM(a.Cert, b.Cert))
	for _, tt := range []struct{ name, data string }{
		{"plain", plain},
		{"no line feed at the end", strings.TrimSuffix(plain, "\n")},
		{"CR LF", strings.ReplaceAll(plain, "\n", "\r\n")},
		{"comments", "# root a\n" + string(a.PEM()) + "#root b, from Ana & Co.\n" + string(b.PEM()) + "#\n"},
		{"blanks at line ends", strings.ReplaceAll(plain, "\n", " \n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := trust.ParseBundle([]byte(tt.data), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Certificates) != 2 || !got.Certificates[0].Equal(a.Cert) || !got.Certificates[1].Equal(b.Cert) {
				t.Errorf("got %d certificates", len(got.Certificates))
			}
			if want := bundle(t, b.Cert, a.Cert).Digest; got.Digest != want {
				t.Error("the digest depends on order or spelling")
			}
		})
	}
	if bundle(t, a.Cert).Digest == bundle(t, a.Cert, b.Cert).Digest {
		t.Error("another set has the same digest")
	}
}

func TestBundleWarnings(t *testing.T) {
	day := 24 * time.Hour
	until := func(d time.Duration) pki.Option {
		return pki.Window(time.Now().Add(-time.Hour), time.Now().Add(d+time.Minute))
	}
	root := pki.NewRoot("root", until(400*day))
	sub := root.Intermediate("sub", until(400*day))
	many := func(n int, name string) (list []*x509.Certificate) {
		key := pki.Key(root.Key)
		for i := range n {
			list = append(list, pki.NewRoot(fmt.Sprint(name, i), key, until(400*day)).Cert)
		}
		return list
	}
	certs := func(list ...*pki.Entity) (certs []*x509.Certificate) {
		for _, e := range list {
			certs = append(certs, e.Cert)
		}
		return certs
	}
	for _, tt := range []struct {
		name  string
		certs []*x509.Certificate
		want  []trust.WarningCode
		text  string // in the last of them
	}{
		{"nothing", certs(root, sub), nil, ""},
		{"expired", certs(pki.NewRoot("x", pki.Expired)), []trust.WarningCode{trust.WarnExpired}, "expired at"},
		{"not yet valid", certs(pki.NewRoot("x", pki.NotYetValid)), []trust.WarningCode{trust.WarnNotYetValid}, "valid from"},
		{"hours left", certs(pki.NewRoot("x", until(5*time.Hour))), []trust.WarningCode{trust.WarnExpires1Day}, "expires in 5 hours"},
		{"days left", certs(pki.NewRoot("x", until(5*day))), []trust.WarningCode{trust.WarnExpires7Days}, "expires in 5 days"},
		{"weeks left", certs(pki.NewRoot("x", until(20*day))), []trust.WarningCode{trust.WarnExpires30Days}, "expires in 20 days"},
		{"31 days left", certs(pki.NewRoot("x", until(31*day))), nil, ""},
		{"no CA", certs(pki.NewSelfSigned("x", until(400*day))), []trust.WarningCode{trust.WarnNotCA}, "exactly this certificate"},
		{"no keyCertSign", certs(pki.NewRoot("x", until(400*day), keyUsage(x509.KeyUsageCRLSign))), []trust.WarningCode{trust.WarnUnusableIssuer}, "keyCertSign"},
		{"critical extension", certs(pki.NewRoot("x", until(400*day), criticalOdd)), []trust.WarningCode{trust.WarnUnusableIssuer}, "1.2.3.4"},
		{"directory name constraint", certs(pki.NewRoot("x", until(400*day), constrains(t, 4, nil))), nil, ""},
		{"constraint that cannot be read", certs(pki.NewRoot("x", until(400*day), constrains(t, 4, []byte("no name")))), []trust.WarningCode{trust.WarnUnusableIssuer}, "name constraints"},
		{"SHA-1 of itself", certs(sha1Root(t)), []trust.WarningCode{trust.WarnExpires1Day, trust.WarnWeak}, "SHA1-RSA"},
		{"twice", certs(root, root), []trust.WarningCode{trust.WarnDuplicate}, "at line 1"},
		{"incomplete", certs(sub), []trust.WarningCode{trust.WarnIncomplete}, "O=Postern"},
		{"issuer of another key", append(certs(sub), pki.NewRoot("root", until(400*day)).Cert), []trust.WarningCode{trust.WarnIncomplete}, ""},
		{"same subject, another key", append(certs(root), pki.NewRoot("root", until(400*day)).Cert), []trust.WarningCode{trust.WarnConflict}, "another key"},
		{"same subject, another issuer", certs(root, sub, pki.NewRoot("sub", until(400*day))), []trust.WarningCode{trust.WarnConflict}, "different issuer"},
		{"renewed", append(certs(root), pki.NewRoot("root", until(400*day), pki.Key(root.Key)).Cert), nil, ""},
		{"25", many(25, "ca"), nil, ""},
		{"26", many(26, "ca"), []trust.WarningCode{trust.WarnCertificates}, "26 certificates"},
		{"10,000 bytes", many(25, strings.Repeat("x", 500)), []trust.WarningCode{trust.WarnSubjectBytes}, "quota is 10000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bundle(t, tt.certs...)
			var got []trust.WarningCode
			for _, w := range b.Warnings {
				got = append(got, w.Code)
			}
			if !slices.Equal(got, tt.want) {
				t.Fatalf("got %v, want %v", b.Warnings, tt.want)
			}
			if n := len(b.Warnings); n > 0 && !strings.Contains(b.Warnings[n-1].String(), tt.text) {
				t.Errorf("warning %q, want %q in it", b.Warnings[n-1], tt.text)
			}
		})
	}
	b := bundle(t, root.Cert, sub.Cert)
	if got := b.WarningsAt(root.Cert.NotAfter.Add(time.Hour)); len(got) != 2 || got[1].Line != 1+lines(string(root.PEM())) {
		t.Errorf("later: %v", got)
	}
}

// constrains adds name constraints, not critical, with one permitted name of
// the given kind (RFC 5280, 4.2.1.6: the tag of a GeneralName).
func constrains(t *testing.T, kind int, name []byte) pki.Option {
	t.Helper()
	if kind == 4 && name == nil {
		name = marshal(t, pkix.Name{Organization: []string{"Partner"}}.ToRDNSequence())
	}
	base := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: kind, IsCompound: kind == 4, Bytes: name}
	subtree := asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: marshal(t, base)}
	permitted := asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: marshal(t, subtree)}
	value := marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: marshal(t, permitted)})
	return pki.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Value: value})
	})
}

func TestSHA1RootIsAnAnchorOnly(t *testing.T) {
	root := sha1Root(t)
	client := root.Client("c")
	chain := []*x509.Certificate{client.Cert, root.Cert}
	checkVerdict(t, judged(t, store(t, root.Cert), chain, nil, time.Now()), "", 0)
	checkVerdict(t, judged(t, store(t, pki.NewRoot("x").Cert), chain, nil, time.Now()), trust.ClientCertIncompatible, 1)
}

// A real text dump, where OpenSSL is to be had.
func TestOpenSSLTextDumpIsRefused(t *testing.T) {
	cmd := exec.Command(openssl(t), "x509", "-text")
	cmd.Stdin = bytes.NewReader(pki.NewRoot("root").PEM())
	dump, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, err = trust.ParseBundle(dump, time.Now())
	if err == nil || lines(err.Error()) != 0 || !strings.Contains(err.Error(), "without -text") {
		t.Errorf("error %v", err)
	}
}

func FuzzParseBundle(f *testing.F) {
	a, b := pki.NewRoot("a"), pki.NewRoot("b").Intermediate("c")
	f.Add(pki.PEM(a.Cert, b.Cert))
	f.Add(append([]byte("# comment\r\n"), a.PEM()...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n\n-----END X-----\ntext"))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Unix(1_800_000_000, 0)
		got, err := trust.ParseBundle(data, now)
		if err != nil {
			if got != nil || err.Error() == "" {
				t.Fatalf("bundle %v beside error %q", got, err)
			}
			return
		}
		again, err := trust.ParseBundle(pki.PEM(got.Certificates...), now)
		if err != nil {
			t.Fatalf("printed again: %v", err)
		}
		same := func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }
		if again.Digest != got.Digest || len(got.Certificates) == 0 || !slices.EqualFunc(got.Certificates, again.Certificates, same) {
			t.Fatalf("%d certificates became %d", len(got.Certificates), len(again.Certificates))
		}
	})
}
