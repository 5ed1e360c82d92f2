package trust_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// store returns a store that trusts the given certificates.
func store(t testing.TB, trusted ...*x509.Certificate) *trust.Store {
	t.Helper()
	s := trust.NewStore("partners", trust.Options{})
	s.Publish(bundle(t, trusted...), nil, "1")
	return s
}

func bundle(t testing.TB, trusted ...*x509.Certificate) *trust.Bundle {
	t.Helper()
	b, err := trust.ParseBundle(pki.PEM(trusted...), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lists returns a set of revocation lists, each signed by a CA of cas.
func lists(t testing.TB, cas []*x509.Certificate, ders ...[]byte) *crl.Set {
	t.Helper()
	var sources []crl.Source
	for i, der := range ders {
		list, err := crl.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, crl.Source{Name: "list " + strconv.Itoa(i), List: list})
	}
	set, err := crl.NewSet(sources, cas)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func filter(t testing.TB, c trust.FilterConfig) trust.Filter {
	t.Helper()
	f, err := trust.NewFilter(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Options for certificates beyond those of package pki.
var (
	anyUsage     = usages(x509.ExtKeyUsageAny)
	noUsage      = usages()
	bothUsages   = usages(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	encipherment = keyUsage(x509.KeyUsageKeyEncipherment)
	agreement    = keyUsage(x509.KeyUsageKeyAgreement)
	noKeyUsage   = keyUsage(0)
	pathLenZero  = pki.Template(func(c *x509.Certificate) { c.MaxPathLenZero = true })
	criticalOdd  = pki.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
	})
	emptyEKU = pki.Template(func(c *x509.Certificate) {
		c.ExtKeyUsage = nil
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte{0x30, 0}})
	})
	permitsPartners = pki.Template(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"partners.example"}
	})
	notACA = pki.Template(func(c *x509.Certificate) { c.IsCA = false })
)

func usages(list ...x509.ExtKeyUsage) pki.Option {
	return pki.Template(func(c *x509.Certificate) { c.ExtKeyUsage = list })
}

func keyUsage(u x509.KeyUsage) pki.Option {
	return pki.Template(func(c *x509.Certificate) { c.KeyUsage = u })
}

func signedWith(a x509.SignatureAlgorithm) pki.Option {
	return pki.Template(func(c *x509.Certificate) { c.SignatureAlgorithm = a })
}

func ed25519Key(t *testing.T) pki.Option {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Key(key)
}

// bulk adds an extension that nobody reads.
func bulk(size int) pki.Option {
	return pki.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 5}, Value: make([]byte, size)})
	})
}

func manyNames(n int) pki.Option {
	return pki.Template(func(c *x509.Certificate) {
		for i := range n {
			c.DNSNames = append(c.DNSNames, "n"+strconv.Itoa(i))
		}
	})
}

func onlyAcme(t *testing.T) *trust.Policy {
	return &trust.Policy{Filters: []trust.Filter{filter(t, trust.FilterConfig{SubjectCN: []string{"acme-*"}})}}
}

func checkVerdict(t *testing.T, got *trust.Verdict, want trust.Reason, index int) {
	t.Helper()
	if got.Reason != want || got.Accepted != (want == "") {
		t.Fatalf("accepted %v, reason %q, want %q; detail: %s", got.Accepted, got.Reason, want, got.Detail)
	}
	if want == "" {
		index = -1
	}
	if got.Index != index {
		t.Errorf("index %d, want %d; detail: %s", got.Index, index, got.Detail)
	}
	if got.Detail == "" || len(got.Detail) > 1000 || strings.ContainsAny(got.Detail, "\n\x00") {
		t.Errorf("detail %q is not a sentence", got.Detail)
	}
}
