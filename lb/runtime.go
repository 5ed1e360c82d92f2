package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

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
	stores    map[string]*runningStore
	groups    map[string]*runningGroup
	listeners map[string]*runningListener
	pending   map[string]*listener.Listener // opened, not yet applied
	running   context.Context               // nil before run
	wg        sync.WaitGroup
	lost      chan error
}

type runningStore struct {
	store  *trust.Store
	digest [32]byte
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
		listeners: make(map[string]*runningListener), pending: make(map[string]*listener.Listener),
		lost: make(chan error, 1),
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

// open binds the addresses that p has and the runtime has not. If one cannot be
// bound, none of them stays open.
func (rt *runtime) open(p *plan) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var opened []string
	var errs []error
	for i, l := range p.desired.Listeners {
		key := listenerKey(l)
		if rt.listeners[key] != nil || rt.pending[key] != nil {
			continue
		}
		ln := listener.New(p.listeners[i], rt.logger)
		if err := ln.Open(); err != nil {
			errs = append(errs, p.desired.Place(fmt.Sprintf("listeners[%d].address", i), err))
			continue
		}
		rt.pending[key] = ln
		opened = append(opened, key)
	}
	if len(errs) == 0 {
		return nil
	}
	for _, key := range opened {
		rt.pending[key].Close()
		delete(rt.pending, key)
	}
	return errors.Join(errs...)
}

// apply puts p in force. Order matters: trust comes before the listeners that
// rely on it, and what is no longer named goes last.
func (rt *runtime) apply(p *plan) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.applyStores(p)
	rt.applyGroups(p)
	rt.applyListeners(p)
	rt.applyLogs(p)
	rt.removeGroups(p)
	rt.removeStores(p)
}

func (rt *runtime) applyStores(p *plan) {
	for name, planned := range p.stores {
		running := rt.stores[name]
		if running == nil {
			running = &runningStore{store: planned.store}
			rt.stores[name] = running
		}
		if running.digest != planned.digest {
			running.store.Publish(planned.bundle, planned.set, planned.version)
			running.digest = planned.digest
			rt.logger.Info("trust store in force", "trust_store", name, "version", planned.version,
				"certificates", len(planned.bundle.Certificates), "revoked", planned.set.Entries())
		}
	}
}

func (rt *runtime) applyGroups(p *plan) {
	for name, planned := range p.groups {
		running := rt.groups[name]
		if running == nil || running.group != planned.group {
			if running != nil {
				rt.stopGroup(running)
			}
			running = &runningGroup{group: planned.group, config: planned.config}
			rt.groups[name] = running
			rt.startGroup(running)
			continue
		}
		if err := running.group.Update(planned.config); err != nil {
			// Check has passed, so this is a bug; the group goes on as it was.
			rt.logger.Error("updating a target group", "target_group", name, "error", err)
			continue
		}
		running.config = planned.config
	}
}

func (rt *runtime) applyListeners(p *plan) {
	keep := make(map[string]bool)
	for i, l := range p.desired.Listeners {
		key, policy := listenerKey(l), p.listeners[i]
		keep[key] = true
		running := rt.listeners[key]
		if running == nil {
			running = &runningListener{listener: rt.pending[key]}
			delete(rt.pending, key)
			rt.listeners[key] = running
		}
		running.policy = policy
		running.listener.Apply(policy)
		rt.startListener(running)
	}
	for key, running := range rt.listeners {
		if !keep[key] {
			rt.stopListener(running)
			rt.metrics.listeners.Forget(running.policy.Name())
			delete(rt.listeners, key)
		}
	}
}

func (rt *runtime) removeGroups(p *plan) {
	for name, running := range rt.groups {
		if p.groups[name] == nil {
			rt.stopGroup(running)
			delete(rt.groups, name)
		}
	}
}

func (rt *runtime) removeStores(p *plan) {
	for name := range rt.stores {
		if p.stores[name] == nil {
			delete(rt.stores, name)
		}
	}
}

// run starts everything that was applied before and serves until ctx ends and
// all is drained.
func (rt *runtime) run(ctx context.Context) error {
	rt.mu.Lock()
	rt.running = ctx
	for _, g := range rt.groups {
		rt.startGroup(g)
	}
	for _, l := range rt.listeners {
		rt.startListener(l)
	}
	rt.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-rt.lost:
	}
	rt.mu.Lock()
	for _, l := range rt.listeners {
		rt.stopListener(l)
	}
	rt.mu.Unlock()
	rt.wg.Wait()
	return err
}

func (rt *runtime) startListener(l *runningListener) {
	if rt.running == nil || l.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(rt.running)
	rt.wg.Go(func() {
		if err := l.listener.Run(ctx); err != nil {
			select {
			case rt.lost <- err:
			default:
			}
		}
	})
}

func (rt *runtime) stopListener(l *runningListener) {
	if l.cancel == nil {
		l.listener.Close()
		return
	}
	l.cancel()
}

// startGroup runs a group's health checks. They outlive the end of the context
// of run, until the listeners have drained.
func (rt *runtime) startGroup(g *runningGroup) {
	if rt.running == nil || g.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(rt.running)
	rt.wg.Go(func() {
		if err := g.group.Run(ctx); err != nil && ctx.Err() == nil {
			rt.logger.Error("checking the health of targets", "target_group", g.config.Name, "error", err)
		}
	})
}

func (rt *runtime) stopGroup(g *runningGroup) {
	if g.cancel != nil {
		g.cancel()
	}
}

// closeSockets closes what was opened when nothing will run.
func (rt *runtime) closeSockets() {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, l := range rt.listeners {
		l.listener.Close()
	}
	for _, l := range rt.pending {
		l.Close()
	}
	rt.logs.closeExcept(nil)
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

// closeExpired closes the connections of clients whose certificates have ended.
func (rt *runtime) closeExpired(now time.Time) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, l := range rt.listeners {
		l.listener.CloseExpired(now)
	}
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

// applyLogs closes the logs that the listeners have just been given others for.
func (rt *runtime) applyLogs(p *plan) {
	old := rt.logs
	rt.logs = p.logs
	old.closeExcept(p.logs)
	rt.logs.watch(rt.metrics.listeners)
}

func (rt *runtime) reopenLogs() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.logs.reopen()
}

func (rt *runtime) closeLogs() {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.logs.closeExcept(nil)
}
