package targetgroup

import (
	"log/slog"
	"strconv"
	"time"
)

// State is the health of a target in the words of ALB's DescribeTargetHealth.
type State string

// The states of a target.
const (
	// Initial: registered, no check has passed yet and too few have failed.
	Initial State = "initial"
	// Healthy: in service.
	Healthy State = "healthy"
	// Unhealthy: failed its checks; gets requests only if the group fails open.
	Unhealthy State = "unhealthy"
	// Unused: its group is not in use, or it is not in the group (any more).
	Unused State = "unused"
	// Draining: removed, and finishing its requests.
	Draining State = "draining"
	// Unavailable: its group makes no health checks.
	Unavailable State = "unavailable"
)

// Reason says why a target has its state; empty for healthy targets.
type Reason string

// The reasons of ALB's DescribeTargetHealth that occur here.
const (
	RegistrationInProgress   Reason = "Elb.RegistrationInProgress"
	InitialHealthChecking    Reason = "Elb.InitialHealthChecking"
	InternalError            Reason = "Elb.InternalError"
	ResponseCodeMismatch     Reason = "Target.ResponseCodeMismatch"
	Timeout                  Reason = "Target.Timeout"
	FailedHealthChecks       Reason = "Target.FailedHealthChecks"
	NotRegistered            Reason = "Target.NotRegistered"
	TargetNotInUse           Reason = "Target.NotInUse"
	DeregistrationInProgress Reason = "Target.DeregistrationInProgress"
	HealthCheckDisabled      Reason = "Target.HealthCheckDisabled"
)

// TargetHealth is the health and the traffic of one target at one moment.
type TargetHealth struct {
	// Group is the target group's name.
	Group string
	// Target and Port are the two halves of the address.
	Target string
	Port   int
	// HealthCheckPort is the real port, never "traffic-port".
	HealthCheckPort string
	// State, Reason and Description are as in ALB's DescribeTargetHealth.
	State       State
	Reason      Reason
	Description string
	// Since is when the target came into its state.
	Since time.Time
	// InFlight is how many requests the target is working on.
	InFlight int64
	// Requests is how many it was ever sent, Errors how many of them failed by
	// the target's fault without a complete response.
	Requests, Errors uint64
	// Responses is how many requests got response headers, and ResponseTime the
	// sum of their times from dispatch to headers.
	Responses    uint64
	ResponseTime time.Duration
}

// Address returns the target's address as the configuration has it.
func (h *TargetHealth) Address() string { return joinAddress(h.Target, h.Port) }

// LogStateChanges returns a hook for [Config.OnStateChange] that logs each
// change: a target that falls ill as a warning, everything else as information.
func LogStateChanges(log *slog.Logger) func(TargetHealth) {
	return func(h TargetHealth) {
		write := log.Info
		if h.State == Unhealthy {
			write = log.Warn
		}
		write("target changed state", "target_group", h.Group, "target", h.Address(),
			"state", h.State, "reason", h.Reason, "description", h.Description)
	}
}

// health is the state machine of one target. It knows no clock but the times it
// is told, and no network.
type health struct {
	State       State
	Reason      Reason
	Description string
	since       time.Time

	passes, failures int // in a row
}

// A result is the outcome of one check. A passed one has no reason.
type result struct {
	reason      Reason
	description string
}

func (r result) passed() bool { return r.reason == "" }

var (
	passedCheck   = result{}
	timedOut      = result{Timeout, "Request timed out"}
	failedCheck   = result{FailedHealthChecks, "Health checks failed"}
	internalError = result{InternalError, "Health checks failed due to an internal error"}
)

func codeMismatch(code int) result {
	return result{ResponseCodeMismatch, "Health checks failed with these codes: [" + strconv.Itoa(code) + "]"}
}

// set puts h into a state that no check decides, and reports whether the state
// is another than before. Checks are counted afresh.
func (h *health) set(now time.Time, state State, why result) bool {
	changed := h.State != state
	if changed {
		h.since = now
	}
	h.State, h.Reason, h.Description = state, why.reason, why.description
	h.passes, h.failures = 0, 0
	return changed
}

// record counts the outcome of a check and reports whether the state changed. A
// new target is in service after one passed check, whatever the threshold, and
// out of it after as many failures as any other (ALB, "Target health status").
// Results that come in after the target left the checked states are dropped.
func (h *health) record(now time.Time, r result, checks *HealthCheck) bool {
	if h.State != Initial && h.State != Healthy && h.State != Unhealthy {
		return false
	}
	if r.passed() {
		h.passes, h.failures = h.passes+1, 0
		if h.State == Initial || h.State == Unhealthy && h.passes >= checks.HealthyThreshold {
			return h.enter(now, Healthy, passedCheck)
		}
		return false
	}
	h.passes, h.failures = 0, h.failures+1
	if h.State == Unhealthy || h.failures >= checks.UnhealthyThreshold {
		return h.enter(now, Unhealthy, r)
	}
	return false
}

// enter changes the state and keeps the counts.
func (h *health) enter(now time.Time, state State, why result) bool {
	passes, failures := h.passes, h.failures
	changed := h.set(now, state, why)
	h.passes, h.failures = passes, failures
	return changed
}

var (
	registering  = result{RegistrationInProgress, "Target registration is in progress"}
	firstChecks  = result{InitialHealthChecking, "Initial health checks in progress"}
	notInUse     = result{TargetNotInUse, "Target group is not configured to receive traffic from the load balancer"}
	checksOff    = result{HealthCheckDisabled, "Health checks are disabled"}
	draining     = result{DeregistrationInProgress, "Target deregistration is in progress"}
	deregistered = result{NotRegistered, "Target is not registered to the target group"}
)

// settle brings h into line with the group's configuration: a target that is
// checked begins as initial, one that is not is unused or unavailable.
func (h *health) settle(now time.Time, cfg *Config) bool {
	switch {
	case cfg.NotInUse:
		return h.set(now, Unused, notInUse)
	case !*cfg.HealthCheck.Enabled:
		return h.set(now, Unavailable, checksOff)
	case h.State == Initial || h.State == Healthy || h.State == Unhealthy:
		return false
	}
	return h.set(now, Initial, registering)
}
