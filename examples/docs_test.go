// Package examples_test holds what the documentation says to the code.
package examples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/examples/internal/story"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// pages lists every page of the documentation.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "*/README.md", "../bench/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < 10 {
		t.Fatalf("found %d pages only: %v", len(all), all)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(match[1], "#")
			target := filepath.Join(filepath.Dir(page), file)
			if file == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if anchor != "" && !hasAnchor(read(t, target), anchor) {
				t.Errorf("%s: %s has no heading for #%s", page, target, anchor)
			}
		}
	}
}

var notInAnchors = regexp.MustCompile("[^a-z0-9 _-]")

// hasAnchor reports whether a heading of a page has the anchor that GitHub makes.
func hasAnchor(page, anchor string) bool {
	for line := range strings.Lines(page) {
		heading := strings.TrimSpace(strings.TrimLeft(line, "#"))
		made := strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
		if strings.HasPrefix(line, "#") && made == anchor {
			return true
		}
	}
	return false
}

// TestConfigOfTheReadme lets postern check judge the README's config.
func TestConfigOfTheReadme(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "../README.md"), "```yaml\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the README has no config")
	}
	s := story.New(t)
	file := filepath.Join(t.TempDir(), "readme.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Config(file, nil)
}

// TestLimitsPage holds the table of limits to the constants.
func TestLimitsPage(t *testing.T) {
	page := read(t, "../docs/operations.md")
	for row, want := range map[string]string{
		"Connections of a listener":                 number(config.DefaultMaxConnections),
		"PROXY header, time":                        fmt.Sprintf("%.0f s", listener.DefaultProxyHeaderTimeout.Seconds()),
		"PROXY header, bytes after the first 16":    number(listener.MaxProxyHeaderLength),
		"ClientHello, time":                         fmt.Sprintf("%.0f s", listener.DefaultClientHello.Seconds()),
		"Handshake, time from the ClientHello":      fmt.Sprintf("%.0f s", listener.DefaultHandshake.Seconds()),
		"Headers of a request, time":                fmt.Sprintf("%.0f s", listener.DefaultRequestHeaders.Seconds()),
		"Request line":                              kib(listener.MaxRequestLine),
		"One header; all headers":                   kib(listener.MaxRequestHeader) + "; " + kib(listener.MaxRequestHeaders),
		"Addresses in `X-Forwarded-For`":            number(listener.MaxForwardedFor),
		"Length of a host name":                     number(listener.MaxHostLength),
		"Redirect URL":                              kib(listener.MaxLocation),
		"Certificates sent":                         number(trust.DefaultMaxDepth),
		"One certificate; all of a client":          kib(trust.MaxCertificateBytes) + "; " + kib(trust.MaxChainBytes),
		"Memo of a trust store":                     number(trust.DefaultMemoEntries) + " chains",
		"Response headers of a target":              kib(targetgroup.MaxResponseHeaderBytes),
		"Idle connections to a target":              number(targetgroup.MaxIdleConnections),
		"CRL file; lists of a trust store":          mib(crl.MaxSize) + "; " + number(config.MaxRevocations),
		"Bundle; certificates in it":                mib(trust.MaxBundleBytes) + "; " + number(trust.MaxBundleCertificates),
		"Config file; nesting; keys of one mapping": mib(config.MaxFileSize) + "; " + number(config.MaxDepth) + "; " + number(config.MaxKeys),
		"Listeners; rules of one; target groups; targets of one; trust stores": strings.Join([]string{
			number(config.MaxListeners), number(config.MaxRules), number(config.MaxTargetGroups),
			number(targetgroup.MaxTargets), number(config.MaxTrustStores)}, "; "),
		"Identity filters of a listener; length of a value": number(trust.MaxFilters) + "; " + number(trust.MaxPatternBytes) + " bytes",
		"In one certificate: alternative names and name constraints (of whatever kind), extensions, policies, attributes of a name": fmt.Sprintf("%d, %d, %d, %d, %d",
			trust.MaxAlternativeNames, trust.MaxNameConstraints, trust.MaxExtensions, trust.MaxPolicies, trust.MaxSubjectAttributes),
	} {
		if !strings.Contains(page, "| "+row+" | "+want) {
			t.Errorf("the page has no row %q with %q", row, want)
		}
	}
}

// number writes thousands apart, as the page does.
func number(n int) string {
	if n >= 1000 {
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprint(n)
}

func kib(n int) string { return fmt.Sprintf("%d KiB", n>>10) }
func mib(n int) string { return fmt.Sprintf("%d MiB", n>>20) }
