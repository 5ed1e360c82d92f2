package trust_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// Certificates that x509.CreateCertificate does not make.

var (
	pinServer = pki.NewSelfSigned("server", pki.ServerOnly)
	oldPin    = pki.NewSelfSigned("old pin", pki.Expired)
)

// signed makes a leaf with the key of an issuer that x509 would not let sign.
func signed(t *testing.T, issuer *pki.Entity, name string) *pki.Entity {
	t.Helper()
	parent := *issuer.Cert
	parent.IsCA, parent.BasicConstraintsValid, parent.KeyUsage = true, true, x509.KeyUsageCertSign
	return (&pki.Entity{Cert: &parent, Key: issuer.Key}).Client(name)
}

// forged copies everything of a self-signed certificate but the key.
func forged(e *pki.Entity) *pki.Entity {
	return pki.NewSelfSigned("", pki.Template(func(c *x509.Certificate) {
		c.Subject, c.SerialNumber = e.Cert.Subject, e.Cert.SerialNumber
		c.SubjectKeyId, c.AuthorityKeyId = e.Cert.SubjectKeyId, e.Cert.AuthorityKeyId
		c.NotBefore, c.NotAfter = e.Cert.NotBefore, e.Cert.NotAfter
	}))
}

func rsa1024(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The outer parts of a certificate (RFC 5280, section 4.1).
type (
	tbs struct {
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Serial     *big.Int
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		Validity   struct{ From, To time.Time }
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
	}
	outer struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
)

var (
	sha1WithRSA   = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, Parameters: asn1.NullRawValue}
	sha256WithRSA = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
)

// byHand makes a self-signed RSA certificate without the help of x509.
func byHand(t *testing.T, version int, algorithm pkix.AlgorithmIdentifier, extensions ...pkix.Extension) *pki.Entity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	name := marshal(t, pkix.Name{CommonName: "by hand"}.ToRDNSequence())
	body := tbs{
		Version: version - 1, Serial: big.NewInt(7), Algorithm: algorithm,
		Issuer: asn1.RawValue{FullBytes: name}, Subject: asn1.RawValue{FullBytes: name},
		Key: asn1.RawValue{FullBytes: spki}, Extensions: extensions,
	}
	body.Validity.From, body.Validity.To = time.Now().Add(-time.Hour).UTC(), time.Now().Add(time.Hour).UTC()
	der := marshal(t, body)
	hash, sum := crypto.SHA256, sha256.Sum256(der)
	digest := sum[:]
	if algorithm.Algorithm.Equal(sha1WithRSA.Algorithm) {
		sum := sha1.Sum(der)
		hash, digest = crypto.SHA1, sum[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
	if err != nil {
		t.Fatal(err)
	}
	whole := marshal(t, outer{asn1.RawValue{FullBytes: der}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	cert, err := x509.ParseCertificate(whole)
	if err != nil {
		t.Fatal(err)
	}
	return &pki.Entity{Cert: cert, Key: key}
}

func version1(t *testing.T) *pki.Entity { return byHand(t, 1, sha256WithRSA) }

func sha1Client(t *testing.T) *pki.Entity { return byHand(t, 3, sha1WithRSA) }

// sha1Root is a CA that signed itself with SHA-1.
func sha1Root(t *testing.T) *pki.Entity {
	return byHand(t, 3, sha1WithRSA, pkix.Extension{
		Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff},
	})
}

// padded adds a NULL after the signature; x509 does not mind.
func padded(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	var body asn1.RawValue
	if _, err := asn1.Unmarshal(c.Raw, &body); err != nil {
		t.Fatal(err)
	}
	body.FullBytes, body.Bytes = nil, append(body.Bytes[:len(body.Bytes):len(body.Bytes)], 5, 0)
	cert, err := x509.ParseCertificate(marshal(t, body))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
