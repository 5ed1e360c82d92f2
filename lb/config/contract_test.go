package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/postern-lb/postern/lb/config"
)

// contract is the example of the config file that the project promises.
const contract = `admin:
  address: 127.0.0.1:9901            # /healthz /readyz /metrics and the dashboard; loopback unless told otherwise
listeners:
  - name: front-door
    address: 127.0.0.1:8443
    protocol: HTTPS                  # HTTP | HTTPS
    certificates:
      - certificate: pki/server.pem
        private_key: pki/server-key.pem
    ssl_policy: ELBSecurityPolicy-TLS13-1-2-Res-2021-06
    mutual_authentication:
      mode: verify                   # off | passthrough | verify
      trust_store: partners
      ignore_client_certificate_expiry: false
      advertise_trust_store_ca_names: false
      on_refusal: reset              # reset (as ALB) | alert | forbidden (as API Gateway: HTTP 403)
      session_resumption: on         # on | off (as ALB)
      identity_filters: []           # e.g. [{san_uri: "spiffe://partners.example/*"}, {subject_cn: "acme-*"}]; empty admits all
    rules:
      - priority: 10
        conditions:
          - path_pattern: {values: ["/widgets*"]}
        actions:
          - forward: {target_groups: [{name: widgets, weight: 1}]}
      - priority: 20
        conditions:
          - path_pattern: {values: ["/ping"]}
        actions:
          - fixed_response: {status_code: 204}
    default_actions:
      - forward: {target_groups: [{name: widgets}]}
target_groups:
  - name: widgets
    protocol: HTTP                   # HTTP | HTTPS
    protocol_version: HTTP1          # HTTP1 | HTTP2 | GRPC
    targets:
      - address: 127.0.0.1:9000
    health_check: {path: /healthz, interval: 30s, timeout: 5s, healthy_threshold: 5, unhealthy_threshold: 2, matcher: "200"}
trust_stores:
  - name: partners
    ca_certificates_bundle: pki/ca-bundle.pem
    revocations: [pki/partner.crl]
logs:
  connection: {path: logs/connection.log, format: alb}   # alb | json; path "-" is standard output
  access: {path: logs/access.log, format: alb}
`

// contractFile is contract as a File, with the files of folder.
func contractFile(folder string) *config.File {
	at := func(name string) string { return filepath.Join(folder, name) }
	widgets := config.Action{Forward: &config.Forward{
		TargetGroups: []config.WeightedTargetGroup{{Name: "widgets", Weight: 1}},
	}}
	log := func(name string) *config.Log {
		return &config.Log{Path: at(name), Format: "alb", MaxSize: 100 << 20, MaxBackups: 5, Queue: 8192}
	}
	return &config.File{
		Admin: config.Admin{Address: "127.0.0.1:9901", Refusals: 256},
		LoadBalancer: config.LoadBalancer{
			Name: "postern", IdleTimeout: time.Minute, ClientKeepAlive: time.Hour, EnableHTTP2: true,
			XFFHeaderProcessingMode: "append", DrainTimeout: 30 * time.Second,
		},
		Listeners: []config.Listener{{
			Name: "front-door", Address: "127.0.0.1:8443", Protocol: "HTTPS",
			Certificates: []config.Certificate{{Certificate: at("pki/server.pem"), PrivateKey: at("pki/server-key.pem")}},
			SSLPolicy:    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
			MutualAuthentication: config.MutualAuthentication{
				Mode: "verify", TrustStore: "partners", OnRefusal: "reset", SessionResumption: "on",
				MaxChainDepth: 4,
			},
			ProxyProtocol:  config.ProxyProtocol{Mode: "off", HeaderTimeout: 3 * time.Second},
			Timeouts:       config.Timeouts{ClientHello: 5 * time.Second, Handshake: 10 * time.Second, RequestHeaders: 20 * time.Second},
			MaxConnections: 50_000, HTTP2Engine: "postern",
			Rules: []config.Rule{
				{
					Priority:   10,
					Conditions: []config.Condition{{PathPattern: &config.PathPattern{Values: []string{"/widgets*"}}}},
					Actions:    []config.Action{widgets},
				}, {
					Priority:   20,
					Conditions: []config.Condition{{PathPattern: &config.PathPattern{Values: []string{"/ping"}}}},
					Actions:    []config.Action{{FixedResponse: &config.FixedResponse{StatusCode: 204, ContentType: "text/plain"}}},
				},
			},
			DefaultActions: []config.Action{widgets},
			Attributes:     config.ListenerAttributes{ServerHeaderEnabled: true},
		}},
		TargetGroups: []config.TargetGroup{{
			Name: "widgets", Protocol: "HTTP", ProtocolVersion: "HTTP1",
			Targets:                    []config.Target{{Address: "127.0.0.1:9000"}},
			LoadBalancingAlgorithmType: "round_robin", DeregistrationDelay: 300 * time.Second,
			HealthCheck: config.HealthCheck{
				Enabled: true, Protocol: "HTTP", Port: "traffic-port", Path: "/healthz", Interval: 30 * time.Second,
				Timeout: 5 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2, Matcher: "200",
			},
			TargetGroupHealth: config.TargetGroupHealth{
				UnhealthyStateRouting: config.UnhealthyStateRouting{MinimumHealthyTargetsCount: 1},
			},
		}},
		SeenClients: config.SeenClients{Limit: 10_000, Retention: 720 * time.Hour},
		TrustStores: []config.TrustStore{{
			Name: "partners", CACertificatesBundle: config.FileSource(at("pki/ca-bundle.pem")),
			Revocations:           []config.Source{config.FileSource(at("pki/partner.crl"))},
			RevocationPolicy:      config.RevocationPolicy{Missing: config.MissingAllow, Expired: config.ExpiredAllow, Scope: config.ScopeChain},
			VersionsToKeep:        config.DefaultVersionsToKeep,
			CRLDistributionPoints: config.CRLDistributionPoints{RefreshInterval: time.Hour, Timeout: 30 * time.Second, MaxSize: 32 * config.MB},
			OCSP:                  config.OCSP{Mode: config.OCSPOff, Timeout: 2 * time.Second, RefreshInterval: time.Hour, CacheEntries: 10_000},
		}},
		Logs: config.Logs{Connection: log("logs/connection.log"), Access: log("logs/access.log")},
	}
}

// wantEqual compares what two Files say, not where they say it.
func wantEqual(t *testing.T, got, want *config.File) {
	t.Helper()
	g, w := reflect.ValueOf(*got), reflect.ValueOf(*want)
	for i := range g.NumField() {
		f := g.Type().Field(i)
		if f.IsExported() && !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("%s:\n got %+v\nwant %+v", f.Name, g.Field(i).Interface(), w.Field(i).Interface())
		}
	}
}

func TestContractExample(t *testing.T) {
	file, err := config.Parse("postern.yaml", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, file, contractFile(""))
}

func TestLoadResolvesPathsAgainstTheFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "postern.yaml")
	if err := os.WriteFile(path, []byte(contract), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, file, contractFile(folder))
}
