package lb

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/trust"
)

// ListenerOptions is a client certificate chain and the listener to judge it by.
type ListenerOptions struct {
	ConfigPath string
	Listener   string    // by name
	Chain      string    // the client's certificates, PEM, leaf first
	At         time.Time // zero: now
}

// A ListenerDecision is what a listener decides about a chain, and how. Its JSON form is
// a contract: that of [Decision], with fields added.
type ListenerDecision struct {
	Decision
	Listener string `json:"listener"`
	// Explanation is null if a certificate cannot be parsed: then there is nothing to
	// be asked.
	Explanation *trust.Explanation `json:"explanation"`
}

// ExplainListener reads the config as [Check] does and decides about a chain as one of
// its listeners would. The error says which file cannot be used, and why.
func ExplainListener(o ListenerOptions) (*ListenerDecision, error) {
	if o.At.IsZero() {
		o.At = time.Now()
	}
	file, err := config.Load(o.ConfigPath)
	if err != nil {
		return nil, err
	}
	data, err := readFile(o.Chain, maxCertificateFile)
	if err != nil {
		return nil, err
	}
	chain, verdict, err := trust.ParseChain(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Chain, err)
	}
	policy, warnings, err := o.policy(file)
	if err != nil {
		return nil, err
	}
	out := &ListenerDecision{Listener: o.Listener}
	if verdict == nil {
		verdict, out.Explanation = policy.Explain(chain, o.At)
	}
	out.Decision = *newDecision(verdict, o.At, warnings)
	return out, nil
}

// policy compiles the config and returns the listener's part of it, with its trust
// store filled.
func (o *ListenerOptions) policy(file *config.File) (*listener.Policy, []Warning, error) {
	b, err := newLoadBalancer(Options{ConfigPath: o.ConfigPath, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	b.checking = true
	defer b.material.certificates.stop()
	b.material.now = func() time.Time { return o.At }
	p, err := b.plan(file)
	if err != nil {
		return nil, nil, err
	}
	defer p.discard(b.runtime)
	var names []string
	for i, l := range file.Listeners {
		if l.Name != o.Listener {
			names = append(names, l.Name)
			continue
		}
		if mode := l.MutualAuthentication.Mode; mode != config.MutualMode(listener.ModeVerify) {
			return nil, nil, fmt.Errorf("listener %q has mutual_authentication.mode %s: it decides nothing about client certificates", l.Name, mode)
		}
		if s := p.stores[l.MutualAuthentication.TrustStore]; s != nil {
			s.publishTo(s.store)
		}
		return p.listeners[i], p.warnings, nil
	}
	return nil, nil, fmt.Errorf("no listener has the name %q: there are %s", o.Listener, strings.Join(names, ", "))
}
