package crl_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

func TestAlgorithms(t *testing.T) {
	rsa2048 := pki.RSA(2048)
	for _, tt := range []struct {
		algorithm x509.SignatureAlgorithm
		key       pki.Option
	}{
		{x509.SHA256WithRSA, rsa2048}, {x509.SHA384WithRSA, rsa2048}, {x509.SHA512WithRSA, rsa2048},
		{x509.SHA256WithRSAPSS, rsa2048}, {x509.SHA384WithRSAPSS, rsa2048}, {x509.SHA512WithRSAPSS, rsa2048},
		{x509.ECDSAWithSHA256, pki.Curve(elliptic.P256())},
		{x509.ECDSAWithSHA384, pki.Curve(elliptic.P384())},
		{x509.ECDSAWithSHA512, pki.Curve(elliptic.P521())},
		{x509.ECDSAWithSHA384, pki.Curve(elliptic.P256())},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			root := pki.NewRoot("root", tt.key)
			draft := template()
			draft.SignatureAlgorithm = tt.algorithm
			der := root.SignCRL(draft)
			if err := parse(t, der).CheckSignature(root.Cert); err != nil {
				t.Error(err)
			}
			spoilt := append([]byte(nil), der...)
			spoilt[len(spoilt)-1] ^= 1
			if err := parse(t, spoilt).CheckSignature(root.Cert); err == nil {
				t.Error("a spoilt signature is accepted")
			}
		})
	}
}

// TestEveryByteIsSigned flips each bit of a list in turn: it must not parse, or
// not verify.
func TestEveryByteIsSigned(t *testing.T) {
	root := pki.NewRoot("root")
	der := root.CRL(1, root.Client("revoked"))
	for i := range der {
		for bit := range 8 {
			der[i] ^= 1 << bit
			if list, err := crl.Parse(der); err == nil && list.CheckSignature(root.Cert) == nil {
				t.Errorf("bit %d of byte %d can be changed", bit, i)
			}
			der[i] ^= 1 << bit
		}
	}
}

func TestAlgorithmRefusals(t *testing.T) {
	root := pki.NewRoot("root")
	const (
		rsaSHA256 = "06092a864886f70d01010b"
		pss       = "06092a864886f70d01010a"
		sha256    = "a00d300b0609608648016503040201"
		mgfSHA256 = "a11a301806092a864886f70d010108300b0609608648016503040201"
		mgfSHA384 = "a11a301806092a864886f70d010108300b0609608648016503040202"
		salt32    = "a203020120"
	)
	sequence := func(content string) string { return "30" + hexLength(content) + content }
	for _, tt := range []struct {
		name, algorithm, outer, want string
	}{
		{"SHA-1 with RSA", sequence("06092a864886f70d0101050500"), "", "algorithm 1.2.840.113549.1.1.5 is not accepted"},
		{"MD5 with RSA", sequence("06092a864886f70d0101040500"), "", "1.2.840.113549.1.1.4 is not accepted"},
		{"SHA-1 with ECDSA", sequence("06072a8648ce3d0401"), "", "1.2.840.10045.4.1 is not accepted"},
		{"Ed25519", sequence("06032b6570"), "", "1.3.101.112 is not accepted"},
		{"inner and outer differ", ecdsaSHA256, sequence("06082a8648ce3d040303"), "differs from the one in the signed part"},
		{"inner and outer differ in parameters", sequence(rsaSHA256 + "0500"), sequence(rsaSHA256), "differs from the one in the signed part"},
		{"RSA with odd parameters", sequence(rsaSHA256 + "3000"), "", "malformed signature algorithm"},
		{"ECDSA with parameters", sequence("06082a8648ce3d0403020500"), "", "malformed signature algorithm"},
		{"no identifier", sequence("0500"), "", "malformed signature algorithm"},
		{"two parameters", sequence(rsaSHA256 + "05000500"), "", "malformed signature algorithm"},
		{"PSS with defaults, SHA-1", sequence(pss + "3000"), "", "RSASSA-PSS parameters"},
		{"PSS without parameters", sequence(pss), "", "RSASSA-PSS parameters"},
		{"PSS with two hashes", sequence(pss + sequence(sha256+mgfSHA384+salt32)), "", "RSASSA-PSS parameters"},
		{"PSS with a short salt", sequence(pss + sequence(sha256+mgfSHA256+"a203020114")), "", "RSASSA-PSS parameters"},
		{"PSS with a trailer", sequence(pss + sequence(sha256+mgfSHA256+salt32+"a303020101")), "", "RSASSA-PSS parameters"},
		{"PSS with SHA-1", sequence(pss + sequence("a009300706052b0e03021a"+mgfSHA256+salt32)), "", "RSASSA-PSS parameters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := draft{ca: root, algorithm: unhex(tt.algorithm), entries: anEntry("01")}
			if tt.outer != "" {
				d.outer = unhex(tt.outer)
			}
			list, err := crl.Parse(d.der())
			refused(t, list, err, tt.want)
		})
	}
	good := draft{ca: root, algorithm: unhex(sequence(pss + sequence(sha256+mgfSHA256+salt32)))}
	if err := parse(t, good.der()).CheckSignature(root.Cert); err == nil {
		t.Error("an ECDSA key verified RSASSA-PSS")
	}
}

