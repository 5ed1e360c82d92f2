package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// checkCount is the first step: was anything presented, and not too many?
func checkCount(chain []*x509.Certificate, depth int) *Verdict {
	if len(chain) == 0 {
		return RefuseMissing()
	}
	if len(chain) > depth {
		return refuse(ClientCertMaxChainDepthExceeded, depth,
			"the client sent %d certificates; at most %d are allowed", len(chain), depth)
	}
	for i, c := range chain {
		if c == nil || len(c.Raw) == 0 {
			return refuse(ClientCertInvalid, i, "certificate %d of the chain was not parsed", i)
		}
	}
	return nil
}

// checkSizes bounds the bytes.
func checkSizes(chain []*x509.Certificate) *Verdict {
	total := 0
	for i, c := range chain {
		if len(c.Raw) > MaxCertificateBytes {
			return refuse(ClientCertMaxSizeExceeded, i, "certificate %d of the chain has %d bytes; at most %d are allowed",
				i, len(c.Raw), MaxCertificateBytes)
		}
		total += len(c.Raw)
	}
	if total > MaxChainBytes {
		return refuse(ClientCertMaxSizeExceeded, len(chain)-1, "the certificates sent have %d bytes together; at most %d are allowed",
			total, MaxChainBytes)
	}
	return nil
}

// checkPresented judges each presented certificate by itself, before any
// signature is checked. Each rule is applied to the whole chain before the
// next one, so that the reason does not depend on the order of certificates.
func checkPresented(chain []*x509.Certificate, store *anchors) *Verdict {
	return checkPresentedTraced(chain, store, nil)
}

// checkPresentedTraced is checkPresented, and tells t of each rule.
func checkPresentedTraced(chain []*x509.Certificate, store *anchors, t *trace) *Verdict {
	for _, rule := range []struct {
		step   Step
		reason Reason
		check  func(*x509.Certificate) string
	}{
		{StepParts, ClientCertMaxSizeExceeded, tooManyParts},
		{StepForm, ClientCertInvalid, badShape},
		{StepKeyType, ClientCertTypeUnsupported, badKeyType},
		{StepKeySize, ClientCertIncompatible, badKeySize},
		{StepSignature, ClientCertIncompatible, badSignatureAlgorithm},
	} {
		for i, c := range chain {
			// The bundle was checked when it was read, by rules of its own: the
			// signature of an anchor, for one, is never used.
			if store.find(c) != nil {
				continue
			}
			if problem := rule.check(c); problem != "" {
				return t.step(rule.step, refuse(rule.reason, i, "certificate %d of the chain, %s, %s", i, quoteSubject(c), problem))
			}
		}
		t.step(rule.step, nil)
	}
	return nil
}

// tooManyParts bounds what path building would loop over.
func tooManyParts(c *x509.Certificate) string {
	for _, part := range []struct {
		what     string
		have, at int
	}{
		{"subject alternative names", alternativeNames(c), MaxAlternativeNames},
		{"name constraints", nameConstraints(c), MaxNameConstraints},
		{"subject attributes", len(c.Subject.Names), MaxSubjectAttributes},
		{"issuer attributes", len(c.Issuer.Names), MaxSubjectAttributes},
		{"extensions", len(c.Extensions), MaxExtensions},
		{"policies and policy mappings", len(c.Policies) + len(c.PolicyMappings), MaxPolicies},
	} {
		if part.have > part.at {
			return fmt.Sprintf("has %d %s; at most %d are allowed", part.have, part.what, part.at)
		}
	}
	return ""
}

// alternativeNames counts them, of whatever kind.
func alternativeNames(c *x509.Certificate) int {
	return elements(extension(c, oidSubjectAltName))
}

// nameConstraints counts permitted and excluded names, of whatever kind.
func nameConstraints(c *x509.Certificate) int {
	var both, list cryptobyte.String
	der := cryptobyte.String(extension(c, oidNameConstraints))
	n := 0
	for der.ReadASN1(&both, cbasn1.SEQUENCE); both.ReadAnyASN1Element(&list, nil); {
		n += elements(list)
	}
	return n
}

// elements counts what stands side by side in a SEQUENCE, or in whatever it is.
func elements(der cryptobyte.String) int {
	var inside, skip cryptobyte.String
	n := 0
	for der.ReadAnyASN1(&inside, nil); inside.ReadAnyASN1(&skip, nil); {
		n++
	}
	return n
}

// badShape refuses versions before 3 and what x509 lets pass though it is not
// the DER of a certificate (RFC 5280, section 4.1): bytes after the signature
// are not signed, so that a certificate could be respelt at will.
func badShape(c *x509.Certificate) string {
	if c.Version != 3 {
		return fmt.Sprintf("is an X.509 version %d certificate; only version 3 is accepted", c.Version)
	}
	body := cryptobyte.String(c.Raw)
	if !body.ReadASN1(&body, cbasn1.SEQUENCE) || !body.SkipASN1(cbasn1.SEQUENCE) ||
		!body.SkipASN1(cbasn1.SEQUENCE) || !body.SkipASN1(cbasn1.BIT_STRING) || !body.Empty() {
		return "has bytes after its signature"
	}
	return ""
}

func badKeyType(c *x509.Certificate) string {
	switch c.PublicKey.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
		return ""
	}
	return fmt.Sprintf("has a key of type %s; only RSA and ECDSA are accepted", keyType(c))
}

func keyType(c *x509.Certificate) string {
	if c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm {
		return "unknown"
	}
	return c.PublicKeyAlgorithm.String()
}

func badKeySize(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Sprintf("has an RSA key of %d bits; %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Sprintf("has a key on curve %s; P-256, P-384 and P-521 are accepted", key.Curve.Params().Name)
		}
	}
	return ""
}

func badSignatureAlgorithm(c *x509.Certificate) string {
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return ""
	case x509.UnknownSignatureAlgorithm:
		return "is signed with an unknown algorithm; only SHA-256, SHA-384 or SHA-512 with RSA, RSASSA-PSS or ECDSA are accepted"
	}
	return fmt.Sprintf("is signed with %s; only SHA-256, SHA-384 or SHA-512 with RSA, RSASSA-PSS or ECDSA are accepted", c.SignatureAlgorithm)
}
