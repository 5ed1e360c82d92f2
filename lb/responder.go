package lb

import (
	"context"
	"path/filepath"
	"reflect"

	"github.com/postern-lb/postern/internal/durable"
	"github.com/postern-lb/postern/lb/cdp"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/ocsp"
	"github.com/postern-lb/postern/trust"
)

// A prober asks others about certificates, and goes on asking while it runs.
type prober interface {
	comparable
	trust.Responder
	Run(context.Context)
}

// A probe is a prober and what it was made of; the zero one asks nobody.
type probe[S any, P prober] struct {
	settings S
	prober   P
	stop     context.CancelFunc // of the prober's Run; nil if that does not run
}

// idle reports whether nobody is asked.
func (p probe[S, P]) idle() bool {
	var none P
	return p.prober == none
}

// probes are whom a trust store asks beside its lists.
type probes struct {
	ocsp   probe[config.OCSP, *ocsp.Checker]
	points probe[config.CRLDistributionPoints, *cdp.Checker]
}

// responder returns the probes as package trust wants them.
func (p *probes) responder() trust.Responder {
	var all responders
	if !p.ocsp.idle() {
		all = append(all, p.ocsp.prober)
	}
	if !p.points.idle() {
		all = append(all, p.points.prober)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

// responders ask one after another. What says revoked, or that nobody may get in, decides.
type responders []trust.Responder

// Check implements trust.Responder.
func (r responders) Check(q trust.Query) trust.Answer {
	var out trust.Answer
	for _, one := range r {
		switch a := one.Check(q); a.Status {
		case trust.AnswerRevoked, trust.AnswerFailed:
			return a
		case trust.AnswerGood:
			out = a
		}
	}
	return out
}

// planProbes returns the probes of a trust store: the running ones, with all that they know,
// where their settings are the same. A check asks nobody.
func (p *plan) planProbes(b *LoadBalancer, ts config.TrustStore, store *trust.Store, path string) probes {
	running := b.runtime.probes(ts.Name)
	out := probes{ocsp: running.ocsp, points: running.points}
	news := func() { store.Changed(); b.runtime.tellNews() }
	if running.ocsp.idle() || !reflect.DeepEqual(running.ocsp.settings, ts.OCSP) {
		out.ocsp = p.planOCSP(b, ts, path+".ocsp", news)
		if !out.ocsp.idle() && !running.ocsp.idle() {
			out.ocsp.prober.Inherit(running.ocsp.prober)
		}
	}
	if running.points.idle() || !reflect.DeepEqual(running.points.settings, ts.CRLDistributionPoints) {
		out.points = p.planPoints(b, ts, path+".crl_distribution_points", news)
	}
	return out
}

func (p *plan) planOCSP(b *LoadBalancer, ts config.TrustStore, path string, news func()) probe[config.OCSP, *ocsp.Checker] {
	out := probe[config.OCSP, *ocsp.Checker]{settings: ts.OCSP}
	if ts.OCSP.Mode == config.OCSPOff {
		return out
	}
	checker, err := ocsp.New(ocsp.Config{
		Hard: ts.OCSP.Mode == config.OCSPHard, Responder: ts.OCSP.Responder, AllowedHosts: ts.OCSP.AllowedHosts,
		Timeout: ts.OCSP.Timeout, Refresh: ts.OCSP.RefreshInterval, CacheEntries: ts.OCSP.CacheEntries,
		Revoked: news, Logger: b.logger.With("trust_store", ts.Name),
		Count: func(result string) { b.metrics.ocspQueries.WithLabelValues(ts.Name, result).Inc() },
	})
	if err != nil {
		p.reading.faults.Add(path, "%v", err)
	} else if !b.checking {
		out.prober = checker
	}
	return out
}

func (p *plan) planPoints(b *LoadBalancer, ts config.TrustStore, path string, news func()) probe[config.CRLDistributionPoints, *cdp.Checker] {
	settings := ts.CRLDistributionPoints
	out := probe[config.CRLDistributionPoints, *cdp.Checker]{settings: settings}
	if len(settings.AllowedHosts) == 0 {
		return out
	}
	folder := ""
	if p.desired.StateDirectory != "" {
		folder = filepath.Join(p.desired.StateDirectory, "crl-distribution-points", ts.Name)
		if !b.checking {
			if err := durable.Folder(folder); err != nil {
				p.reading.faults.Add("state_directory", "%v", err)
			}
		}
	}
	checker, err := cdp.New(cdp.Config{
		AllowedHosts: settings.AllowedHosts, Timeout: settings.Timeout, Refresh: settings.RefreshInterval, MaxSize: int64(settings.MaxSize),
		Folder: folder, Changed: news, Logger: b.logger.With("trust_store", ts.Name),
		Count: func(result string) { b.metrics.pointFetches.WithLabelValues(ts.Name, result).Inc() },
	})
	if err != nil {
		p.reading.faults.Add(path, "%v", err)
	} else if !b.checking {
		out.prober = checker
	}
	return out
}

// asksAs reports whether others are the same.
func (p *probes) asksAs(others probes) bool {
	return p.ocsp.prober == others.ocsp.prober && p.points.prober == others.points.prober
}

func (rt *runtime) probes(store string) probes {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if running := rt.stores[store]; running != nil {
		return running.probes
	}
	return probes{}
}

// applyProbes makes a trust store ask whom it is to ask from now on. The caller holds mu.
func (rt *runtime) applyProbes(s *runningStore, planned probes) {
	replace(&s.ocsp, planned.ocsp)
	replace(&s.points, planned.points)
	rt.startProbes(s)
}

func replace[S any, P prober](running *probe[S, P], planned probe[S, P]) {
	if running.prober != planned.prober {
		halt(running)
		*running = planned
	}
}

func halt[S any, P prober](p *probe[S, P]) {
	if p.stop != nil {
		p.stop()
	}
	*p = probe[S, P]{}
}

// startProbes keeps what is known fresh from now on, if anything runs. The caller holds mu.
func (rt *runtime) startProbes(s *runningStore) {
	if rt.checking != nil && !rt.stopped {
		launch(rt, &s.ocsp)
		launch(rt, &s.points)
	}
}

func launch[S any, P prober](rt *runtime, p *probe[S, P]) {
	if p.idle() || p.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(rt.checking)
	p.stop = stop
	prober := p.prober
	rt.checks.Go(func() { prober.Run(ctx) })
}

func (rt *runtime) stopProbes(s *runningStore) {
	halt(&s.ocsp)
	halt(&s.points)
}

// tellNews notes that more is known of revocation than before.
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
