package trust_test

import (
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// published returns a store with a bundle and lists of its CAs.
func published(t *testing.T, cas []*x509.Certificate, ders ...[]byte) *trust.Store {
	t.Helper()
	s := trust.NewStore("partners", trust.Options{})
	s.Publish(bundle(t, cas...), lists(t, cas, ders...), "1")
	return s
}

// Two partners may have named their CAs alike: the list of one says nothing of
// the other's clients, and a list that neither signed is not taken.
func TestListOfACAOfTheSameName(t *testing.T) {
	one, two := pki.NewRoot("Root CA"), pki.NewRoot("Root CA")
	number := pki.Serial(big.NewInt(7))
	clientOne, clientTwo := one.Client("one", number), two.Client("two", number)
	cas := []*x509.Certificate{one.Cert, two.Cert}
	s := published(t, cas, two.CRL(1, clientTwo))
	checkVerdict(t, s.Verify(clientOne.Chain(), nil, time.Now()), "", 0)
	checkVerdict(t, s.Verify(clientTwo.Chain(), nil, time.Now()), trust.ClientCertCrlHit, 0)

	list, err := crl.Parse(pki.NewRoot("Root CA").CRL(1, clientOne))
	if err != nil {
		t.Fatal(err)
	}
	_, err = crl.NewSet([]crl.Source{{Name: "forged.crl", List: list}}, cas)
	if err == nil || !strings.Contains(err.Error(), "forged.crl") {
		t.Errorf("error %v", err)
	}
}

// TestKeyRollover holds what happens while a CA has two keys, as RFC 4210, 4.4 has
// it: the new key vouches for the old one and the other way round, under one name.
func TestKeyRollover(t *testing.T) {
	root := pki.NewRoot("root")
	old := root.Intermediate("ca")
	renewed := root.Intermediate("ca")
	newWithOld := old.Intermediate("ca", pki.Key(renewed.Key))
	oldWithNew := renewed.Intermediate("ca", pki.Key(old.Key))
	oldClient, newClient := old.Client("old"), renewed.Client("new")
	join := func(list ...*pki.Entity) (chain []*x509.Certificate) {
		for _, e := range list {
			chain = append(chain, e.Cert)
		}
		return chain
	}
	for _, tt := range []struct {
		name  string
		store []*x509.Certificate
		chain []*x509.Certificate
		want  trust.Reason
	}{
		{"old client, old CA", join(root), join(oldClient, old), ""},
		{"new client, new CA", join(root), join(newClient, renewed), ""},
		{"old client, new CA", join(root), join(oldClient, renewed), trust.ClientCertUntrusted},
		{"new client, new CA by the old", join(root), join(newClient, newWithOld, old), ""},
		{"old client, old CA by the new", join(root), join(oldClient, oldWithNew, renewed), ""},
		{"everything at once", join(root), join(oldClient, oldWithNew, renewed, newWithOld, old), ""},
		{"everything but what root signed", join(root), join(oldClient, oldWithNew, newWithOld), trust.ClientCertUntrusted},
		{"only the new CA in the store", join(renewed), join(oldClient), trust.ClientCertUntrusted},
		{"only the new CA in the store, old one by the new sent", join(renewed), join(oldClient, oldWithNew), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &trust.Policy{MaxDepth: 5}
			for range 2 {
				v := store(t, tt.store...).Verify(tt.chain, p, time.Now())
				checkVerdict(t, v, tt.want, v.Index)
				if strings.Contains(v.Detail, "signed itself") {
					t.Errorf("no certificate here signed itself: %s", v.Detail)
				}
				slices.Reverse(tt.chain[1:])
			}
		})
	}
}

// An anchor may be revoked by another, at whatever distance, and roots that
// certify each other are no circle without an end.
func TestAnchorRevokedByAnother(t *testing.T) {
	a, b := pki.NewRoot("root a"), pki.NewRoot("root b")
	aByB := b.Intermediate("root a", pki.Key(a.Key))
	bByA := a.Intermediate("root b", pki.Key(b.Key))
	sub := a.Intermediate("sub")
	subsub := sub.Intermediate("subsub")
	client := subsub.Client("c")
	cas := []*x509.Certificate{a.Cert, b.Cert, aByB.Cert, bByA.Cert, sub.Cert, subsub.Cert}
	leaf := client.Chain()[:1]
	checkVerdict(t, published(t, cas).Verify(leaf, nil, time.Now()), "", 0)
	checkVerdict(t, published(t, cas, a.CRL(1, sub)).Verify(leaf, nil, time.Now()), trust.ClientCertCrlHit, -1)
	checkVerdict(t, published(t, cas, b.CRL(1, aByB)).Verify(leaf, nil, time.Now()), trust.ClientCertCrlHit, -1)
	// With the certificate gone whose issuer revoked it, nobody revokes.
	rest := []*x509.Certificate{a.Cert, b.Cert, sub.Cert, subsub.Cert}
	checkVerdict(t, published(t, rest, b.CRL(1, aByB)).Verify(leaf, nil, time.Now()), "", 0)
}

