package trust_test

import (
	"crypto/x509"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// judged is Verify, and holds that Explain says the same before and after.
func judged(t *testing.T, s *trust.Store, chain []*x509.Certificate, p *trust.Policy, now time.Time) *trust.Verdict {
	t.Helper()
	before, e := s.Explain(chain, p, now)
	cold := s.Verify(chain, p, now)
	sameVerdict(t, before, cold)
	after, again := s.Explain(chain, p, now)
	sameVerdict(t, after, s.Verify(chain, p, now))
	if !reflect.DeepEqual(e, again) {
		t.Errorf("explained as %+v, then as %+v", e, again)
	}
	checkExplanation(t, cold, e)
	return cold
}

// sameVerdict compares what a caller can see of verdicts, but for MemoHit.
func sameVerdict(t *testing.T, got, want *trust.Verdict) {
	t.Helper()
	if got.Accepted != want.Accepted || got.Reason != want.Reason || got.Detail != want.Detail || got.Index != want.Index ||
		got.Busy != want.Busy || !reflect.DeepEqual(got.Identity, want.Identity) || len(got.Chain) != len(want.Chain) {
		t.Fatalf("explained as %+v, decided as %+v", got, want)
	}
	for i := range got.Chain {
		if !got.Chain[i].Equal(want.Chain[i]) {
			t.Fatalf("explained by path %d %v, decided by %v", i, got.Chain[i].Subject, want.Chain[i].Subject)
		}
	}
}

// checkExplanation holds that the steps tell of the verdict: all passed, or one that
// failed for its reason between those that passed and those not reached.
func checkExplanation(t *testing.T, v *trust.Verdict, e *trust.Explanation) {
	t.Helper()
	if len(e.Steps) != len(trust.Steps()) || (e.Remedy == "") != v.Accepted {
		t.Fatalf("%d steps, remedy %q", len(e.Steps), e.Remedy)
	}
	failed := len(e.Steps)
	for i, s := range e.Steps {
		want := trust.StepPassed
		switch {
		case i > failed:
			want = trust.StepNotReached
		case s.Outcome == trust.StepFailed:
			failed, want = i, trust.StepFailed
			if s.Reason != v.Reason || s.Detail != v.Detail || s.Certificate != v.Index {
				t.Errorf("step %s failed with %+v, the verdict is %+v", s.Step, s, v)
			}
		}
		if s.Step != trust.Steps()[i] || s.Outcome != want || s.Wanted == "" || (s.Offered == "") != (want == trust.StepNotReached) {
			t.Errorf("step %d is %+v, want outcome %q", i, s, want)
		}
	}
	if (failed == len(e.Steps)) != v.Accepted {
		t.Errorf("accepted %v, and step %d failed", v.Accepted, failed)
	}
	text, err := json.Marshal(e)
	if err != nil || len(text) > 128<<10 || strings.Contains(string(text), `\u00`) {
		t.Errorf("%d bytes of JSON, error %v: %.300s", len(text), err, text)
	}
}

func TestExplainNearest(t *testing.T) {
	root := pki.NewRoot("Partner Root 1")
	sub := root.Intermediate("sub")
	limited := root.Intermediate("limited", permitsPartners)
	signless := root.Intermediate("signless", keyUsage(x509.KeyUsageCRLSign))
	oldRoot := pki.NewRoot("old root", pki.Expired)
	imposter := pki.NewRoot("Partner Root 1")
	keyID := pki.Template(func(c *x509.Certificate) { c.AuthorityKeyId = root.Cert.SubjectKeyId })

	for _, tt := range []struct {
		name        string
		store       []*x509.Certificate
		chain       []*x509.Certificate
		relation    trust.Relation // empty: nothing comes near
		certificate int
		remedy      string
	}{
		{name: "other key", store: []*x509.Certificate{root.Cert}, chain: imposter.Client("c").Chain(), relation: trust.RelationOtherKey, remedy: "new key"},
		{name: "name constraint", store: []*x509.Certificate{limited.Cert}, chain: limited.Client("c", pki.DNS("a.evil.example")).Chain()[:1], relation: trust.RelationConstrained, remedy: "within the constraints"},
		{name: "intermediate not sent, its issuer is", store: []*x509.Certificate{root.Cert}, chain: []*x509.Certificate{sub.Intermediate("b").Client("c").Cert, sub.Cert}, remedy: "may send it after certificate 0"},
		{name: "no CA", store: []*x509.Certificate{root.Cert, signless.Cert}, chain: []*x509.Certificate{signed(t, signless, "c").Cert}, relation: trust.RelationNotCA, remedy: "cannot issue"},
		{name: "expired", store: []*x509.Certificate{oldRoot.Cert}, chain: oldRoot.Client("c").Chain(), relation: trust.RelationExpired, certificate: -1, remedy: "renewed CA"},
		{name: "similar", store: []*x509.Certificate{pki.NewRoot("Partner Root 2").Cert}, chain: root.Client("c").Chain(), relation: trust.RelationSimilar, remedy: "right environment"},
		{name: "key identifier", store: []*x509.Certificate{root.Cert}, chain: pki.NewRoot("zzz").Client("c", keyID).Chain(), remedy: "add the certificate"},
		{name: "intermediate not sent", store: []*x509.Certificate{root.Cert}, chain: sub.Client("c").Chain()[:1], remedy: "may send it after certificate 0"},
		{name: "no signs", store: []*x509.Certificate{pki.NewSelfSigned("pin").Cert}, chain: root.Client("c").Chain(), remedy: "add the certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store(t, tt.store...)
			v, e := s.Explain(tt.chain, nil, time.Now())
			checkExplanation(t, v, e)
			if v.Accepted || !strings.Contains(e.Remedy, tt.remedy) {
				t.Errorf("accepted %v, remedy %q, want %q", v.Accepted, e.Remedy, tt.remedy)
			}
			if tt.relation == "" {
				return
			}
			if e.Nearest == nil || e.Nearest.Relation != tt.relation || e.Nearest.Certificate != tt.certificate || e.Nearest.Problem == "" {
				t.Errorf("nearest %+v, want %s of certificate %d", e.Nearest, tt.relation, tt.certificate)
			}
		})
	}
}

