package trust_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A world is what a client is judged by.
type world struct {
	name   string
	bundle *trust.Bundle
	lists  *crl.Set
	policy *trust.Policy
	now    time.Time
}

func (w world) store() *trust.Store {
	s := trust.NewStore("partners", trust.Options{})
	s.Publish(w.bundle, w.lists, "1")
	return s
}

// reaffirmWorlds differ in all that may change while a client is connected.
func reaffirmWorlds(t *testing.T, root, sub, leaf *pki.Entity) []world {
	certs := func(list ...*pki.Entity) (out []*x509.Certificate) {
		for _, e := range list {
			out = append(out, e.Cert)
		}
		return out
	}
	now := time.Now()
	revoked := lists(t, certs(root, sub), sub.CRL(1, leaf))
	subRevoked := lists(t, certs(root), root.CRL(1, sub))
	return []world{
		{name: "root", bundle: bundle(t, root.Cert), now: now},
		{name: "sub", bundle: bundle(t, sub.Cert), now: now},
		{name: "both", bundle: bundle(t, root.Cert, sub.Cert), now: now},
		{name: "leaf itself", bundle: bundle(t, root.Cert, leaf.Cert), now: now},
		{name: "another root", bundle: bundle(t, pki.NewRoot("root").Cert), now: now},
		{name: "empty", now: now},
		{name: "leaf revoked", bundle: bundle(t, root.Cert, sub.Cert), lists: revoked, now: now},
		{name: "leaf revoked and itself there", bundle: bundle(t, root.Cert, sub.Cert, leaf.Cert), lists: revoked, now: now},
		{name: "intermediate revoked", bundle: bundle(t, root.Cert), lists: subRevoked, now: now},
		{name: "anchor revoked", bundle: bundle(t, root.Cert, sub.Cert), lists: subRevoked, now: now},
		{name: "filtered", bundle: bundle(t, root.Cert), policy: onlyAcme(t), now: now},
		{name: "depth of one", bundle: bundle(t, root.Cert), policy: &trust.Policy{MaxDepth: 1}, now: now},
		{name: "later", bundle: bundle(t, root.Cert), now: now.Add(20 * 365 * 24 * time.Hour)},
		{name: "earlier", bundle: bundle(t, root.Cert), now: now.Add(-20 * 365 * 24 * time.Hour)},
	}
}

// TestReaffirmIsVerify lets a client in under one world and asks about it in
// another: the answer must be what a cold store gives to a new connection.
func TestReaffirmIsVerify(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	leaf, short := sub.Client("acme-1"), root.Client("other-1")
	worlds := reaffirmWorlds(t, root, sub, leaf)
	accepted, changed := 0, 0
	for _, before := range worlds {
		for _, chain := range [][]*x509.Certificate{leaf.Chain(), leaf.Chain()[:1], short.Chain()} {
			v := before.store().Verify(chain, before.policy, before.now)
			for _, after := range worlds {
				t.Run(fmt.Sprintf("%s, then %s, %d of %s", before.name, after.name, len(chain), chain[0].Subject.CommonName), func(t *testing.T) {
					want := after.store().Verify(chain, after.policy, after.now)
					got := after.store().Reaffirm(v, chain, after.policy, after.now)
					checkVerdict(t, got, want.Reason, want.Index)
					if v.Accepted {
						accepted++
						if !got.Accepted {
							changed++
						}
					}
				})
			}
		}
	}
	if accepted < 100 || changed < 50 {
		t.Fatalf("only %d questions about accepted clients, of which %d were refused", accepted, changed)
	}
}

// A verdict about one chain says nothing of another with the same leaf.
func TestReaffirmOfAnotherChain(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	chain := sub.Client("c").Chain()
	s := store(t, root.Cert)
	v := s.Verify(chain, nil, time.Now())
	checkVerdict(t, v, "", -1)
	checkVerdict(t, s.Reaffirm(v, chain[:1], nil, time.Now()), trust.ClientCertUntrusted, 0)
	checkVerdict(t, s.Reaffirm(v, sub.Client("c").Chain()[:1], nil, time.Now()), trust.ClientCertUntrusted, 0)
	checkVerdict(t, s.Reaffirm(v, nil, nil, time.Now()), trust.UnmappedConnectionError, -1)
	checkVerdict(t, s.Reaffirm(nil, chain, nil, time.Now()), "", -1)
}

// Nothing is remembered of clients that are only asked about again.
func TestReaffirmLeavesTheMemoAlone(t *testing.T) {
	root := pki.NewRoot("root")
	s := store(t, root.Cert)
	chain := root.Client("c").Chain()
	v := s.Verify(chain, nil, time.Now())
	s.Publish(bundle(t, root.Cert, pki.NewRoot("new").Cert), nil, "2")
	before := s.Stats()
	checkVerdict(t, s.Reaffirm(v, chain, nil, time.Now()), "", -1)
	if after := s.Stats(); after != before {
		t.Errorf("the counters went from %+v to %+v", before, after)
	}
}
