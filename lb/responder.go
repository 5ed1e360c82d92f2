package lb

import (
	"context"
	"reflect"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/ocsp"
	"github.com/postern-lb/postern/trust"
)

// A responder is what a trust store asks beside its lists; the zero one is nobody.
type responder struct {
	settings config.OCSP
	checker  *ocsp.Checker
	stop     context.CancelFunc // of checker's Run; nil if that does not run
}

// planResponder returns the responder of a trust store: the running one, with all that it
// remembers, if its settings are the same.
func (p *plan) planResponder(b *LoadBalancer, ts config.TrustStore, store *trust.Store, path string) responder {
	running := b.runtime.responder(ts.Name)
	if running.checker != nil && reflect.DeepEqual(running.settings, ts.OCSP) {
		return running
	}
	out := responder{settings: ts.OCSP}
	if ts.OCSP.Mode == config.OCSPOff {
		return out
	}
	checker, err := ocsp.New(ocsp.Config{
		Hard: ts.OCSP.Mode == config.OCSPHard, Responder: ts.OCSP.Responder, AllowedHosts: ts.OCSP.AllowedHosts,
		Timeout: ts.OCSP.Timeout, Refresh: ts.OCSP.RefreshInterval, CacheEntries: ts.OCSP.CacheEntries,
		Revoked: func() { store.Changed(); b.runtime.tellNews() }, Logger: b.logger.With("trust_store", ts.Name),
		Count: func(result string) { b.metrics.ocspQueries.WithLabelValues(ts.Name, result).Inc() },
	})
	if err != nil {
		p.reading.faults.Add(path, "%v", err)
	}
	if err == nil && !b.checking { // a check asks nobody
		out.checker = checker
		if running.checker != nil {
			checker.Inherit(running.checker)
		}
	}
	return out
}

// asked returns the responder as package trust wants it.
func (r responder) asked() trust.Responder {
	if r.checker == nil {
		return nil
	}
	return r.checker
}

func (rt *runtime) responder(store string) responder {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if running := rt.stores[store]; running != nil {
		return running.responder
	}
	return responder{}
}

// applyResponder makes s ask whom it is to ask from now on. The caller holds mu.
func (rt *runtime) applyResponder(s *runningStore, planned responder) {
	if s.responder.checker != planned.checker {
		rt.stopResponder(s)
		s.responder = planned
	}
	rt.startResponder(s)
}

// startResponder keeps the answers fresh from now on, if anything runs. The caller holds mu.
func (rt *runtime) startResponder(s *runningStore) {
	r := &s.responder
	if rt.checking == nil || rt.stopped || r.checker == nil || r.stop != nil {
		return
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(rt.checking)
	checker := r.checker
	rt.checks.Go(func() { checker.Run(ctx) })
}

func (rt *runtime) stopResponder(s *runningStore) {
	if s.responder.stop != nil {
		s.responder.stop()
	}
	s.responder = responder{}
}

// tellNews notes that a responder has revoked a certificate.
func (rt *runtime) tellNews() {
	select {
	case rt.news <- struct{}{}:
	default: // whoever hears of the last news will see this one too
	}
}

// heedNews judges the open connections again after news, until ctx ends.
func (rt *runtime) heedNews(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-rt.news:
			for _, l := range rt.openListeners() {
				l.Recheck()
			}
		}
	}
}
