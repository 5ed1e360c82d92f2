package lb

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/trust"
)

// planRevocationPolicy compiles the policy of a trust store, whose files have faults if m
// is nil. A policy that is in force has fitted its bundle; if a CA has left that since, it
// is only warned of.
func (p *plan) planRevocationPolicy(ts config.TrustStore, m *storeMaterial, inForce bool, path string, now time.Time) *trust.RevocationPolicy {
	var bundle *trust.Bundle
	if m != nil {
		bundle = m.bundle
	}
	wanted := revocationConfig(ts.RevocationPolicy)
	if m != nil && inForce {
		var gone []int
		wanted, gone = wanted.Without(bundle)
		for _, i := range gone {
			p.reading.warnings = append(p.reading.warnings, Warning{
				Path: fault.Index(path+".authorities", i), Problem: "its CA has left the bundle, so the rule has nothing left to rule: remove it, " +
					"since the next start would refuse it",
			})
		}
	}
	rules, err := trust.NewRevocationPolicy(wanted, bundle)
	p.reading.faults.AddUnder(path, err)
	if m == nil {
		return nil
	}
	for _, o := range rules.Outlook(bundle, m.set) {
		if problem := o.Problem(now); problem != "" {
			p.reading.warnings = append(p.reading.warnings, Warning{Path: path, Problem: problem})
		}
	}
	return rules
}

// governs reports whether the policy of a trust store is in force as it is desired.
func (rt *runtime) governs(ts config.TrustStore) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	running := rt.stores[ts.Name]
	return running != nil && reflect.DeepEqual(running.policy, ts.RevocationPolicy)
}

// publishTo puts what was planned in force. All that fill a store do it here, so that
// none forgets the policy.
func (s *plannedStore) publishTo(store *trust.Store) {
	store.Replace(trust.Content{Bundle: s.bundle, Revocations: s.set, RevocationPolicy: s.rules, Version: s.version, Responder: s.responder()})
}

func revocationConfig(c config.RevocationPolicy) trust.RevocationConfig {
	out := trust.RevocationConfig{RevocationRule: revocationRule(c.Missing, c.Expired, c.Grace, c.Scope)}
	for _, a := range c.Authorities {
		out.Authorities = append(out.Authorities, trust.RevocationAuthority{
			Subject: a.Subject, SHA256: a.SHA256, SubjectKeyID: a.SubjectKeyID,
			RevocationRule: revocationRule(a.Missing, a.Expired, a.Grace, a.Scope),
		})
	}
	return out
}

func revocationRule(m config.MissingRevocation, e config.ExpiredRevocation, grace time.Duration, s config.RevocationScope) trust.RevocationRule {
	return trust.RevocationRule{
		Missing: trust.RevocationAction(m), Expired: trust.RevocationAction(e), Grace: grace, Scope: trust.RevocationScope(s),
	}
}

const (
	// outlookCheck is how often the revocation policies are compared with the clock,
	// to warn. What they decide needs no check: each decision looks at the clock.
	outlookCheck = time.Minute
	// outlookRepeat is how often the same warning is repeated.
	outlookRepeat = time.Hour
)

// warnOfOutlook warns, until ctx ends, while clients are refused, or soon will be, for want
// of a current revocation list.
func (b *LoadBalancer) warnOfOutlook(ctx context.Context) {
	tick := time.NewTicker(outlookCheck)
	defer tick.Stop()
	w := outlookWarner{logger: b.logger}
	for now := time.Now(); ; {
		w.look(b.runtime.runningStores(), now)
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
	}
}

// An outlookWarner remembers what it has warned of.
type outlookWarner struct {
	logger *slog.Logger
	said   map[outlookKey]time.Time
}

type outlookKey struct{ store, problem string }

func (w *outlookWarner) look(stores map[string]*trust.Store, now time.Time) {
	said := make(map[outlookKey]time.Time)
	for name, store := range stores {
		for _, o := range store.Outlook() {
			problem := o.Problem(now)
			if problem == "" {
				continue
			}
			key := outlookKey{name, problem}
			last, known := w.said[key]
			if !known || now.Sub(last) >= outlookRepeat {
				w.logger.Warn("revocation policy", "trust_store", name, "problem", problem)
				last = now
			}
			said[key] = last
		}
	}
	w.said = said
}
