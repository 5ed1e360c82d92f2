package listener

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A stickyCache gives the last session to every server, whatever its name: what an
// attacker's client would do.
type stickyCache struct{ session *tls.ClientSessionState }

func (c *stickyCache) Get(string) (*tls.ClientSessionState, bool) { return c.session, c.session != nil }
func (c *stickyCache) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.session = s
	}
}

// resuming is a client that offers the session it got last.
func (s *site) resuming(who *pki.Entity, version uint16) (*tls.Config, *stickyCache) {
	cache := &stickyCache{}
	cfg := with(s.client(who), upTo(version))
	cfg.ClientSessionCache = cache
	return cfg, cache
}

// resumed makes one request and reports whether its session was resumed, which
// the log must say too.
func (f *front) resumed(cfg *tls.Config) bool {
	f.t.Helper()
	n := len(f.conns.all())
	a := f.get(cfg)
	if a.StatusCode != 200 {
		f.t.Fatalf("status %d", a.StatusCode)
	}
	e := f.conns.entries(f.t, n+1)[n]
	if e["resumed"] != a.resumed || e["tls_verify_status"] != "Success" {
		f.t.Errorf("resumed is %v for the client, the log has %v", a.resumed, e)
	}
	return a.resumed
}

// bothVersions runs a test for TLS 1.2 and 1.3.
func bothVersions(t *testing.T, test func(*testing.T, *site, uint16)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { test(t, newSite(t), version) })
	}
}

// The identity survives resumption, and so does the chain in passthrough.
func TestResumptionKeepsTheIdentity(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		for _, m := range []MutualAuthentication{
			{}, {Mode: ModePassthrough}, s.verify(RefuseReset), s.verify(RefuseAlert), s.verify(RefuseForbidden),
		} {
			target := newRawTarget(t)
			f := startFront(t, forwarding(t, s.config(m), target.Addr().String()))
			cfg, _ := s.resuming(s.acme, version)
			var heads []string
			for i := range 3 {
				if got := f.resumed(cfg); got != (i > 0) {
					t.Errorf("mode %s %s, connection %d: resumed is %v", m.Mode, m.OnRefusal, i, got)
				}
				heads = append(heads, fmt.Sprint(target.headers("x-amzn-mtls")))
			}
			if heads[0] != heads[1] || heads[1] != heads[2] || (heads[0] == "[]") != (m.Mode == "") {
				t.Errorf("mode %s: the target got %q", m.Mode, heads)
			}
		}
	})
}

// What is decided of a client is decided again when it resumes.
func TestResumptionDecidesAgain(t *testing.T) {
	for _, on := range []Refusal{RefuseReset, RefuseAlert, RefuseForbidden} {
		bothVersions(t, func(t *testing.T, s *site, version uint16) {
			f := startFront(t, s.config(s.verify(on)))
			cfg, _ := s.resuming(s.acme, version)
			f.resumed(cfg)
			if !f.resumed(cfg) {
				t.Fatal("not resumed while nothing has changed")
			}
			s.store.SetRevocations(s.revokes(s.sub, s.acme))
			wire := f.dial()
			tc := tls.Client(wire, cfg)
			if on == RefuseForbidden {
				if a, err := ask(tc, request()); err != nil || a.StatusCode != 403 {
					t.Errorf("got %v, %v", a, err)
				}
			} else if err := firstRead(tc); on == RefuseReset {
				if !isReset(err) {
					t.Errorf("the client got %v, want a reset", err)
				}
				noAlert(t, wire, version)
			} else if !strings.Contains(err.Error(), "remote error") {
				t.Errorf("the client got %v, want an alert", err)
			}
			f.hangUp()
			f.stop()
			if e := f.conns.entries(t, 3)[2]; e["tls_verify_status"] != "Failed:ClientCertCrlHit" {
				t.Errorf("the log has %v", e)
			}
		})
	}
}

