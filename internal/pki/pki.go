// Package pki makes throw-away certificates from a description in words: for
// tests, the demo and the benchmarks. Start from [NewRoot].
//
//	root := pki.NewRoot("Partner Root")
//	sub := root.Intermediate("Partner CA 1")
//	client := sub.Client("acme-1", pki.Expired)
//
// Nothing here is fit to issue a certificate that anybody relies on: keys stay
// in memory without protection, and a template that crypto/x509 refuses is a bug
// of the caller and panics.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"time"
)

// An Entity is a certificate with its private key and, unless it signed itself,
// its issuer. It is immutable and safe for concurrent use.
type Entity struct {
	Cert   *x509.Certificate
	Key    crypto.Signer
	Issuer *Entity // nil if self-signed
}

// An Option changes the template of a certificate before it is signed.
type Option func(*request)

type request struct {
	template x509.Certificate
	key      crypto.Signer
}

// Expired makes a certificate that ended an hour ago.
func Expired(r *request) {
	r.template.NotBefore = time.Now().Add(-48 * time.Hour)
	r.template.NotAfter = time.Now().Add(-time.Hour)
}

// NotYetValid makes a certificate that begins tomorrow.
func NotYetValid(r *request) {
	r.template.NotBefore = time.Now().Add(24 * time.Hour)
	r.template.NotAfter = time.Now().Add(48 * time.Hour)
}

// ServerOnly leaves serverAuth as the only extended key usage.
func ServerOnly(r *request) {
	r.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// Window sets the validity.
func Window(notBefore, notAfter time.Time) Option {
	return func(r *request) { r.template.NotBefore, r.template.NotAfter = notBefore, notAfter }
}

// Serial sets the serial number.
func Serial(n *big.Int) Option {
	return func(r *request) { r.template.SerialNumber = n }
}

// Subject replaces the whole subject.
func Subject(name pkix.Name) Option {
	return func(r *request) { r.template.Subject = name }
}

// DNS sets the DNS names of a certificate.
func DNS(names ...string) Option {
	return func(r *request) { r.template.DNSNames = names }
}

// IP sets the IP addresses of a certificate.
func IP(addresses ...net.IP) Option {
	return func(r *request) { r.template.IPAddresses = addresses }
}

// URI sets the URIs of a certificate; it panics if one does not parse.
func URI(raw ...string) Option {
	var uris []*url.URL
	for _, text := range raw {
		u, err := url.Parse(text)
		if err != nil {
			panic("pki: " + err.Error())
		}
		uris = append(uris, u)
	}
	return func(r *request) { r.template.URIs = uris }
}

// Key uses key instead of a new P-256 key.
func Key(key crypto.Signer) Option {
	return func(r *request) { r.key = key }
}

// RSA uses a new RSA key of the given size.
func RSA(bits int) Option {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	must(err)
	return Key(key)
}

// Curve uses a new ECDSA key on the given curve.
func Curve(curve elliptic.Curve) Option {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return Key(key)
}

// Template runs change on the template last but for signing; for whatever the
// other options have no word for.
func Template(change func(*x509.Certificate)) Option {
	return func(r *request) { change(&r.template) }
}

// NewRoot makes a self-signed CA.
func NewRoot(commonName string, options ...Option) *Entity {
	return make509(caTemplate(commonName), nil, options)
}

// NewSelfSigned makes a client certificate that signed itself and is no CA.
func NewSelfSigned(commonName string, options ...Option) *Entity {
	return make509(leafTemplate(commonName, x509.ExtKeyUsageClientAuth), nil, options)
}

// Intermediate makes a CA below e.
func (e *Entity) Intermediate(commonName string, options ...Option) *Entity {
	return make509(caTemplate(commonName), e, options)
}

// Client makes a client certificate below e.
func (e *Entity) Client(commonName string, options ...Option) *Entity {
	return make509(leafTemplate(commonName, x509.ExtKeyUsageClientAuth), e, options)
}

// Server makes a server certificate below e for the given names or addresses.
func (e *Entity) Server(names ...string) *Entity {
	return e.ServerWith(names)
}

// ServerWith is Server with options.
func (e *Entity) ServerWith(names []string, options ...Option) *Entity {
	template := leafTemplate(names[0], x509.ExtKeyUsageServerAuth)
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return make509(template, e, options)
}

// Chain returns what e presents in a handshake: its own certificate and the
// intermediates above it, leaf first, without the root.
func (e *Entity) Chain() []*x509.Certificate {
	chain := []*x509.Certificate{e.Cert}
	for ca := e.Issuer; ca != nil && ca.Issuer != nil; ca = ca.Issuer {
		chain = append(chain, ca.Cert)
	}
	return chain
}

// TLS returns e with its chain as crypto/tls wants it.
func (e *Entity) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: e.Key, Leaf: e.Cert}
	for _, cert := range e.Chain() {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// PEM returns e's own certificate.
func (e *Entity) PEM() []byte { return PEM(e.Cert) }

// ChainPEM returns [Entity.Chain] as PEM.
func (e *Entity) ChainPEM() []byte { return PEM(e.Chain()...) }

// KeyPEM returns the private key in PKCS #8.
func (e *Entity) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(e.Key)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// PEM returns certificates one after another, in the given order.
func PEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// CRL returns a list in DER that revokes the given certificates, valid from an
// hour ago for a week.
func (e *Entity) CRL(number int64, revoked ...*Entity) []byte {
	list := &x509.RevocationList{
		Number:     big.NewInt(number),
		ThisUpdate: time.Now().Add(-time.Hour),
		NextUpdate: time.Now().Add(7 * 24 * time.Hour),
	}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.Cert.SerialNumber, RevocationTime: time.Now().Add(-time.Minute),
		})
	}
	return e.SignCRL(list)
}

// SignCRL signs a list that the caller made up; DER.
func (e *Entity) SignCRL(list *x509.RevocationList) []byte {
	der, err := x509.CreateRevocationList(rand.Reader, list, e.Cert, e.Key)
	must(err)
	return der
}

// CRLPEM wraps a list in DER as PEM.
func CRLPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func caTemplate(commonName string) x509.Certificate {
	t := template(commonName)
	t.NotAfter = t.NotBefore.AddDate(5, 0, 0)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return t
}

func leafTemplate(commonName string, usage x509.ExtKeyUsage) x509.Certificate {
	t := template(commonName)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	return t
}

func template(commonName string) x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	must(err)
	return x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: commonName, Organization: []string{"Postern"}},
		NotBefore:    time.Now().Add(-time.Hour).Truncate(time.Second),
		NotAfter:     time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second),
	}
}

func make509(t x509.Certificate, issuer *Entity, options []Option) *Entity {
	r := request{template: t}
	for _, o := range options {
		o(&r)
	}
	if r.key == nil {
		Curve(elliptic.P256())(&r)
	}
	parent, signer := &r.template, r.key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, &r.template, parent, r.key.Public(), signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	return &Entity{Cert: cert, Key: r.key, Issuer: issuer}
}

func must(err error) {
	if err != nil {
		panic("pki: " + err.Error())
	}
}
