package pki_test

import (
	"crypto/x509"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

func TestChainVerifies(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	client := sub.Client("client", pki.RSA(2048))
	roots, subs := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Cert)
	for _, c := range client.Chain()[1:] {
		subs.AddCert(c)
	}
	if _, err := client.Cert.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: subs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCRLIsSignedByItsCA(t *testing.T) {
	root := pki.NewRoot("root")
	revoked := root.Client("revoked")
	list, err := x509.ParseRevocationList(root.CRL(7, revoked))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(root.Cert); err != nil {
		t.Fatal(err)
	}
	if got := list.RevokedCertificateEntries[0].SerialNumber; got.Cmp(revoked.Cert.SerialNumber) != 0 {
		t.Errorf("revoked serial %v, want %v", got, revoked.Cert.SerialNumber)
	}
}
