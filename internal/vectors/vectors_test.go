package vectors_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/vectors"
)

const suite = `{"name":"S","at":"2026-01-01T00:00:00Z","inapplicable":{"host":"No host."},"differences":{"dsa":"No DSA."},
"counts":{"agree":0,"difference":0,"inapplicable":0},"cases":[CASES]}`

func open(t *testing.T, cases string) (*vectors.Suite, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s.json"), []byte(strings.Replace(suite, "CASES", cases, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "s.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	w, err := z.Create("leaf.cer")
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("DER"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := vectors.Open(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// What is said of a case has to fit its answer.
func TestTally(t *testing.T) {
	for _, tt := range []struct {
		cases string
		want  vectors.Counts
		fault string
	}{
		{`{"name":"a","expect":"accept","answer":"accept"}`, vectors.Counts{Agree: 1}, ""},
		{`{"name":"a","expect":"refuse","answer":"ClientCertExpired"}`, vectors.Counts{Agree: 1}, ""},
		{`{"name":"a","expect":"accept","answer":"ClientCertExpired","difference":"dsa"}`, vectors.Counts{Difference: 1}, ""},
		{`{"name":"a","expect":"accept","inapplicable":"host"}`, vectors.Counts{Inapplicable: 1}, ""},
		{`{"name":"a","expect":"accept"}`, vectors.Counts{}, "no sentence"},
		{`{"name":"a","expect":"refuse","answer":"accept"}`, vectors.Counts{}, "no sentence"},
		{`{"name":"a","expect":"refuse","answer":"accept","difference":"other"}`, vectors.Counts{}, "no sentence"},
		{`{"name":"a","expect":"accept","answer":"accept","difference":"dsa"}`, vectors.Counts{}, "marked"},
		{`{"name":"a","expect":"maybe","answer":"accept"}`, vectors.Counts{}, "maybe"},
		{`{"name":"a","expect":"accept","inapplicable":"other"}`, vectors.Counts{Inapplicable: 1}, "no sentence"},
	} {
		s, _ := open(t, tt.cases)
		got, err := s.Tally()
		if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %+v, %v", tt.cases, got, err)
		}
	}
}

func TestSavedIsReadAgain(t *testing.T) {
	s, dir := open(t, `{"name":"a","expect":"accept","answer":"accept","chain":["leaf"]},{"name":"b","expect":"refuse"}`)
	s.Cases[1].Answer = "ClientCertExpired"
	s.Counts, _ = s.Tally()
	if err := s.Save(dir, "s"); err != nil {
		t.Fatal(err)
	}
	again, err := vectors.Open(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Cases) != 2 || again.Cases[1].Answer != "ClientCertExpired" || again.Counts.Agree != 2 || again.Name != "S" || !again.Time(&again.Cases[0]).Equal(s.At) {
		t.Errorf("read %+v", again)
	}
	ders, err := again.Certificates("leaf")
	if err != nil || len(ders) != 1 || string(ders[0]) != "DER" {
		t.Errorf("certificates %q, %v", ders, err)
	}
	if _, err := again.Certificates("lost"); err == nil {
		t.Error("a certificate that is not there was found")
	}
}
