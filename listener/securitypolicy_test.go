package listener

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

// The suites by their number in ALB's server order. Zero stands for those that
// crypto/tls does not have.
var numberedSuites = [19]uint16{
	1: 0xc02b, 2: 0xc02f, 3: 0xc023, 4: 0xc027, 5: 0xc009, 6: 0xc013, 7: 0xc02c, 8: 0xc030, 9: 0, 10: 0,
	11: 0xc00a, 12: 0xc014, 13: 0x009c, 14: 0x003c, 15: 0x002f, 16: 0x009d, 17: 0, 18: 0x0035,
}

// The policies as ALB's page has them, written down a second time on purpose:
// the table in the code is held against these by handshakes.
var documentedPolicies = []struct {
	name     string
	min, max uint16
	suites   []int
	pq       bool
}{
	{"TLS13-1-3-2021-06", 0x304, 0x304, nil, false},
	{"TLS13-1-3-PQ-2025-09", 0x304, 0x304, nil, true},
	{"TLS13-1-2-2021-06", 0x303, 0x304, []int{1, 2, 3, 4, 7, 8, 9, 10}, false},
	{"TLS13-1-2-PQ-2025-09", 0x303, 0x304, []int{1, 2, 3, 4, 7, 8, 9, 10}, true},
	{"TLS13-1-2-Res-2021-06", 0x303, 0x304, []int{1, 2, 7, 8}, false},
	{"TLS13-1-2-Res-PQ-2025-09", 0x303, 0x304, []int{1, 2, 7, 8}, true},
	{"TLS13-1-2-Ext1-2021-06", 0x303, 0x304, []int{1, 2, 3, 4, 7, 8, 9, 10, 13, 14, 16, 17}, false},
	{"TLS13-1-2-Ext1-PQ-2025-09", 0x303, 0x304, []int{1, 2, 3, 4, 7, 8, 9, 10, 13, 14, 16, 17}, true},
	{"TLS13-1-2-Ext2-2021-06", 0x303, 0x304, oneTo(18), false},
	{"TLS13-1-2-Ext2-PQ-2025-09", 0x303, 0x304, oneTo(18), true},
	{"TLS13-1-1-2021-06", 0x302, 0x304, oneTo(18), false},
	{"TLS13-1-0-2021-06", 0x301, 0x304, oneTo(18), false},
	{"TLS13-1-0-PQ-2025-09", 0x301, 0x304, oneTo(18), true},
	{"TLS-1-2-Ext-2018-06", 0x303, 0x303, oneTo(18), false},
	{"TLS-1-2-2017-01", 0x303, 0x303, []int{1, 2, 3, 4, 7, 8, 9, 10, 13, 14, 16, 17}, false},
	{"TLS-1-1-2017-01", 0x302, 0x303, oneTo(18), false},
	{"2016-08", 0x301, 0x303, oneTo(18), false},
	{"FS-1-2-Res-2020-10", 0x303, 0x303, []int{1, 2, 7, 8}, false},
	{"FS-1-2-Res-2019-08", 0x303, 0x303, []int{1, 2, 3, 4, 7, 8, 9, 10}, false},
	{"FS-1-2-2019-08", 0x303, 0x303, oneTo(12), false},
	{"FS-1-1-2019-08", 0x302, 0x303, oneTo(12), false},
	{"FS-2018-06", 0x301, 0x303, oneTo(12), false},
}

func oneTo(n int) []int {
	var list []int
	for i := range n {
		list = append(list, i+1)
	}
	return list
}

func TestEveryDocumentedPolicyIsHonoured(t *testing.T) {
	var want []string
	for _, doc := range documentedPolicies {
		want = append(want, "ELBSecurityPolicy-"+doc.name)
	}
	if got := SecurityPolicyNames(); !slices.Equal(got, want) {
		t.Errorf("SecurityPolicyNames() =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Contains(want, DefaultSecurityPolicy) {
		t.Errorf("the default %q is not among them", DefaultSecurityPolicy)
	}
}

// Each policy is offered every version, every suite and every group, one at a
// time, by a client that can do nothing else.
func TestSecurityPolicyHandshakes(t *testing.T) {
	index := policyCertificates(t)
	for _, doc := range documentedPolicies {
		t.Run(doc.name, func(t *testing.T) {
			policy, err := LookupSecurityPolicy("ELBSecurityPolicy-" + doc.name)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				cert, _ := index.Choose(hello)
				return cert, nil
			}}
			policy.Apply(server)
			offer := func(what string, want bool, client *tls.Config) {
				t.Helper()
				if _, err := handshake(t, server, client); (err == nil) != want {
					t.Errorf("%s: error %v, want accepted %v", what, err, want)
				}
			}

			for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
				offer(tls.VersionName(version), doc.min <= version && version <= doc.max,
					&tls.Config{MinVersion: version, MaxVersion: version, CipherSuites: everySuite()})
			}
			for _, group := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
				offer(group.String(), true, &tls.Config{MinVersion: doc.max, CurvePreferences: []tls.CurveID{group}})
			}
			for _, group := range []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024} {
				offer(group.String(), doc.pq, &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{group}})
			}
			for _, suite := range everySuite() {
				offer(tls.CipherSuiteName(suite), documents(doc.suites, suite),
					&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
			}
		})
	}
}

