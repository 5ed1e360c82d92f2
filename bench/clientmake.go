package bench

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/postern-lb/postern/internal/pki"
)

// makeClients makes NewClients certificates below the CA in the issuer files.
func (c *Client) makeClients() ([]identity, error) {
	pair, err := tls.LoadX509KeyPair(c.IssuerFile, c.IssuerKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading client CA: %w", err)
	}
	chain, err := readCertificates(c.IssuerFile)
	if err != nil {
		return nil, fmt.Errorf("reading client CA: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !chain[0].IsCA {
		return nil, fmt.Errorf("reading client CA: %q is no CA that can sign", chain[0].Subject)
	}
	issuer, err := c.lengthen(entityOf(chain, key))
	if err != nil {
		return nil, err
	}
	option, err := keyOption(c.KeyType)
	if err != nil {
		return nil, err
	}
	clients := make([]identity, c.NewClients)
	for i := range clients {
		certificate := issuer.Client(fmt.Sprintf("bench-%d", i), option()).TLS()
		clients[i].certificate = &certificate
	}
	return clients, nil
}

// lengthen makes intermediates until a client below presents ChainLength.
func (c *Client) lengthen(issuer *pki.Entity) (*pki.Entity, error) {
	if c.ChainLength == 0 {
		return issuer, nil
	}
	// What the issuer presents, less itself if it is a root, and the client.
	has := len(issuer.Chain()) + 1
	if issuer.Issuer == nil {
		has--
	}
	if has > c.ChainLength {
		return nil, fmt.Errorf("making clients: below this issuer they present %d certificates, more than %d", has, c.ChainLength)
	}
	for ; has < c.ChainLength; has++ {
		issuer = issuer.Intermediate(fmt.Sprintf("bench CA %d", has))
	}
	return issuer, nil
}

// keyOption returns what makes the key of each client.
func keyOption(keyType string) (func() pki.Option, error) {
	switch keyType {
	case "", "ecdsa-p256":
		return func() pki.Option { return pki.Curve(elliptic.P256()) }, nil
	case "rsa-2048":
		return sync.OnceValue(func() pki.Option { return pki.RSA(2048) }), nil
	case "ed25519":
		return func() pki.Option { return pki.Key(newEd25519()) }, nil
	}
	return nil, fmt.Errorf("%q is no key type; there are ecdsa-p256, rsa-2048 and ed25519", keyType)
}

func newEd25519() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("bench: internal error: " + err.Error()) // crypto/rand does not fail
	}
	return key
}

// entityOf makes an issuer of a chain, leaf-most CA first. A certificate that
// signed itself is a root, which clients do not present.
func entityOf(chain []*x509.Certificate, key crypto.Signer) *pki.Entity {
	e := &pki.Entity{Cert: chain[0], Key: key}
	if bytes.Equal(chain[0].RawSubject, chain[0].RawIssuer) {
		return e
	}
	if len(chain) == 1 {
		// The root is not in the file; Entity.Chain needs only that there is one.
		e.Issuer = &pki.Entity{}
		return e
	}
	e.Issuer = entityOf(chain[1:], nil)
	return e
}
