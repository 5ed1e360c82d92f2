package lb_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/targetgroup"
)

// TestNewRefuses spoils one thing of a good site at a time. The error must name
// the place in the config, the file and what is wrong with it, and no socket may
// be open afterwards.
func TestNewRefuses(t *testing.T) {
	const bundleAt, crlAt, certAt = "trust_stores[0].ca_certificates_bundle: ", "trust_stores[0].revocations", "listeners[0].certificates[0]"
	stranger := pki.NewRoot("Stranger")
	for _, test := range []struct {
		name  string
		spoil func(*site)
		want  []string // parts of the message
	}{
		{"bundle missing", func(s *site) { check(s.t, os.Remove(s.path("bundle.pem"))) }, []string{":14:29: " + bundleAt, "bundle.pem does not exist", "correct the path"}},
		{"bundle empty", func(s *site) { s.write("bundle.pem", nil) }, []string{bundleAt, "bundle.pem is empty"}},
		{"bundle is a folder", func(s *site) {
			check(s.t, os.Remove(s.path("bundle.pem")))
			check(s.t, os.Mkdir(s.path("bundle.pem"), 0o755))
		}, []string{bundleAt, "bundle.pem has no file that ends in .pem, .crt"}},
		{"bundle truncated", func(s *site) { s.write("bundle.pem", s.root.PEM()[:200]) }, []string{bundleAt, "bundle.pem: ", "line "}},
		{"bundle is a key", func(s *site) { s.write("bundle.pem", s.root.KeyPEM()) }, []string{bundleAt, "bundle.pem: ", "PRIVATE KEY"}},
		{"bundle is noise", func(s *site) { s.write("bundle.pem", []byte("\x30\x82\x00")) }, []string{bundleAt, "bundle.pem: "}},
		{"CRL missing", func(s *site) { check(s.t, os.Remove(s.path("partners.crl"))) }, []string{":15:19: " + crlAt + "[0]: ", "partners.crl does not exist"}},
		{"CRL empty", func(s *site) { s.write("partners.crl", nil) }, []string{crlAt, "partners.crl is empty"}},
		{"CRL truncated", func(s *site) { s.write("partners.crl", s.ca.CRL(1)[:100]) }, []string{crlAt, "partners.crl: "}},
		{"CRL is a certificate", func(s *site) { s.write("partners.crl", s.ca.PEM()) }, []string{crlAt, "partners.crl: ", "CERTIFICATE"}},
		{"CRL of a stranger", func(s *site) { s.write("partners.crl", stranger.CRL(1)) }, []string{crlAt, "partners.crl", "CN=Stranger"}},
		{"CRL signed by another CA of that name", func(s *site) { s.write("partners.crl", pki.NewRoot("Test CA").CRL(1)) }, []string{crlAt, "partners.crl", "sign"}},
		{"certificate missing", func(s *site) { check(s.t, os.Remove(s.path("server.pem"))) }, []string{":6:", certAt + ".certificate: ", "server.pem does not exist"}},
		{"key missing", func(s *site) { check(s.t, os.Remove(s.path("server-key.pem"))) }, []string{certAt + ".private_key: ", "server-key.pem does not exist"}},
		{"key of another certificate", func(s *site) { s.write("server-key.pem", s.alice.KeyPEM()) }, []string{certAt + ": ", "server.pem", "server-key.pem", "does not match"}},
		{"certificate is a CRL", func(s *site) { s.write("server.pem", pki.CRLPEM(s.ca.CRL(1))) }, []string{certAt, "server.pem"}},
		{"unknown security policy", func(s *site) {
			s.edit("    certificates", "    ssl_policy: ELBSecurityPolicy-Nothing\n    certificates")
		}, []string{":6:17: listeners[0].ssl_policy: ", "ELBSecurityPolicy-Nothing"}},
		{"security policy that Go cannot honour", func(s *site) {
			s.edit("    certificates", "    ssl_policy: ELBSecurityPolicy-TLS-1-0-2015-04\n    certificates")
		}, []string{"ELBSecurityPolicy-TLS-1-0-2015-04"}},
		{"rule without a condition", func(s *site) {
			s.edit("    default_actions", "    rules: [{priority: 1, conditions: [], actions: [{fixed_response: {status_code: 200}}]}]\n    default_actions")
		}, []string{"listeners[0].rules[0]", "condition"}},
		{"bad pattern", func(s *site) {
			s.edit("    default_actions", "    rules: [{priority: 1, conditions: [{path_pattern: {regex_values: ['(']}}], actions: [{fixed_response: {status_code: 200}}]}]\n    default_actions")
		}, []string{":8:", "listeners[0].rules[0].conditions[0].path_pattern"}},
		{"health check out of range", func(s *site) {
			s.edit("  - name: app", "  - name: app\n    health_check: {interval: 5s, timeout: 20s}")
		}, []string{"target_groups[0].health_check"}},
		{"log below a file", func(s *site) {
			s.edit("target_groups:\n", "logs: {access: {path: bundle.pem/access.log}}\ntarget_groups:\n")
		}, []string{"logs.access.path: ", "bundle.pem"}},
		{"not YAML", func(s *site) { s.write("postern.yaml", []byte("listeners: [\n")) }, []string{"postern.yaml:"}},
		{"no config", func(s *site) { check(s.t, os.Remove(s.path("postern.yaml"))) }, []string{"postern.yaml"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, address := newSite(t), freeAddress(t)
			s.configure(verifying(address))
			test.spoil(s)
			_, err := lb.New(s.options())
			wantFaults(t, err, test.want)
			if ln, err := net.Listen("tcp", address); err != nil {
				t.Errorf("the address is taken: %v", err)
			} else {
				ln.Close()
			}
			// A check says the same without touching anything.
			_, checked := lb.Check(s.path("postern.yaml"))
			wantFaults(t, checked, test.want)
		})
	}
}

