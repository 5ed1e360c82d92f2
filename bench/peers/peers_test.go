package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTemplatesAreTaken has each installed server read its configuration in every
// setup.
func TestTemplatesAreTaken(t *testing.T) {
	s := &site{dir: t.TempDir()}
	if err := writePKI(filepath.Join(s.dir, "pki")); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"nginx": {"-t", "-p", s.dir, "-e", "stderr", "-c"}, "haproxy": {"-c", "-f"}, "caddy": {"validate", "--config"},
	} {
		k := kinds[name]
		binary, err := exec.LookPath(k.binary)
		if err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		for _, set := range setups {
			if set.CRL == "1m" || set.CRL != "" && !k.readsCRL {
				continue // the same text as for 10k, and a second of parsing
			}
			file := filepath.Join(s.dir, name+k.file)
			l := launch{setup: set, Label: name, Dir: s.dir, Port: 18443, Backend: 18000, Root: os.Getuid() == 0}
			if err := fill(k.template, file, l); err != nil {
				t.Fatal(err)
			}
			if output, err := exec.Command(binary, append(args, file)...).CombinedOutput(); err != nil {
				t.Errorf("%s, %+v: %v\n%s", name, set, err, output)
			}
		}
	}
}

func TestMarkdownHasMedianSpreadAndReasons(t *testing.T) {
	r := results{
		options: &options{rounds: 3, duration: time.Second},
		servers: []server{{label: "nginx"}, {label: "caddy"}}, absent: []string{"haproxy"},
	}
	crl := "full handshake, CRL of 10,000"
	for _, v := range []float64{3, 1, 2} {
		r.add(crl, "nginx", v)
	}
	r.skip(crl, "caddy", "reads no CRL")
	text := r.markdown("a machine", "- nginx: 1\n")
	for _, want := range []string{
		"| work | unit | nginx | caddy |", "| " + crl + " | µs CPU | 2.0 (1.0 to 3.0) | – [1] |", "[1] reads no CRL",
		"- not installed: haproxy", "3 rounds of windows of 1s", "a machine",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "p99 at") {
		t.Error("a row that was not measured is in the table")
	}
}
