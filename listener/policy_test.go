package listener

import (
	"crypto/tls"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// No mode gets weaker because a field is empty or misspelt.
func TestCompileRefuses(t *testing.T) {
	s := newSite(t)
	good := s.config(s.verify(RefuseReset))
	for _, test := range []struct {
		name   string
		change func(*Config)
		path   string
		says   string
	}{
		{"mode", func(c *Config) { c.MutualAuthentication.Mode = "Verify" }, "mutual_authentication.mode", "verify"},
		{"refusal", func(c *Config) { c.MutualAuthentication.OnRefusal = "deny" }, "mutual_authentication.on_refusal", "forbidden"},
		{"no store", func(c *Config) { c.MutualAuthentication.Store = nil }, "mutual_authentication.trust_store", "needs a trust store"},
		{"verify over HTTP", func(c *Config) { c.Protocol, c.Certificates = ProtocolHTTP, nil }, "mutual_authentication.mode", "HTTPS"},
		{"depth", func(c *Config) { c.MutualAuthentication.Trust = &trust.Policy{MaxDepth: -1} }, "mutual_authentication.max_chain_depth", "-1"},
		{"no certificate", func(c *Config) { c.Certificates = nil }, "certificates", "is empty"},
		{"TLS policy", func(c *Config) { c.SecurityPolicy = "ELBSecurityPolicy-2042" }, "ssl_policy", "2042"},
		{"proxy sources", func(c *Config) { c.ProxyProtocol = &ProxyProtocolConfig{Mode: "require"} }, "proxy_protocol.trusted_sources", ""},
		{"no action", func(c *Config) { c.DefaultActions = nil }, "default_actions", ""},
		{"no such group", func(c *Config) {
			c.DefaultActions = []ActionConfig{{Forward: &ForwardConfig{TargetGroups: []WeightedGroup{{Name: "ghost"}}}}}
		}, "", "ghost"},
	} {
		cfg := good
		test.change(&cfg)
		p, err := Compile(cfg, nil)
		if p != nil {
			t.Errorf("%s: compiles", test.name)
		}
		if !slices.ContainsFunc(fault.All(err), func(f *fault.Fault) bool { return f.Path == test.path && strings.Contains(f.Problem, test.says) }) {
			t.Errorf("%s: no fault at %q that says %q: %v", test.name, test.path, test.says, err)
		}
	}
	// All faults at once.
	cfg := good
	cfg.MutualAuthentication.Mode, cfg.SecurityPolicy, cfg.DefaultActions = "on", "none", nil
	if _, err := Compile(cfg, nil); len(fault.All(err)) != 3 {
		t.Errorf("three mistakes give %v", err)
	}
}

func TestCompileDefaults(t *testing.T) {
	s := newSite(t)
	cfg := s.config(MutualAuthentication{})
	cfg.Timeouts = Timeouts{}
	p := compiled(t, cfg, nil)
	want := Timeouts{DefaultClientHello, DefaultHandshake, DefaultRequestHeaders, DefaultIdleTimeout, DefaultClientKeepAlive, 0}
	if p.timeouts != want || p.maxConnections != DefaultMaxConnections || p.mtls.Mode != ModeOff || p.mtls.OnRefusal != RefuseReset {
		t.Errorf("got %+v, %d connections, %q, %q", p.timeouts, p.maxConnections, p.mtls.Mode, p.mtls.OnRefusal)
	}
	if p.tlsBase.MinVersion != tls.VersionTLS12 || p.tlsBase.ClientAuth != tls.NoClientCert {
		t.Errorf("TLS from %x, client authentication %v", p.tlsBase.MinVersion, p.tlsBase.ClientAuth)
	}
}

// An empty trust store refuses everybody; a nil trust policy is the strictest one.
func TestVerifyWithNothingSet(t *testing.T) {
	s := newSite(t)
	m := MutualAuthentication{Mode: ModeVerify, Store: trust.NewStore("empty", trust.Options{Log: slog.New(slog.DiscardHandler)})}
	f := startFront(t, s.config(m))
	if err := firstRead(f.tls(s.client(s.acme))); !isReset(err) {
		t.Errorf("the client got %v", err)
	}
	if e := f.conns.entries(t, 1)[0]; e["tls_verify_status"] != "Failed:ClientCertUntrusted" {
		t.Errorf("the log has %v", e)
	}
	s.publish(m.Store, nil, s.root)
	f.get(s.client(s.acme))
	if err := firstRead(f.tls(s.client(s.sub.Client("old", pki.Expired)))); !isReset(err) {
		t.Errorf("an expired client got %v", err)
	}
}

func TestOpenRefusesABusyAddress(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(MutualAuthentication{}))
	cfg := s.config(MutualAuthentication{})
	cfg.Address = f.addr
	l := New(compiled(t, cfg, nil), slog.New(slog.DiscardHandler))
	err := l.Open()
	if err == nil || !strings.Contains(err.Error(), `listener "front": opening `+f.addr) || l.Addr() != nil {
		t.Errorf("got %v", err)
	}
	l.Close()
}
