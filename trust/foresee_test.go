package trust_test

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// TestForeseeIsVerify lets clients in under one world and foretells their fate in
// another from what is kept of them: it must be what that world decides about the
// clients themselves, in all that is not said to be unsure.
func TestForeseeIsVerify(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	leaf, short := sub.Client("acme-1"), root.Client("other-1")
	chains := map[string][]*x509.Certificate{
		"whole": leaf.Chain(), "without intermediate": leaf.Chain()[:1], "short": short.Chain(),
		"needless intermediate": append(short.Chain(), sub.Cert),
	}
	worlds := reaffirmWorlds(t, root, sub, leaf)
	renewed := pki.NewRoot("root", pki.Key(root.Key))
	worlds = append(worlds,
		world{name: "renewed root", bundle: bundle(t, renewed.Cert), now: time.Now()},
		world{name: "renewed root's list", bundle: bundle(t, renewed.Cert), now: time.Now(), lists: lists(t, []*x509.Certificate{renewed.Cert}, renewed.CRL(1, short, sub))},
		world{name: "root with another key", bundle: bundle(t, pki.NewRoot("root").Cert, pki.NewRoot("sub").Cert), now: time.Now()},
		world{name: "by common name", bundle: bundle(t, root.Cert, sub.Cert), now: time.Now(),
			policy: &trust.Policy{Filters: []trust.Filter{filter(t, trust.FilterConfig{SubjectCN: []string{"other-*"}})}}},
		world{name: "by DNS name", bundle: bundle(t, root.Cert, sub.Cert), now: time.Now(),
			policy: &trust.Policy{Filters: []trust.Filter{filter(t, trust.FilterConfig{SANDNS: []string{"*.example"}})}}},
	)
	pin := fmt.Sprintf("%x", sha256.Sum256(leaf.Cert.Raw))
	for name, c := range map[string]trust.FilterConfig{
		"by pin": {SHA256: []string{pin}}, "all but a pin": {SHA256: []string{pin}, Deny: true},
		"by issuer": {Issuer: []string{"CN=sub*"}}, "all but a serial": {Serial: []string{fmt.Sprintf("%X", short.Cert.SerialNumber)}, Deny: true},
		"all but a name and DNS": {SubjectCN: []string{"acme-1"}, SANDNS: []string{"*"}, Deny: true},
	} {
		worlds = append(worlds, world{name: name, bundle: bundle(t, root.Cert, sub.Cert), now: time.Now(),
			policy: &trust.Policy{Filters: []trust.Filter{filter(t, c)}}})
	}
	asked, refused, unsure := 0, 0, 0
	for _, before := range worlds {
		for name, chain := range chains {
			v := before.store().Verify(chain, before.policy, before.now)
			f := trust.NewFootprint(v, chain, before.policy)
			if (f != nil) != v.Accepted {
				t.Fatalf("%s: a footprint of a refusal, or none of an acceptance", before.name)
			}
			if f == nil {
				continue
			}
			for _, after := range worlds {
				t.Run(fmt.Sprintf("%s, %s, then %s", name, before.name, after.name), func(t *testing.T) {
					want := after.store().Verify(chain, after.policy, after.now)
					got := after.store().Foresee(f, after.policy, after.now)
					asked++
					if got.Unsure != "" {
						unsure++
						return
					}
					if !want.Accepted {
						refused++
					}
					if got.Accepted != want.Accepted || got.Reason != want.Reason {
						t.Errorf("foretold %v %s (%s), decided %v %s (%s)", got.Accepted, got.Reason, got.Detail, want.Accepted, want.Reason, want.Detail)
					}
					if want.Reason == trust.ClientCertCrlHit && got.Detail != want.Detail {
						t.Errorf("detail %q, want %q", got.Detail, want.Detail)
					}
				})
			}
		}
	}
	if asked < 500 || refused < 200 || unsure > asked/4 {
		t.Fatalf("%d questions, of which %d refused and %d unsure", asked, refused, unsure)
	}
	t.Logf("%d questions, of which %d refused and %d unsure", asked, refused, unsure)
}

// TestForeseeMissingList is the policy at work on what is kept.
func TestForeseeMissingList(t *testing.T) {
	root := pki.NewRoot("root")
	b := bundle(t, root.Cert)
	s := store(t, root.Cert)
	chain := root.Client("c").Chain()
	f := trust.NewFootprint(s.Verify(chain, nil, time.Now()), chain, nil)
	s.Replace(trust.Content{Bundle: b, RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: trust.RevocationRule{Missing: trust.RevocationDeny}}, b)})
	got := s.Foresee(f, nil, time.Now())
	checkVerdict(t, got.Verdict, trust.ClientCertCrlProcessingError, 0)
	if !strings.Contains(got.Detail, "no revocation list") {
		t.Errorf("detail %q", got.Detail)
	}
}

// A constraint on path lengths holds for a CA that only the footprint knows, too.
func TestForeseeKeepsPathLengths(t *testing.T) {
	root := pki.NewRoot("root")
	short := pki.NewRoot("root", pki.Key(root.Key), pathLenZero)
	sub := root.Intermediate("sub")
	chain := sub.Client("c").Chain()
	f := trust.NewFootprint(store(t, root.Cert).Verify(chain, nil, time.Now()), chain, nil)
	after := store(t, short.Cert)
	checkVerdict(t, after.Verify(chain, nil, time.Now()), trust.ClientCertUntrusted, -1)
	if got := after.Foresee(f, nil, time.Now()); got.Reason != trust.ClientCertUntrusted {
		t.Errorf("foretold %+v", got.Verdict)
	}
}

// An acceptance is worth a note once a minute and tag, and that costs nothing.
func TestNote(t *testing.T) {
	s := store(t, pki.NewRoot("other").Cert)
	chain := pki.NewRoot("root").Client("c").Chain()
	now := time.Now().Truncate(time.Minute)
	if s.Verify(chain, nil, now).Note(1, now) {
		t.Error("a refusal is worth a note")
	}
	root := pki.NewRoot("root")
	s = store(t, root.Cert)
	chain = root.Client("c").Chain()
	first, hit := s.Verify(chain, nil, now), s.Verify(chain, nil, now)
	for i, step := range []struct {
		v    *trust.Verdict
		tag  uint16
		at   time.Duration
		want bool
	}{{first, 1, 0, true}, {hit, 1, time.Second, false}, {hit, 1, time.Minute, true}, {first, 1, time.Minute, false}, {hit, 2, time.Minute, true}, {hit, 1, time.Hour, true}} {
		if got := step.v.Note(step.tag, now.Add(step.at)); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { hit.Note(1, now.Add(time.Hour)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
