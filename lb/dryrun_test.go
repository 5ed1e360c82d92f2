package lb_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

// seenSite is a load balancer that has let in alice, bob and carol, who is of another CA.
func seenSite(t *testing.T) (s *site, r *running, address string) {
	s, address = newSite(t), freeAddress(t)
	other := pki.NewRoot("Other Root")
	s.write("bundle.pem", append(append(s.root.PEM(), s.ca.PEM()...), other.PEM()...))
	s.configure(remembering(address, "{}"))
	r = s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	wantGet(t, s.client(s.bob), url, 200, bobSubject)
	wantGet(t, s.client(other.Client("carol")), url, 200, "CN=carol,O=Postern")
	eventually(t, "the file", func() bool { return strings.Count(s.seenFile(), `"sha256"`) == 3 })
	return s, r, address
}

// fates are the outcomes of those that are not simply admitted, by subject.
func fates(t *testing.T, d *lb.DryRun) map[string]string {
	t.Helper()
	if d == nil || d.Problem != "" {
		t.Fatalf("no dry run: %+v", d)
	}
	out := make(map[string]string)
	for _, c := range d.Clients {
		out[c.Subject] = c.Outcome + " " + string(c.Reason)
	}
	if d.Known != d.Admitted+d.LockedOut+d.Undecided+d.NotJudged || len(d.Clients) != d.LockedOut+d.Undecided {
		t.Errorf("the counts do not add up: %+v", d)
	}
	return out
}

// TestDryRun asks, while a load balancer runs, who would be locked out by other files: by
// those of the config when they have been replaced, and by others. Then it lets the files
// count: who was named is out, and nobody else.
func TestDryRun(t *testing.T) {
	s, r, address := seenSite(t)
	s.write("new.crl", s.ca.CRL(2, s.bob))
	s.write("less.pem", append(s.root.PEM(), s.ca.PEM()...))
	s.write("more.pem", append(append(s.root.PEM(), s.ca.PEM()...), pki.NewRoot("Third Root").PEM()...))
	const (
		revoked = "locked_out ClientCertCrlHit"
		missing = "locked_out ClientCertCrlProcessingError"
		carol   = "CN=carol,O=Postern"
	)
	partners := func(file string) map[string]string { return map[string]string{"partners": s.path(file)} }
	for _, tt := range []struct {
		name    string
		options lb.CheckOptions
		config  string // replaces revocations
		want    map[string]string
	}{
		{"as it is", lb.CheckOptions{}, "", map[string]string{}},
		{"new list", lb.CheckOptions{Revocations: map[string][]string{"partners": {s.path("new.crl")}}}, "", map[string]string{bobSubject: revoked}},
		{"CA left out", lb.CheckOptions{Bundles: partners("less.pem")}, "", map[string]string{carol: "locked_out ClientCertUntrusted"}},
		{"both", lb.CheckOptions{Bundles: partners("more.pem"), Revocations: map[string][]string{"partners": {s.path("new.crl")}}}, "",
			map[string]string{bobSubject: revoked, carol: "locked_out ClientCertUntrusted"}},
		{"in a year", lb.CheckOptions{At: time.Now().Add(365 * 24 * time.Hour)}, "", map[string]string{
			aliceSubject: "locked_out ClientCertExpired", bobSubject: "locked_out ClientCertExpired", carol: "locked_out ClientCertExpired"}},
		{"lists wanted", lb.CheckOptions{}, "{missing: deny, authorities: [{subject: 'CN=Test Root,O=Postern', missing: allow}]}", map[string]string{carol: missing}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.ConfigPath = s.path("postern.yaml")
			if tt.config != "" {
				text := strings.Replace(remembering(address, "{}"), "    revocations: [partners.crl]\n", "    revocations: [partners.crl]\n    revocation_policy: "+tt.config+"\n", 1)
				s.write("other.yaml", []byte(strings.ReplaceAll(text, "TARGET", s.target.Listener.Addr().String())))
				tt.options.ConfigPath = s.path("other.yaml")
			}
			report, err := lb.CheckWith(tt.options)
			check(t, err)
			if got := fates(t, report.DryRun); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if report.DryRun.Known != 3 {
				t.Errorf("%d clients known", report.DryRun.Known)
			}
			text := report.DryRun.Text()
			for subject := range tt.want {
				if !strings.Contains(text, "locked out: "+subject) {
					t.Errorf("the text lacks %s:\n%s", subject, text)
				}
			}
			t.Log(text)
		})
	}

	s.write("partners.crl", s.ca.CRL(2, s.bob))
	report, err := lb.CheckWith(lb.CheckOptions{ConfigPath: s.path("postern.yaml")})
	check(t, err)
	if got := fates(t, report.DryRun); fmt.Sprint(got) != fmt.Sprint(map[string]string{bobSubject: revoked}) {
		t.Errorf("with the list in place: %v", got)
	}
	r.reload(t)
	url := "https://" + address + "/"
	wantGet(t, s.client(s.bob), url, 0, "")
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
}