func TestCheckSignatureRefuses(t *testing.T) {
	root := pki.NewRoot("root")
	list := parse(t, root.CRL(1))
	withKey := func(change func(*x509.Certificate)) *pki.Entity {
		return pki.NewRoot("root", pki.Key(root.Key), pki.Template(change))
	}
	for _, tt := range []struct {
		name string
		ca   *pki.Entity
		want string // empty if it is accepted
	}{
		{"the signer", root, ""},
		{"no key usage", withKey(func(c *x509.Certificate) { c.KeyUsage = 0 }), ""},
		{"expired", withKey(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-2, 0, 0), c.NotBefore.AddDate(-1, 0, 0)
		}), ""},
		{"same name, other key", sameName(root), "not by the key"},
		{"same name, other kind of key", pki.NewRoot("root", pki.RSA(2048)), "of another kind"},
		{"same key, other name", pki.NewRoot("other", pki.Key(root.Key)), `issued by "CN=root,O=Postern", not by "CN=other,O=Postern"`},
		{"no cRLSign", withKey(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), "lacks cRLSign"},
		{"no CA", withKey(func(c *x509.Certificate) { c.IsCA = false }), "lacks CA:TRUE"},
		{"no basic constraints", withKey(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }), "lacks CA:TRUE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := list.CheckSignature(tt.ca.Cert)
			if tt.want != "" {
				refused[int](t, nil, err, tt.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNewSetFindsTheKey puts the signer behind CAs with its name that did not
// sign, or may not.
func TestNewSetFindsTheKey(t *testing.T) {
	root := pki.NewRoot("root")
	mayNot := pki.NewRoot("root", pki.Key(root.Key), pki.Template(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }))
	client := root.Client("c")
	set := newSet(t, certs(sameName(root), mayNot, root), root.CRL(1, client))
	if got := set.Status(client.Cert, root.Cert).Status; got != crl.Revoked {
		t.Errorf("%v, want revoked", got)
	}
	none, err := crl.NewSet(sources(t, root.CRL(1)), certs(mayNot))
	refused(t, none, err, "lacks cRLSign")
}

// TestForeignSignature has a valid list under another CA's name.
func TestForeignSignature(t *testing.T) {
	root := pki.NewRoot("root")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forger := &pki.Entity{Cert: root.Cert, Key: key}
	set, err := crl.NewSet(sources(t, draft{ca: forger}.der()), certs(root))
	refused(t, set, err, "not by the key")
}
