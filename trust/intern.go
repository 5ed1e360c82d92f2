package trust

import (
	"bytes"
	"crypto/x509"
	"slices"
	"sync"
	"sync/atomic"
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

// shared is one presented chain for all the connections that presented it.
type shared struct {
	chain atomic.Pointer[[]*x509.Certificate]
	fixed atomic.Bool   // chain came from a session
	noted atomic.Uint64 // see Verdict.Note
}

func newShared(chain []*x509.Certificate) *shared {
	s := new(shared)
	s.chain.Store(&chain)
	return s
}

func (s *shared) share(chain []*x509.Certificate, resumed bool) []*x509.Certificate {
	known := *s.chain.Load()
	if !sameChain(known, chain) {
		return chain
	}
	if resumed && s.fixed.CompareAndSwap(false, true) {
		s.chain.Store(&chain)
		return chain
	}
	return known
}

// sameChain compares every certificate byte for byte.
func sameChain(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
}
