package lb

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"os"
	"reflect"

	"github.com/postern-lb/postern/internal/durable"
	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/versions"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// A plan is a desired state whose every part was checked and compiled: putting it
// in force cannot fail any more.
type plan struct {
	desired  *config.File
	warnings []Warning

	stores    map[string]*plannedStore
	groups    map[string]*plannedGroup
	listeners []*listener.Policy
	logs      *logs
	reading   *reading

	certificates map[string][]tls.Certificate // by listener
}

type plannedStore struct {
	store *trust.Store // the running one of that name, or a new one
	*storeMaterial
	rules *trust.RevocationPolicy
	probes
	policy  config.RevocationPolicy // what rules were made of
	history *versions.History
	hold
}

type plannedGroup struct {
	group  *targetgroup.Group // likewise
	config targetgroup.Config
	isNew  bool
}

// plan checks desired against everything it names. If what was fetched last does not
// fit, it goes back to the copies that were in force last. The error is a
// config.Errors.
func (b *LoadBalancer) plan(desired *config.File) (*plan, error) {
	p, err := b.planWith(desired, false)
	waiting := b.sources.waiting(desired)
	if err == nil || len(waiting) == 0 {
		return p, err
	}
	older, olderErr := b.planWith(desired, true)
	if olderErr != nil {
		return nil, err
	}
	b.logger.Error("the newest copies of sources are refused, those that were in force last stay", "sources", waiting, "error", err)
	return older, nil
}

// planWith makes a plan of the newest copies of the sources, or of those that were in
// force last.
func (b *LoadBalancer) planWith(desired *config.File, accepted bool) (*plan, error) {
	r := newReading()
	r.copies = copies{root: b.sources.rootOf(desired), accepted: accepted}
	p := &plan{
		desired: desired, reading: r,
		stores: make(map[string]*plannedStore), groups: make(map[string]*plannedGroup),
	}
	p.planStateDirectory(b.checking)
	p.planLogs(b.runtime.logs, b.checking)
	p.planCertificates(b)
	p.planStores(b)
	p.planGroups(b)
	p.planListeners(b)
	p.planAdmin(b)
	p.warnings = placed(b.path, desired, r.warnings)
	if err := r.faults.Err(); err != nil {
		p.discard(b.runtime)
		return nil, desired.Place("", err)
	}
	b.material.keep(r)
	return p, nil
}

// discard lets go of what was opened for a plan that is not to be put in force.
func (p *plan) discard(running *runtime) {
	p.logs.closeExcept(running.logs)
	for _, g := range p.groups {
		if g.isNew {
			g.group.Close()
		}
	}
}

// planStateDirectory makes the folder, if there is to be one; checking, it only sees
// that nothing stands in its place.
func (p *plan) planStateDirectory(checking bool) {
	folder := p.desired.StateDirectory
	if folder == "" {
		return
	}
	if !checking {
		if err := durable.Folder(folder); err != nil {
			p.reading.faults.Add("state_directory", "%v", err)
		}
		return
	}
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		p.reading.faults.Add("state_directory", "%s is not a folder", folder)
	}
}

// planAdmin warns that the one socket which a reload does not move stays.
func (p *plan) planAdmin(b *LoadBalancer) {
	if b.admin != nil && b.admin.configured != p.desired.Admin.Address {
		p.reading.warnings = append(p.reading.warnings, Warning{
			Path: "admin.address", Problem: "the admin side stays at " + b.AdminAddress() + " until the next start",
		})
	}
}

func (p *plan) planCertificates(b *LoadBalancer) {
	p.certificates = make(map[string][]tls.Certificate)
	for i, l := range p.desired.Listeners {
		p.certificates[l.Name] = b.material.serverCertificates(l.Certificates, fault.Index("listeners", i), p.reading)
	}
}

// foreignHosts returns the names in the certificates of HTTPS listeners whose
// mutual TLS policy is not that of l.
func (p *plan) foreignHosts(l config.Listener) []string {
	var out []string
	for _, other := range p.desired.Listeners {
		// What targets are told is no part of who is let in.
		mine, theirs := l.MutualAuthentication, other.MutualAuthentication
		mine.ForwardHeaders, theirs.ForwardHeaders = nil, nil
		if reflect.DeepEqual(theirs, mine) {
			continue
		}
		for i := range p.certificates[other.Name] {
			out = append(out, listener.CertificateHosts(&p.certificates[other.Name][i])...)
		}
	}
	return out
}

func (p *plan) planStores(b *LoadBalancer) {
	for i, ts := range p.desired.TrustStores {
		if s := p.planStore(b, ts, fault.Index("trust_stores", i)); s != nil {
			p.stores[ts.Name] = s
		}
	}
}

func (p *plan) planGroups(b *LoadBalancer) {
	inUse := make(map[string]bool)
	for i := range p.desired.Listeners {
		for _, name := range p.desired.Listeners[i].TargetGroups() {
			inUse[name] = true
		}
	}
	for i, tg := range p.desired.TargetGroups {
		cfg := targetGroupConfig(tg, p.desired, b.metrics.targetGroups, b.logger)
		cfg.NotInUse = !inUse[tg.Name]
		group, isNew := b.runtime.group(tg.Name, cfg), false
		err := cfg.Check()
		if err == nil && group == nil {
			isNew = true
			group, err = targetgroup.New(cfg)
		}
		p.reading.faults.AddUnder(fault.Index("target_groups", i), err)
		if err == nil {
			p.groups[tg.Name] = &plannedGroup{group, cfg, isNew}
		}
	}
}