// A TLS 1.3 client that lists ChaCha20 gets it under every policy with TLS 1.3:
// this is why the FIPS policies are refused. Should this begin to fail, they can
// be honoured.
func TestChaCha20CannotBeLeftOut(t *testing.T) {
	policy, err := LookupSecurityPolicy("ELBSecurityPolicy-TLS13-1-3-2021-06")
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{}
	policy.Apply(server)
	server.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	server.Certificates = []tls.Certificate{pki.NewRoot("root").Server("policy.example").TLS()}
	if !opensslAccepts(t, server, "-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256") {
		t.Error("ChaCha20 was refused, want it to be unavoidable")
	}
}

// The same answers from a client that is not Go's. Security level 0 is what lets
// OpenSSL 3 offer TLS 1.0, SHA-1 and the like at all.
func TestSecurityPolicyWithOpenSSL(t *testing.T) {
	index := policyCertificates(t)
	for _, tt := range []struct {
		policy string
		client []string
		want   bool
	}{
		{"TLS13-1-2-Res-PQ-2025-09", []string{"-tls1_3"}, true},
		{"TLS13-1-2-Res-PQ-2025-09", []string{"-tls1_3", "-groups", "P-521"}, true},
		{"TLS13-1-2-Res-PQ-2025-09", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"}, true},
		{"TLS13-1-2-Res-PQ-2025-09", []string{"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"}, false},
		{"TLS13-1-2-Res-PQ-2025-09", []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"}, false},
		{"TLS13-1-2-Res-PQ-2025-09", []string{"-tls1_1", "-cipher", "ALL@SECLEVEL=0"}, false},
		{"TLS13-1-3-2021-06", []string{"-tls1_2"}, false},
		{"2016-08", []string{"-tls1", "-cipher", "ECDHE-RSA-AES128-SHA@SECLEVEL=0"}, true},
		{"2016-08", []string{"-tls1_1", "-cipher", "AES256-SHA@SECLEVEL=0"}, true},
		{"2016-08", []string{"-tls1_2", "-cipher", "AES128-SHA256"}, true},
		{"2016-08", []string{"-tls1_3"}, false},
		{"FS-2018-06", []string{"-tls1_2", "-cipher", "AES128-SHA"}, false},
		{"FS-2018-06", []string{"-tls1", "-cipher", "ECDHE-ECDSA-AES256-SHA@SECLEVEL=0"}, true},
		{"TLS13-1-2-Ext2-2021-06", []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384"}, false}, // not in Go
	} {
		t.Run(tt.policy+strings.Join(tt.client, " "), func(t *testing.T) {
			policy, err := LookupSecurityPolicy("ELBSecurityPolicy-" + tt.policy)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				cert, _ := index.Choose(hello)
				return cert, nil
			}}
			policy.Apply(server)
			if got := opensslAccepts(t, server, tt.client...); got != tt.want {
				t.Errorf("accepted %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRefusedPoliciesNameAnother(t *testing.T) {
	versions := func(name string) string { return name[:len("TLS13-1-2-")] }
	for _, row := range refusedPolicies {
		name := "ELBSecurityPolicy-" + row.name
		policy, err := LookupSecurityPolicy(name)
		if err == nil || policy != nil {
			t.Fatalf("%s: got %v, %v, want a refusal", name, policy, err)
		}
		if _, err := LookupSecurityPolicy("ELBSecurityPolicy-" + row.instead); err != nil {
			t.Errorf("%s names another: %v", name, err)
		}
		for _, want := range []string{name, "ELBSecurityPolicy-" + row.instead, "crypto/tls can"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if versions(row.name) != versions(row.instead) || strings.Contains(row.name, "-PQ-") != strings.Contains(row.instead, "-PQ-") {
			t.Errorf("%s names %s, which has other versions or groups", row.name, row.instead)
		}
	}
	if n := len(refusedPolicies); n != 22 {
		t.Errorf("%d policies are refused, want the 15 FIPS and 7 RFC 9151 ones", n)
	}
}

// The page that users read has every policy, each refused one with the same
// advice as the error.
func TestPoliciesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/security-policies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range securityPolicies {
		versions := strings.TrimPrefix(tls.VersionName(row.min), "TLS ")
		if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(row.name) + "`[^|]*\\| " + versions).Match(page) {
			t.Errorf("%s from TLS %s is not there", row.name, versions)
		}
	}
	for _, row := range refusedPolicies {
		if !strings.Contains(string(page), "| `"+row.name+"` | `"+row.instead+"`") {
			t.Errorf("%s, instead %s, is not there", row.name, row.instead)
		}
	}
}

func TestUnknownPolicyGetsAHint(t *testing.T) {
	for _, tt := range []struct{ name, hint string }{
		{"ELBSecurityPolicy-TLS13-1-2-Res-2021-6", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"},
		{"elbsecuritypolicy-tls13-1-3-2021-06", "ELBSecurityPolicy-TLS13-1-3-2021-06"},
		{"TLS13-1-2-PQ-2025-09", "ELBSecurityPolicy-TLS13-1-2-PQ-2025-09"},
		{"2016-08", "ELBSecurityPolicy-2016-08"},
		{"", "ELBSecurityPolicy-2016-08"},
		{strings.Repeat("x", 1<<20), DefaultSecurityPolicy},
	} {
		_, err := LookupSecurityPolicy(tt.name)
		if err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("did you mean %q?", tt.hint)) {
			t.Errorf("%.60q: %.200v, want the hint %q", tt.name, err, tt.hint)
		}
	}
}

func TestLookedUpPolicyIsTheCallersOwn(t *testing.T) {
	policy, err := LookupSecurityPolicy(DefaultSecurityPolicy)
	if err != nil {
		t.Fatal(err)
	}
	var config tls.Config
	policy.Apply(&config)
	policy.CipherSuites[0], policy.CurvePreferences[0] = 1, 1
	again, _ := LookupSecurityPolicy(DefaultSecurityPolicy)
	if again.CipherSuites[0] == 1 || again.CurvePreferences[0] == 1 {
		t.Error("changing a policy changed the table")
	}
	if config.CipherSuites[0] == 1 || config.CurvePreferences[0] == 1 {
		t.Error("changing a policy changed a config it was applied to")
	}
}

func everySuite() []uint16 {
	var ids []uint16
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if suite.SupportedVersions[0] != tls.VersionTLS13 {
			ids = append(ids, suite.ID)
		}
	}
	return ids
}

func documents(numbers []int, suite uint16) bool {
	return slices.ContainsFunc(numbers, func(n int) bool { return numberedSuites[n] == suite })
}

// policyCertificates has an ECDSA and an RSA certificate, so that every suite
// finds one it works with.
func policyCertificates(t *testing.T) *CertificateIndex {
	t.Helper()
	root := pki.NewRoot("root")
	encipher := pki.Template(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment })
	rsa := root.ServerWith([]string{"policy.example"}, pki.RSA(2048), encipher)
	index, err := NewCertificateIndex(root.Server("policy.example").TLS(), []tls.Certificate{rsa.TLS()})
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// handshake runs one over a real socket; the error is the server's.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	if client.ServerName == "" {
		client.ServerName = "policy.example"
	}
	client.InsecureSkipVerify = true
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	answered := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			answered <- err
			return
		}
		defer raw.Close()
		answered <- tls.Server(raw, server).Handshake()
	}()
	var state tls.ConnectionState
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err == nil {
		state = conn.ConnectionState()
		defer conn.Close()
	}
	return state, <-answered
}

// opensslAccepts reports whether s_client completes a handshake.
func opensslAccepts(t *testing.T, server *tls.Config, args ...string) bool {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	answered := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			answered <- err
			return
		}
		defer conn.Close()
		answered <- conn.(*tls.Conn).Handshake()
	}()
	args = append([]string{"s_client", "-connect", ln.Addr().String(), "-servername", "policy.example"}, args...)
	output, err := exec.Command("openssl", args...).CombinedOutput()
	if !strings.Contains(string(output), "CONNECTED") {
		t.Fatalf("openssl did not connect:\n%s", output)
	}
	return <-answered == nil && err == nil
}
