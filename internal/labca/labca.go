// Package labca is a certificate authority in a folder, for laboratories: it makes,
// renews and revokes certificates, and keeps its books as `openssl ca` does, so that
// either can go on where the other stopped. Start from [Create], [CreateBelow] and
// [Open].
//
//	ca.pem, ca-key.pem      the CA
//	ca-bundle.pem           the CA and those above it: a trust store's bundle
//	crl.pem                 the revocation list, made anew at each revocation
//	NAME.pem, NAME-key.pem  what was issued: the certificate with its intermediates, and its key
//	newcerts/SERIAL.pem     every certificate that was ever issued
//	index.txt, crlnumber    the books
//	openssl.cnf             for `openssl ca -config openssl.cnf`
//
// Keys lie in the folder without a password, readable by their owner only. That is
// right for a laboratory and for nothing else.
package labca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postern-lb/postern/internal/durable"
)

// The files of a CA's folder.
const (
	caFile      = "ca.pem"
	caKeyFile   = "ca-key.pem"
	bundleFile  = "ca-bundle.pem"
	crlFile     = "crl.pem"
	indexFile   = "index.txt"
	numberFile  = "crlnumber"
	configFile  = "openssl.cnf"
	lockFile    = "ca.lock"
	issuedDir   = "newcerts"
	keySuffix   = "-key.pem"
	chainSuffix = ".pem"
)

// A CA is an open folder. One process works in it at a time: [Open] takes a lock and
// [CA.Close] returns it. A CA is not safe for concurrent use.
type CA struct {
	dir   string
	cert  *x509.Certificate
	key   crypto.Signer
	above []*x509.Certificate // the CAs above, the nearest first, the root last
	index []record
}

// Create makes a root in a folder, which must hold none yet. Close the CA.
func Create(dir string, r Request) (*CA, error) { return create(dir, r, nil) }

// CreateBelow makes a CA that the given one certifies. Close the CA.
func CreateBelow(dir string, r Request, parent *CA) (*CA, error) { return create(dir, r, parent) }

func create(dir string, r Request, parent *CA) (*CA, error) {
	if err := os.MkdirAll(filepath.Join(dir, issuedDir), 0o700); err != nil {
		return nil, err
	}
	c := &CA{dir: dir}
	if err := c.lock(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.path(caFile)); !errors.Is(err, fs.ErrNotExist) {
		c.Close()
		return nil, fmt.Errorf("%s holds a CA already: name another folder", dir)
	}
	r.kind = kindCA
	if err := c.begin(r, parent); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// begin makes the CA's own certificate and empty books.
func (c *CA) begin(r Request, parent *CA) error {
	key, err := r.newKey()
	if err != nil {
		return err
	}
	signer := &CA{key: key} // itself
	if parent != nil {
		signer, c.above = parent, append([]*x509.Certificate{parent.cert}, parent.above...)
	}
	if c.cert, err = signer.sign(r, key.Public()); err != nil {
		return err
	}
	if c.key = key; parent != nil {
		if err := parent.enter(c.cert); err != nil {
			return err
		}
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{caKeyFile, keyPEM}, {bundleFile, encodeCertificates(append([]*x509.Certificate{c.cert}, c.above...)...)},
		{indexFile, nil}, {indexFile + ".attr", []byte("unique_subject = no\n")}, {numberFile, []byte("01\n")},
		{configFile, []byte(opensslConfig)}, {caFile, encodeCertificates(c.cert)},
	} {
		if err := durable.WriteFile(c.path(f.name), f.data); err != nil {
			return err
		}
	}
	return c.WriteCRL(DefaultCRLDays)
}

// Open opens the folder of a CA.
func Open(dir string) (*CA, error) {
	c := &CA{dir: dir}
	if _, err := os.Stat(c.path(caFile)); err != nil {
		return nil, fmt.Errorf("%s holds no CA: make one with `postern pki init %s`", dir, dir)
	}
	if err := c.lock(); err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *CA) load() error {
	pair, err := tls.LoadX509KeyPair(c.path(caFile), c.path(caKeyFile))
	if err != nil {
		return fmt.Errorf("reading the CA in %s: %w", c.dir, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%s: the key cannot sign", c.path(caKeyFile))
	}
	c.cert, c.key = pair.Leaf, signer
	bundle, err := readCertificates(c.path(bundleFile))
	if err != nil {
		return err
	}
	for _, cert := range bundle {
		if !cert.Equal(c.cert) {
			c.above = append(c.above, cert)
		}
	}
	c.index, err = readIndex(c.path(indexFile))
	return err
}

// lock makes sure that nobody else works in the folder.
func (c *CA) lock() error {
	f, err := os.OpenFile(c.path(lockFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("another command works in %s; if none does, remove %s", c.dir, c.path(lockFile))
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Close lets others work in the folder.
func (c *CA) Close() error { return os.Remove(c.path(lockFile)) }

// Certificate returns the CA's own certificate.
func (c *CA) Certificate() *x509.Certificate { return c.cert }

// Path returns the name of a file in the folder.
func (c *CA) Path(name string) string { return c.path(name) }

func (c *CA) path(name string) string { return filepath.Join(c.dir, name) }

func encodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return certs, nil
}
