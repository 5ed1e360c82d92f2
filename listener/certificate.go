package listener

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A CertificateIndex chooses the certificate a listener presents, by the server
// name the client asks for. It is immutable and safe for concurrent use: to
// change certificates, build another.
//
// The rules are ALB's ("SSL certificates for your Application Load Balancer"):
// the default certificate serves clients that send no name or a name that no
// certificate has, so a name never fails the handshake. If several certificates
// have the name, the best that the client supports is taken: ECDSA before RSA,
// unexpired before expired, then the better signature hash, the longer key and
// the longer validity period. Where ALB is silent: an exact name comes before a
// wildcard; certificates that tie come in the order given; if the client
// supports none, the first in that order is taken.
type CertificateIndex struct {
	fallback *tls.Certificate
	// exact holds names in normal form, wildcard the names below "*.". Each list
	// is in order of preference; a list in exact ends with the wildcards that
	// cover the same name, for clients that support none of the exact ones.
	exact, wildcard map[string][]certificateChoice
}

// A certificateChoice is one certificate for one name.
type certificateChoice struct {
	cert *tls.Certificate
	// tier orders what comes before expiry: exact name, then key algorithm.
	tier certificateTier
	rank certificateRank
}

type certificateTier struct {
	wildcard  bool
	algorithm int // 0 ECDSA, 1 RSA, 2 any other
}

// certificateRank orders what comes after expiry; more is better.
type certificateRank struct {
	hash, bits int
	validity   time.Duration
}

// NewCertificateIndex builds an index of defaultCertificate and others. The
// default is found by its own names too, as on a listener made with ALB's
// console. Each certificate must have a chain; Leaf is parsed if it is nil.
// Nothing else is checked here: see [CheckServerCertificate].
//
// Names that are no host names, such as "*" or "w*.example.com", are left out:
// no client can ask for them. IP addresses are too (RFC 6066, section 3, has none
// in SNI). The subject's common name counts only if there are no DNS names.
func NewCertificateIndex(defaultCertificate tls.Certificate, others []tls.Certificate) (*CertificateIndex, error) {
	x := &CertificateIndex{exact: map[string][]certificateChoice{}, wildcard: map[string][]certificateChoice{}}
	for i, given := range append([]tls.Certificate{defaultCertificate}, others...) {
		cert, err := withLeaf(given)
		if err != nil {
			return nil, fmt.Errorf("certificates[%d]: %w", i, err)
		}
		if i == 0 {
			x.fallback = cert
		}
		x.add(cert)
	}
	for _, list := range x.wildcard {
		slices.SortStableFunc(list, compareChoices)
	}
	for name, list := range x.exact {
		slices.SortStableFunc(list, compareChoices)
		parent, _ := parentHost(name)
		for _, choice := range x.wildcard[parent] {
			if !holds(list, choice.cert) {
				list = append(list, choice)
			}
		}
		x.exact[name] = list
	}
	return x, nil
}

// Choose returns the certificate for a client, never nil, and whether its name
// was found; if not, the certificate is the default. Call it from
// tls.Config.GetCertificate: only there does hello know the versions and suites
// of the listener.
//
// It allocates nothing if the name arrives in lower case and one certificate has
// it; only with several is the client's support checked.
func (x *CertificateIndex) Choose(hello *tls.ClientHelloInfo) (cert *tls.Certificate, matched bool) {
	list := x.lookup(hello.ServerName)
	switch len(list) {
	case 0:
		return x.fallback, false
	case 1:
		return list[0].cert, true
	default:
		return bestSupported(list, hello, time.Now()), true
	}
}

func (x *CertificateIndex) lookup(serverName string) []certificateChoice {
	if serverName == "" {
		return nil
	}
	name, err := NormalizeHost(serverName)
	if err != nil {
		return nil
	}
	if list, ok := x.exact[name]; ok {
		return list
	}
	if parent, ok := parentHost(name); ok {
		return x.wildcard[parent]
	}
	return nil
}

