package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
)

// parseCertificate parses the DER of exactly one certificate. On a problem,
// which is a phrase without a subject, it returns no certificate. A panic of
// the parser is a problem like any other.
func parseCertificate(der []byte) (cert *x509.Certificate, problem string) {
	defer func() {
		if recover() != nil {
			cert, problem = nil, "cannot be parsed: the X.509 library panicked"
		}
	}()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, "cannot be parsed: " + quote(err.Error())
	}
	return cert, ""
}

// badAuthority says why ALB would not take a certificate into a bundle.
func badAuthority(c *x509.Certificate) string {
	if len(c.Raw) > MaxCertificateBytes {
		return fmt.Sprintf("has %d bytes; at most %d are allowed", len(c.Raw), MaxCertificateBytes)
	}
	for _, check := range []func(*x509.Certificate) string{badShape, badKeyType, badKeySize} {
		if problem := check(c); problem != "" {
			return quoteSubject(c) + " " + problem
		}
	}
	if problem := badSignatureAlgorithm(c); problem != "" && !signedItselfWithSHA1(c) {
		return quoteSubject(c) + " " + problem
	}
	return ""
}

// signedItselfWithSHA1 singles out the old roots whose only weakness is a
// signature that nobody needs to check: their place in the bundle vouches for
// them. Their key may sign with a better hash all the same.
func signedItselfWithSHA1(c *x509.Certificate) bool {
	if c.SignatureAlgorithm != x509.SHA1WithRSA && c.SignatureAlgorithm != x509.ECDSAWithSHA1 {
		return false
	}
	return selfSigned(c)
}

// selfSigned reports whether c carries its own issuer's name and a signature
// of its own key.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
