package trust_test

import (
	"crypto/x509"
	"encoding/json"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// FuzzExplain holds, for whatever x509 parses, that an explanation comes to Verify's
// verdict, that its steps tell of it, and that its JSON is printable ASCII of a bounded size.
func FuzzExplain(f *testing.F) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	bad := sub.Client("bad")
	s := store(f, root.Cert, pki.NewRoot("sub").Cert)
	s.SetRevocations(lists(f, []*x509.Certificate{root.Cert, sub.Cert}, sub.CRL(1, bad)))
	policy := &trust.Policy{Filters: []trust.Filter{filter(f, trust.FilterConfig{SubjectCN: []string{"*"}})}}
	for _, chain := range [][]*x509.Certificate{
		bad.Chain(), sub.Client("good").Chain(), sub.Client("alone").Chain()[:1], pki.NewRoot("root").Client("c").Chain(),
		root.Client("old", pki.Expired, pki.DNS("a.example"), pki.URI("spiffe://a/b")).Chain(), {root.Cert, root.Cert, root.Cert, root.Cert, root.Cert},
	} {
		var der []byte
		for _, c := range chain {
			der = append(der, c.Raw...)
		}
		f.Add(der)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, der []byte) {
		chain, err := x509.ParseCertificates(der)
		if err != nil {
			return
		}
		v, e := s.Explain(chain, policy, now)
		sameVerdict(t, v, s.Verify(chain, policy, now))
		checkExplanation(t, v, e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range text {
			if b < ' ' || b > '~' {
				t.Fatalf("byte %#x in %s", b, text)
			}
		}
	})
}
