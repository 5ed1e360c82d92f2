package targetgroup_test

import (
	"crypto/tls"
	"github.com/postern-lb/postern/internal/pki"
	"testing"

	"github.com/postern-lb/postern/targetgroup"
)

func tlsServerConfig(e *pki.Entity) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{e.TLS()}}
}

func TestEveryProtocol(t *testing.T) {
	for _, tt := range []struct {
		protocol targetgroup.Protocol
		version  targetgroup.ProtocolVersion
		major    int
	}{
		{targetgroup.HTTP, targetgroup.HTTP1, 1},
		{targetgroup.HTTP, targetgroup.HTTP1, 2},
		{targetgroup.HTTP, targetgroup.HTTP2, 2},
		{targetgroup.HTTPS, targetgroup.HTTP1, 1},
		{targetgroup.HTTPS, targetgroup.HTTP2, 2},
	} {
		t.Run(string(tt.protocol)+"/"+string(tt.version), func(t *testing.T) {
			start := serve
			if tt.protocol == targetgroup.HTTPS {
				start = serveTLS
			}
			cfg := config(start(t, tt.version, answer("hello")))
			cfg.Protocol, cfg.ProtocolVersion = tt.protocol, tt.version
			cfg.HealthCheck.Protocol = tt.protocol
			g := newGroup(t, cfg)
			run(t, g)
			if status, body, err := get(g, tt.major); status != 200 || body != "hello" || err != nil {
				t.Fatalf("got %d %q %v, want 200 hello", status, body, err)
			}
			eventually(t, "target is healthy", isState(g, "healthy"))
			if h := g.Health()[0]; h.InFlight != 0 || h.Requests != 1 {
				t.Errorf("health %+v, want nothing in flight and one request", h)
			}
		})
	}
}
