package lb

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// TestExpiryLog lets the clock pass over a certificate and a list.
func TestExpiryLog(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	const day = 24 * time.Hour
	ca := pki.NewRoot("Ending", pki.Window(start.Add(-day), start.Add(40*day)))
	list, err := crl.Read(bytes.NewReader(ca.CRL(1))) // for a week
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := trust.ParseBundle(ca.PEM(), start)
	if err != nil {
		t.Fatal(err)
	}
	set, err := crl.NewSet([]crl.Source{{Name: "a.crl", List: list}}, bundle.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	told := &expiryLog{logger: slog.New(slog.NewTextHandler(&out, nil))}
	look := func(after time.Duration) string {
		out.Reset()
		now := start.Add(after)
		told.look(append(datedLists("partners", set, now), datedCertificate("trust_store", "partners", ca.Cert, now)), now)
		var codes []string
		for line := range strings.Lines(out.String()) {
			_, code, _ := strings.Cut(line, "code=")
			codes = append(codes, strings.Fields(code)[0])
		}
		return strings.Join(codes, " ")
	}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, ""},
		{6*day + 12*time.Hour, "due"},
		{6*day + 13*time.Hour, ""},
		{7*day + time.Minute, "expired"},
		{8 * day, ""},
		{8*day + time.Minute, "expired"},
		{10*day - time.Minute, "expired"},
		{10*day + time.Minute, "expires-within-30-days"},
		{10*day + 2*time.Minute, ""},
		{11*day + time.Minute, "expired expires-within-30-days"},
		{33*day + time.Minute, "expired expires-within-7-days"},
		{39*day + time.Minute, "expired expires-within-1-day"},
		{40*day + time.Minute, "expired expired"},
		{40*day + time.Hour, ""},
	} {
		if got := look(step.after); got != step.want {
			t.Errorf("after %v: %q, want %q", step.after, got, step.want)
		}
	}
}

// A thing that is new was told of when it was read; after a day it is told of again.
func TestExpiryLogLeavesNewThingsToTheReload(t *testing.T) {
	var out bytes.Buffer
	told := &expiryLog{logger: slog.New(slog.NewTextHandler(&out, nil))}
	things := []dated{{key: sha256.Sum256(nil), code: "expired", what: "expiry"}}
	start := time.Now()
	told.look(things, start)
	told.look(things, start.Add(expiryRepeat-time.Second))
	if out.Len() > 0 {
		t.Errorf("told of again: %s", out.String())
	}
	told.look(things, start.Add(expiryRepeat))
	if !strings.Contains(out.String(), "level=ERROR") {
		t.Errorf("not told of after a day: %q", out.String())
	}
}

func TestExpiryLogIsBounded(t *testing.T) {
	var out bytes.Buffer
	told := &expiryLog{logger: slog.New(slog.NewTextHandler(&out, nil))}
	var things []dated
	for i := range 3 * maxExpiryLines {
		things = append(things, dated{key: sha256.Sum256([]byte(fmt.Sprint(i))), what: "expiry"})
	}
	told.look(things, time.Now())
	for i := range things {
		things[i].code = "expired"
	}
	told.look(things, time.Now())
	if lines := strings.Count(out.String(), "\n"); lines != maxExpiryLines+1 || !strings.Contains(out.String(), fmt.Sprintf("count=%d", 2*maxExpiryLines)) {
		t.Errorf("%d lines", lines)
	}
}

func TestLabelsAreCut(t *testing.T) {
	if got := label(strings.Repeat("ä", maxLabel)); len(got) > maxLabel || !strings.HasSuffix(got, "ä…") {
		t.Errorf("label %q of %d bytes", got, len(got))
	}
	if got := label("CN=short"); got != "CN=short" {
		t.Errorf("label %q", got)
	}
}
