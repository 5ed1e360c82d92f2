package trust_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/internal/vectors"
	"github.com/postern-lb/postern/trust"
)

// FuzzVerify takes certificates in DER, one after another, as what a client
// presents to a store that trusts the root of PKITS. Nobody here has a private
// key, so that whoever is let in must be one of the suite, unchanged; the answer
// is the same of a warm store and with the helpers in another order.
func FuzzVerify(f *testing.F) {
	s, err := vectors.Open(vectorsDir, "pkits")
	if err != nil {
		f.Fatal(err)
	}
	published := make(map[string]bool)
	var root []byte
	for i := range s.Cases {
		c := &s.Cases[i]
		ders, err := s.Certificates(c.Chain...)
		if err != nil {
			f.Fatal(err)
		}
		for _, der := range ders {
			published[string(der)] = true
		}
		if c.Inapplicable == "" && len(c.CRLs) == 1 && i%4 == 0 {
			f.Add(slices.Concat(ders...))
		}
		if trusted, err := s.Certificates(c.Trusted...); err == nil && len(trusted) > 0 {
			root = trusted[0]
		}
	}
	b, err := trust.ParseBundle(pki.PEM(&x509.Certificate{Raw: root}), s.At)
	if err != nil {
		f.Fatal(err)
	}
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		chain := presentedChain(data)
		store := trust.NewStore("pkits", trust.Options{})
		store.Publish(b, nil, "1")
		p := &trust.Policy{MaxDepth: trust.LargestMaxDepth}
		v := store.Verify(chain, p, at)
		checkVerdict(t, v, v.Reason, v.Index)
		if strings.Contains(v.Detail, "went wrong") {
			t.Fatal("x509 panicked")
		}
		if v.Accepted && !published[string(chain[0].Raw)] {
			t.Fatalf("a certificate that nobody signed is accepted: %x", chain[0].Raw)
		}
		if v.Accepted && !bytes.Equal(v.Chain[len(v.Chain)-1].Raw, root) {
			t.Fatal("the path does not end in the trust store")
		}
		if again := store.Verify(chain, p, at); again.Reason != v.Reason || again.Detail != v.Detail {
			t.Fatalf("first %q, then %q", v.Detail, again.Detail)
		}
		if len(chain) > 2 {
			slices.Reverse(chain[1:])
			if other := store.Verify(chain, p, at); other.Accepted != v.Accepted {
				t.Fatalf("in another order accepted %v: %s", other.Accepted, other.Detail)
			}
		}
	})
}

// presentedChain parses what parses; crypto/tls would give up at the first
// that does not.
func presentedChain(data cryptobyte.String) []*x509.Certificate {
	var chain []*x509.Certificate
	var der cryptobyte.String
	for data.ReadASN1Element(&der, cbasn1.SEQUENCE) && len(chain) <= trust.LargestMaxDepth {
		if cert, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, cert)
		}
	}
	return chain
}
