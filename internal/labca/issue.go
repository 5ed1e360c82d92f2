package labca

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/postern-lb/postern/internal/durable"
)

// fileName is what a certificate's files may be called, without the suffix.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$`)

// reserved are names whose files would be the CA's own.
var reserved = map[string]bool{"ca": true, "ca-bundle": true, "crl": true}

// Client makes a client's certificate and key, in files of the given name.
func (c *CA) Client(file string, r Request) (*x509.Certificate, error) {
	r.kind = kindClient
	return c.issueNew(file, r)
}

// Server makes a server's certificate and key, in files of the given name.
func (c *CA) Server(file string, r Request) (*x509.Certificate, error) {
	r.kind = kindServer
	return c.issueNew(file, r)
}

func (c *CA) issueNew(file string, r Request) (*x509.Certificate, error) {
	if !fileName.MatchString(file) || reserved[file] {
		return nil, fmt.Errorf("%q cannot be the name of the files: use up to 64 letters, digits, dots, hyphens, underscores and @, "+
			"and none of ca, ca-bundle and crl", file)
	}
	if _, err := os.Stat(c.path(file + chainSuffix)); err == nil {
		return nil, fmt.Errorf("%s is there already: renew it, or choose another name", c.path(file+chainSuffix))
	}
	key, err := r.newKey()
	if err != nil {
		return nil, err
	}
	return c.issue(file, r, key)
}

// Renew makes another certificate that says what the one of that name says, for the same
// key unless newKey is set. The old one stays valid until it ends: revoke it by
// its serial number if it should not. Days as in [Request].
func (c *CA) Renew(file string, days int, newKey bool) (*x509.Certificate, error) {
	pair, err := c.load509(file)
	if err != nil {
		return nil, err
	}
	r := renewal(pair.Leaf, days)
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: the key cannot sign", c.path(file+keySuffix))
	}
	if newKey {
		r.KeyType = keyType(key)
		if key, err = r.newKey(); err != nil {
			return nil, err
		}
	}
	return c.issue(file, r, key)
}

func (c *CA) load509(file string) (tls.Certificate, error) {
	if !fileName.MatchString(file) {
		return tls.Certificate{}, fmt.Errorf("%q is not the name of files here", file)
	}
	pair, err := tls.LoadX509KeyPair(c.path(file+chainSuffix), c.path(file+keySuffix))
	if errors.Is(err, os.ErrNotExist) {
		return pair, fmt.Errorf("there is no %s: `postern pki list` tells what there is", c.path(file+chainSuffix))
	}
	return pair, err
}

// issue signs, enters the certificate in the books and writes its files, in that order:
// what was signed can be revoked, whatever happens then.
func (c *CA) issue(file string, r Request, key crypto.Signer) (*x509.Certificate, error) {
	cert, err := c.sign(r, key.Public())
	if err != nil {
		return nil, err
	}
	if err := c.enter(cert); err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(c.path(file+keySuffix), keyPEM); err != nil {
		return nil, err
	}
	return cert, durable.WriteFile(c.path(file+chainSuffix), encodeCertificates(append([]*x509.Certificate{cert}, c.intermediates()...)...))
}

// intermediates are what a client sends beside its own certificate: this CA and those
// above it, without the root.
func (c *CA) intermediates() []*x509.Certificate {
	if len(c.above) == 0 {
		return nil
	}
	return append([]*x509.Certificate{c.cert}, c.above[:len(c.above)-1]...)
}

// sign makes a certificate; a CA without one makes its own.
func (c *CA) sign(r Request, public crypto.PublicKey) (*x509.Certificate, error) {
	template, err := r.template(time.Now())
	if err != nil {
		return nil, err
	}
	parent := c.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, c.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PKCS12 writes NAME.p12 for programs that want certificate, key and CAs in one file, such
// as browsers, and returns its path.
func (c *CA) PKCS12(file, password string) (string, error) {
	pair, err := c.load509(file)
	if err != nil {
		return "", err
	}
	data, err := pkcs12.Modern.Encode(pair.PrivateKey, pair.Leaf, append([]*x509.Certificate{c.cert}, c.above...), password)
	if err != nil {
		return "", err
	}
	path := c.path(file + ".p12")
	return path, durable.WriteFile(path, data)
}
