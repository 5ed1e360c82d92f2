package lb

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// certificates holds every server certificate in certmagic's cache, which is
// also where certificates from ACME will live: the listeners' own SNI index is
// compiled from it and does not know where a certificate came from. Files are
// read by package lb, which notices when they change; the cache keeps one copy
// of a certificate however many listeners use it. It is safe for concurrent use.
type certificates struct {
	cache  *certmagic.Cache
	config *certmagic.Config

	mu   sync.Mutex
	held map[string]*tls.Certificate // by certmagic's hash of the chain
}

func newCertificates() *certificates {
	c := &certificates{held: make(map[string]*tls.Certificate)}
	// certmagic logs what it does for managed certificates; of files, which
	// are all there is here, package lb itself reports every fault.
	logger := zap.NewNop()
	c.cache = certmagic.NewCache(certmagic.CacheOptions{
		Logger:           logger,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return c.config, nil },
	})
	c.config = certmagic.New(c.cache, certmagic.Config{
		Logger: logger,
		// Stapling would make requests of its own to responders named in a file.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	return c
}

// load puts a certificate with its key into the cache and returns it together
// with the name under which retain knows it.
func (c *certificates) load(certPEM, keyPEM []byte) (*tls.Certificate, string, error) {
	hash, err := c.config.CacheUnmanagedCertificatePEMBytes(context.Background(), certPEM, keyPEM, nil)
	if err != nil {
		return nil, "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cert := c.held[hash]; cert != nil {
		return cert, hash, nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, "", err
	}
	for _, name := range names(pair) {
		for _, cached := range c.cache.AllMatchingCertificates(name) {
			if cached.Hash() == hash {
				cert := cached.Certificate
				c.held[hash] = &cert
				return &cert, hash, nil
			}
		}
	}
	return nil, "", fmt.Errorf("the certificate has no name that the certificate cache can find it by")
}

// names are the keys under which certmagic files a certificate.
func names(pair tls.Certificate) []string {
	out := []string{strings.ToLower(pair.Leaf.Subject.CommonName)}
	for _, name := range pair.Leaf.DNSNames {
		out = append(out, strings.ToLower(name))
	}
	for _, ip := range pair.Leaf.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// retain forgets every certificate that is not among hashes.
func (c *certificates) retain(hashes map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var gone []string
	for hash := range c.held {
		if !hashes[hash] {
			gone = append(gone, hash)
			delete(c.held, hash)
		}
	}
	c.cache.Remove(gone)
}

// stop ends the cache's maintenance. The certificates stay usable.
func (c *certificates) stop() { c.cache.Stop() }
