package dn_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// certificate signs a certificate with the given subject, of which crypto/x509
// need not be able to parse the result.
func certificate(t *testing.T, issuer *pki.Entity, subject []byte) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: subject,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Cert, issuer.Key.Public(), issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// unhex decodes hex with spaces.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic("dn_test: " + err.Error())
	}
	return b
}

func hexByte(b byte) string { return hex.EncodeToString([]byte{b}) }
