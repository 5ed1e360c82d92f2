package lb_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// A versioned site has a state directory, and a second CA whose client is carol.
type versionedSite struct {
	*site
	address string
	other   *pki.Entity
	crl     []byte // of other
	carol   *pki.Entity
}

func newVersionedSite(t *testing.T) *versionedSite {
	s := &versionedSite{site: newSite(t), address: freeAddress(t), other: pki.NewRoot("Other Root")}
	s.carol, s.crl = s.other.Client("carol"), s.other.CRL(1)
	s.configure("state_directory: state\n" + verifying(s.address))
	return s
}

func (s *versionedSite) url() string { return "https://" + s.address + "/" }

// trustOther makes the files those of the other CA.
func (s *versionedSite) trustOther() {
	s.t.Helper()
	s.write("bundle.pem", s.other.PEM())
	s.write("partners.crl", s.crl)
}

func (s *versionedSite) rollBack(version int) {
	s.t.Helper()
	check(s.t, lb.RollBack(s.path("postern.yaml"), "partners", version))
}

func (r *running) store(t *testing.T) lb.StoreReport {
	t.Helper()
	status, body := r.admin(t, "/trust-stores/partners")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	var out lb.StoreReport
	check(t, json.Unmarshal([]byte(body), &out))
	return out
}

// wantVersion waits until that version is in force, since nobody calls Reload.
func (r *running) wantVersion(t *testing.T, version, pinned int) {
	t.Helper()
	eventually(t, "another version", func() bool {
		got := r.store(t)
		return got.Version == version && (pinned == 0) == (got.Pin == nil) && (got.Pin == nil || got.Pin.Version == pinned)
	})
}

func (s *versionedSite) blobs() []string {
	s.t.Helper()
	out, err := filepath.Glob(s.path("state/trust-stores/partners/blobs/*"))
	check(s.t, err)
	return out
}

func TestVersionsAreNumbered(t *testing.T) {
	s := newVersionedSite(t)
	r := s.start()
	r.wantVersion(t, 1, 0)
	r.reload(t)
	s.write("partners.crl", s.ca.CRL(2))
	r.reload(t)
	r.wantVersion(t, 2, 0)
	r.stop()
	check(t, r.wait(t))

	r = s.start()
	r.wantVersion(t, 2, 0)
	s.trustOther()
	r.reload(t)
	r.wantVersion(t, 3, 0)
	got := r.store(t)
	if len(got.Versions) != 3 || got.Versions[2].Digest != got.Digest || got.Certificates != 1 || got.Source == "" {
		t.Errorf("report %+v", got)
	}
	for i, v := range got.Versions {
		if v.Number != i+1 || !v.Kept || v.Loaded.IsZero() || len(v.Files) != 2 || v.Files[0].Name != s.path("bundle.pem") {
			t.Errorf("version %+v", v)
		}
	}
	if _, body := r.admin(t, "/trust-stores"); !strings.Contains(body, `"name":"partners","version":3`) {
		t.Errorf("the list of trust stores: %s", body)
	}
	if status, _ := r.admin(t, "/trust-stores/nobody"); status != http.StatusNotFound {
		t.Errorf("a store that there is not has status %d", status)
	}
}

