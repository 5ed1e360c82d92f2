package trust_test

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// BenchmarkVerify isolates the decision: no TLS, no parsing of certificates. A
// hit is a client that came before; a miss is one that did not, with every
// signature checked; a refusal is a stranger's. It shows neither contention of
// many processors nor what a cold cache does to a large memo.
func BenchmarkVerify(b *testing.B) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	now := time.Now()
	filters := &trust.Policy{Filters: []trust.Filter{filter(b, trust.FilterConfig{SANURI: []string{"spiffe://partners.example/*"}})}}
	known := sub.Client("c", pki.URI("spiffe://partners.example/acme/1")).Chain()
	set := lists(b, []*x509.Certificate{root.Cert, sub.Cert}, root.CRL(1), sub.SignCRL(manyRevoked(100_000)))

	for _, revoked := range []int{0, 100_000} {
		s := store(b, root.Cert)
		if revoked > 0 {
			s.SetRevocations(set)
		}
		b.Run(fmt.Sprintf("case=hit/revoked=%d", revoked), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := s.Verify(known, filters, now); !v.Accepted {
					b.Fatal(v.Detail)
				}
			}
		})
		b.Run(fmt.Sprintf("case=miss/revoked=%d", revoked), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				s := store(b, root.Cert)
				if revoked > 0 {
					s.SetRevocations(set)
				}
				b.StartTimer()
				if v := s.Verify(known, filters, now); !v.Accepted || v.MemoHit {
					b.Fatal(v.Detail)
				}
			}
		})
	}
	b.Run("case=refusal/revoked=0", func(b *testing.B) {
		b.ReportAllocs()
		s := store(b, pki.NewRoot("other").Cert)
		for b.Loop() {
			if s.Verify(known, filters, now).Accepted {
				b.Fatal("accepted")
			}
		}
	})
}

// BenchmarkHitAmongMany is a hit when the memo is full.
func BenchmarkHitAmongMany(b *testing.B) {
	root := pki.NewRoot("root")
	key := pki.Key(root.Key)
	s := store(b, root.Cert)
	now := time.Now()
	var chains [][]*x509.Certificate
	for range 4096 {
		chain := root.Client("c", key).Chain()
		s.Verify(chain, nil, now)
		chains = append(chains, chain)
	}
	b.ReportAllocs()
	hits := s.Stats().Hits
	n := 0
	for b.Loop() {
		s.Verify(chains[n%len(chains)], nil, now)
		n++
	}
	b.ReportMetric(float64(s.Stats().Hits-hits)/float64(n), "hits/op")
}

// BenchmarkHitParallel is many handshakes of one client at once.
func BenchmarkHitParallel(b *testing.B) {
	root := pki.NewRoot("root")
	chain, now := root.Client("c").Chain(), time.Now()
	s := store(b, root.Cert)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Verify(chain, nil, now)
		}
	})
}

func manyRevoked(n int) *x509.RevocationList {
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for i := range n {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(int64(i) + 1), RevocationTime: now,
		})
	}
	return list
}

// BenchmarkEncodeChain is the certificate header of a connection: made once for
// it, not for each request.
func BenchmarkEncodeChain(b *testing.B) {
	root := pki.NewRoot("root")
	chain := root.Intermediate("sub").Client("c").Chain()
	for n := 1; n <= len(chain); n++ {
		b.Run(fmt.Sprintf("certificates=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				trust.EncodeChain(chain[:n])
			}
		})
	}
}

// BenchmarkStranger is a client whose CA nobody here knows.
func BenchmarkStranger(b *testing.B) {
	chain := pki.NewRoot("unknown").Intermediate("sub").Client("c").Chain()
	s, now := store(b, pki.NewRoot("root").Cert), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Verify(chain, nil, now)
	}
}

// BenchmarkReaffirm is what an open connection costs when something has changed: the
// client stays, is revoked, or has lost its CA.
func BenchmarkReaffirm(b *testing.B) {
	root := pki.NewRoot("root")
	client := root.Client("c")
	chain, now := client.Chain(), time.Now()
	v := store(b, root.Cert).Verify(chain, nil, now)
	revoked := store(b, root.Cert)
	revoked.SetRevocations(lists(b, []*x509.Certificate{root.Cert}, root.CRL(1, client)))
	for _, after := range []struct {
		name  string
		store *trust.Store
	}{
		{"stays", store(b, root.Cert, pki.NewRoot("new").Cert)},
		{"revoked", revoked},
		{"no CA", store(b, pki.NewRoot("new").Cert)},
	} {
		b.Run(after.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				after.store.Reaffirm(v, chain, nil, now)
			}
		})
	}
}

// BenchmarkRevocationPolicy is a hit under ALB's policy, under one for the whole
// store, and where the CA has a rule of its own.
func BenchmarkRevocationPolicy(b *testing.B) {
	root := pki.NewRoot("root")
	chain, now := root.Client("c").Chain(), time.Now()
	trusted := bundle(b, root.Cert)
	rule := trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationDeny}
	for _, of := range []struct {
		name   string
		config trust.RevocationConfig
	}{
		{"ALB", trust.RevocationConfig{}},
		{"store", trust.RevocationConfig{RevocationRule: rule}},
		{"authority", trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{Subject: "CN=root,O=Postern", RevocationRule: rule}}}},
	} {
		b.Run("policy="+of.name, func(b *testing.B) {
			s := trust.NewStore("partners", trust.Options{})
			s.Replace(trust.Content{Bundle: trusted, Revocations: lists(b, trusted.Certificates, root.CRL(1)), RevocationPolicy: policy(b, of.config, trusted)})
			b.ReportAllocs()
			for b.Loop() {
				if v := s.Verify(chain, nil, now); !v.Accepted {
					b.Fatal(v.Detail)
				}
			}
		})
	}
}
