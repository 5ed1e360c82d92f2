package trust_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func TestRevocationConfigFaults(t *testing.T) {
	root, sub := pki.NewRoot("root"), pki.NewRoot("sub")
	pinned := pki.NewSelfSigned("pinned")
	b := bundle(t, root.Cert, sub.Cert, pinned.Cert)
	deny := trust.RevocationRule{Missing: trust.RevocationDeny}
	authority := func(subject string, r trust.RevocationRule) trust.RevocationConfig {
		return trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{Subject: subject, RevocationRule: r}}}
	}
	both := authority("CN=root,O=Postern", deny)
	both.Authorities = append(both.Authorities, trust.RevocationAuthority{SubjectKeyID: keyID(root), RevocationRule: deny})
	for _, tt := range []struct {
		name       string
		config     trust.RevocationConfig
		path, text string
	}{
		{"missing", trust.RevocationConfig{RevocationRule: trust.RevocationRule{Missing: "grace"}}, "missing", "neither"},
		{"expired", trust.RevocationConfig{RevocationRule: trust.RevocationRule{Expired: "no"}}, "expired", "none of"},
		{"scope", trust.RevocationConfig{RevocationRule: trust.RevocationRule{Scope: "root"}}, "scope", "neither"},
		{"how long", trust.RevocationConfig{RevocationRule: trust.RevocationRule{Expired: trust.RevocationGrace}}, "expired", "set grace"},
		{"what for", trust.RevocationConfig{RevocationRule: trust.RevocationRule{Grace: time.Hour}}, "grace", "no effect with expired: allow"},
		{"too long", trust.RevocationConfig{RevocationRule: trust.RevocationRule{Expired: trust.RevocationGrace, Grace: 999 * time.Hour}}, "grace", "720h"},
		{"who", trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{RevocationRule: deny}}}, "authorities[0]", "names no CA"},
		{"what", authority("CN=root,O=Postern", trust.RevocationRule{}), "authorities[0]", "sets none"},
		{"nobody", authority("CN=rot,O=Postern", deny), "authorities[0]", `did you mean "CN=root,O=Postern"?`},
		{"no CA", authority("CN=pinned,O=Postern", deny), "authorities[0]", "issues for nobody"},
		{"twice", both, "authorities[1]", "same CA as authorities[0]"},
		{"no hex", trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{SHA256: "xy", RevocationRule: deny}}}, "authorities[0].sha256", "hexadecimal"},
		{"short", trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{SHA256: "abcd", RevocationRule: deny}}}, "authorities[0].sha256", "length"},
		{"one does not fit", trust.RevocationConfig{Authorities: []trust.RevocationAuthority{
			{Subject: "CN=root,O=Postern", SubjectKeyID: keyID(sub), RevocationRule: deny}}}, "authorities[0]", "no certificate of the bundle fits"},
		{"too many", trust.RevocationConfig{Authorities: make([]trust.RevocationAuthority, trust.MaxRevocationAuthorities+1)}, "authorities", "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := trust.NewRevocationPolicy(tt.config, b)
			if p != nil || err == nil {
				t.Fatal("accepted")
			}
			for _, f := range fault.All(err) {
				if f.Path == tt.path && strings.Contains(f.Problem, tt.text) && len(fault.All(err)) == 1 {
					return
				}
			}
			t.Errorf("got %v, want one fault at %s that says %q", err, tt.path, tt.text)
		})
	}
}

func keyID(e *pki.Entity) string { return hex.EncodeToString(e.Cert.SubjectKeyId) }

// What spells out ALB's policy is ALB's policy, which costs nothing.
func TestRevocationConfigOfALB(t *testing.T) {
	b := bundle(t, pki.NewRoot("root").Cert)
	p, err := trust.NewRevocationPolicy(trust.RevocationConfig{RevocationRule: trust.RevocationRule{
		Missing: trust.RevocationAllow, Expired: trust.RevocationAllow, Scope: trust.RevocationChain}}, b)
	if p != nil || err != nil {
		t.Errorf("got %v, %v", p, err)
	}
}

// Each setting that decides differently makes another digest, and only those do.
func TestRevocationPolicyDigest(t *testing.T) {
	root, other := pki.NewRoot("root"), pki.NewRoot("other")
	b := bundle(t, root.Cert, other.Cert)
	digests := make(map[[32]byte]trust.RevocationConfig)
	for _, r := range allRules() {
		for _, subject := range []string{"", "CN=root,O=Postern", "CN=other,O=Postern"} {
			c := trust.RevocationConfig{RevocationRule: r}
			if subject != "" {
				c = trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{Subject: subject, RevocationRule: r}}}
				if r == (trust.RevocationRule{}) {
					continue
				}
			}
			digests[policy(t, c, b).Digest()] = c
		}
	}
	// Twelve rules differ, one of them ALB's; of an authority that is a rule like any other.
	if want := 12 + 2*12; len(digests) != want {
		t.Errorf("%d digests, want %d", len(digests), want)
	}
}

// An authority inherits what it does not say, the grace with the setting it belongs to.
func TestRevocationAuthorityInherits(t *testing.T) {
	root := pki.NewRoot("root")
	b := bundle(t, root.Cert)
	now := time.Now()
	inherit := func(store, own trust.RevocationRule) *trust.Store {
		s := trust.NewStore("partners", trust.Options{})
		s.Replace(trust.Content{Bundle: b, Revocations: lists(t, b.Certificates, list(root, now, -2*time.Hour)),
			RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: store,
				Authorities: []trust.RevocationAuthority{{Subject: "CN=root,O=Postern", RevocationRule: own}}}, b)})
		return s
	}
	chain := root.Client("c").Chain()
	graceful := trust.RevocationRule{Expired: trust.RevocationGrace, Grace: 3 * time.Hour}
	for _, tt := range []struct {
		store, own trust.RevocationRule
		want       trust.Reason
	}{
		{graceful, trust.RevocationRule{Missing: trust.RevocationDeny}, ""},
		{graceful, trust.RevocationRule{Grace: time.Hour}, trust.ClientCertCrlProcessingError},
		{graceful, trust.RevocationRule{Expired: trust.RevocationDeny}, trust.ClientCertCrlProcessingError},
		{graceful, trust.RevocationRule{Expired: trust.RevocationAllow}, ""},
		{trust.RevocationRule{Expired: trust.RevocationDeny}, trust.RevocationRule{Missing: trust.RevocationDeny}, trust.ClientCertCrlProcessingError},
		{trust.RevocationRule{Expired: trust.RevocationDeny}, graceful, ""},
	} {
		checkVerdict(t, inherit(tt.store, tt.own).Verify(chain, nil, now), tt.want, 0)
	}
}
