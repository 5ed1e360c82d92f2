package lb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/versions"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// A runtime is what actually runs: the counterpart of the desired state. Only
// apply changes it. It is safe for concurrent use.
type runtime struct {
	logger  *slog.Logger
	metrics *metrics
	logs    *logs

	mu        sync.Mutex
	served    map[string][]tls.Certificate // the listeners' certificates, by their names
	stores    map[string]*runningStore
	groups    map[string]*runningGroup
	listeners map[string]*runningListener
	leaving   map[*listener.Listener]bool   // no longer desired, but still draining
	pending   map[string]*listener.Listener // opened, not yet applied
	meters    map[string]*listener.ListenerMetrics
	retired   map[*openLog]*time.Timer // replaced, and to be closed when it fires
	serving   context.Context          // of the listeners; nil before run
	checking  context.Context          // of the groups' health checks, which end last
	stopped   bool                     // nothing is started any more

	listening, checks sync.WaitGroup
	lost              chan error
	news              chan struct{} // a responder has revoked a certificate
}

type runningStore struct {
	store    *trust.Store
	digest   [32]byte // of the files
	rules    [32]byte // digest of the revocation policy
	policy   config.RevocationPolicy
	material *storeMaterial
	probes
	history *versions.History
	version int
	hold
}

type runningGroup struct {
	group  *targetgroup.Group
	config targetgroup.Config
	cancel context.CancelFunc // nil until it runs
}

type runningListener struct {
	listener *listener.Listener
	policy   *listener.Policy
	cancel   context.CancelFunc // nil until it runs
}

func newRuntime(logger *slog.Logger, m *metrics) *runtime {
	return &runtime{
		logger: logger, metrics: m, logs: &logs{logger: logger},
		stores: make(map[string]*runningStore), groups: make(map[string]*runningGroup),
		listeners: make(map[string]*runningListener), leaving: make(map[*listener.Listener]bool), pending: make(map[string]*listener.Listener),
		meters: make(map[string]*listener.ListenerMetrics), retired: make(map[*openLog]*time.Timer),
		lost: make(chan error, 1), news: make(chan struct{}, 1),
	}
}

// store returns the running trust store of that name, or a new, empty one,
// which refuses everybody.
func (rt *runtime) store(name string) *trust.Store {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if s := rt.stores[name]; s != nil {
		return s.store
	}
	return trust.NewStore(name, trust.Options{})
}

// group returns the running target group of that name if it can become cfg by an
// update; protocol and version are fixed for a group's life.
func (rt *runtime) group(name string, cfg targetgroup.Config) *targetgroup.Group {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if g := rt.groups[name]; g != nil && g.config.Protocol == cfg.Protocol && g.config.ProtocolVersion == cfg.ProtocolVersion {
		return g.group
	}
	return nil
}

// policy returns the policy in force at key, or nil.
func (rt *runtime) policy(key string) *listener.Policy {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if l := rt.listeners[key]; l != nil {
		return l.policy
	}
	return nil
}

// meter returns the metrics of the listener of that name.
func (rt *runtime) meter(name string) *listener.ListenerMetrics {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.meters[name] == nil {
		rt.meters[name] = rt.metrics.listeners.Listener(name)
	}
	return rt.meters[name]
}

// open binds the addresses that p has and the runtime has not. If one cannot be
// bound, none of them stays open.
func (rt *runtime) open(p *plan) config.Errors {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var opened []string
	var faults config.Errors
	for i, l := range p.desired.Listeners {
		key := listenerKey(l)
		if rt.listeners[key] != nil || rt.pending[key] != nil {
			continue
		}
		ln := listener.New(p.listeners[i], rt.logger)
		if err := ln.Open(); err != nil {
			ln.Close()
			faults = append(faults, p.desired.Place(fault.Index("listeners", i)+".address", busy(err))...)
			continue
		}
		rt.pending[key] = ln
		opened = append(opened, key)
	}
	if len(faults) > 0 {
		for _, key := range opened {
			rt.pending[key].Close()
			delete(rt.pending, key)
		}
	}
	return faults
}

// busy says what to do about an address that cannot be bound.
func busy(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: choose another port, or end the process that has it; "+
			"in a reload, an address that the reload itself gives up is free for the next one", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine does not have the address", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: ports below 1024 need the capability CAP_NET_BIND_SERVICE", err)
	}
	return err
}

