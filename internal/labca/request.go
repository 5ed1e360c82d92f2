package labca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"
)

// Defaults of a [Request].
const (
	DefaultKeyType  = "p256"
	DefaultCADays   = 3650
	DefaultLeafDays = 90
	DefaultCRLDays  = 30

	// maxDays keeps dates within the four digits of a year that X.509 has.
	maxDays = 365 * 1000
	// backdate is how long before now a certificate begins, for clocks that are late.
	backdate = time.Hour
	day      = 24 * time.Hour
)

// A Request says what a certificate should say. The zero value of a field leaves it out
// or has the default named here.
type Request struct {
	CommonName          string
	Organization, Units []string
	// Names are subject alternative names: IP addresses, URIs (what holds "://"), email
	// addresses (what holds "@") and host names.
	Names []string
	// KeyType is p256 (the default), p384, p521, rsa2048, rsa3072 or rsa4096.
	KeyType string
	// Days from now until the end; 0 is the default, negative makes a certificate that
	// ended so many days ago.
	Days int
	// CRLs and OCSP are URLs that tell where the certificate's revocation is published.
	CRLs, OCSP []string

	kind kind
}

// A kind is what a certificate is for.
type kind int

const (
	kindCA kind = iota + 1
	kindClient
	kindServer
)

func (r Request) newKey() (crypto.Signer, error) {
	curves := map[string]elliptic.Curve{"": elliptic.P256(), DefaultKeyType: elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}
	if curve := curves[r.KeyType]; curve != nil {
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	bits := map[string]int{"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096}[r.KeyType]
	if bits == 0 {
		return nil, fmt.Errorf("key type %q: choose p256, p384, p521, rsa2048, rsa3072 or rsa4096", r.KeyType)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// template is the certificate before it is signed.
func (r Request) template(now time.Time) (*x509.Certificate, error) {
	if r.CommonName == "" {
		return nil, errors.New("a certificate needs a name")
	}
	if r.Days < -maxDays || r.Days > maxDays {
		return nil, fmt.Errorf("%d days: at most %d", r.Days, maxDays)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial.SetBit(serial, 126, 1), // so that all have the same length
		Subject:               pkix.Name{CommonName: r.CommonName, Organization: r.Organization, OrganizationalUnit: r.Units},
		CRLDistributionPoints: r.CRLs, OCSPServer: r.OCSP,
	}
	r.setDates(t, now)
	r.setUse(t)
	return t, r.setNames(t)
}

func (r Request) setDates(t *x509.Certificate, now time.Time) {
	days := r.Days
	switch {
	case days == 0 && r.kind == kindCA:
		days = DefaultCADays
	case days == 0:
		days = DefaultLeafDays
	}
	t.NotBefore, t.NotAfter = now.Add(-backdate), now.AddDate(0, 0, days)
	if days < 0 {
		t.NotBefore = t.NotAfter.Add(-day)
	}
}

func (r Request) setUse(t *x509.Certificate) {
	t.BasicConstraintsValid = true
	switch r.kind {
	case kindCA:
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	case kindClient:
		t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	case kindServer:
		t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
}

func (r Request) setNames(t *x509.Certificate) error {
	for _, name := range r.Names {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			t.IPAddresses = append(t.IPAddresses, ip)
		case strings.Contains(name, "://"):
			u, err := url.Parse(name)
			if err != nil {
				return fmt.Errorf("the name %q is no URI: %w", name, err)
			}
			t.URIs = append(t.URIs, u)
		case strings.Contains(name, "@"):
			t.EmailAddresses = append(t.EmailAddresses, name)
		default:
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return nil
}

// renewal asks for what a certificate says, again.
func renewal(old *x509.Certificate, days int) Request {
	r := Request{
		CommonName: old.Subject.CommonName, Organization: old.Subject.Organization, Units: old.Subject.OrganizationalUnit,
		Days: days, CRLs: old.CRLDistributionPoints, OCSP: old.OCSPServer, kind: kindClient,
	}
	for _, usage := range old.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth {
			r.kind = kindServer
		}
	}
	r.Names = append(r.Names, old.DNSNames...)
	r.Names = append(r.Names, old.EmailAddresses...)
	for _, ip := range old.IPAddresses {
		r.Names = append(r.Names, ip.String())
	}
	for _, u := range old.URIs {
		r.Names = append(r.Names, u.String())
	}
	return r
}