// Whatever was different when the ticket was issued, a full handshake follows and
// the client must prove again who it is.
func TestChangesEndSessions(t *testing.T) {
	filter, err := trust.NewFilter(trust.FilterConfig{SubjectCN: []string{"acme-*"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		change  func(s *site, f *front)
		resumes bool
	}{
		{"nothing", func(*site, *front) {}, true},
		{"a reload that changes nothing", func(s *site, f *front) { f.apply(s.config(s.verify(RefuseReset))) }, true},
		{"rules", func(s *site, f *front) {
			cfg := s.config(s.verify(RefuseReset))
			cfg.DefaultActions = fixed(200, "there")
			f.apply(cfg)
		}, true},
		{"a list that does not revoke the client", func(s *site, f *front) {
			s.store.SetRevocations(s.revokes(s.sub, s.sub.Client("other")))
		}, true},
		{"trust store replaced", func(s *site, f *front) { s.publish(s.store, nil, s.root, pki.NewRoot("Another Root")) }, false},
		{"another store", func(s *site, f *front) {
			m := s.verify(RefuseReset)
			m.Store = s.newStore("others", s.root)
			f.apply(s.config(m))
		}, false},
		{"filters", func(s *site, f *front) {
			m := s.verify(RefuseReset)
			m.Trust = &trust.Policy{Filters: []trust.Filter{filter}}
			f.apply(s.config(m))
		}, false},
		{"depth", func(s *site, f *front) {
			m := s.verify(RefuseReset)
			m.Trust = &trust.Policy{MaxDepth: 3}
			f.apply(s.config(m))
		}, false},
		{"on_refusal", func(s *site, f *front) { f.apply(s.config(s.verify(RefuseForbidden))) }, false},
		{"mode", func(s *site, f *front) { f.apply(s.config(MutualAuthentication{Mode: ModePassthrough})) }, false},
		{"TLS policy", func(s *site, f *front) {
			cfg := s.config(s.verify(RefuseReset))
			cfg.SecurityPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
			f.apply(cfg)
		}, false},
		{"session_resumption off", func(s *site, f *front) {
			m := s.verify(RefuseReset)
			m.NoSessionResumption = true
			f.apply(s.config(m))
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bothVersions(t, func(t *testing.T, s *site, version uint16) {
				f := startFront(t, s.config(s.verify(RefuseReset)))
				cfg, _ := s.resuming(s.acme, version)
				f.resumed(cfg)
				test.change(s, f)
				if got := f.resumed(cfg); got != test.resumes {
					t.Errorf("resumed is %v", got)
				}
			})
		})
	}
}

// A ticket is good at the listener that issued it and nowhere else, though the
// server certificate is the same.
func TestTicketsDoNotTravel(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		other := s.verify(RefuseReset)
		other.Store = s.newStore("others", s.root, pki.NewRoot("Another Root"))
		named := s.config(s.verify(RefuseReset))
		named.Name = "front-2"
		configs := []Config{
			s.config(MutualAuthentication{}), s.config(MutualAuthentication{Mode: ModePassthrough}),
			s.config(s.verify(RefuseReset)), s.config(s.verify(RefuseForbidden)), s.config(other), named,
			s.config(s.verify(RefuseReset)), // the same again, in another process as it were
		}
		fronts := make([]*front, len(configs))
		for i, cfg := range configs {
			fronts[i] = startFront(t, cfg)
		}
		for i, from := range fronts {
			for j, to := range fronts {
				cfg, _ := s.resuming(s.acme, version)
				from.resumed(cfg)
				if got := to.resumed(cfg); got != (i == j) {
					t.Errorf("from listener %d to %d: resumed is %v", i, j, got)
				}
			}
		}
	})
}

// The server name is part of what the client was admitted for.
func TestTicketsAreForOneName(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		f := startFront(t, s.config(s.verify(RefuseReset)))
		cfg, _ := s.resuming(s.acme, version)
		f.resumed(cfg)
		side := with(cfg, func(cfg *tls.Config) { cfg.ServerName = sideHost })
		if f.resumed(side) {
			t.Error("a session for one name was resumed for another")
		}
		if !f.resumed(side) {
			t.Error("the session for the other name was not resumed")
		}
	})
}