func TestRollback(t *testing.T) {
	s := newVersionedSite(t)
	r := s.start()
	s.trustOther()
	r.reload(t)
	r.wantVersion(t, 2, 0)
	wantGet(t, s.client(s.alice), s.url(), 0, "")
	idle := watchClose(t, s.site, s.address, s.carol)

	s.rollBack(1)
	idle.wantClosed(t)
	r.wantVersion(t, 1, 1)
	wantGet(t, s.client(s.alice), s.url(), 200, aliceSubject)
	wantGet(t, s.client(s.carol), s.url(), 0, "")
	wantLog(t, s.site, "trust store rolled back", "from=2 to=1")
	if got := r.store(t); !strings.HasPrefix(got.Waiting, "newer material waits") || len(got.Versions) != 2 {
		t.Errorf("report %+v", got)
	}
	if _, text := r.admin(t, "/metrics"); !strings.Contains(text, `postern_trust_store_pinned{trust_store="partners"} 1`) ||
		!strings.Contains(text, `postern_trust_store_version{trust_store="partners"} 1`) {
		t.Error("the metrics do not tell of the pin")
	}

	// What comes now waits, good or bad.
	s.write("bundle.pem", append(s.other.PEM(), pki.NewRoot("Third Root").PEM()...))
	r.reload(t)
	r.wantVersion(t, 1, 1)
	wantLog(t, s.site, "version pinned to 1, newer material waits")
	s.write("bundle.pem", []byte("no bundle\n"))
	r.reload(t)
	wantLog(t, s.site, "version pinned to 1, what the sources have cannot be used")
	wantGet(t, s.client(s.alice), s.url(), 200, aliceSubject)

	s.trustOther()
	pinned, err := lb.Release(s.path("postern.yaml"), "partners")
	if err != nil || !pinned {
		t.Errorf("released %v, %v", pinned, err)
	}
	r.wantVersion(t, 2, 0)
	wantGet(t, s.client(s.carol), s.url(), 200, "CN=carol,O=Postern")
	wantLog(t, s.site, "trust store released", "from=1 to=2")
}

