package config

import "time"

// TargetGroup is a set of servers that requests are sent to (ALB, "Target
// groups for your Application Load Balancers").
type TargetGroup struct {
	Name                       string            `yaml:"name,required,filled"`
	Protocol                   TargetProtocol    `yaml:"protocol"`
	ProtocolVersion            ProtocolVersion   `yaml:"protocol_version"`
	Targets                    []Target          `yaml:"targets"`
	LoadBalancingAlgorithmType Algorithm         `yaml:"load_balancing_algorithm_type"`
	DeregistrationDelay        time.Duration     `yaml:"deregistration_delay" range:"0s..3600s"`
	HealthCheck                HealthCheck       `yaml:"health_check"`
	TargetGroupHealth          TargetGroupHealth `yaml:"target_group_health"`
}

// Target is one server.
type Target struct {
	// Address is HOST:PORT.
	Address string `yaml:"address,required,filled"`
}

// TargetProtocol is what targets speak.
type TargetProtocol string

// The protocols of targets and of health checks.
const (
	TargetHTTP  TargetProtocol = "HTTP"
	TargetHTTPS TargetProtocol = "HTTPS"
)

func (TargetProtocol) values() []string { return []string{string(TargetHTTP), string(TargetHTTPS)} }

// ProtocolVersion is the version of HTTP that targets speak.
type ProtocolVersion string

// ALB's protocol versions.
const (
	HTTP1 ProtocolVersion = "HTTP1"
	HTTP2 ProtocolVersion = "HTTP2"
	GRPC  ProtocolVersion = "GRPC"
)

func (ProtocolVersion) values() []string { return []string{string(HTTP1), string(HTTP2), string(GRPC)} }

// Algorithm says how a target is chosen.
type Algorithm string

// ALB's algorithms.
const (
	RoundRobin               Algorithm = "round_robin"
	LeastOutstandingRequests Algorithm = "least_outstanding_requests"
	WeightedRandom           Algorithm = "weighted_random"
)

func (Algorithm) values() []string {
	return []string{string(RoundRobin), string(LeastOutstandingRequests), string(WeightedRandom)}
}

// HealthCheck says how targets are probed. Ranges are checked by package
// targetgroup.
type HealthCheck struct {
	Enabled  bool           `yaml:"enabled"`
	Protocol TargetProtocol `yaml:"protocol"`
	// Port is TrafficPort or a port number.
	Port               string        `yaml:"port,number"`
	Path               string        `yaml:"path"`
	Interval           time.Duration `yaml:"interval"`
	Timeout            time.Duration `yaml:"timeout"`
	HealthyThreshold   int           `yaml:"healthy_threshold"`
	UnhealthyThreshold int           `yaml:"unhealthy_threshold"`
	// Matcher is the status codes of a healthy target, such as "200,301-399".
	Matcher string `yaml:"matcher,number"`
}

// TrafficPort as a health check's port is the port of the target itself.
const TrafficPort = "traffic-port"

// TargetGroupHealth says when a group is too unhealthy to choose by health.
type TargetGroupHealth struct {
	UnhealthyStateRouting UnhealthyStateRouting `yaml:"unhealthy_state_routing"`
}

// UnhealthyStateRouting is the number of healthy targets below which requests
// go to all targets of the group (fail open).
type UnhealthyStateRouting struct {
	MinimumHealthyTargetsCount int `yaml:"minimum_healthy_targets_count" range:"1..1000"`
	// MinimumHealthyTargetsPercentage is 1 to 100; 0 is off.
	MinimumHealthyTargetsPercentage Percentage `yaml:"minimum_healthy_targets_percentage"`
}

// Percentage is 1 to 100, or 0, which is written off in the file.
type Percentage int