func (p *plan) planListeners(b *LoadBalancer) {
	for i, l := range p.desired.Listeners {
		at := fault.Index("listeners", i)
		cfg := p.listenerConfig(b, l, at)
		if len(cfg.Certificates) < len(l.Certificates) {
			// What is wrong with the files is known already. The rest can still be
			// checked, so that one run reports every fault.
			p.checkWithoutCertificates(cfg, at)
			continue
		}
		policy, err := listener.Compile(cfg, b.runtime.policy(listenerKey(l)))
		p.reading.faults.AddUnder(at, err)
		p.listeners = append(p.listeners, policy)
	}
}

// checkWithoutCertificates notes what is wrong with a listener besides its
// certificates, which Compile needs.
func (p *plan) checkWithoutCertificates(cfg listener.Config, at string) {
	if cfg.SecurityPolicy != "" {
		_, err := listener.LookupSecurityPolicy(cfg.SecurityPolicy)
		p.reading.faults.AddUnder(at+".ssl_policy", err)
	}
	cfg.Certificates = nil
	_, err := listener.Compile(cfg, nil)
	for _, f := range fault.All(err) {
		if f.Path != "certificates" {
			p.reading.faults.AddUnder(at, f)
		}
	}
}

func (p *plan) listenerConfig(b *LoadBalancer, l config.Listener, at string) listener.Config {
	var faults fault.List
	cfg := listener.Config{
		Name: l.Name, Address: l.Address, Protocol: listener.Protocol(l.Protocol),
		ELB:            elbID(p.desired.LoadBalancer.Name),
		SecurityPolicy: l.SSLPolicy, HTTP2: p.desired.LoadBalancer.EnableHTTP2,
		HTTP2Engine:    listener.HTTP2Engine(l.HTTP2Engine),
		Certificates:   p.certificates[l.Name],
		ProxyProtocol:  proxyProtocol(l.ProxyProtocol),
		Timeouts:       timeouts(l, p.desired.LoadBalancer),
		MaxConnections: l.MaxConnections,
		MaxHandshakes:  l.MaxHandshakes,
		Rules:          rules(l.Rules), DefaultActions: actions(l.DefaultActions),
		Backends:  p.backends(),
		Headers:   requestHeaders(l, p.desired.LoadBalancer),
		Responses: responseHeaders(l.Attributes), PreserveHostHeader: p.desired.LoadBalancer.PreserveHostHeader,
		ForeignHosts:  p.foreignHosts(l),
		ConnectionLog: p.logs.connection.sink(), AccessLog: p.logs.access.sink(),
		Metrics: b.runtime.meter(l.Name), Refusals: b.refusals,
	}
	// A store with faults, which are noted, stands in for itself: the plan is refused.
	store := trust.NewStore(l.MutualAuthentication.TrustStore, trust.Options{})
	var advertised []*x509.Certificate
	if s := p.stores[store.Name()]; s != nil {
		store = s.store
		if l.MutualAuthentication.AdvertiseTrustStoreCANames {
			advertised = s.bundle.Certificates
		}
	}
	cfg.MutualAuthentication = mutualAuthentication(l.MutualAuthentication, store, &faults)
	cfg.MutualAuthentication.AdvertisedCAs = advertised
	if cfg.MutualAuthentication.Mode == listener.ModeVerify && p.desired.SeenClients.Limit > 0 {
		cfg.MutualAuthentication.Seen = b.seen.Recorder(l.Name, store.Name(), cfg.MutualAuthentication.Trust)
	}
	p.reading.faults.AddUnder(at+".mutual_authentication", faults.Err())
	return cfg
}

func (p *plan) backends() map[string]targetgroup.Backend {
	out := make(map[string]targetgroup.Backend, len(p.desired.TargetGroups))
	for _, tg := range p.desired.TargetGroups {
		var group *targetgroup.Group // nil in place of one with faults: the plan is refused
		if g := p.groups[tg.Name]; g != nil {
			group = g.group
		}
		out[tg.Name] = group
	}
	return out
}

// materials is what the desired state remembers of the files, so that a change
// in one of them is a change of the desired state.
func (p *plan) materials() map[string]string {
	out := make(map[string]string)
	for name, s := range p.stores {
		out["trust_store/"+name] = hex.EncodeToString(s.digest[:])
	}
	for place, hash := range p.reading.pairs {
		out["certificate/"+place] = hash
	}
	return out
}

// elbID is the load balancer's id in the logs. ALB's ends in 16 hex digits that it
// makes up; ours come from the name, so that they stay over restarts.
func elbID(name string) string {
	sum := sha256.Sum256([]byte("postern load balancer " + name))
	return "app/" + name + "/" + hex.EncodeToString(sum[:8])
}

// listenerKey tells listeners apart over reloads: by address, because that is
// what the socket belongs to, or by name where the system chose the port.
func listenerKey(l config.Listener) string {
	if _, port, err := net.SplitHostPort(l.Address); err == nil && port == "0" {
		return l.Name + "@" + l.Address
	}
	return l.Address
}
