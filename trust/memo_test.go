package trust

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// memoStore returns a store over one CA.
func memoStore(t testing.TB, o Options, trusted ...*pki.Entity) *Store {
	t.Helper()
	s := NewStore("partners", o)
	s.Publish(memoBundle(t, trusted...), nil, "1")
	return s
}

func memoBundle(t testing.TB, trusted ...*pki.Entity) *Bundle {
	t.Helper()
	var data []byte
	for _, e := range trusted {
		data = append(data, e.PEM()...)
	}
	b, err := ParseBundle(data, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantHit(t *testing.T, v *Verdict, hit bool) {
	t.Helper()
	if !v.Accepted || v.MemoHit != hit {
		t.Fatalf("accepted %v (%s), memo hit %v; want accepted, hit %v", v.Accepted, v.Reason, v.MemoHit, hit)
	}
}

func wantRefusal(t *testing.T, v *Verdict, want Reason) {
	t.Helper()
	if v.Accepted || v.Reason != want {
		t.Fatalf("accepted %v, reason %q; want %q", v.Accepted, v.Reason, want)
	}
}

func sameHash([]byte) uint64 { return 42 }

func TestForcedCollisionIsNoHit(t *testing.T) {
	root := pki.NewRoot("root")
	a, b := root.Client("a"), root.Client("b")
	s := memoStore(t, Options{hash: sameHash}, root)
	now := time.Now()
	wantHit(t, s.Verify(a.Chain(), nil, now), false)
	wantHit(t, s.Verify(a.Chain(), nil, now), true)
	wantRefusal(t, s.Verify(pki.NewRoot("evil").Client("a").Chain(), nil, now), ClientCertUntrusted)
	wantHit(t, s.Verify(b.Chain(), nil, now), false)
	if got := s.Verify(b.Chain(), nil, now).Identity.Serial; got != serial(b.Cert.SerialNumber) {
		t.Errorf("the answer for b has serial %s", got)
	}
	wantHit(t, s.Verify(a.Chain(), nil, now), true)
}

func TestWholeChainCounts(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	evil := pki.NewRoot("evil").Intermediate("sub")
	leaf := sub.Client("c").Cert
	s := memoStore(t, Options{}, root)
	now := time.Now()
	wantHit(t, s.Verify([]*x509.Certificate{leaf, sub.Cert}, nil, now), false)
	wantHit(t, s.Verify([]*x509.Certificate{leaf, sub.Cert}, nil, now), true)
	// As on a cold store.
	wantRefusal(t, s.Verify([]*x509.Certificate{leaf}, nil, now), ClientCertUntrusted)
	wantRefusal(t, s.Verify([]*x509.Certificate{leaf, evil.Cert}, nil, now), ClientCertUntrusted)
	// Nothing rides along unverified.
	wantHit(t, s.Verify([]*x509.Certificate{leaf, sub.Cert, evil.Cert}, nil, now), false)
	wantHit(t, s.Verify([]*x509.Certificate{leaf, evil.Cert, sub.Cert}, nil, now), false)
	five := []*x509.Certificate{leaf, sub.Cert, sub.Cert, sub.Cert, sub.Cert}
	wantRefusal(t, s.Verify(five, nil, now), ClientCertMaxChainDepthExceeded)
}

func TestPolicyVariantCounts(t *testing.T) {
	root := pki.NewRoot("root")
	old := root.Client("c", pki.Expired)
	s := memoStore(t, Options{}, root)
	now := time.Now()
	lenient := &Policy{IgnoreExpiry: true}
	wantHit(t, s.Verify(old.Chain(), lenient, now), false)
	wantHit(t, s.Verify(old.Chain(), lenient, now), true)
	wantRefusal(t, s.Verify(old.Chain(), nil, now), ClientCertExpired)
	wantHit(t, s.Verify(old.Chain(), lenient, now), true)
	wantHit(t, s.Verify(old.Chain(), &Policy{IgnoreExpiry: true, MaxDepth: 2}, now), false)
}

func TestRefusalIsNotStored(t *testing.T) {
	root := pki.NewRoot("root")
	s := memoStore(t, Options{}, root)
	late := root.Client("c", pki.NotYetValid)
	now := time.Now()
	for i := range 3 {
		wantRefusal(t, s.Verify(late.Chain(), nil, now), ClientCertNotYetValid)
		if st := s.Stats(); st.Entries != 0 || st.Verifications != uint64(i+1) {
			t.Fatalf("stats %+v after refusal %d", st, i+1)
		}
	}
	wantHit(t, s.Verify(late.Chain(), nil, late.Cert.NotBefore.Add(time.Hour)), false)
}

func TestWindowIsCheckedOnHits(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	root := pki.NewRoot("root", pki.Window(now.Add(-9*time.Hour), now.Add(9*time.Hour)))
	sub := root.Intermediate("sub", pki.Window(now.Add(-2*time.Hour), now.Add(2*time.Hour)))
	leaf := sub.Client("c", pki.Window(now.Add(-time.Hour), now.Add(4*time.Hour)))
	longLeaf := sub.Client("c", pki.Expired)
	s := memoStore(t, Options{}, root)
	for _, tt := range []struct {
		chain  []*x509.Certificate
		policy *Policy
		after  time.Duration
		want   Reason
	}{
		{leaf.Chain(), nil, 0, ""},
		{leaf.Chain(), nil, 2 * time.Hour, ""},
		{leaf.Chain(), nil, 2*time.Hour + time.Second, ClientCertExpired}, // of the intermediate
		{leaf.Chain(), nil, -time.Hour - time.Second, ClientCertNotYetValid},
		{leaf.Chain(), nil, 10 * time.Hour, ClientCertExpired},
		{longLeaf.Chain(), &Policy{IgnoreExpiry: true}, time.Hour, ""},
		{longLeaf.Chain(), &Policy{IgnoreExpiry: true}, 3 * time.Hour, ClientCertExpired},
	} {
		s.Verify(tt.chain, tt.policy, now) // warm it
		v := s.Verify(tt.chain, tt.policy, now.Add(tt.after))
		if v.Reason != tt.want || v.Accepted != v.MemoHit {
			t.Errorf("after %v: %q, memo hit %v, want %q; %s", tt.after, v.Reason, v.MemoHit, tt.want, v.Detail)
		}
	}
}

func TestFiltersAreAskedOnHits(t *testing.T) {
	root := pki.NewRoot("root")
	client := root.Client("beta")
	s := memoStore(t, Options{}, root)
	now := time.Now()
	wantHit(t, s.Verify(client.Chain(), nil, now), false)
	acme, err := NewFilter(FilterConfig{SubjectCN: []string{"acme-*"}})
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s.Verify(client.Chain(), &Policy{Filters: []Filter{acme}}, now), ClientCertRejected)
	wantHit(t, s.Verify(client.Chain(), nil, now), true)
}

func TestRevocationIsAskedOnHits(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	client := sub.Client("c")
	s := memoStore(t, Options{}, root)
	now := time.Now()
	wantHit(t, s.Verify(client.Chain(), nil, now), false)
	s.SetRevocations(revocations(t, root, root.CRL(1, sub)))
	wantRefusal(t, s.Verify(client.Chain(), nil, now), ClientCertCrlHit)
	s.SetRevocations(revocations(t, root, root.CRL(2)))
	wantHit(t, s.Verify(client.Chain(), nil, now), true)
}

func revocations(t testing.TB, ca *pki.Entity, der []byte) *crl.Set {
	t.Helper()
	list, err := crl.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	set, err := crl.NewSet([]crl.Source{{Name: "test", List: list}}, []*x509.Certificate{ca.Cert})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAnotherBundleForgets(t *testing.T) {
	root, other := pki.NewRoot("root"), pki.NewRoot("other")
	client := root.Client("c")
	s := memoStore(t, Options{}, root, other)
	now := time.Now()
	wantHit(t, s.Verify(client.Chain(), nil, now), false)
	s.Publish(memoBundle(t, other, root), nil, "2") // the same set
	wantHit(t, s.Verify(client.Chain(), nil, now), true)
	if got := s.Snapshot().Version(); got != "2" {
		t.Errorf("version %q", got)
	}
	s.Publish(memoBundle(t, other), nil, "3")
	wantRefusal(t, s.Verify(client.Chain(), nil, now), ClientCertUntrusted)
	s.Publish(memoBundle(t, root), nil, "4")
	wantHit(t, s.Verify(client.Chain(), nil, now), false)
}

func TestMemoIsBounded(t *testing.T) {
	root := pki.NewRoot("root")
	key := pki.Key(pki.NewRoot("key").Key)
	s := memoStore(t, Options{MemoEntries: 2 * memoShards}, root)
	now := time.Now()
	for i := range 300 {
		wantHit(t, s.Verify(root.Client(fmt.Sprint("c", i), key).Chain(), nil, now), false)
	}
	st := s.Stats()
	if st.Entries > 2*memoShards || st.Entries == 0 || st.Entries+int(st.Evictions) != 300 {
		t.Errorf("stats %+v", st)
	}
}

func TestMemoIsBoundedInBytes(t *testing.T) {
	root := pki.NewRoot("root")
	key := pki.Key(pki.NewRoot("key").Key)
	size := len(root.Client("c0", key).Cert.Raw)
	s := memoStore(t, Options{MemoBytes: memoShards * (3*size + size/2), hash: sameHashButLow}, root)
	for i := range 20 {
		s.Verify(root.Client(fmt.Sprint("c", i%10), key).Chain(), nil, time.Now())
	}
	if got := s.Stats().Entries; got != 3 {
		t.Errorf("%d entries of %d bytes, want 3", got, size)
	}
}

// sameHashButLow puts everything into one shard, but not into one bucket.
func sameHashButLow(der []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range der {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h &^ (memoShards - 1)
}

// Clients that come again survive those who come once.
func TestWorkingSetSurvives(t *testing.T) {
	root := pki.NewRoot("root")
	key := pki.Key(pki.NewRoot("key").Key)
	s := memoStore(t, Options{MemoEntries: 4 * memoShards, hash: sameHashButLow}, root)
	hot := root.Client("hot").Chain()
	now := time.Now()
	s.Verify(hot, nil, now)
	for i := range 40 {
		wantHit(t, s.Verify(hot, nil, now), true)
		s.Verify(root.Client(fmt.Sprint("c", i), key).Chain(), nil, now)
	}
}

func TestRefusalsEvictNobody(t *testing.T) {
	root, evil := pki.NewRoot("root"), pki.NewRoot("evil")
	key := pki.Key(evil.Key)
	s := memoStore(t, Options{MemoEntries: -1, hash: sameHash}, root)
	known := root.Client("c").Chain()
	now := time.Now()
	wantHit(t, s.Verify(known, nil, now), false)
	for i := range 50 {
		s.Verify(evil.Client(fmt.Sprint("c", i), key).Chain(), nil, now)
	}
	wantHit(t, s.Verify(known, nil, now), true)
}

// One leaf in ever other company takes no more than its share.
func TestVariantsOfOneLeafAreBounded(t *testing.T) {
	root := pki.NewRoot("root")
	leaf := root.Client("c").Cert
	key := pki.Key(pki.NewRoot("key").Key)
	s := memoStore(t, Options{}, root)
	for i := range 3 * maxVariants {
		junk := pki.NewRoot(fmt.Sprint("junk", i), key).Cert
		wantHit(t, s.Verify([]*x509.Certificate{leaf, junk}, nil, time.Now()), false)
	}
	if got := s.Stats().Entries; got != maxVariants {
		t.Errorf("%d entries, want %d", got, maxVariants)
	}
}

func TestEntriesShareIntermediates(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	s := memoStore(t, Options{}, root)
	var first *x509.Certificate
	for i := range 3 {
		again, err := x509.ParseCertificate(sub.Cert.Raw)
		if err != nil {
			t.Fatal(err)
		}
		v := s.Verify([]*x509.Certificate{sub.Client(fmt.Sprint("c", i)).Cert, again}, nil, time.Now())
		wantHit(t, v, false)
		if first == nil {
			first = v.Chain[1]
		} else if v.Chain[1] != first {
			t.Errorf("client %d has its own copy of the intermediate", i)
		}
	}
}

func TestMemoHitDoesNotAllocate(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	client := sub.Client("acme-1", pki.URI("spiffe://partners.example/acme/1"), pki.DNS("one.acme.example"))
	s := memoStore(t, Options{}, root)
	s.SetRevocations(revocations(t, root, root.CRL(1, root.Client("bad"))))
	f, err := NewFilter(FilterConfig{SubjectCN: []string{"acme-*"}, SANURI: []string{"spiffe://partners.example/*"}, SANDNS: []string{"*.ACME.example"}})
	if err != nil {
		t.Fatal(err)
	}
	deny, err := NewFilter(FilterConfig{Deny: true, Issuer: []string{"CN=other*"}, Serial: []string{"1"}, SHA256: manyPins(1000)})
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{Filters: []Filter{f, deny}}
	now, chain := time.Now(), client.Chain()
	s.Verify(chain, p, now)
	wantHit(t, s.Verify(chain, p, now), true)
	if n := testing.AllocsPerRun(100, func() { s.Verify(chain, p, now) }); n != 0 {
		t.Errorf("%v allocations per hit", n)
	}
}

// What a hit says is what a miss says.
func TestHitEqualsMiss(t *testing.T) {
	root := pki.NewRoot("root")
	chain := root.Intermediate("sub").Client("c").Chain()
	s := memoStore(t, Options{}, root)
	miss, hit := s.Verify(chain, nil, time.Now()), s.Verify(chain, nil, time.Now())
	if *miss.Identity != *hit.Identity || miss.Detail != hit.Detail || len(miss.Chain) != 3 || &miss.Chain[0] != &hit.Chain[0] {
		t.Errorf("miss %+v, hit %+v", miss, hit)
	}
}

// All connections of a client hold one chain, and the first that came from a session
// is held for all: crypto/tls then finds it parsed.
func TestChainsAreShared(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	acme := sub.Client("acme")
	s := memoStore(t, Options{}, root)
	parse := func(e *pki.Entity) []*x509.Certificate {
		var chain []*x509.Certificate
		for _, c := range e.Chain() {
			again, err := x509.ParseCertificate(c.Raw)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, again)
		}
		return chain
	}
	share := func(chain []*x509.Certificate, resumed bool) []*x509.Certificate {
		return s.Verify(chain, nil, time.Now()).Share(chain, resumed)
	}
	first := share(parse(acme), false)
	if got := share(parse(acme), false); &got[0] != &first[0] {
		t.Error("the second connection has a chain of its own")
	}
	session := parse(acme)
	if got := share(session, true); &got[0] != &session[0] {
		t.Error("the chain of the first session was not taken for all")
	}
	for _, resumed := range []bool{false, true} {
		if got := share(parse(acme), resumed); &got[0] != &session[0] {
			t.Errorf("resumed %v: not the chain of the first session", resumed)
		}
	}
	v := s.Verify(parse(acme), nil, time.Now())
	for name, other := range map[string][]*x509.Certificate{
		"another client": sub.Client("other").Chain(), "leaf alone": acme.Chain()[:1], "none": nil,
		"one more": append(acme.Chain(), root.Cert),
	} {
		if got := v.Share(other, true); len(got) != len(other) || (len(got) > 0 && got[0] != other[0]) {
			t.Errorf("%s: was given somebody else's chain", name)
		}
	}
	refused := s.Verify(pki.NewRoot("evil").Client("acme").Chain(), nil, time.Now())
	if other := acme.Chain(); &refused.Share(other, false)[0] != &other[0] {
		t.Error("a refusal shares a chain")
	}
}
