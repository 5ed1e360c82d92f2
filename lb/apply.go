package lb

import (
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/listener"
)

// apply puts p in force. Order matters: trust comes before the listeners that
// rely on it, and what is no longer named goes last. The caller sees to it that it
// runs once at a time.
//
// A listener decides again about the client of every open connection, which can
// take a while after a change of trust; mu is not held then, so that the admin
// side goes on answering.
func (rt *runtime) apply(p *plan) {
	for _, l := range rt.applyTopology(p) {
		l.listener.Apply(l.policy)
	}
	for _, l := range rt.leavingListeners() {
		l.Recheck() // their trust stores may have changed
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.forgetMeters(p)
	rt.applyLogs(p)
	rt.removeGroups(p)
	rt.removeStores(p)
}

func (rt *runtime) leavingListeners() []*listener.Listener {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return slices.Collect(maps.Keys(rt.leaving))
}

// applyTopology makes and starts what p names for the first time, and returns the
// listeners that were there before.
func (rt *runtime) applyTopology(p *plan) []*runningListener {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.served = p.certificates
	rt.applyStores(p)
	rt.applyGroups(p)
	return rt.applyListeners(p)
}

func (rt *runtime) applyStores(p *plan) {
	for name, planned := range p.stores {
		running := rt.stores[name]
		if running == nil {
			running = &runningStore{store: planned.store}
			rt.stores[name] = running
		}
		running.policy = planned.policy
		rules := planned.rules.Digest()
		changed := running.digest != planned.digest
		if changed || running.rules != rules || !running.asksAs(planned.probes) {
			rt.warnOfOlderLists(name, running.store.Revocations(), planned.set)
			planned.publishTo(running.store)
			running.digest, running.rules = planned.digest, rules
		}
		rt.applyProbes(running, planned.probes)
		rt.applyVersion(name, running, planned, changed)
	}
}

// warnOfOlderLists tells of revocation lists that are older than those they replace:
// an old file copied back gives revoked clients their access again. It may be
// meant, so it is done.
func (rt *runtime) warnOfOlderLists(store string, before, after *crl.Set) {
	newest := make(map[string]*big.Int) // by issuer
	for _, l := range after.Lists() {
		if n := newest[l.Issuer]; l.Number != nil && (n == nil || n.Cmp(l.Number) < 0) {
			newest[l.Issuer] = l.Number
		}
	}
	for _, l := range before.Lists() {
		if n := newest[l.Issuer]; n != nil && l.Number != nil && n.Cmp(l.Number) < 0 {
			rt.logger.Warn("a revocation list is older than the one it replaces", "trust_store", store,
				"issuer", l.Issuer, "number_before", l.Number.String(), "number_now", n.String())
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

func (rt *runtime) applyListeners(p *plan) (old []*runningListener) {
	keep := make(map[string]bool)
	for i, l := range p.desired.Listeners {
		key, policy := listenerKey(l), p.listeners[i]
		keep[key] = true
		running := rt.listeners[key]
		if running != nil {
			running.policy = policy
			old = append(old, running)
			continue
		}
		running = &runningListener{listener: rt.pending[key], policy: policy}
		delete(rt.pending, key)
		rt.listeners[key] = running
		running.listener.Apply(policy) // which is newer than the one it was opened with
		rt.startListener(running)
	}
	for key, running := range rt.listeners {
		if !keep[key] {
			rt.stopListener(running)
			delete(rt.listeners, key)
		}
	}
	rt.closePending()
	return old
}

// forgetMeters removes the metrics of listeners that p does not name. A listener
// that only moved to another address keeps them.
func (rt *runtime) forgetMeters(p *plan) {
	named := make(map[string]bool)
	for _, l := range p.desired.Listeners {
		named[l.Name] = true
	}
	for name := range rt.meters {
		if !named[name] {
			rt.metrics.listeners.Forget(name)
			delete(rt.meters, name)
		}
	}
}

// applyLogs takes the logs out of use that the listeners have just been given
// others for. Requests that began before still write to them, so they are closed
// only after the time that a request has in a drain.
func (rt *runtime) applyLogs(p *plan) {
	for _, o := range rt.logs.without(p.logs) {
		o.forget()
		rt.retired[o] = time.AfterFunc(p.desired.LoadBalancer.DrainTimeout, func() { rt.closeRetired(o) })
	}
	rt.logs = p.logs
	rt.logs.watch(rt.metrics.listeners)
}

func (rt *runtime) closeRetired(o *openLog) {
	rt.mu.Lock()
	delete(rt.retired, o)
	rt.mu.Unlock()
	o.close(rt.logger)
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
	for name, running := range rt.stores {
		if p.stores[name] == nil {
			rt.stopProbes(running)
			delete(rt.stores, name)
		}
	}
}