func (x *CertificateIndex) add(cert *tls.Certificate) {
	names := cert.Leaf.DNSNames
	if len(names) == 0 {
		names = []string{cert.Leaf.Subject.CommonName}
	}
	for _, name := range names {
		host, wildcard, err := NormalizeHostPattern(name)
		if err != nil || IsIPHost(host) {
			continue
		}
		index := x.exact
		if wildcard {
			index = x.wildcard
		}
		if !holds(index[host], cert) {
			index[host] = append(index[host], newCertificateChoice(cert, wildcard))
		}
	}
}

// holds reports whether list has that certificate already: the default is often
// listed again, and a list of one spares the look at what the client supports.
func holds(list []certificateChoice, cert *tls.Certificate) bool {
	return slices.ContainsFunc(list, func(c certificateChoice) bool {
		return bytes.Equal(c.cert.Leaf.Raw, cert.Leaf.Raw)
	})
}

// bestSupported returns the first choice the client supports, or a later one of
// the same tier if the first has expired and that one has not.
func bestSupported(list []certificateChoice, hello *tls.ClientHelloInfo, now time.Time) *tls.Certificate {
	// The name is settled; without it SupportsCertificate does not match it again.
	anyName := *hello
	anyName.ServerName = ""
	var expired *certificateChoice
	for i := range list {
		choice := &list[i]
		if expired != nil && choice.tier != expired.tier {
			break
		}
		if anyName.SupportsCertificate(choice.cert) != nil {
			continue
		}
		if !outsideValidity(choice.cert.Leaf, now) {
			return choice.cert
		}
		if expired == nil {
			expired = choice
		}
	}
	if expired != nil {
		return expired.cert
	}
	return list[0].cert
}

func outsideValidity(leaf *x509.Certificate, now time.Time) bool {
	return now.After(leaf.NotAfter) || now.Before(leaf.NotBefore)
}

func newCertificateChoice(cert *tls.Certificate, wildcard bool) certificateChoice {
	c := certificateChoice{cert: cert, tier: certificateTier{wildcard: wildcard, algorithm: 2}}
	switch key := cert.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		c.tier.algorithm, c.rank.bits = 0, key.Curve.Params().BitSize
	case *rsa.PublicKey:
		c.tier.algorithm, c.rank.bits = 1, key.N.BitLen()
	}
	c.rank.hash = signatureHashBits(cert.Leaf.SignatureAlgorithm)
	c.rank.validity = cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
	return c
}

// compareChoices puts the better choice first, expiry aside.
func compareChoices(a, b certificateChoice) int {
	switch {
	case a.tier.algorithm != b.tier.algorithm:
		return a.tier.algorithm - b.tier.algorithm
	case a.rank.hash != b.rank.hash:
		return b.rank.hash - a.rank.hash
	case a.rank.bits != b.rank.bits:
		return b.rank.bits - a.rank.bits
	case a.rank.validity > b.rank.validity:
		return -1
	case a.rank.validity < b.rank.validity:
		return 1
	}
	return 0
}

// signatureHashBits returns the size of the hash under a certificate's
// signature; 1 for MD5 and older, which rank below SHA-1.
func signatureHashBits(a x509.SignatureAlgorithm) int {
	switch a {
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512, x509.PureEd25519:
		return 512
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return 384
	case x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256:
		return 256
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return 160
	}
	return 1
}

// withLeaf returns a copy of c whose Leaf is set.
func withLeaf(c tls.Certificate) (*tls.Certificate, error) {
	if len(c.Certificate) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	if _, ok := c.PrivateKey.(crypto.Signer); !ok {
		return nil, fmt.Errorf("the private key is a %T, which cannot sign", c.PrivateKey)
	}
	if c.Leaf == nil {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("parsing the first certificate: %w", err)
		}
		c.Leaf = leaf
	}
	return &c, nil
}