// Every certificate of the path counts, at every place in it, also when the
// store has seen the client before.
func TestWholeChainRevocation(t *testing.T) {
	root := pki.NewRoot("root")
	path := []*pki.Entity{root}
	for _, name := range []string{"one", "two", "three", "four"} {
		path = append(path, path[len(path)-1].Intermediate(name))
	}
	client := path[4].Client("c")
	path = append(path, client)
	p := &trust.Policy{MaxDepth: 10}
	var cas []*x509.Certificate
	for _, e := range path[:5] {
		cas = append(cas, e.Cert)
	}
	s := store(t, root.Cert)
	checkVerdict(t, s.Verify(client.Chain(), p, time.Now()), "", 0)
	for i, revoked := range path[1:] {
		s.SetRevocations(lists(t, cas, path[i].CRL(1, revoked)))
		checkVerdict(t, s.Verify(client.Chain(), p, time.Now()), trust.ClientCertCrlHit, len(path)-2-i)
		s.SetRevocations(lists(t, cas, path[i].CRL(1)))
		checkVerdict(t, s.Verify(client.Chain(), p, time.Now()), "", 0)
	}
}

// Serial numbers that differ in their first or last byte only, to the longest
// that RFC 5280 allows, and one byte more.
func TestLongSerialsEndToEnd(t *testing.T) {
	root := pki.NewRoot("root")
	low := new(big.Int).Lsh(big.NewInt(1), 151)
	for _, n := range []*big.Int{
		big.NewInt(1), big.NewInt(127), big.NewInt(128), big.NewInt(255), big.NewInt(256),
		low, new(big.Int).Lsh(low, 8), new(big.Int).Sub(new(big.Int).Lsh(low, 8), big.NewInt(1)),
		new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 160), big.NewInt(1)),
	} {
		revoked := root.Client("revoked", pki.Serial(n))
		next := root.Client("next", pki.Serial(new(big.Int).Add(n, big.NewInt(1))))
		s := published(t, []*x509.Certificate{root.Cert}, root.CRL(1, revoked))
		checkVerdict(t, s.Verify(revoked.Chain(), nil, time.Now()), trust.ClientCertCrlHit, 0)
		checkVerdict(t, s.Verify(next.Chain(), nil, time.Now()), "", 0)
	}
}

// Policies that a CA asks for are kept (RFC 5280, 6.1); nobody else asks for any.
func TestPolicies(t *testing.T) {
	policies := func(critical bool, arcs ...int) pki.Option {
		var body []byte
		for _, arc := range arcs {
			id := marshal(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1, arc})
			body = append(body, marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: id})...)
		}
		return extended(asn1.ObjectIdentifier{2, 5, 29, 32}, critical, marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}))
	}
	// requireExplicitPolicy [0] 0: everything below has to have a policy.
	require := extended(asn1.ObjectIdentifier{2, 5, 29, 36}, true, []byte{0x30, 3, 0x80, 1, 0})
	root := pki.NewRoot("root")
	for _, tt := range []struct {
		name     string
		ca, leaf []pki.Option
		refused  bool
	}{
		{"nobody asks", nil, nil, false},
		{"nobody asks, other policies", []pki.Option{policies(true, 1)}, []pki.Option{policies(true, 2)}, false},
		{"asked for, the same", []pki.Option{require, policies(true, 1)}, []pki.Option{policies(false, 1, 3)}, false},
		{"asked for, others", []pki.Option{require, policies(true, 1)}, []pki.Option{policies(false, 2)}, true},
		{"asked for, none", []pki.Option{require, policies(true, 1)}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := trust.Reason("")
			if tt.refused {
				want = trust.ClientCertUntrusted
			}
			ca := root.Intermediate("ca", tt.ca...)
			chain := ca.Client("c", tt.leaf...).Chain()
			v := store(t, root.Cert).Verify(chain, nil, time.Now())
			checkVerdict(t, v, want, v.Index)
			if tt.refused && !strings.Contains(v.Detail, "polic") {
				t.Errorf("detail %s", v.Detail)
			}
		})
	}
}

// TestPolicyQualifiers holds that a critical extension is understood to its end.
func TestPolicyQualifiers(t *testing.T) {
	type qualifier struct {
		ID    asn1.ObjectIdentifier
		Value string `asn1:"ia5"`
	}
	type policy struct {
		ID         asn1.ObjectIdentifier
		Qualifiers []qualifier
	}
	with := func(critical bool, id ...int) pki.Option {
		return extended(asn1.ObjectIdentifier{2, 5, 29, 32}, critical, marshal(t, []policy{{policyID(1), []qualifier{{id, "x"}}}}))
	}
	root := pki.NewRoot("root")
	for _, tt := range []struct {
		name   string
		option pki.Option
		want   trust.Reason
	}{
		{"practice statement", with(true, 1, 3, 6, 1, 5, 5, 7, 2, 1), ""},
		{"notice", with(true, 1, 3, 6, 1, 5, 5, 7, 2, 2), ""},
		{"unknown", with(true, 1, 3, 6, 1, 5, 5, 7, 2, 3), trust.ClientCertUntrusted},
		{"unknown and not critical", with(false, 1, 3, 6, 1, 5, 5, 7, 2, 3), ""},
		{"unknown and longer", with(true, 1, 3, 6, 1, 5, 5, 7, 2, 1, 1), trust.ClientCertUntrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkVerdict(t, store(t, root.Cert).Verify(root.Client("c", tt.option).Chain(), nil, time.Now()), tt.want, 0)
			checkVerdict(t, store(t, root.Cert).Verify(root.Intermediate("ca", tt.option).Client("c").Chain(), nil, time.Now()), tt.want, 0)
		})
	}
}
