package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// TestOutlook compares what is foretold with what is decided.
func TestOutlook(t *testing.T) {
	none, fresh, graceful, stale, excused := pki.NewRoot("none"), pki.NewRoot("fresh"), pki.NewRoot("graceful"), pki.NewRoot("stale"), pki.NewRoot("excused")
	renewed := pki.NewRoot("fresh", pki.Key(fresh.Key))
	now := time.Now()
	b := bundle(t, none.Cert, fresh.Cert, graceful.Cert, stale.Cert, excused.Cert, renewed.Cert, pki.NewSelfSigned("pinned").Cert)
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: b,
		Revocations: lists(t, b.Certificates, list(fresh, now, time.Hour), list(graceful, now, -time.Hour), list(stale, now, -7*time.Hour)),
		RevocationPolicy: policy(t, trust.RevocationConfig{
			RevocationRule: trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationGrace, Grace: testGrace},
			Authorities: []trust.RevocationAuthority{{Subject: "CN=excused,O=Postern",
				RevocationRule: trust.RevocationRule{Missing: trust.RevocationAllow, Expired: trust.RevocationAllow}}},
		}, b)})
	want := []struct {
		ca   *pki.Entity
		text string
	}{{none, "no revocation list"}, {fresh, ""}, {graceful, "will be refused from"}, {stale, "are refused since"}}
	all := s.Outlook()
	if len(all) != len(want) {
		t.Fatalf("%d CAs, want %d: %+v", len(all), len(want), all)
	}
	for i, w := range want {
		o := all[i]
		problem := o.Problem(now)
		if !strings.Contains(o.Subject, w.ca.Cert.Subject.CommonName) || (problem == "") != (w.text == "") || !strings.Contains(problem, w.text) {
			t.Errorf("%+v: %q, want %q", o, problem, w.text)
		}
		refused := !s.Verify(w.ca.Client("c").Chain(), nil, now).Accepted
		if denied := o.Missing || (!o.Denies.IsZero() && now.After(o.Denies)); denied != refused {
			t.Errorf("%s: foretold %v, decided %v", o.Subject, denied, refused)
		}
	}
	if (*trust.RevocationPolicy)(nil).Outlook(b, nil) != nil {
		t.Error("ALB's policy has an outlook")
	}
}

// A CA whose lists are partitions has lists, though none speaks of a certificate that
// names no distribution point.
func TestOutlookOfPartitions(t *testing.T) {
	ca := pki.NewRoot("partitioned")
	b := bundle(t, ca.Cert)
	der := ca.SignCRL(&x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true,
			Value: append([]byte{0x30, 0x0e, 0xa0, 0x0c, 0xa0, 0x0a, 0x86, 0x08}, "http://a"...)}},
	})
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: b, Revocations: lists(t, b.Certificates, der), RevocationPolicy: policy(t,
		trust.RevocationConfig{RevocationRule: trust.RevocationRule{Missing: trust.RevocationDeny}}, b)})
	if all := s.Outlook(); len(all) != 1 || all[0].Missing {
		t.Errorf("the outlook is %+v", all)
	}
	named := pki.Template(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://a"} })
	checkVerdict(t, s.Verify(ca.Client("c", named).Chain(), nil, time.Now()), "", -1)
	checkVerdict(t, s.Verify(ca.Client("c").Chain(), nil, time.Now()), trust.ClientCertCrlProcessingError, 0)
}