// TestDryRunOfFilters has filters that look at what is kept of a client, and at what is not.
func TestDryRunOfFilters(t *testing.T) {
	s, _, address := seenSite(t)
	for filters, want := range map[string]map[string]string{
		"[{subject_cn: alice}]":                         {bobSubject: "locked_out ClientCertRejected", "CN=carol,O=Postern": "locked_out ClientCertRejected"},
		"[{subject_cn: alice}, {san_dns: '*.example'}]": {bobSubject: "undecided ", "CN=carol,O=Postern": "undecided "},
	} {
		text := strings.Replace(remembering(address, "{}"), "trust_store: partners}", "trust_store: partners, identity_filters: "+filters+"}", 1)
		s.write("other.yaml", []byte(strings.ReplaceAll(text, "TARGET", s.target.Listener.Addr().String())))
		report, err := lb.CheckWith(lb.CheckOptions{ConfigPath: s.path("other.yaml")})
		check(t, err)
		if got := fates(t, report.DryRun); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", filters, got, want)
		}
	}
	// A listener of another name has seen nobody, and the old one is there no more.
	text := strings.Replace(remembering(address, "{}"), "name: front", "name: back", 1)
	s.write("other.yaml", []byte(strings.ReplaceAll(text, "TARGET", s.target.Listener.Addr().String())))
	report, err := lb.CheckWith(lb.CheckOptions{ConfigPath: s.path("other.yaml")})
	check(t, err)
	if d := report.DryRun; len(fates(t, d)) != 0 || d.NotJudged != 3 || !strings.Contains(d.Text(), "3 not judged") {
		t.Errorf("%+v", d)
	}
}

func TestDryRunProblems(t *testing.T) {
	s := newSite(t)
	s.configure(verifying("127.0.0.1:0"))
	report, err := lb.CheckWith(lb.CheckOptions{ConfigPath: s.path("postern.yaml")})
	check(t, err)
	if report.DryRun != nil {
		t.Errorf("without a state directory: %+v", report.DryRun)
	}
	for _, name := range []string{"bundles", "lists"} {
		o := lb.CheckOptions{ConfigPath: s.path("postern.yaml")}
		if name == "bundles" {
			o.Bundles = map[string]string{"partner": "x"}
		} else {
			o.Revocations = map[string][]string{"partner": {"x"}}
		}
		if _, err := lb.CheckWith(o); err == nil || !strings.Contains(err.Error(), `none has the name "partner"`) || !strings.Contains(err.Error(), "they are partners") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.configure(remembering("127.0.0.1:0", "{}"))
	check(t, os.Mkdir(s.path("state"), 0o700))
	check(t, os.WriteFile(s.path("state/seen-clients.json"), []byte("["), 0o600))
	report, err = lb.CheckWith(lb.CheckOptions{ConfigPath: s.path("postern.yaml")})
	check(t, err)
	if d := report.DryRun; d == nil || !strings.Contains(d.Problem, "cannot be read") || !strings.Contains(d.Text(), "cannot be read") {
		t.Errorf("with garbage: %+v", d)
	}
}
