package listener

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// Sizes of RSA keys that a server certificate may have, in bits. ALB takes 2048
// to 4096; above 8192 Go clients refuse the certificate.
const (
	MinServerRSABits = 2048
	MaxServerRSABits = 8192
)

// CertificateExpiryNotice is how long before its end a server certificate is
// warned about.
const CertificateExpiryNotice = 14 * 24 * time.Hour

// CheckServerCertificate checks a certificate with its key before a listener
// presents it. The error says why no handshake could succeed or ALB would
// refuse it: no chain, a key that does not belong to it, a key of a kind or size
// that ALB does not have (ALB, "SSL certificates for your Application Load
// Balancer"; Ed25519 among them). A warning is for what clients will likely
// reject, but which may be meant.
//
// It reads no files and does not change cert; whether a client trusts the chain
// is not asked.
func CheckServerCertificate(cert *tls.Certificate, now time.Time) (warnings []string, err error) {
	chain, err := parseServerChain(cert)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if err := checkServerKey(leaf, cert.PrivateKey); err != nil {
		return nil, err
	}
	return append(leafWarnings(leaf, now), chainWarnings(chain)...), nil
}

func parseServerChain(cert *tls.Certificate) ([]*x509.Certificate, error) {
	if cert == nil || len(cert.Certificate) == 0 {
		return nil, errors.New("there is no certificate; the file must hold the server's, then its intermediates")
	}
	var chain []*x509.Certificate
	for i, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate %d of the chain: %w", i+1, err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

func checkServerKey(leaf *x509.Certificate, key crypto.PrivateKey) error {
	if err := checkServerKeyKind(leaf.PublicKey); err != nil {
		return err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("the private key is a %T, which cannot sign", key)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("the private key does not belong to the first certificate; " +
			"check the order of the chain (server first) and that both files are of one pair")
	}
	return nil
}

func checkServerKeyKind(public any) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < MinServerRSABits || bits > MaxServerRSABits {
			return fmt.Errorf("the RSA key has %d bits, want %d to %d", bits, MinServerRSABits, MaxServerRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return fmt.Errorf("the ECDSA key is on %s, want P-256, P-384 or P-521", key.Curve.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return errors.New("the key is Ed25519, which ALB does not support; use ECDSA P-256 or RSA 2048")
	}
	return fmt.Errorf("the public key is a %T, want ECDSA or RSA", public)
}

func leafWarnings(leaf *x509.Certificate, now time.Time) []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	const layout = time.RFC3339
	switch {
	case now.Before(leaf.NotBefore):
		warn("the certificate is not valid before %s", leaf.NotBefore.Format(layout))
	case now.After(leaf.NotAfter):
		warn("the certificate expired at %s", leaf.NotAfter.Format(layout))
	case leaf.NotAfter.Sub(now) < CertificateExpiryNotice:
		warn("the certificate expires soon, at %s", leaf.NotAfter.Format(layout))
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		warn("the certificate has no subject alternative names; most clients reject it")
	}
	usages := leaf.ExtKeyUsage
	if len(usages)+len(leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(usages, x509.ExtKeyUsageServerAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		warn("the certificate is not for servers: its extended key usage lacks serverAuth")
	}
	if signatureHashBits(leaf.SignatureAlgorithm) < 256 {
		warn("the certificate is signed with %v; most clients reject it", leaf.SignatureAlgorithm)
	}
	return warnings
}

// chainWarnings looks at the order only. RFC 8446, section 4.4.2, lets a server
// send it in any, but older clients need each certificate to certify the one
// before.
func chainWarnings(chain []*x509.Certificate) []string {
	var warnings []string
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			warnings = append(warnings, fmt.Sprintf(
				"certificate %d of the chain did not sign certificate %d; put the server's first, then each one's issuer", i+2, i+1))
		}
	}
	return warnings
}

// CheckKeyFile warns if the private key at path may be read by other users or
// changed by its group; the warning is empty if not. Reading by the group is
// accepted: distributions keep keys for a group of services. On Windows, which
// has no such modes, nothing is checked. The error says that there is no
// regular file.
func CheckKeyFile(path string) (warning string, err error) {
	stat, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("checking key file: %w", err)
	}
	if !stat.Mode().IsRegular() {
		return "", fmt.Errorf("checking key file: %s is not a regular file", path)
	}
	const loose = 0o027
	if mode := stat.Mode().Perm(); mode&loose != 0 && runtime.GOOS != "windows" {
		return fmt.Sprintf("%s has mode %04o: others can use the private key; run chmod 600 on it", path, mode), nil
	}
	return "", nil
}
