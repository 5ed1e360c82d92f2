package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/vectors"
	"github.com/postern-lb/postern/trust"
)

// TestVectorsByCommand asks postern verify about the cases of NIST's PKITS, given
// as files: the answer is what trust's TestVectors finds for the same case.
func TestVectorsByCommand(t *testing.T) {
	s, err := vectors.Open("../../trust/testdata/vectors", "pkits")
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Inapplicable == "" {
			t.Run(c.Name, func(t *testing.T) { askCommand(t, s, c) })
		}
	}
}

func askCommand(t *testing.T, s *vectors.Suite, c *vectors.Case) {
	dir := t.TempDir()
	args := []string{
		"verify", "--json", "--at", s.Time(c).Format(time.RFC3339), "--max-depth", strconv.Itoa(trust.LargestMaxDepth),
		"--trust-store", asPEM(t, filepath.Join(dir, "bundle.pem"), s.Certificates, c.Trusted),
	}
	for _, name := range c.CRLs {
		args = append(args, "--crl", asPEM(t, filepath.Join(dir, name+".crl"), s.Lists, []string{name}))
	}
	args = append(args, asPEM(t, filepath.Join(dir, "chain.pem"), s.Certificates, c.Chain))
	var stdout, stderr bytes.Buffer
	code := execute(&streams{context.Background(), &stdout, &stderr}, args)
	if code == exitUnusable {
		// A bundle or a list that is not put in force; no reason has a blank in it.
		if !strings.Contains(c.Answer, " ") {
			t.Errorf("not usable, want %s: %s", c.Answer, &stderr)
		}
		return
	}
	var got struct {
		Accepted bool
		Reason   string
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, &stdout)
	}
	want := c.Answer
	switch want {
	case vectors.Accept:
		want = ""
	case "certificate not parsed":
		want = string(trust.ClientCertInvalid)
	}
	if got.Reason != want || got.Accepted != (want == "") || (code == exitGood) != got.Accepted {
		t.Errorf("exit code %d, accepted %v, reason %q, want %q", code, got.Accepted, got.Reason, want)
	}
}

// asPEM writes DER files as one PEM file and returns its path.
func asPEM(t *testing.T, path string, get func(...string) ([][]byte, error), names []string) string {
	t.Helper()
	ders, err := get(names...)
	if err != nil {
		t.Fatal(err)
	}
	kind := "CERTIFICATE"
	if filepath.Ext(path) == ".crl" {
		kind = "X509 CRL"
	}
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
