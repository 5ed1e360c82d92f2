// Package targetgroup is where requests go: a set of targets, their health, the
// choice among them, and the connections to them.
//
// A [Group] is an http.RoundTripper. [New] makes one from a [Config], Run checks
// its targets, RoundTrip sends a request to one of them, and Update replaces the
// configuration while requests are under way. Its behaviour is that of a target
// group of AWS Application Load Balancer; what ALB would answer when a request
// gets no response is in the [Error].
//
// The package forwards requests whose headers are already final. It adds none,
// removes none, and knows nothing of listeners, rules or client certificates. It
// never sends a request to a second target after the first has been tried.
//
// What differs from ALB: shorter health check intervals are allowed, checks can
// be switched off, a target's host may be a DNS name, TLS to targets begins at
// 1.2, and a draining target may be registered again at any time.
package targetgroup

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// A Backend is anything that a listener can forward to: a round tripper whose
// targets have health. [Group] is the usual one. RoundTrip may be called
// concurrently, before Run and after it; its errors should be of type [*Error].
// Run blocks until ctx ends and returns nil then. Health may be called at any time.
type Backend interface {
	http.RoundTripper
	Health() []TargetHealth
	Run(ctx context.Context) error
}

var _ Backend = (*Group)(nil)

// A Group sends requests to its targets. All methods are safe for concurrent use.
type Group struct {
	// Fixed by New.
	name     string
	scheme   string
	protocol Protocol
	version  ProtocolVersion
	registry *Metrics
	metrics  *groupMetrics
	onChange func(TargetHealth)

	// roster is replaced whole when health or configuration changes, and read once
	// a request. turn counts requests.
	roster atomic.Pointer[roster]
	turn   atomic.Uint64

	wake    chan struct{} // holds one token: there is something new for Run
	running atomic.Bool

	mu       sync.Mutex
	cfg      Config    // guarded by mu
	checker  *checker  // guarded by mu; replaced, never modified
	targets  []*target // guarded by mu; in the order of the configuration
	draining []*target // guarded by mu; longest draining first
	closed   bool      // guarded by mu
}

// New makes a group from cfg, or reports everything that is wrong with it as
// [Config.Check] does. Nothing runs until [Group.Run]; until then targets are
// initial, and requests go to all of them because none is healthy.
func New(cfg Config) (*Group, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	g := &Group{
		name: cfg.Name, scheme: schemeOf(cfg.Protocol), protocol: cfg.Protocol, version: cfg.ProtocolVersion,
		registry: cfg.Metrics, onChange: cfg.OnStateChange, wake: make(chan struct{}, 1),
	}
	g.metrics = g.registry.group(g.name)
	changed, err := g.apply(cfg)
	if err != nil {
		return nil, err
	}
	g.notify(changed)
	return g, nil
}

// Update replaces the configuration, or reports what is wrong with cfg and
// changes nothing; a closed group takes no update. Name, Protocol and ProtocolVersion are fixed at creation;
// Metrics and OnStateChange of cfg are ignored.
//
// Targets are told apart by address. One that stays keeps its health, counts and
// connections (but for a changed timeout, which new connections begin with). A
// new one is initial. One that is gone gets no request that begins after Update
// has returned; its requests in flight may go on until the new deregistration
// delay has passed, and are then cut: 502. A draining target that is registered
// again is initial, and its requests are not cut.
func (g *Group) Update(cfg Config) error {
	var faults fault.List
	faults.AddUnder("", cfg.Check())
	cfg = cfg.WithDefaults()
	fixed(&faults, "name", g.name, cfg.Name)
	fixed(&faults, "protocol", g.protocol, cfg.Protocol)
	fixed(&faults, "protocol_version", g.version, cfg.ProtocolVersion)
	if err := faults.Err(); err != nil {
		return err
	}
	changed, err := g.apply(cfg)
	if err != nil {
		return err
	}
	g.notify(changed)
	select {
	case g.wake <- struct{}{}:
	default: // Run has not seen the last change yet
	}
	return nil
}

var errClosed = errors.New("updating a target group that has been closed")

