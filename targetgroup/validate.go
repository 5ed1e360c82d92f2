package targetgroup

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// Limits of a target group. They are ALB's, but for the health check's interval
// (5 s to 300 s) and timeout (2 s to 120 s), whose lower ends are 100 ms here so
// that a laptop and a test see a change of health at once, and for the connect
// timeout, which ALB fixes at 10 s.
const (
	MaxTargets             = 1000
	MaxNameLength          = 32
	MaxPathLength          = 1024
	MaxDeregistrationDelay = time.Hour
	MinInterval            = 100 * time.Millisecond
	MaxInterval            = 300 * time.Second
	MinTimeout             = 100 * time.Millisecond
	MaxTimeout             = 120 * time.Second
	MinThreshold           = 2
	MaxThreshold           = 10
	MinIdleTimeout         = time.Millisecond
	MaxIdleTimeout         = 4000 * time.Second
	MinConnectTimeout      = time.Millisecond
	MaxConnectTimeout      = 60 * time.Second
)

// Check reports everything wrong with c, after its defaults are filled in, as a
// list of package internal/fault whose paths are config keys such as
// "health_check.interval"; nil if [New] would take c. IdleTimeout and
// ConnectTimeout are reported as "idle_timeout" and "connect_timeout": in the
// file they stand elsewhere, so package lb checks them first.
func (c Config) Check() error {
	c = c.WithDefaults()
	var faults fault.List
	c.checkGroup(&faults)
	checkTargets(&faults, c.Targets)
	faults.AddUnder("health_check", c.HealthCheck.check(c.ProtocolVersion))
	faults.AddUnder("target_group_health.unhealthy_state_routing", c.UnhealthyStateRouting.check())
	return faults.Err()
}

func (c Config) checkGroup(faults *fault.List) {
	if !validName(c.Name) {
		faults.Add("name", "must be 1 to %d letters, digits and hyphens, with no hyphen first or last, not %q", MaxNameLength, c.Name)
	}
	oneOf(faults, "protocol", c.Protocol, HTTP, HTTPS)
	oneOf(faults, "protocol_version", c.ProtocolVersion, HTTP1, HTTP2, GRPC)
	oneOf(faults, "load_balancing_algorithm_type", c.Algorithm, RoundRobin, LeastOutstandingRequests, WeightedRandom)
	within(faults, "deregistration_delay", *c.DeregistrationDelay, 0, MaxDeregistrationDelay)
	within(faults, "idle_timeout", c.IdleTimeout, MinIdleTimeout, MaxIdleTimeout)
	within(faults, "connect_timeout", c.ConnectTimeout, MinConnectTimeout, MaxConnectTimeout)
}

func checkTargets(faults *fault.List, targets []TargetConfig) {
	if len(targets) > MaxTargets {
		faults.Add("targets", "a group may have %d targets, this one has %d; split it in two", MaxTargets, len(targets))
	}
	first := make(map[string]int, len(targets))
	for i, target := range targets {
		path := fault.Index("targets", i) + ".address"
		if problem := addressProblem(target.Address); problem != "" {
			faults.Add(path, "%s; write host:port, such as 127.0.0.1:9000, not %q", problem, target.Address)
			continue
		}
		if earlier, ok := first[target.Address]; ok {
			faults.Add(path, "%q is targets[%d] already; remove one of them", target.Address, earlier)
			continue
		}
		first[target.Address] = i
	}
}

func addressProblem(address string) string {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return "has no port or is malformed"
	case !validPort(port):
		return "the port must be 1 to 65535"
	case !validHost(host):
		return "the host must be an IP address or a DNS name"
	}
	return ""
}

func (h HealthCheck) check(version ProtocolVersion) error {
	var faults fault.List
	oneOf(&faults, "protocol", h.Protocol, HTTP, HTTPS)
	if h.Port != TrafficPort && !validPort(h.Port) {
		faults.Add("port", "must be %s or 1 to 65535, not %q", TrafficPort, h.Port)
	}
	if problem := pathProblem(h.Path); problem != "" {
		faults.Add("path", "%s; write something like \"/healthz\", not %q", problem, h.Path)
	}
	within(&faults, "interval", h.Interval, MinInterval, MaxInterval)
	within(&faults, "timeout", h.Timeout, MinTimeout, MaxTimeout)
	if h.Interval <= h.Timeout {
		faults.Add("interval", "must be greater than the timeout of %v, not %v", h.Timeout, h.Interval)
	}
	within(&faults, "healthy_threshold", h.HealthyThreshold, MinThreshold, MaxThreshold)
	within(&faults, "unhealthy_threshold", h.UnhealthyThreshold, MinThreshold, MaxThreshold)
	if _, err := ParseMatcher(h.Matcher, version); err != nil {
		faults.Add("matcher", "%v", err)
	}
	return faults.Err()
}

func (u UnhealthyStateRouting) check() error {
	var faults fault.List
	within(&faults, "minimum_healthy_targets_count", u.MinimumHealthyTargetsCount, 1, MaxTargets)
	within(&faults, "minimum_healthy_targets_percentage", u.MinimumHealthyTargetsPercentage, 0, 100)
	return faults.Err()
}

func oneOf[T ~string](faults *fault.List, path string, value T, allowed ...T) {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		if value == a {
			return
		}
		words[i] = string(a)
	}
	faults.Add(path, "must be %s, not %q", strings.Join(words, " or "), value)
}

func within[T int | time.Duration](faults *fault.List, path string, value, least, most T) {
	if value < least || value > most {
		faults.Add(path, "must be %v to %v, not %v", least, most, value)
	}
}

func validName(name string) bool {
	if name == "" || len(name) > MaxNameLength || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	return allOf(name, func(c byte) bool { return isAlphanumeric(c) || c == '-' })
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}

// validHost takes an IP address or a DNS name; underscores are let through, for
// the names that container networks make up.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	const maxDNSName = 253
	return host != "" && len(host) <= maxDNSName && isAlphanumeric(host[0]) &&
		allOf(host, func(c byte) bool { return isAlphanumeric(c) || strings.IndexByte("-._", c) >= 0 })
}

// pathProblem makes sure that the path reaches the target as it is written.
func pathProblem(path string) string {
	switch {
	case len(path) > MaxPathLength:
		return "must be at most " + strconv.Itoa(MaxPathLength) + " bytes long"
	case !strings.HasPrefix(path, "/"):
		return "must begin with a slash"
	case !allOf(path, func(c byte) bool { return c > ' ' && c < 0x7f && c != '#' }):
		return "must be visible ASCII without a fragment; percent-encode the rest"
	}
	if _, err := url.ParseRequestURI(path); err != nil {
		return "is not a valid path and query"
	}
	return ""
}

func allOf(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
