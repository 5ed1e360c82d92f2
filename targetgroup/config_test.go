package targetgroup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/targetgroup"
)

func TestDefaults(t *testing.T) {
	cfg := targetgroup.Config{}.WithDefaults()
	h := cfg.HealthCheck
	got := fmt.Sprint(cfg.Protocol, cfg.ProtocolVersion, cfg.Algorithm, *cfg.DeregistrationDelay, cfg.IdleTimeout,
		cfg.ConnectTimeout, cfg.UnhealthyStateRouting, *h.Enabled, h.Protocol, h.Port, h.Path, h.Interval, h.Timeout,
		h.HealthyThreshold, h.UnhealthyThreshold, h.Matcher)
	want := fmt.Sprint("HTTP", "HTTP1", "round_robin", 300*time.Second, 60*time.Second, 10*time.Second,
		targetgroup.UnhealthyStateRouting{1, 0}, true, "HTTP", "traffic-port", "/", 30*time.Second, 5*time.Second, 5, 2, "200")
	if got != want {
		t.Errorf("defaults\n%s, want\n%s", got, want)
	}
	g := targetgroup.Config{ProtocolVersion: targetgroup.GRPC}.WithDefaults().HealthCheck
	if g.Path != "/AWS.ALB/healthcheck" || g.Matcher != "12" {
		t.Errorf("GRPC defaults %q %q, want /AWS.ALB/healthcheck and 12", g.Path, g.Matcher)
	}
}

func TestDefaultsKeepZeroDelay(t *testing.T) {
	zero := time.Duration(0)
	cfg := targetgroup.Config{DeregistrationDelay: &zero}.WithDefaults()
	zero = time.Hour
	if *cfg.DeregistrationDelay != 0 {
		t.Errorf("delay %v, want the 0 that was set", *cfg.DeregistrationDelay)
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		change func(*targetgroup.Config)
		path   string // of the only fault
	}{
		{func(c *targetgroup.Config) { c.Name = "" }, "name"},
		{func(c *targetgroup.Config) { c.Name = "a b" }, "name"},
		{func(c *targetgroup.Config) { c.Name = "-a" }, "name"},
		{func(c *targetgroup.Config) { c.Name = strings.Repeat("a", 33) }, "name"},
		{func(c *targetgroup.Config) { c.Protocol = "TCP" }, "protocol"},
		{func(c *targetgroup.Config) { c.ProtocolVersion = "HTTP3" }, "protocol_version"},
		{func(c *targetgroup.Config) { c.Algorithm = "hash" }, "load_balancing_algorithm_type"},
		{func(c *targetgroup.Config) { c.DeregistrationDelay = new(-time.Second) }, "deregistration_delay"},
		{func(c *targetgroup.Config) { c.DeregistrationDelay = new(3601 * time.Second) }, "deregistration_delay"},
		{func(c *targetgroup.Config) { c.IdleTimeout = 4001 * time.Second }, "idle_timeout"},
		{func(c *targetgroup.Config) { c.ConnectTimeout = -1 }, "connect_timeout"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = "127.0.0.1" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = "127.0.0.1:0" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = "127.0.0.1:65536" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = "127.0.0.1:http" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = ":80" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = "a/b:80" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets[0].Address = "http://a:80" }, "targets[0].address"},
		{func(c *targetgroup.Config) { c.Targets = append(c.Targets, c.Targets[0]) }, "targets[2].address"},
		{func(c *targetgroup.Config) { c.Targets = manyTargets(targetgroup.MaxTargets + 1) }, "targets"},
		{func(c *targetgroup.Config) { c.HealthCheck.Protocol = "TCP" }, "health_check.protocol"},
		{func(c *targetgroup.Config) { c.HealthCheck.Port = "0" }, "health_check.port"},
		{func(c *targetgroup.Config) { c.HealthCheck.Port = "+80" }, "health_check.port"},
		{func(c *targetgroup.Config) { c.HealthCheck.Path = "healthz" }, "health_check.path"},
		{func(c *targetgroup.Config) { c.HealthCheck.Path = "/a b" }, "health_check.path"},
		{func(c *targetgroup.Config) { c.HealthCheck.Path = "/a\r\nX: y" }, "health_check.path"},
		{func(c *targetgroup.Config) { c.HealthCheck.Path = "/%zz" }, "health_check.path"},
		{func(c *targetgroup.Config) { c.HealthCheck.Path = "/" + strings.Repeat("a", 1024) }, "health_check.path"},
		{func(c *targetgroup.Config) { c.HealthCheck.Interval = 301 * time.Second }, "health_check.interval"},
		{func(c *targetgroup.Config) { c.HealthCheck.Timeout = 99 * time.Millisecond }, "health_check.timeout"},
		{func(c *targetgroup.Config) { c.HealthCheck.Timeout = c.HealthCheck.Interval }, "health_check.interval"},
		{func(c *targetgroup.Config) { c.HealthCheck.HealthyThreshold = 1 }, "health_check.healthy_threshold"},
		{func(c *targetgroup.Config) { c.HealthCheck.UnhealthyThreshold = 11 }, "health_check.unhealthy_threshold"},
		{func(c *targetgroup.Config) { c.HealthCheck.Matcher = "500" }, "health_check.matcher"},
		{func(c *targetgroup.Config) { c.UnhealthyStateRouting.MinimumHealthyTargetsCount = -1 },
			"target_group_health.unhealthy_state_routing.minimum_healthy_targets_count"},
		{func(c *targetgroup.Config) { c.UnhealthyStateRouting.MinimumHealthyTargetsPercentage = 101 },
			"target_group_health.unhealthy_state_routing.minimum_healthy_targets_percentage"},
	} {
		cfg := config("127.0.0.1:9000", "[::1]:9000")
		tt.change(&cfg)
		_, err := targetgroup.New(cfg)
		if faults := fault.All(err); len(faults) != 1 || faults[0].Path != tt.path {
			t.Errorf("want one fault at %s, got:\n%v", tt.path, err)
		}
	}
}

