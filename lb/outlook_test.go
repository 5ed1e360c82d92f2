package lb

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// TestOutlookWarner lets a list get old: it is warned of when its grace begins and when
// that ends, and once an hour in between.
func TestOutlookWarner(t *testing.T) {
	ca, now := pki.NewRoot("CA"), time.Now()
	bundle, err := trust.ParseBundle(ca.PEM(), now)
	if err != nil {
		t.Fatal(err)
	}
	list, err := crl.Parse(ca.SignCRL(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
	set, err := crl.NewSet([]crl.Source{{Name: "ca.crl", List: list}}, bundle.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := trust.NewRevocationPolicy(trust.RevocationConfig{RevocationRule: trust.RevocationRule{Expired: trust.RevocationGrace, Grace: 3 * time.Hour}}, bundle)
	if err != nil {
		t.Fatal(err)
	}
	store := trust.NewStore("partners", trust.Options{})
	store.Replace(trust.Content{Bundle: bundle, Revocations: set, RevocationPolicy: policy})
	var log bytes.Buffer
	w := outlookWarner{logger: slog.New(slog.NewTextHandler(&log, nil))}
	for _, at := range []struct {
		after time.Duration
		want  string
	}{
		{0, ""}, {61 * time.Minute, "will be refused from"}, {62 * time.Minute, ""}, {120 * time.Minute, ""},
		{121 * time.Minute, "will be refused from"}, {241 * time.Minute, "are refused since"}, {242 * time.Minute, ""},
	} {
		log.Reset()
		w.look(map[string]*trust.Store{"partners": store}, now.Add(at.after))
		if got := log.String(); (got == "") != (at.want == "") || !strings.Contains(got, at.want) {
			t.Errorf("after %v: %q, want %q", at.after, got, at.want)
		}
	}
}
