package targetgroup

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A target is one address that a group sends requests to. It outlives updates
// that keep its address, and with it its health and its connections.
type target struct {
	// Fixed by newTarget.
	address string
	metrics *targetMetrics

	// Counted by calls, read by anybody.
	inFlight     atomic.Int64
	requests     atomic.Uint64
	errors       atomic.Uint64
	responses    atomic.Uint64
	responseTime atomic.Int64 // nanoseconds

	// transport holds the target's connections and nobody else's, so that they
	// can be closed when it goes. It is replaced when a timeout changes.
	transport atomic.Pointer[transport]

	// Guarded by Group.mu.
	health     health
	drainUntil time.Time // zero unless draining

	mu     sync.Mutex
	closed bool  // guarded by mu: takes no more calls
	calls  *call // guarded by mu: head of the list of calls in flight
}

func newTarget(address string, transport *transport, metrics *targetMetrics) *target {
	t := &target{address: address, metrics: metrics}
	t.transport.Store(transport)
	return t
}

// join enters a call, or reports false if the target takes no more: then the
// roster that led here is out of date.
func (t *target) join(c *call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	c.target, c.next = t, t.calls
	if c.next != nil {
		c.next.prev = c
	}
	t.calls = c
	t.inFlight.Add(1)
	t.requests.Add(1)
	t.metrics.request()
	return true
}

// leave takes a call out that join let in; once.
func (t *target) leave(c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		t.calls = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	t.inFlight.Add(-1)
}

// register makes t, new or not, a target of cfg, and reports whether its state
// changed; the caller holds Group.mu.
func (t *target) register(now time.Time, cfg *Config) bool {
	t.drainUntil = time.Time{}
	t.admit(true)
	return t.health.settle(now, cfg)
}

// reconnect makes later requests use another transport. Connections of the old
// one are closed as they become idle.
func (t *target) reconnect(transport *transport) {
	t.transport.Swap(transport).CloseIdleConnections()
}

// admit says whether new calls may join.
func (t *target) admit(open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = !open
}

// cut ends every call in flight and closes the idle connections.
func (t *target) cut(why *Error) {
	for _, f := range t.inFlightCalls() {
		f.call.abortTurn(f.turn, why)
	}
	t.transport.Load().CloseIdleConnections()
}

// A flight is a call as it was when somebody looked.
type flight struct {
	call *call
	turn uint64
}

// inFlightCalls copies the list, since aborting a call makes it leave.
func (t *target) inFlightCalls() []flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	var calls []flight
	for c := t.calls; c != nil; c = c.next {
		calls = append(calls, flight{c, c.currentTurn()})
	}
	return calls
}

// report describes the target; the caller holds Group.mu.
func (t *target) report(cfg *Config) TargetHealth {
	host, port := splitAddress(t.address)
	return TargetHealth{
		Group: cfg.Name, Target: host, Port: port, HealthCheckPort: cfg.HealthCheck.port(t.address),
		State: t.health.State, Reason: t.health.Reason, Description: t.health.Description, Since: t.health.since,
		InFlight: t.inFlight.Load(), Requests: t.requests.Load(), Errors: t.errors.Load(),
		Responses: t.responses.Load(), ResponseTime: time.Duration(t.responseTime.Load()),
	}
}

func joinAddress(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}