func manyTargets(n int) []targetgroup.TargetConfig {
	targets := make([]targetgroup.TargetConfig, n)
	for i := range targets {
		targets[i].Address = fmt.Sprintf("10.0.0.1:%d", i+1)
	}
	return targets
}

func TestGoodAddresses(t *testing.T) {
	cfg := config("127.0.0.1:1", "[::1]:65535", "[fe80::1%eth0]:80", "localhost:80", "api_1.internal:80", "xn--bcher-kva.example:80")
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
	cfg.Targets = manyTargets(targetgroup.MaxTargets)
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
}

func TestMatcher(t *testing.T) {
	for _, tt := range []struct {
		text    string
		version targetgroup.ProtocolVersion
		matches []int
		not     []int
	}{
		{"200", targetgroup.HTTP1, []int{200}, []int{199, 201, 0}},
		{"200,202", targetgroup.HTTP1, []int{200, 202}, []int{201}},
		{"200-299,404", targetgroup.HTTP2, []int{200, 250, 299, 404}, []int{300, 403}},
		{"200-499", targetgroup.HTTP1, []int{200, 499}, []int{500}},
		{"12", targetgroup.GRPC, []int{12}, []int{0, 1}},
		{"0,5-7", targetgroup.GRPC, []int{0, 5, 6, 7}, []int{1, 8}},
		{"99", targetgroup.GRPC, []int{99}, []int{9}},
	} {
		m, err := targetgroup.ParseMatcher(tt.text, tt.version)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if slices.ContainsFunc(tt.not, m.Match) || m.String() != tt.text {
			t.Errorf("%q prints as %q, or matches one of %v", tt.text, m, tt.not)
		}
		for _, code := range tt.matches {
			if !m.Match(code) {
				t.Errorf("%q does not match %d", tt.text, code)
			}
		}
	}
}

func TestBadMatchers(t *testing.T) {
	for version, texts := range map[targetgroup.ProtocolVersion][]string{
		targetgroup.HTTP1: {"", ",", "200,", "199", "500", "200-500", "299-200", "200 ,201", "+200", "0200", "200-", "-200", "2xx",
			"200-201-202", "99999999999999999999", strings.Repeat("200,", 600) + "200"},
		targetgroup.GRPC: {"100", "-1", "00", "0-100", "200"},
	} {
		for _, text := range texts {
			if m, err := targetgroup.ParseMatcher(text, version); err == nil || m.String() != "" {
				t.Errorf("%s matcher %q gave %q and %v, want an error", version, text, m, err)
			}
		}
	}
}

// FuzzParseMatcher holds that what parses prints back to the same text, matches
// no code outside of its kind, and that nothing comes with an error.
func FuzzParseMatcher(f *testing.F) {
	for _, seed := range []string{"200", "200,202", "200-299", "0-99", "12", "200-499,301", "2-1", "-", "0200"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, grpc bool) {
		version, least, most := targetgroup.HTTP1, 200, 499
		if grpc {
			version, least, most = targetgroup.GRPC, 0, 99
		}
		m, err := targetgroup.ParseMatcher(text, version)
		if err != nil {
			if m.String() != "" {
				t.Fatalf("matcher %q beside error %v", m, err)
			}
			return
		}
		matched := 0
		for code := -1; code <= 1000; code++ {
			if !m.Match(code) {
				continue
			}
			matched++
			if code < least || code > most {
				t.Fatalf("%q matches %d", text, code)
			}
		}
		again, err := targetgroup.ParseMatcher(m.String(), version)
		if matched == 0 || err != nil || again.String() != m.String() {
			t.Fatalf("%q matches %d codes, prints as %q, which parses to %q, %v", text, matched, m, again, err)
		}
	})
}
