package targetgroup

import (
	"net"
	"strconv"
	"time"
)

// Protocol is how a group talks to its targets. It is fixed at creation.
type Protocol string

// The protocols of a target group.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
)

// ProtocolVersion is the version of HTTP that a group talks to its targets. It
// is fixed at creation.
type ProtocolVersion string

// The protocol versions of a target group.
const (
	HTTP1 ProtocolVersion = "HTTP1"
	HTTP2 ProtocolVersion = "HTTP2"
	GRPC  ProtocolVersion = "GRPC"
)

// Algorithm names how a group chooses among its targets.
type Algorithm string

// The values of load_balancing_algorithm_type.
const (
	RoundRobin               Algorithm = "round_robin"
	LeastOutstandingRequests Algorithm = "least_outstanding_requests"
	WeightedRandom           Algorithm = "weighted_random"
)

// TrafficPort, as the port of a health check, is the target's own port.
const TrafficPort = "traffic-port"

// Config describes a target group. The zero value of a field stands for its
// default; see [Config.WithDefaults].
type Config struct {
	// Name is required: 1 to 32 letters, digits and hyphens.
	Name string
	// Protocol is HTTP or HTTPS; default HTTP. A certificate of an HTTPS target
	// is never validated, as ALB never does; TLS 1.2 is the least accepted.
	Protocol Protocol
	// ProtocolVersion is HTTP1, HTTP2 or GRPC; default HTTP1. HTTP2 and GRPC over
	// HTTP use HTTP/2 with prior knowledge.
	ProtocolVersion ProtocolVersion
	// Targets are the registered targets, at most [MaxTargets]. A group may be empty.
	Targets []TargetConfig
	// Algorithm is load_balancing_algorithm_type; default round_robin.
	Algorithm Algorithm
	// DeregistrationDelay is how long a removed target may finish its requests: 0
	// to an hour; nil means 300 s.
	DeregistrationDelay *time.Duration
	// HealthCheck says how targets are checked.
	HealthCheck HealthCheck
	// UnhealthyStateRouting is target_group_health.unhealthy_state_routing.
	UnhealthyStateRouting UnhealthyStateRouting
	// IdleTimeout is the load balancer's idle_timeout on the side of the targets:
	// how long no byte may pass before a request is given up; default 60 s, at
	// most 4000 s. Idle pooled connections are closed after the same time.
	IdleTimeout time.Duration
	// ConnectTimeout bounds the TCP connect, and again the TLS handshake; default
	// and ALB's fixed value 10 s, at most 60 s.
	ConnectTimeout time.Duration
	// NotInUse says that no listener routes to the group: its targets are unused,
	// are not checked, and requests get 503. If the group was in use before an
	// Update, requests that are late are served as they would have been then.
	NotInUse bool

	// Metrics counts the group's traffic; nil counts nothing.
	Metrics *Metrics
	// OnStateChange, if set, is called after each change of a target's State,
	// without locks held, from the goroutine of the check or of Update. It must not
	// block for long: the target's checks wait for it. Changes by a check and by
	// Update at the same moment may arrive in either order; Since tells which was
	// first. See [LogStateChanges].
	OnStateChange func(TargetHealth)
}

// TargetConfig describes one target.
type TargetConfig struct {
	// Address is host:port; the host is an IP address or a name that is resolved
	// at every connection. An address is in a group once.
	Address string
}

// HealthCheck says how the targets of a group are checked ("Health checks for
// Application Load Balancer target groups").
type HealthCheck struct {
	// Enabled is true if nil. ALB cannot turn checks off for targets of our kind;
	// here they can be, and the targets are then unavailable but get requests.
	Enabled *bool
	// Protocol is HTTP or HTTPS; default HTTP, even in an HTTPS group, as with ALB.
	Protocol Protocol
	// Port is [TrafficPort], the default, or a number.
	Port string
	// Path may hold a query; default "/", for GRPC groups "/AWS.ALB/healthcheck".
	Path string
	// Interval is from check to check; default 30 s, 100 ms to 300 s. It must be
	// greater than Timeout.
	Interval time.Duration
	// Timeout bounds one check from connect to answer; default 5 s, 100 ms to 120 s.
	Timeout time.Duration
	// HealthyThreshold is how many checks in a row an unhealthy target must pass;
	// default 5, 2 to 10. A new target is in service after one.
	HealthyThreshold int
	// UnhealthyThreshold is how many checks in a row fail before a target is
	// unhealthy; default 2, 2 to 10.
	UnhealthyThreshold int
	// Matcher is the codes that pass; default "200", for GRPC groups "12". See
	// [ParseMatcher].
	Matcher string
}

// UnhealthyStateRouting says when a group fails open: when too few targets are
// healthy, requests go to all of them ("Target group health").
type UnhealthyStateRouting struct {
	// MinimumHealthyTargetsCount is 1 or more; default 1.
	MinimumHealthyTargetsCount int
	// MinimumHealthyTargetsPercentage is 1 to 100; 0 is off, the default.
	MinimumHealthyTargetsPercentage int
}

// WithDefaults returns c with ALB's default for every field that is not set. It
// is the only place that knows them.
func (c Config) WithDefaults() Config {
	setDefault(&c.Protocol, HTTP)
	setDefault(&c.ProtocolVersion, HTTP1)
	setDefault(&c.Algorithm, RoundRobin)
	setDefault(&c.IdleTimeout, 60*time.Second)
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.UnhealthyStateRouting.MinimumHealthyTargetsCount, 1)
	c.DeregistrationDelay = ownOr(c.DeregistrationDelay, 300*time.Second)
	c.HealthCheck = c.HealthCheck.withDefaults(c.ProtocolVersion)
	return c
}

func (h HealthCheck) withDefaults(v ProtocolVersion) HealthCheck {
	path, matcher := "/", "200"
	if v == GRPC {
		path, matcher = "/AWS.ALB/healthcheck", "12"
	}
	h.Enabled = ownOr(h.Enabled, true)
	setDefault(&h.Protocol, HTTP)
	setDefault(&h.Port, TrafficPort)
	setDefault(&h.Path, path)
	setDefault(&h.Interval, 30*time.Second)
	setDefault(&h.Timeout, 5*time.Second)
	setDefault(&h.HealthyThreshold, 5)
	setDefault(&h.UnhealthyThreshold, 2)
	setDefault(&h.Matcher, matcher)
	return h
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ownOr returns a pointer of our own to the value, which the caller may go on to
// change, or to its default.
func ownOr[T any](value *T, otherwise T) *T {
	if value != nil {
		otherwise = *value
	}
	return &otherwise
}

// same reports whether two configurations make the same checks.
func (h HealthCheck) same(other HealthCheck) bool {
	h.Enabled, other.Enabled = nil, nil
	return h == other
}

// port returns the port that a target at address is checked on.
func (h HealthCheck) port(address string) string {
	if h.Port != TrafficPort {
		return h.Port
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}

// splitAddress is net.SplitHostPort for an address that New has checked.
func splitAddress(address string) (host string, port int) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return host, 0
	}
	return host, port
}
