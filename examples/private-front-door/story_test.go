// Package frontdoor_test runs the example's config and what its README says of it.
package frontdoor_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-lb/postern/examples/internal/story"
	"github.com/postern-lb/postern/lb"
)

// named is a target that answers with its name and who it was told the client is.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", name, r.Header.Get("X-Amzn-Mtls-Clientcert-Subject"))
	})
}

func TestStory(t *testing.T) {
	s := story.New(t)
	address := story.FreeAddress(t)
	s.Run(s.Config("postern.yaml", map[string]string{
		"127.0.0.1:8443": address,
		"127.0.0.1:9001": story.Serve(t, named("orders")), "127.0.0.1:9002": story.Serve(t, named("catalog")),
	}))
	for _, tt := range []struct {
		client, method, path string
		status               int // 0: the connection is reset
		holds                string
	}{
		{"acme-1", "GET", "/orders/7", 200, "orders for CN=acme-1,O=Postern"},
		{"globex", "POST", "/orders", 200, "orders for CN=globex,O=Postern"},
		{"acme-1", "GET", "/catalog", 200, "catalog for CN=acme-1,O=Postern"},
		{"acme-1", "POST", "/catalog", 405, "read-only"},
		{"acme-1", "GET", "/", 404, "no such resource"},
		{"", "GET", "/orders/7", 0, ""},
		{"initech", "GET", "/orders/7", 0, ""},
		{"retired", "GET", "/orders/7", 0, ""},
		{"mallory", "GET", "/orders/7", 0, ""},
	} {
		status, body := s.Request(tt.client, tt.method, "https://"+address+tt.path)
		if status != tt.status || !strings.Contains(body, tt.holds) {
			t.Errorf("%q, %s %s: status %d and %q, want %d and %q", tt.client, tt.method, tt.path, status, body, tt.status, tt.holds)
		}
	}
	for _, reason := range []string{"UnmappedConnectionError", "ClientCertRejected", "ClientCertCrlHit", "ClientCertUntrusted"} {
		s.AwaitLog("connection.log", " Failed:"+reason+" ")
	}
	s.AwaitLog("access.log", `"forward"`)
}

// TestCommandsOfTheReadme runs the README's openssl commands and checks that the
// config takes what they make.
func TestCommandsOfTheReadme(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("the commands need openssl: ", err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "## Certificates\n")
	_, rest, _ = strings.Cut(rest, "```sh\n")
	commands, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("README.md has no commands below Certificates")
	}
	dir := t.TempDir()
	config, err := os.ReadFile("postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "postern.yaml")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-e", "-c", commands)
	shell.Dir = dir
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("running the commands: %v\n%s", err, out)
	}
	if warnings, err := lb.Check(path); err != nil || len(warnings) > 0 {
		t.Errorf("checking the config: %v, warnings %v", err, warnings)
	}
	for client, want := range map[string]string{"acme-1": "", "acme-2": "ClientCertCrlHit"} {
		decision, err := lb.Explain(lb.ExplainOptions{
			Bundle: filepath.Join(dir, "pki/ca-bundle.pem"), Revocations: []string{filepath.Join(dir, "pki/partners.crl")},
			Chain: filepath.Join(dir, "pki", client+".pem"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if decision.Reason != want {
			t.Errorf("%s: reason %q (%s), want %q", client, decision.Reason, decision.Detail, want)
		}
	}
}
