package listener

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// govern gives the store of s the root and the intermediate, lists of both that expire
// after an hour, and a policy that gives those of the intermediate two more.
func (s *site) govern(now time.Time) {
	s.t.Helper()
	b, err := trust.ParseBundle(pki.PEM(s.root.Cert, s.sub.Cert), now)
	if err != nil {
		s.t.Fatal(err)
	}
	var sources []crl.Source
	for _, ca := range []*pki.Entity{s.root, s.sub} {
		list, err := crl.Parse(ca.SignCRL(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}))
		if err != nil {
			s.t.Fatal(err)
		}
		sources = append(sources, crl.Source{Name: ca.Cert.Subject.CommonName, List: list})
	}
	set, err := crl.NewSet(sources, b.Certificates)
	if err != nil {
		s.t.Fatal(err)
	}
	rules, err := trust.NewRevocationPolicy(trust.RevocationConfig{Authorities: []trust.RevocationAuthority{{
		Subject:        trust.NewIdentity(s.sub.Cert).Subject,
		RevocationRule: trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationGrace, Grace: 2 * time.Hour},
	}}}, b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.store.Replace(trust.Content{Bundle: b, Revocations: set, RevocationPolicy: rules})
}

// TestListExpiresWhileConnected holds that the end of a list's grace needs no reload: it
// ends the open connections of that CA's clients and no others, and nobody gets in
// by resuming.
func TestListExpiresWhileConnected(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		clock := new(clock)
		s.govern(clock.now())
		cfg := s.config(s.verify(RefuseReset))
		cfg.now = clock.now
		f := startFront(t, cfg)
		resuming, _ := s.resuming(s.acme, version)
		f.resumed(resuming)
		if !f.resumed(resuming) {
			t.Fatal("no session to resume")
		}
		concerned := f.connect(with(s.client(s.acme), upTo(version)))
		other := f.connect(with(s.client(s.root.Client("other")), upTo(version)))
		for _, after := range []time.Duration{0, 2 * time.Hour} { // fresh, and within the grace
			clock.advance(after)
			if n := f.CloseExpired(clock.now()); n != 0 {
				t.Errorf("%d connections closed after %v", n, after)
			}
			for _, tc := range []net.Conn{concerned, other} {
				if _, err := ask(tc, request()); err != nil {
					t.Fatalf("after %v: %v", after, err)
				}
			}
		}
		clock.advance(time.Hour + time.Second)
		if n := f.CloseExpired(clock.now()); n != 1 {
			t.Errorf("%d connections closed, want 1", n)
		}
		ended(t, concerned, time.Now())
		if _, err := ask(other, request()); err != nil {
			t.Errorf("the other CA's client got %v", err)
		}
		for _, cfg := range []*tls.Config{resuming, with(s.client(s.acme), upTo(version))} {
			n := len(f.conns.all())
			if err := firstRead(tls.Client(f.dial(), cfg)); !isReset(err) {
				t.Errorf("the client got %v, want a reset", err)
			}
			if e := f.conns.entries(t, n+1)[n]; e["tls_verify_status"] != "Failed:"+string(trust.ClientCertCrlProcessingError) {
				t.Errorf("the log has %v", e)
			}
		}
	})
}