func fixed[T ~string](faults *fault.List, path string, old, value T) {
	if old != value {
		faults.Add(path, "is %q and cannot change to %q; make another target group", old, value)
	}
}

// apply takes over a checked configuration and returns the targets that changed
// state.
func (g *Group) apply(cfg Config) ([]TargetHealth, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errClosed
	}
	now, before := time.Now(), slices.Concat(g.draining, g.targets)
	retimed := g.configure(cfg)
	gone := make(map[string]*target, len(before))
	for _, t := range before {
		gone[t.address] = t
	}
	var changed []*target
	g.targets = make([]*target, 0, len(cfg.Targets))
	for _, registered := range cfg.Targets {
		t := gone[registered.Address]
		delete(gone, registered.Address)
		if t == nil {
			t = g.newTarget(registered.Address)
		} else if retimed {
			t.reconnect(newTransport(&cfg, t.address, t.metrics))
		}
		if t.register(now, &cfg) {
			changed = append(changed, t)
		}
		g.targets = append(g.targets, t)
	}
	before = slices.DeleteFunc(before, func(t *target) bool { return gone[t.address] == nil })
	return g.reports(append(changed, g.deregister(now, before)...)), nil
}

// configure stores cfg and what is derived from it, and reports whether it has
// other timeouts of connections than before; the caller holds mu.
func (g *Group) configure(cfg Config) (retimed bool) {
	old := g.cfg
	g.cfg = cfg
	if g.checker == nil || !old.HealthCheck.same(cfg.HealthCheck) {
		g.checker = newChecker(&cfg)
	}
	return old.IdleTimeout != cfg.IdleTimeout || old.ConnectTimeout != cfg.ConnectTimeout
}

func (g *Group) newTarget(address string) *target {
	metrics := g.registry.target(g.name, address)
	return newTarget(address, newTransport(&g.cfg, address, metrics), metrics)
}

// deregister lets targets drain, and publishes the roster without them before it
// closes them: a call that comes too late to one finds the new roster.
func (g *Group) deregister(now time.Time, gone []*target) []*target {
	var changed []*target
	for _, t := range gone {
		if t.health.set(now, Draining, draining) {
			t.drainUntil = now.Add(*g.cfg.DeregistrationDelay)
			changed = append(changed, t)
		}
	}
	g.draining = gone
	g.publish()
	for _, t := range gone {
		t.admit(false)
	}
	return changed
}

// publish makes the roster of the present health; the caller holds mu.
func (g *Group) publish() {
	if last := g.roster.Load(); g.cfg.NotInUse && last != nil && !last.notInUse {
		g.roster.Store(last.retire(&g.cfg, g.targets))
	} else {
		g.roster.Store(newRoster(&g.cfg, g.targets))
	}
	healthy, unhealthy := 0, 0
	for _, t := range g.targets {
		switch t.health.State {
		case Healthy:
			healthy++
		case Unhealthy:
			unhealthy++
		}
	}
	g.metrics.hosts(healthy, unhealthy)
}

// Health reports on every target in the order of the configuration, and then on
// the draining ones, longest first.
func (g *Group) Health() []TargetHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append(g.reports(g.targets), g.reports(g.draining)...)
}

// reports describes targets; the caller holds mu.
func (g *Group) reports(targets []*target) []TargetHealth {
	all := make([]TargetHealth, len(targets))
	for i, t := range targets {
		all[i] = t.report(&g.cfg)
	}
	return all
}

// notify tells the hook; the caller does not hold mu.
func (g *Group) notify(changed []TargetHealth) {
	if g.onChange == nil {
		return
	}
	for _, h := range changed {
		g.onChange(h)
	}
}

// Close takes the group out of its metrics and closes idle connections. Run does
// it at its end; call it for a group that never ran. Requests in flight are left
// alone and later ones are still served, since a listener may hold the group for
// as long as its last request. Closing twice is harmless.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	for _, t := range slices.Concat(g.draining, g.targets) {
		t.transport.Load().CloseIdleConnections()
		g.registry.releaseTarget(g.name, t.address)
	}
	g.registry.releaseGroup(g.name)
}