// run starts everything that was applied before and serves until ctx ends and
// all is drained. Health checks go on until the last listener has drained. If a
// listener is lost, run ends ctx itself, by cancel, and returns the reason.
func (rt *runtime) run(ctx context.Context, cancel context.CancelFunc) error {
	checking, stopChecking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopChecking()
	rt.mu.Lock()
	rt.serving, rt.checking = ctx, checking
	for _, g := range rt.groups {
		rt.startGroup(g)
	}
	for _, l := range rt.listeners {
		rt.startListener(l)
	}
	for _, s := range rt.stores {
		rt.startProbes(s)
	}
	rt.checks.Go(func() { rt.heedNews(checking) })
	rt.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-rt.lost:
	}
	rt.mu.Lock()
	rt.stopped = true
	cancel()
	rt.mu.Unlock()
	rt.listening.Wait()
	stopChecking()
	rt.checks.Wait()
	return err
}

func (rt *runtime) startListener(l *runningListener) {
	if rt.serving == nil || rt.stopped || l.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(rt.serving)
	rt.listening.Go(func() {
		if err := l.listener.Run(ctx); err != nil {
			select {
			case rt.lost <- err:
			default:
			}
		}
		rt.mu.Lock()
		defer rt.mu.Unlock()
		delete(rt.leaving, l.listener)
	})
}

func (rt *runtime) stopListener(l *runningListener) {
	if l.cancel == nil {
		l.listener.Close()
		return
	}
	rt.leaving[l.listener] = true
	l.cancel()
}

// startGroup runs a group's health checks.
func (rt *runtime) startGroup(g *runningGroup) {
	if rt.checking == nil || rt.stopped || g.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(rt.checking)
	name := g.config.Name
	rt.checks.Go(func() {
		if err := g.group.Run(ctx); err != nil && ctx.Err() == nil {
			rt.logger.Error("checking the health of targets", "target_group", name, "error", err)
		}
	})
}

func (rt *runtime) stopGroup(g *runningGroup) {
	if g.cancel == nil {
		g.group.Close()
		return
	}
	g.cancel()
}

// close lets go of what run has left open, or all if it never ran.
func (rt *runtime) close() {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.stopped = true
	for _, l := range rt.listeners {
		if l.cancel == nil {
			l.listener.Close()
		}
	}
	rt.closePending()
	for _, g := range rt.groups {
		g.group.Close()
	}
	rt.logs.closeExcept(&logs{})
	for o, timer := range rt.retired {
		timer.Stop()
		o.close(rt.logger)
	}
}

// closePending closes what was opened for a plan that never came into force.
func (rt *runtime) closePending() {
	for key, l := range rt.pending {
		l.Close()
		delete(rt.pending, key)
	}
}

// addresses returns where the listeners listen, for the log.
func (rt *runtime) addresses() []string {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var out []string
	for _, l := range rt.listeners {
		out = append(out, l.policy.Name()+"="+l.listener.Addr().String())
	}
	return out
}

// closeExpired closes the connections of clients whose certificates have ended. It
// asks the trust stores, which can take a while, and so does not hold mu.
func (rt *runtime) closeExpired(now time.Time) {
	for _, l := range rt.openListeners() {
		l.CloseExpired(now)
	}
}

// openListeners returns the listeners that may have connections.
func (rt *runtime) openListeners() []*listener.Listener {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	out := make([]*listener.Listener, 0, len(rt.listeners))
	for _, l := range rt.listeners {
		out = append(out, l.listener)
	}
	return append(out, slices.Collect(maps.Keys(rt.leaving))...)
}

// runningStores returns the trust stores in force by name.
func (rt *runtime) runningStores() map[string]*trust.Store {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	out := make(map[string]*trust.Store, len(rt.stores))
	for name, s := range rt.stores {
		out[name] = s.store
	}
	return out
}

// runningGroups returns the target groups in force.
func (rt *runtime) runningGroups() []*targetgroup.Group {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	out := make([]*targetgroup.Group, 0, len(rt.groups))
	for _, g := range rt.groups {
		out = append(out, g.group)
	}
	return out
}

func (rt *runtime) reopenLogs() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.stopped {
		return nil
	}
	return rt.logs.reopen()
}
