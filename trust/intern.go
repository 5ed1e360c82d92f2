package trust

import (
	"crypto/x509"
	"sync"
)

// interned lets the entries of a memo share the intermediates that many
// clients send; crypto/tls parses them anew for every handshake. It takes
// certificates of verified paths only, and a bounded number of them, so that
// nobody can fill it with chosen ones.
type interned struct {
	mu    sync.Mutex
	byDER map[string]*x509.Certificate
}

// intern replaces the certificates above the leaf of an entry that is not yet
// shared. The slices of the entry's maker are left alone.
func (t *interned) intern(e *entry) {
	certs := make([]*x509.Certificate, len(e.path.certs))
	copy(certs, e.path.certs)
	presented := make([]*x509.Certificate, len(e.presented))
	copy(presented, e.presented)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := 1; i < len(certs)-1; i++ {
		certs[i] = t.one(certs[i])
	}
	for i := 1; i < len(presented); i++ {
		if at := position(presented[i], certs); at >= 0 {
			presented[i] = certs[at]
		}
	}
	e.path.certs, e.presented, e.first.Chain = certs, presented, certs
}

func (t *interned) one(c *x509.Certificate) *x509.Certificate {
	if known := t.byDER[string(c.Raw)]; known != nil {
		return known
	}
	if t.byDER == nil {
		t.byDER = make(map[string]*x509.Certificate)
	}
	if len(t.byDER) < maxInterned {
		t.byDER[string(c.Raw)] = c
	}
	return c
}
