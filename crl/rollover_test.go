package crl_test

import (
	"fmt"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// A CA that changed its key revokes with either key what it issued with either,
// if the store has its word that both are its own; the lists of one key vouch
// for nothing that the other issued.
func TestBothKeysRevoke(t *testing.T) {
	old := pki.NewRoot("ca")
	renewed := pki.NewRoot("ca")
	oldWithNew := renewed.Intermediate("ca", pki.Key(old.Key))
	newWithOld := old.Intermediate("ca", pki.Key(renewed.Key))
	oldClient, newClient := old.Client("old"), renewed.Client("new")
	for _, tt := range []struct {
		name         string
		cas          []*pki.Entity
		list         []byte
		cert, issuer *pki.Entity
		want         crl.Status
	}{
		{"new key revokes, old with new", []*pki.Entity{old, renewed, oldWithNew}, renewed.CRL(1, oldClient), oldClient, old, crl.Revoked},
		{"new key revokes, new with old", []*pki.Entity{old, renewed, newWithOld}, renewed.CRL(1, oldClient), oldClient, old, crl.Revoked},
		{"old key revokes, new with old", []*pki.Entity{old, renewed, newWithOld}, old.CRL(1, newClient), newClient, renewed, crl.Revoked},
		{"found by the certificate that vouches", []*pki.Entity{renewed, oldWithNew}, renewed.CRL(1, oldClient), oldClient, oldWithNew, crl.Revoked},
		{"no word of it", []*pki.Entity{old, renewed}, renewed.CRL(1, oldClient), oldClient, old, crl.Unknown},
		{"others are not vouched for", []*pki.Entity{old, renewed, oldWithNew}, renewed.CRL(1, newClient), oldClient, old, crl.Unknown},
		{"own list", []*pki.Entity{old, renewed, oldWithNew}, renewed.CRL(1), newClient, renewed, crl.Good},
		{"by a namesake of neither", []*pki.Entity{old, sameName(old), oldWithNew}, old.CRL(1, newClient), newClient, renewed, crl.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := newSet(t, certs(tt.cas...), tt.list)
			if got := set.Status(tt.cert.Cert, tt.issuer.Cert); got.Status != tt.want {
				t.Errorf("status %v, want %v", got.Status, tt.want)
			}
			if n := testing.AllocsPerRun(10, func() { set.Status(tt.cert.Cert, tt.issuer.Cert) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// Keys in a row are followed, for a while, and in a circle not for ever.
func TestManyKeyRollovers(t *testing.T) {
	keys := []*pki.Entity{pki.NewRoot("ca")}
	var cas []*pki.Entity
	for range 19 {
		last := keys[len(keys)-1]
		next := pki.NewRoot("ca")
		cas = append(cas, last, next, last.Intermediate("ca", pki.Key(next.Key)))
		keys = append(keys, next)
	}
	cas = append(cas, keys[19].Intermediate("ca", pki.Key(keys[0].Key)))
	client := keys[0].Client("c")
	for i, key := range keys {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			set := newSet(t, certs(cas...), key.CRL(1, client))
			// From either end of the circle, fifteen keys besides the own are asked.
			want := crl.Unknown
			if i <= 8 || i >= 13 {
				want = crl.Revoked
			}
			if got := set.Status(client.Cert, keys[0].Cert); got.Status != want {
				t.Errorf("status %v, want %v", got.Status, want)
			}
		})
	}
}