func wantLog(t *testing.T, s *site, parts ...string) {
	t.Helper()
	eventually(t, strings.Join(parts, " "), func() bool {
		for line := range strings.Lines(s.log.String()) {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// TestRollbackWhileStopped pins a version while nothing runs, and then the sources
// break.
func TestRollbackWhileStopped(t *testing.T) {
	s := newVersionedSite(t)
	r := s.start()
	s.trustOther()
	r.reload(t)
	r.wantVersion(t, 2, 0)
	r.stop()
	check(t, r.wait(t))
	s.rollBack(1)
	check(t, os.Remove(s.path("partners.crl")))

	r = s.start()
	r.wantVersion(t, 1, 1)
	wantGet(t, s.client(s.alice), s.url(), 200, aliceSubject)
	wantGet(t, s.client(s.carol), s.url(), 0, "")
}

// TestDamagedVersionIsRefused by the command, by a reload and at the start; what runs
// goes on.
func TestDamagedVersionIsRefused(t *testing.T) {
	s := newVersionedSite(t)
	r := s.start()
	old := s.blobs()
	s.trustOther()
	r.reload(t)
	r.wantVersion(t, 2, 0)
	s.rollBack(1) // while it is good
	r.wantVersion(t, 1, 1)
	_, err := lb.Release(s.path("postern.yaml"), "partners")
	check(t, err)
	r.wantVersion(t, 2, 0)
	pin := []byte(`{"version":1}`)
	for _, blob := range old {
		data, err := os.ReadFile(blob)
		check(t, err)
		data[len(data)/2] ^= 1
		check(t, os.WriteFile(blob, data, 0o600))
	}
	if err := lb.RollBack(s.path("postern.yaml"), "partners", 1); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("the command takes a damaged version: %v", err)
	}
	s.write("state/trust-stores/partners/pin.json", pin)
	eventually(t, "a refusal", func() bool { return strings.Contains(r.readiness(t).LastError, "damaged") })
	r.wantVersion(t, 2, 0)
	wantGet(t, s.client(s.carol), s.url(), 200, "CN=carol,O=Postern")
	wantGet(t, s.client(s.alice), s.url(), 0, "")
	r.stop()
	check(t, r.wait(t))
	if _, err := lb.New(s.options()); err == nil || !strings.Contains(err.Error(), "--release") {
		t.Errorf("a start with a damaged version: %v", err)
	}
	s.write("state/trust-stores/partners/pin.json", []byte("{"))
	if _, err := lb.Check(s.path("postern.yaml")); err == nil || !strings.Contains(err.Error(), "pin.json") {
		t.Errorf("a damaged pin: %v", err)
	}
}

// TestVersionsThatCannotBeKept holds that nothing stops serving because of them.
func TestVersionsThatCannotBeKept(t *testing.T) {
	s := newVersionedSite(t)
	check(t, os.MkdirAll(s.path("state/trust-stores/partners"), 0o700))
	s.write("state/trust-stores/partners/blobs", []byte("a file in the place of the folder"))
	r := s.start()
	wantGet(t, s.client(s.alice), s.url(), 200, aliceSubject)
	wantLog(t, s.site, "level=ERROR", "a version of a trust store is not kept")
	if _, text := r.admin(t, "/metrics"); !strings.Contains(text, `postern_trust_store_version_kept{trust_store="partners"} 0`) {
		t.Error("the metrics do not tell that the version is not kept")
	}
	s.trustOther()
	r.reload(t)
	r.wantVersion(t, 2, 0)
	check(t, os.Remove(s.path("state/trust-stores/partners/blobs")))
	r.reload(t)
	if got := r.store(t); got.Version != 2 || !got.Versions[1].Kept {
		t.Errorf("after the fault was mended: %+v", got)
	}
}

func TestVersionsAreKeptSparingly(t *testing.T) {
	s := newVersionedSite(t)
	s.edit("revocations: [partners.crl]", "revocations: [partners.crl]\n    versions_to_keep: 2")
	r := s.start()
	for number := int64(2); number <= 4; number++ {
		s.write("partners.crl", s.ca.CRL(number))
		r.reload(t)
	}
	if got := r.store(t); len(got.Versions) != 2 || got.Versions[0].Number != 3 || got.Version != 4 {
		t.Errorf("report %+v", got)
	}
	if got := s.blobs(); len(got) != 3 { // the bundle and two lists
		t.Errorf("contents %v", got)
	}
	if err := lb.RollBack(s.path("postern.yaml"), "partners", 1); err == nil || !strings.Contains(err.Error(), "it has 3, 4") {
		t.Errorf("going back to what is gone: %v", err)
	}
}

func TestVersionsWithoutAStateDirectory(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	s.write("partners.crl", s.ca.CRL(2))
	r.reload(t)
	if got := r.store(t); got.Version != 2 || len(got.Versions) != 2 || got.Versions[1].Kept {
		t.Errorf("report %+v", got)
	}
	if err := lb.RollBack(s.path("postern.yaml"), "partners", 1); err == nil || !strings.Contains(err.Error(), "state_directory") {
		t.Errorf("going back without a state directory: %v", err)
	}
}

// TestVersionsHaveTheirWarnings finds API Gateway's conflict in the record.
func TestVersionsHaveTheirWarnings(t *testing.T) {
	s := newVersionedSite(t)
	namesake := pki.NewRoot("Somebody").Intermediate("Test CA")
	s.write("bundle.pem", append(append(s.root.PEM(), s.ca.PEM()...), namesake.PEM()...))
	r := s.start()
	r.stop()
	check(t, r.wait(t))
	found, err := lb.Versions(s.path("postern.yaml"), "partners")
	check(t, err)
	for _, w := range found.Versions[0].Warnings {
		if w.Code == "subject-conflict" && w.Subject == "CN=Test CA,O=Postern" &&
			strings.HasPrefix(w.Problem, "conflicts with an existing certificate from a different issuer") {
			return
		}
	}
	t.Errorf("the conflict is not among the warnings %+v", found.Versions[0].Warnings)
}

// TestWarningMetricsFollowTheClock scrapes at several times without a reload.
func TestWarningMetricsFollowTheClock(t *testing.T) {
	s := newVersionedSite(t)
	balancer, err := lb.New(s.options())
	check(t, err)
	var late atomic.Bool
	lb.SetClock(balancer, func() time.Time {
		if late.Load() {
			return s.ca.Cert.NotAfter.Add(-6 * 24 * time.Hour)
		}
		return time.Now()
	})
	r := s.run(balancer)
	for _, want := range []int{0, 2} { // the root and the CA end together
		late.Store(want > 0)
		_, text := r.admin(t, "/metrics")
		for _, line := range []string{
			fmt.Sprintf(`postern_trust_store_warnings{code="expires-within-7-days",trust_store="partners"} %d`, want),
			`postern_trust_store_warnings{code="subject-conflict",trust_store="partners"} 0`,
			fmt.Sprintf(`postern_crl_warnings{code="expired",trust_store="partners"} %d`, want/2),
			`postern_listener_certificate_expiry_timestamp_seconds{listener="front",serial_number="`,
		} {
			if !strings.Contains(text, line) {
				t.Errorf("with %d warnings the metrics lack %s", want, line)
			}
		}
	}
}
