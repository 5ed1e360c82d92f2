package lb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func TestMetrics(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.write("partners.crl", s.ca.CRL(1, s.bob))
	// The same name and serial number twice, as when a root is signed anew.
	s.write("bundle.pem", append(append(s.root.PEM(), s.ca.PEM()...), pki.NewRoot("Test Root", pki.Serial(s.root.Cert.SerialNumber)).PEM()...))
	s.configure(verifying(address))
	r := s.start()
	for range 2 {
		wantGet(t, s.client(s.alice), "https://"+address+"/", 200, aliceSubject)
	}
	wantGet(t, s.client(s.bob), "https://"+address+"/", 0, "")
	r.reload(t)
	eventually(t, "the target is healthy", func() bool {
		_, text := r.admin(t, "/metrics")
		return strings.Contains(text, `state="healthy"`)
	})

	status, text := r.admin(t, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || status != 200 {
		t.Fatalf("status %d, %v", status, err)
	}
	for _, name := range []string{
		"postern_crl_age_seconds", "postern_crl_next_update_timestamp_seconds", "postern_trust_store_certificates",
		"postern_trust_store_memo_entries", "postern_trust_store_verifications_total", "postern_healthy_host_count",
		"postern_new_connection_count", "postern_active_connection_count", "go_goroutines", "process_start_time_seconds",
	} {
		if families[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	for _, line := range []string{
		`postern_crl_entries{issuer="CN=Test CA,O=Postern",list="0",trust_store="partners"} 1`,
		fmt.Sprintf(`postern_trust_store_certificate_expiry_timestamp_seconds{serial_number="%s",subject="CN=Test CA,O=Postern",trust_store="partners"} %v`,
			trust.NewIdentity(s.ca.Cert).Serial, float64(s.ca.Cert.NotAfter.Unix())),
		`postern_trust_store_memo_misses_total{trust_store="partners"} 2`,
		`postern_reloads_total{outcome="applied"} 1`,
		`reason="ClientCertCrlHit"`,
		`postern_target_in_flight_requests{TARGET} 0`, `postern_target_responses_total{TARGET} 2`, `postern_target_faults_total{TARGET} 0`,
		`postern_target_response_seconds_total{TARGET} `, `postern_target_state{reason="",state="healthy",TARGET} 1`,
	} {
		line = strings.Replace(line, "TARGET", `target="`+s.target.Listener.Addr().String()+`",target_group="app"`, 1)
		if !strings.Contains(text, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	// Alice came twice; how many of her connections the reload still found is no matter.
	if strings.Contains(text, "postern_trust_store_memo_hits_total{trust_store=\"partners\"} 0\n") {
		t.Error("no verdict came from the memo")
	}
	if t.Failed() {
		t.Log(text[strings.Index(text, "# HELP postern"):])
	}
}

func TestAdminIsApart(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure("listeners:\n" + fixed("front", address, "front"))
	r := s.start()
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		wantGet(t, fresh(), "http://"+address+path, 200, "front")
	}
	if status, _ := r.admin(t, "/"); status != 404 {
		t.Errorf("the admin side answers %d for a path it does not have", status)
	}
	got := r.readiness(t)
	if !got.Ready || got.Revision != 1 || len(got.Listeners) != 1 || got.Listeners[0] != "front="+address {
		t.Errorf("readiness %+v", got)
	}
	// The admin side does not move: the operator is told.
	before := r.AdminAddress()
	s.edit("admin: {address: 127.0.0.1:0}", "admin: {address: "+freeAddress(t)+"}")
	r.reload(t)
	if r.AdminAddress() != before || !strings.Contains(s.log.String(), "until the next start") {
		t.Errorf("the admin side is at %s, was at %s", r.AdminAddress(), before)
	}
}

// TestProfilingIsOff unless it is asked for: then there is a CPU profile, and
// nothing else of net/http/pprof.
func TestProfilingIsOff(t *testing.T) {
	for _, on := range []bool{false, true} {
		s := newSite(t)
		s.configure("listeners:\n" + fixed("front", freeAddress(t), "front"))
		if on {
			s.edit("admin: {address: 127.0.0.1:0}", "admin: {address: 127.0.0.1:0, profiling: true}")
		}
		r := s.start()
		want := map[bool]int{false: 404, true: 200}[on]
		if status, body := r.admin(t, "/debug/pprof/profile?seconds=1"); status != want {
			t.Errorf("profiling %v: status %d: %s", on, status, body)
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
			if status, _ := r.admin(t, path); status != 404 {
				t.Errorf("profiling %v: %s has status %d", on, path, status)
			}
		}
	}
}
