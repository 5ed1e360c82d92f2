package lb

import (
	"reflect"
	"testing"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// TestDefaultsAgree holds the defaults of the file to those of the packages that
// act on them: who embeds one gets what the file would have given.
func TestDefaultsAgree(t *testing.T) {
	file, err := config.Parse("f", []byte(`
listeners:
  - {name: a, address: ":1", protocol: HTTP, default_actions: [{fixed_response: {status_code: 200}}]}
target_groups:
  - {name: http1}
  - {name: grpc, protocol_version: GRPC}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tg := range file.TargetGroups {
		got := targetGroupConfig(tg, file, nil, nil)
		got.OnStateChange = nil
		want := targetgroup.Config{Name: tg.Name, ProtocolVersion: targetgroup.ProtocolVersion(tg.ProtocolVersion)}.WithDefaults()
		got.ConnectTimeout = want.ConnectTimeout // no key sets it
		if !reflect.DeepEqual(got, want) {
			t.Errorf("target group %s: the file gives\n%+v, package targetgroup\n%+v", tg.Name, got, want)
		}
	}
	wantTimeouts := listener.Timeouts{
		ClientHello: listener.DefaultClientHello, Handshake: listener.DefaultHandshake,
		RequestHeaders: listener.DefaultRequestHeaders, Idle: listener.DefaultIdleTimeout,
		KeepAlive: listener.DefaultClientKeepAlive, Drain: file.LoadBalancer.DrainTimeout,
	}
	if got := timeouts(file.Listeners[0], file.LoadBalancer); got != wantTimeouts {
		t.Errorf("timeouts %+v, package listener has %+v", got, wantTimeouts)
	}
	for _, tt := range []struct {
		what      string
		file, own any
	}{
		{"security policy", config.DefaultSSLPolicy, listener.DefaultSecurityPolicy},
		{"connections", config.DefaultMaxConnections, listener.DefaultMaxConnections},
		{"chain depth", config.DefaultMaxChainDepth, trust.DefaultMaxDepth},
		{"PROXY header timeout", file.Listeners[0].ProxyProtocol.HeaderTimeout, listener.DefaultProxyHeaderTimeout},
		{"groups of a forward action", config.MaxForwardGroups, listener.MaxForwardGroups},
		{"traffic port", config.TrafficPort, targetgroup.TrafficPort},
	} {
		if tt.file != tt.own {
			t.Errorf("%s: %v in the file, %v in the package", tt.what, tt.file, tt.own)
		}
	}
}
