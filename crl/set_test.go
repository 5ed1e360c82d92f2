package crl_test

import (
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// newSet makes a Set that must be good, with sources named "0", "1" and so on.
func newSet(t testing.TB, cas []*x509.Certificate, lists ...[]byte) *crl.Set {
	t.Helper()
	set, err := crl.NewSet(sources(t, lists...), cas)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func sources(t testing.TB, lists ...[]byte) []crl.Source {
	t.Helper()
	var all []crl.Source
	for i, data := range lists {
		all = append(all, crl.Source{Name: string(rune('0' + i)), List: parse(t, data)})
	}
	return all
}

func certs(entities ...*pki.Entity) []*x509.Certificate {
	var all []*x509.Certificate
	for _, e := range entities {
		all = append(all, e.Cert)
	}
	return all
}

// sameName makes a CA with the name of e and another key.
func sameName(e *pki.Entity) *pki.Entity { return pki.NewRoot(e.Cert.Subject.CommonName) }

func TestStatus(t *testing.T) {
	root, other := pki.NewRoot("root"), pki.NewRoot("other")
	sub := root.Intermediate("sub")
	first, second, third := root.Client("first"), root.Client("second"), root.Client("third")
	twin := other.Client("twin", pki.Serial(first.Cert.SerialNumber))
	set := newSet(t, certs(root, other), root.CRL(1, first), other.CRL(1), root.CRL(2, second))
	for _, tt := range []struct {
		name         string
		cert, issuer *pki.Entity
		want         crl.Status
		list         string // number of the source that decides
	}{
		{"on the first list", first, root, crl.Revoked, "0"},
		{"on the second list", second, root, crl.Revoked, "2"},
		{"on neither", third, root, crl.Good, "0"},
		{"same serial, other CA", twin, other, crl.Good, "1"},
		{"CA certificate", sub, root, crl.Good, "0"},
		{"CA without a list", sub.Client("x"), sub, crl.Unknown, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := set.Status(tt.cert.Cert, tt.issuer.Cert)
			if got.Status != tt.want {
				t.Errorf("status %v, want %v", got.Status, tt.want)
			}
			if (got.List == nil) != (tt.list == "") {
				t.Fatalf("list %v, want source %q", got.List, tt.list)
			}
			if got.List != nil && set.Lists()[tt.list[0]-'0'].Number.Cmp(got.List.Number()) != 0 {
				t.Errorf("list number %v decided, want source %s", got.List.Number(), tt.list)
			}
		})
	}
}

func TestNilAndEmptySets(t *testing.T) {
	root := pki.NewRoot("root")
	empty, err := crl.NewSet(nil, nil)
	if err != nil || empty == nil {
		t.Fatalf("NewSet of nothing: %v, %v", empty, err)
	}
	for name, set := range map[string]*crl.Set{"nil": nil, "empty": empty} {
		if got := set.Status(root.Client("c").Cert, root.Cert); got != (crl.Result{}) {
			t.Errorf("%s set: %+v, want the zero result", name, got)
		}
		if set.Entries() != 0 || len(set.Lists()) != 0 || len(set.Warnings(time.Now())) != 0 {
			t.Errorf("%s set holds something", name)
		}
	}
}

// TestKeyRollover has one CA with two keys: each list is about what its own key
// issued.
func TestKeyRollover(t *testing.T) {
	old := pki.NewRoot("Rolling CA")
	renewed := sameName(old)
	serial := big.NewInt(1234)
	fromOld, fromNew := old.Client("c", pki.Serial(serial)), renewed.Client("c", pki.Serial(serial))
	set := newSet(t, certs(old, renewed), renewed.CRL(1, fromNew))
	if got := set.Status(fromNew.Cert, renewed.Cert).Status; got != crl.Revoked {
		t.Errorf("new key: %v, want revoked", got)
	}
	if got := set.Status(fromOld.Cert, old.Cert).Status; got != crl.Unknown {
		t.Errorf("old key: %v, want unknown", got)
	}
}

// TestRenewedCA gives a CA a second certificate for the same name and key: lists
// are about what the key issued, whichever certificate is in the chain.
func TestRenewedCA(t *testing.T) {
	first := pki.NewRoot("CA")
	second := pki.NewRoot("CA", pki.Key(first.Key))
	client := first.Client("c")
	set := newSet(t, certs(first), first.CRL(1, client))
	if got := set.Status(client.Cert, second.Cert).Status; got != crl.Revoked {
		t.Errorf("%v, want revoked", got)
	}
}

// TestSharedKey has two CAs with one key, which only their names tell apart.
func TestSharedKey(t *testing.T) {
	one := pki.NewRoot("one")
	two := pki.NewRoot("two", pki.Key(one.Key))
	serial := pki.Serial(big.NewInt(99))
	a, b := one.Client("a", serial), two.Client("b", serial)
	set := newSet(t, certs(one, two), one.CRL(1, a), two.CRL(2))
	if got := set.Status(a.Cert, one.Cert).Status; got != crl.Revoked {
		t.Errorf("one: %v, want revoked", got)
	}
	if got := set.Status(b.Cert, two.Cert).Status; got != crl.Good {
		t.Errorf("two: %v, want good", got)
	}
}

func TestReasons(t *testing.T) {
	root := pki.NewRoot("root")
	reasons := []crl.ReasonCode{
		crl.Unspecified, crl.KeyCompromise, crl.CACompromise, crl.AffiliationChanged, crl.Superseded,
		crl.CessationOfOperation, crl.CertificateHold, crl.PrivilegeWithdrawn, crl.AACompromise,
	}
	var entries []x509.RevocationListEntry
	for i, reason := range reasons {
		entry := revocations(big.NewInt(int64(1000 + i)))[0]
		entry.ReasonCode = int(reason)
		entries = append(entries, entry)
	}
	set := newSet(t, certs(root), root.SignCRL(template(entries...)))
	seen := make(map[string]bool)
	for i, reason := range reasons {
		client := root.Client("c", pki.Serial(big.NewInt(int64(1000+i))))
		got := set.Status(client.Cert, root.Cert)
		if got.Status != crl.Revoked || got.Reason != reason {
			t.Errorf("%v, reason %v; want revoked, %v", got.Status, got.Reason, reason)
		}
		seen[reason.String()] = true
	}
	if len(seen) != len(reasons) {
		t.Errorf("%d names for %d reasons: %v", len(seen), len(reasons), seen)
	}
	if got := crl.ReasonCode(77).String(); got != "reason 77" {
		t.Errorf("unknown reason prints as %q", got)
	}
}

func TestStatusStrings(t *testing.T) {
	for status, want := range map[crl.Status]string{
		crl.Unknown: "unknown", crl.Good: "good", crl.Revoked: "revoked", 9: "status 9",
	} {
		if got := status.String(); got != want {
			t.Errorf("%d prints as %q, want %q", status, got, want)
		}
	}
}

func TestNewSetNamesEveryFault(t *testing.T) {
	root, stranger := pki.NewRoot("root"), pki.NewRoot("stranger")
	all := []crl.Source{
		{Name: "good.crl", List: parse(t, root.CRL(1))},
		{Name: "stranger.crl", List: parse(t, stranger.CRL(1))},
		{Name: "missing.crl"},
		{Name: "forged.crl", List: parse(t, sameName(root).CRL(1))},
	}
	set, err := crl.NewSet(all, certs(root))
	refused(t, set, err, `stranger.crl: the list is issued by "CN=stranger,O=Postern", which is not in the bundle: add the CA that signed it`)
	refused(t, set, err, "missing.crl: no list")
	refused(t, set, err, "forged.crl: no CA of the bundle signed the list")
	if strings.Contains(err.Error(), "good.crl") {
		t.Errorf("error %q blames a good list", err)
	}
}

func TestListsDescribeTheSources(t *testing.T) {
	root, other := pki.NewRoot("root"), pki.NewRoot("other")
	set := newSet(t, certs(root, other),
		root.CRL(5, root.Client("a"), root.Client("b")), draft{ca: other, times: unhex(someTime)}.der())
	lists := set.Lists()
	if len(lists) != 2 || set.Entries() != 2 {
		t.Fatalf("%d lists, %d entries", len(lists), set.Entries())
	}
	first, second := lists[0], lists[1]
	if first.Name != "0" || first.Issuer != "CN=root,O=Postern" || first.Number.Int64() != 5 || first.Entries != 2 {
		t.Errorf("first list: %+v", first)
	}
	if first.NextUpdate.IsZero() || first.ThisUpdate.After(time.Now()) || first.IndexBytes <= 0 {
		t.Errorf("first list: %+v", first)
	}
	if second.Name != "1" || second.Number != nil || !second.NextUpdate.IsZero() || second.Entries != 0 {
		t.Errorf("second list: %+v", second)
	}
}

// TestStatusAllocatesNothing holds hits, misses and strangers to no allocation.
func TestStatusAllocatesNothing(t *testing.T) {
	root, stranger := pki.NewRoot("root"), pki.NewRoot("stranger")
	revoked, good := root.Client("revoked"), root.Client("good")
	set := newSet(t, certs(root), root.CRL(1, revoked))
	got := testing.AllocsPerRun(100, func() {
		set.Status(revoked.Cert, root.Cert)
		set.Status(good.Cert, root.Cert)
		set.Status(good.Cert, stranger.Cert)
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