// TestExplainLists holds that the record has the list that decided, and the paths.
func TestExplainLists(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	bad := sub.Client("bad")
	s := store(t, root.Cert)
	s.SetRevocations(lists(t, []*x509.Certificate{root.Cert, sub.Cert}, sub.CRL(7, bad)))
	v, e := s.Explain(bad.Chain(), nil, time.Now())
	checkExplanation(t, v, e)
	if v.Reason != trust.ClientCertCrlHit || len(e.RevocationLists) != 1 || len(e.Paths) != 1 {
		t.Fatalf("%+v", e)
	}
	l := e.RevocationLists[0]
	if l.Number != "7" || l.Status != "revoked" || l.Entries != 1 || l.ThisUpdate.IsZero() || l.AgeSeconds <= 0 || l.Subject != "CN=bad,O=Postern" {
		t.Errorf("list %+v", l)
	}
	if p := e.Paths[0]; len(p.Subjects) != 3 || p.Failed != trust.StepRevocation {
		t.Errorf("path %+v", p)
	}
}

// TestExplainNeitherFeedsNorAsksTheMemo: to ask why must not change what a handshake
// costs.
func TestExplainNeitherFeedsNorAsksTheMemo(t *testing.T) {
	root := pki.NewRoot("root")
	s, chain := store(t, root.Cert), root.Client("c").Chain()
	s.Explain(chain, nil, time.Now())
	if v := s.Verify(chain, nil, time.Now()); !v.Accepted || v.MemoHit {
		t.Errorf("the first handshake: %+v", v)
	}
	if v, _ := s.Explain(chain, nil, time.Now()); !v.Accepted || v.MemoHit {
		t.Errorf("explained from the memo: %+v", v)
	}
}