// edit replaces text in the config; TARGET is as in configure.
func (s *site) edit(old, replacement string) {
	s.t.Helper()
	data, err := os.ReadFile(s.path("postern.yaml"))
	check(s.t, err)
	if !strings.Contains(string(data), old) {
		s.t.Fatalf("the config has no %q", old)
	}
	text := strings.Replace(string(data), old, replacement, 1)
	s.write("postern.yaml", []byte(strings.ReplaceAll(text, "TARGET", s.target.Listener.Addr().String())))
}

func wantFaults(t *testing.T, err error, parts []string) {
	t.Helper()
	if _, ok := errors.AsType[config.Errors](err); !ok {
		t.Fatalf("got %v, want config.Errors", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
}

func TestNewReportsEveryFaultAtOnce(t *testing.T) {
	s := newSite(t)
	s.configure(`listeners:
  - name: one
    address: 127.0.0.1:0
    protocol: HTTPS
    ssl_policy: ELBSecurityPolicy-One
    certificates: [{certificate: server.pem, private_key: absent-key.pem}]
    rules: [{priority: 1, conditions: [{path_pattern: {regex_values: ["("]}}], actions: [{forward: {target_groups: [{name: app}]}}]}]
    default_actions: [{forward: {target_groups: [{name: app}]}}]
  - name: two
    address: 127.0.0.1:0
    protocol: HTTPS
    ssl_policy: ELBSecurityPolicy-Two
    certificates: [{certificate: server.pem, private_key: server-key.pem}]
    mutual_authentication: {mode: verify, trust_store: partners}
    default_actions: [{forward: {target_groups: [{name: app}]}}]
target_groups:
  - name: app
    targets: [{address: TARGET}]
    health_check: {interval: 5s, timeout: 20s}
trust_stores:
  - name: partners
    ca_certificates_bundle: absent.pem
  - name: others
    ca_certificates_bundle: bundle.pem
    revocations: [absent.crl]
`)
	_, err := lb.New(s.options())
	faults, _ := errors.AsType[config.Errors](err)
	want := []string{
		"listeners[0].ssl_policy", "listeners[0].certificates[0].private_key", "listeners[0].rules[0].conditions[0]",
		"listeners[1].ssl_policy", "target_groups[0].health_check", "trust_stores[0].ca_certificates_bundle", "trust_stores[1].revocations[0]",
	}
	if len(faults) != len(want) {
		t.Errorf("got %d faults, want %d:\n%v", len(faults), len(want), err)
	}
	for _, part := range want {
		wantFaults(t, err, []string{part})
	}
	for _, f := range faults {
		if f.Line == 0 || f.Column == 0 || f.File != s.path("postern.yaml") {
			t.Errorf("a fault without its place: %v", f)
		}
	}
}

// TestNewRefusesTooManyTargets holds that the one limit, package targetgroup's, is
// reported with its place in the file.
func TestNewRefusesTooManyTargets(t *testing.T) {
	s := newSite(t)
	var targets strings.Builder
	for i := range targetgroup.MaxTargets + 1 {
		fmt.Fprintf(&targets, "{address: '127.0.0.1:%d'}, ", i+1)
	}
	s.configure(strings.Replace(verifying("127.0.0.1:0"), "{address: TARGET}", targets.String(), 1))
	_, err := lb.New(s.options())
	faults, _ := errors.AsType[config.Errors](err)
	if len(faults) != 1 || faults[0].Line == 0 {
		t.Fatalf("got %v", err)
	}
	wantFaults(t, err, []string{"target_groups[0].targets: a group may have 1000 targets, this one has 1001"})
}

func TestNewReportsBusyAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	s.edit("listeners:\n", "listeners:\n  - {name: busy, address: '"+taken.Addr().String()+"', protocol: HTTP, default_actions: [{fixed_response: {status_code: 200}}]}\n")
	_, err = lb.New(s.options())
	wantFaults(t, err, []string{":3:27: listeners[0].address: ", "address already in use", "choose another port"})

	s.configure(verifying(address))
	s.edit("127.0.0.1:0", taken.Addr().String())
	_, err = lb.New(s.options())
	wantFaults(t, err, []string{":1:18: admin.address: ", "address already in use"})
	free, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("a listener stayed open: %v", err)
	}
	free.Close()
}

// TestCheck also holds that a check leaves no trace.
func TestCheck(t *testing.T) {
	s := newSite(t)
	s.configure(verifying(freeAddress(t)))
	s.edit("trust_stores:\n", "logs: {access: {path: logs/access.log}}\ntrust_stores:\n  - {name: spare, ca_certificates_bundle: bundle.pem}\n")
	check(t, os.Chmod(s.path("server-key.pem"), 0o644))
	s.write("partners.crl", pki.CRLPEM(s.ca.CRL(1)))
	warnings, err := lb.Check(s.path("postern.yaml"))
	check(t, err)
	var text strings.Builder
	for _, w := range warnings {
		text.WriteString(w.String() + "\n")
	}
	for _, want := range []string{
		s.path("postern.yaml") + ":14:5: trust_stores[0]: no listener uses",
		s.path("postern.yaml") + ":6:", "listeners[0].certificates[0].private_key: " + s.path("server-key.pem") + " has mode 0644",
		"trust_stores[1].revocations: " + s.path("partners.crl") + ": ",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no warning has %q:\n%s", want, &text)
		}
	}
	if _, err := os.Stat(s.path("logs")); !os.IsNotExist(err) {
		t.Errorf("the check made a folder for logs: %v", err)
	}
}
