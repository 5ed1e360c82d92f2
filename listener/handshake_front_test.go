package listener

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
	"github.com/prometheus/client_golang/prometheus"
)

// The deadlines of the handshake end with it.
func TestNoDeadlineOutlivesTheHandshake(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.Timeouts.ClientHello, cfg.Timeouts.Handshake = 2*short, 2*short
	f := startFront(t, cfg)
	tc, h2 := f.connect(s.client(s.acme)), f.connectH2(s.client(s.acme))
	f.conns.wait(t, 2)
	time.Sleep(3 * short)
	if _, err := ask(tc, request()); err != nil {
		t.Errorf("HTTP/1.1: %v", err)
	}
	h2.ask(1, "/")
	if body, _, _ := h2.until(1); body != "here" {
		t.Errorf("HTTP/2: got %q", body)
	}
}

// Every attempt is counted once, under what became of it.
func TestHandshakesAreCounted(t *testing.T) {
	s := newSite(t)
	stolen := s.acme.TLS()
	stolen.PrivateKey = s.sub.Client("thief").Key
	for _, test := range []struct {
		name   string
		on     Refusal
		client func(f *front)
		want   string
	}{
		{"accepted", RefuseReset, func(f *front) { f.get(s.client(s.acme)) }, "{accepted,}"},
		{"expired", RefuseReset, func(f *front) { firstRead(f.tls(s.client(s.sub.Client("old", pki.Expired)))) }, "{refused,ClientCertExpired}"},
		{"expired, forbidden", RefuseForbidden, func(f *front) { f.get(s.client(s.sub.Client("old", pki.Expired))) }, "{refused,ClientCertExpired}"},
		{"none", RefuseReset, func(f *front) { firstRead(f.tls(s.client(nil))) }, "{refused,ClientCertMissing}"},
		{"none, found out by crypto/tls", RefuseAlert, func(f *front) { firstRead(f.tls(s.client(nil))) }, "{refused,ClientCertMissing}"},
		{"a key that is not the certificate's", RefuseReset, func(f *front) { firstRead(f.tls(presenting(s.client(nil), stolen))) }, "{failed,UnmappedConnectionError}"},
		{"not TLS", RefuseReset, func(f *front) { io.WriteString(f.dial(), "GET / HTTP/1.1\r\n\r\n") }, "{failed,NotTLS}"},
		{"gone", RefuseReset, func(f *front) { f.dial().Close() }, "{failed,Closed}"},
		{"version", RefuseReset, func(f *front) {
			firstRead(f.tls(with(s.client(s.acme), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })))
		}, "{failed,Version}"},
		{"distrusts us", RefuseReset, func(f *front) {
			firstRead(f.tls(with(s.client(s.acme), func(c *tls.Config) { c.RootCAs = nil })))
		}, "{failed,ClientAlert}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			cfg := s.config(s.verify(test.on))
			cfg.Metrics = NewMetrics(reg).Listener("front")
			f := startFront(t, cfg)
			test.client(f)
			f.conns.wait(t, 1)
			f.hangUp()
			f.stop()
			f.conns.entries(t, 1)
			got := series(t, reg)
			total := 0.0
			for _, outcome := range []string{HandshakeAccepted, HandshakeRefused, HandshakeFailed} {
				for name, n := range got {
					if len(name) > 17 && name[:17] == "handshakes_total{" && name[17:17+len(outcome)] == outcome {
						total += n
					}
				}
			}
			if got["handshakes_total"+test.want] != 1 || total != 1 {
				t.Errorf("%v handshakes, %v of them %s: %v", total, got["handshakes_total"+test.want], test.want, got)
			}
		})
	}
}

// Ticket keys are lent to the next policy only if nothing that matters differs.
func TestTicketKeysAreLent(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	before := compiled(t, cfg, nil)
	if compiled(t, cfg, before).tickets != before.tickets {
		t.Error("a reload that changes nothing loses the sessions")
	}
	for name, change := range map[string]func(*Config){
		"name":       func(c *Config) { c.Name = "front-2" },
		"mode":       func(c *Config) { c.MutualAuthentication.Mode = ModePassthrough },
		"on_refusal": func(c *Config) { c.MutualAuthentication.OnRefusal = RefuseAlert },
		"ssl_policy": func(c *Config) { c.SecurityPolicy = "ELBSecurityPolicy-TLS13-1-3-2021-06" },
		"depth":      func(c *Config) { c.MutualAuthentication.Trust = &trust.Policy{MaxDepth: 2} },
		"expiry":     func(c *Config) { c.MutualAuthentication.Trust = &trust.Policy{IgnoreExpiry: true} },
		"store":      func(c *Config) { c.MutualAuthentication.Store = s.newStore("others", s.root) },
	} {
		changed := cfg
		change(&changed)
		if compiled(t, changed, before).tickets == before.tickets {
			t.Errorf("the keys survive another %s", name)
		}
	}
}

// What crypto/tls holds of a client's certificates as long as a connection lives is
// the same for all its connections, and still what the client sent.
func TestConnectionsShareTheirChain(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		f := startFront(t, s.config(s.verify(RefuseReset)))
		resuming, _ := s.resuming(s.acme, version)
		for i, cfg := range []*tls.Config{with(s.client(s.acme), upTo(version)), with(s.client(s.acme), upTo(version)), resuming, resuming, resuming} {
			tc := f.connect(cfg)
			defer tc.Close()
			if _, err := ask(tc, request()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the connection", func() bool { return len(f.live.list()) == i+1 })
		}
		held := map[*x509.Certificate]int{}
		for _, c := range f.live.list() {
			state := c.tc.ConnectionState()
			for i, cert := range state.PeerCertificates {
				if !cert.Equal(s.acme.Chain()[i]) || cert != c.presented[i] {
					t.Errorf("certificate %d is %s", i, cert.Subject)
				}
				held[cert]++
			}
			if len(state.PeerCertificates) != len(s.acme.Chain()) {
				t.Errorf("%d certificates", len(state.PeerCertificates))
			}
		}
		// One chain since the first handshake, another since the first resumption.
		if len(held) > 2*len(s.acme.Chain()) {
			t.Errorf("five connections hold %d certificates", len(held))
		}
	})
}
