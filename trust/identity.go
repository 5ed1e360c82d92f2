package trust

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"time"

	"github.com/postern-lb/postern/internal/dn"
)

// Identity is what a client certificate says of its holder, in exactly the
// form in which ALB hands it to targets ("Mutual authentication with TLS in
// Application Load Balancer", HTTP headers). Every field is printable ASCII.
type Identity struct {
	// Subject and Issuer are RFC 2253 names as OpenSSL prints them.
	Subject, Issuer string
	// Serial is upper-case hexadecimal, whole bytes, without a sign byte.
	Serial string
	// Validity is "NotBefore=…;NotAfter=…", UTC, whole seconds.
	Validity string
	// Leaf is the certificate as percent-encoded PEM.
	Leaf string
}

// NewIdentity describes a certificate.
func NewIdentity(leaf *x509.Certificate) *Identity {
	id := describe(leaf)
	id.Leaf = EncodeChain([]*x509.Certificate{leaf})
	return id
}

// describe is NewIdentity without the certificate itself, which no log wants.
func describe(leaf *x509.Certificate) *Identity {
	return &Identity{
		Subject:  dn.RFC2253(leaf.RawSubject),
		Issuer:   dn.RFC2253(leaf.RawIssuer),
		Serial:   serial(leaf.SerialNumber),
		Validity: "NotBefore=" + stamp(leaf.NotBefore) + ";NotAfter=" + stamp(leaf.NotAfter),
	}
}

// serial prints n as OpenSSL's BN_bn2hex does.
func serial(n *big.Int) string {
	switch {
	case n == nil || n.Sign() == 0:
		return "0"
	case n.Sign() < 0:
		return fmt.Sprintf("-%X", n.Bytes())
	}
	return fmt.Sprintf("%X", n.Bytes())
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// The parts of an encoded block. ALB leaves "+", "=" and "/" as they are; of
// PEM's own characters that leaves the space and the line feed to escape.
const (
	encodedBegin = "-----BEGIN%20CERTIFICATE-----%0A"
	encodedEnd   = "-----END%20CERTIFICATE-----%0A"
	encodedBreak = "%0A"
	lineBytes    = 48 // 64 columns of base64
)

// EncodeChain returns the certificates as percent-encoded PEM, in the given
// order: the value of X-Amzn-Mtls-Clientcert for a whole chain, and of
// X-Amzn-Mtls-Clientcert-Leaf for one certificate. A reader must undo the
// percent encoding only, not decode it as a form, where "+" means a space.
func EncodeChain(chain []*x509.Certificate) string {
	size := 0
	for _, c := range chain {
		lines := (len(c.Raw) + lineBytes - 1) / lineBytes
		size += len(encodedBegin) + base64.StdEncoding.EncodedLen(len(c.Raw)) + lines*len(encodedBreak) + len(encodedEnd)
	}
	out := make([]byte, 0, size)
	for _, c := range chain {
		out = appendEncoded(out, c.Raw)
	}
	return string(out)
}

func appendEncoded(out, der []byte) []byte {
	out = append(out, encodedBegin...)
	for len(der) > 0 {
		line := der[:min(lineBytes, len(der))]
		out = append(base64.StdEncoding.AppendEncode(out, line), encodedBreak...)
		der = der[len(line):]
	}
	return append(out, encodedEnd...)
}