func TestTicketsOfClientsWithoutCertificate(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		target := newRawTarget(t)
		f := startFront(t, forwarding(t, s.config(MutualAuthentication{Mode: ModePassthrough}), target.Addr().String()))
		cfg, cache := s.resuming(nil, version)
		f.resumed(cfg)
		<-target.heads
		if cache.session == nil {
			t.Fatal("no ticket came, so that nothing is tested")
		}
		withCert := presenting(cfg, s.acme.TLS())
		if f.resumed(withCert) {
			t.Error("resuming would have hidden the client's certificate")
		}
		if got := target.headers("x-amzn-mtls"); len(got) != 1 {
			t.Errorf("the target got %q", got)
		}
	})
}

func TestNoTicketsWithoutResumption(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		for _, m := range []MutualAuthentication{s.verify(RefuseReset), {Mode: ModePassthrough}} {
			m.NoSessionResumption = true
			f := startFront(t, s.config(m))
			cfg, cache := s.resuming(s.acme, version)
			if f.resumed(cfg); cache.session != nil {
				t.Errorf("mode %s: a ticket came", m.Mode)
			}
			if f.resumed(cfg) {
				t.Errorf("mode %s: resumed", m.Mode)
			}
		}
	})
}

// Tickets issued to resumed sessions carry the time of the first authentication.
func TestTicketsEndWithTheFirstAuthentication(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		time := new(clock)
		config := s.config(s.verify(RefuseReset))
		config.now = time.now
		f := startFront(t, config)
		cfg, _ := s.resuming(s.acme, version)
		for i, step := range []struct {
			advance float64 // of ticketMaxAge
			resumes bool
		}{{0, false}, {0.6, true}, {0.39, true}, {0.02, false}, {0.9, true}, {0.11, false}, {1.01, false}} {
			time.advance(duration(step.advance))
			if got := f.resumed(cfg); got != step.resumes {
				t.Errorf("connection %d: resumed is %v", i, got)
			}
		}
	})
}

func duration(ages float64) time.Duration { return time.Duration(ages * float64(ticketMaxAge)) }

// The clock of a client's certificate is looked at when it resumes.
func TestExpiredWhileAway(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		clock := new(clock)
		config := s.config(s.verify(RefuseReset))
		config.now = clock.now
		f := startFront(t, config)
		cfg, _ := s.resuming(s.sub.Client("brief", pki.Window(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))), version)
		f.resumed(cfg)
		clock.advance(2 * time.Hour)
		if a, err := ask(tls.Client(f.dial(), cfg), request()); err == nil {
			t.Errorf("a client whose certificate has expired got %d", a.StatusCode)
		}
		if e := f.conns.entries(t, 2)[1]; e["tls_verify_status"] != "Failed:ClientCertExpired" {
			t.Errorf("the log has %v", e)
		}
	})
}

func TestTicketKeysRotate(t *testing.T) {
	now := time.Now()
	keys := newTicketKeys(func() time.Time { return now })
	scope := []byte("scope")
	first := keys.seal([]byte("one"), scope)
	now = now.Add(ticketKeyLife + time.Minute)
	second := keys.seal([]byte("two"), scope)
	if string(first[:ticketKeyIDLen]) == string(second[:ticketKeyIDLen]) {
		t.Error("the key was not changed")
	}
	if string(keys.open(first, scope)) != "one" || string(keys.open(second, scope)) != "two" {
		t.Error("a ticket of the key before, or of this one, does not open")
	}
	for _, bad := range [][]byte{nil, first[:3], first[:ticketKeyIDLen], append(first[:len(first):len(first)], 0), {1, 2, 3, 4, 5}} {
		if keys.open(bad, scope) != nil {
			t.Errorf("%x opens", bad)
		}
	}
	if keys.open(first, []byte("scopf")) != nil {
		t.Error("a ticket opens in another scope")
	}
	now = now.Add(ticketKeyLife)
	if keys.open(first, scope) != nil {
		t.Error("a key is in use after its time")
	}
	if string(keys.open(second, scope)) != "two" {
		t.Error("the key that seals does not open")
	}
}
