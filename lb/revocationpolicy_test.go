package lb_test

import (
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// governed is a config whose trust store has the given lists and revocation policy.
func governed(address, lists, policy string) string {
	return strings.Replace(verifying(address), "    revocations: [partners.crl]\n",
		"    revocations: ["+lists+"]\n    revocation_policy: "+policy+"\n", 1)
}

// endingIn is a list of ca that ends so long from now.
func endingIn(ca *pki.Entity, left time.Duration) []byte {
	now := time.Now()
	return ca.SignCRL(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-48 * time.Hour), NextUpdate: now.Add(left)})
}

func TestRevocationPolicyInForce(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.write("root.crl", s.root.CRL(1))
	s.configure(governed(address, "partners.crl", "{}"))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	open := watchClose(t, s, address, s.alice)

	// The root's list is missing, which counts for what the root issued: the CA.
	s.configure(governed(address, "partners.crl", "{missing: deny}"))
	r.reload(t)
	open.wantClosed(t)
	wantGet(t, s.client(s.alice), url, 0, "")
	if _, metrics := r.admin(t, "/metrics"); !strings.Contains(metrics, `postern_crl_missing{authority="CN=Test Root,O=Postern"`) {
		t.Error("no metric for the missing list")
	}
	for _, policy := range []string{
		"{missing: deny, scope: leaf}",
		"{missing: deny, authorities: [{subject: 'CN=Test Root,O=Postern', missing: allow}]}",
	} {
		s.configure(governed(address, "partners.crl", policy))
		r.reload(t)
		wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	}
	s.configure(governed(address, "partners.crl, root.crl", "{missing: deny, expired: deny}"))
	r.reload(t)
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)

	// And a list that has expired.
	open = watchClose(t, s, address, s.alice)
	s.write("partners.crl", endingIn(s.ca, -time.Hour))
	r.reload(t)
	open.wantClosed(t)
	wantGet(t, s.client(s.alice), url, 0, "")
	s.configure(governed(address, "partners.crl, root.crl", "{missing: deny, expired: grace, grace: 2h}"))
	r.reload(t)
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	if log := s.log.String(); !strings.Contains(log, "will be refused from") {
		t.Error("the log does not warn of the end of the grace")
	}
	if _, metrics := r.admin(t, "/metrics"); !strings.Contains(metrics, `postern_crl_deny_timestamp_seconds{authority="CN=Test CA,O=Postern"`) {
		t.Error("no metric for the end of the grace")
	}
}

// TestListExpiresWithoutReload holds that a list which ends while its clients are
// connected ends their connections, with nothing told to anybody.
func TestListExpiresWithoutReload(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(governed(address, "partners.crl", "{expired: deny}"))
	s.write("partners.crl", endingIn(s.ca, 5*time.Second))
	r := s.start()
	revision := r.readiness(t).Revision
	open := watchClose(t, s, address, s.alice)
	open.wantClosed(t)
	wantGet(t, s.client(s.alice), "https://"+address+"/", 0, "")
	if now := r.readiness(t).Revision; now != revision {
		t.Errorf("revision %d, was %d", now, revision)
	}
}

func TestCheckRevocationPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy, warning, fault string
	}{
		{"{}", "", ""},
		{"{missing: deny}", `trust_stores[0].revocation_policy: there is no revocation list of "CN=Test Root,O=Postern"`, ""},
		{"{expired: deny}", `trust_stores[0].revocation_policy: the revocation list of "CN=Test CA,O=Postern" expired`, ""},
		{"{expired: grace}", "", "trust_stores[0].revocation_policy.expired: grace needs to know how long"},
		{"{authorities: [{subject: CN=nobody, missing: deny}]}", "", "trust_stores[0].revocation_policy.authorities[0]: no certificate of the bundle fits"},
		{"{authorities: [{sha256: ab, missing: deny}]}", "", "trust_stores[0].revocation_policy.authorities[0].sha256: "},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			s := newSite(t)
			s.write("partners.crl", endingIn(s.ca, -time.Hour))
			s.configure(governed("127.0.0.1:0", "partners.crl", tt.policy))
			warnings, err := lb.Check(s.path("postern.yaml"))
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("got %v, want %q", err, tt.fault)
				}
				return
			}
			check(t, err)
			found := false
			for _, w := range warnings {
				found = found || (tt.warning != "" && strings.Contains(w.String(), tt.warning))
				if tt.warning == "" && strings.Contains(w.String(), "revocation_policy") {
					t.Errorf("warned: %s", w)
				}
			}
			if found != (tt.warning != "") {
				t.Errorf("warnings %v, want %q", warnings, tt.warning)
			}
		})
	}
}

// A rule must not keep its CA in the bundle: when the CA leaves a bundle while the rule is in
// force, that is warned of. At a start, and in a new policy, it is a fault.
func TestAuthorityLeavesTheBundle(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	other := pki.NewRoot("Other Root")
	both := append(append(s.root.PEM(), s.ca.PEM()...), other.PEM()...)
	const rules = "{authorities: [{subject: 'CN=Test CA,O=Postern', missing: deny}, {subject: 'CN=Other Root,O=Postern', missing: deny}]}"
	s.write("bundle.pem", both)
	s.write("other.crl", other.CRL(1))
	s.configure(governed(address, "partners.crl, other.crl", rules))
	r := s.start()
	url := "https://" + address + "/"
	carol := other.Client("carol")
	wantGet(t, s.client(carol), url, 200, "CN=carol,O=Postern")

	s.configure(governed(address, "partners.crl", rules)) // the list goes with its CA
	s.write("bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	r.reload(t)
	wantGet(t, s.client(carol), url, 0, "")
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	if !strings.Contains(s.log.String(), "trust_stores[0].revocation_policy.authorities[1]: its CA has left the bundle") {
		t.Error("the log does not warn of it")
	}
	if _, err := lb.Check(s.path("postern.yaml")); err == nil || !strings.Contains(err.Error(), "authorities[1]: no certificate of the bundle fits") {
		t.Errorf("check: %v", err)
	}
	// The rule that is left is in force.
	s.configure(governed(address, "", rules))
	r.reload(t)
	wantGet(t, s.client(s.alice), url, 0, "")
}
