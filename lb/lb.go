// Package lb is a whole load balancer: it reads the config file, keeps the
// desired state, and makes listeners, target groups and trust stores follow it.
//
// Start from [New], which refuses a config with any fault, and [LoadBalancer.Run],
// which serves until its context ends. A config is validated whole and then
// written in one transaction into the desired state (package lb/state). A watch
// on that wakes the reconciler, which compiles an immutable snapshot (package
// listener's policies) and swaps it in. Requests see the snapshot only; they
// never touch the desired state.
//
// The files a config names are watched. When one changes, all are read again; if
// anything is wrong with any of them, the running state stays as it is and the
// log says what is wrong and where.
package lb

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/seen"
	"github.com/postern-lb/postern/lb/state"
	"github.com/postern-lb/postern/lb/versions"
	"github.com/postern-lb/postern/listener"
)

// Options says what a LoadBalancer is made from.
type Options struct {
	// ConfigPath is the YAML file. Required.
	ConfigPath string
	// Logger takes what operators should know; default slog.Default().
	Logger *slog.Logger
}

// A LoadBalancer serves what its config file says. Its methods are safe for
// concurrent use.
type LoadBalancer struct {
	// Fixed by New.
	path     string
	logger   *slog.Logger
	registry *prometheus.Registry
	metrics  *metrics
	state    *state.Store
	watch    *fileWatch
	sources  *sources
	checking bool                    // nothing is to be opened or made
	unpinned func(store string) bool // whose pins do not count, since other files are asked about; nil: nobody's
	now      func() time.Time

	// reloading is held while files are read and checked, and while what they say
	// is put in force. It guards the fields below it.
	reloading       sync.Mutex
	material        *material
	watched         []string // the files that the last readable config named
	planned         *plan    // what commit compiled, for the reconciler
	plannedRevision uint64
	histories       *histories

	seen      *seen.Store
	seenFile  atomic.Pointer[string] // where seen is written; empty: nowhere
	refusals  *listener.Refusals
	runtime   *runtime
	admin     *adminServer // nil until New has opened it
	ready     atomic.Bool
	applied   revisions
	lastError atomic.Pointer[string]
}

// expiryCheck is how often the certificates of open connections are compared
// with the clock.
const expiryCheck = time.Second

// New reads the config and everything it names, and opens the listeners' sockets.
// Nothing is served before Run. The error is a config.Errors if the fault is in
// a file.
func New(options Options) (*LoadBalancer, error) {
	b, err := newLoadBalancer(options)
	if err != nil {
		return nil, err
	}
	_, err = b.commit(context.Background(), false)
	if err == nil {
		err = b.reconcileOnce()
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close lets go of everything that is open. Nothing may be running.
func (b *LoadBalancer) close() {
	b.runtime.close()
	if b.admin != nil {
		b.admin.close()
	}
	b.material.certificates.stop()
}

func newLoadBalancer(options Options) (*LoadBalancer, error) {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	store, err := state.New()
	if err != nil {
		return nil, err
	}
	b := &LoadBalancer{
		path: options.ConfigPath, logger: options.Logger, registry: prometheus.NewRegistry(),
		state: store, watch: newFileWatch(options.Logger),
		material: newMaterial(newCertificates()), seen: seen.New(0, 0), refusals: listener.NewRefusals(config.DefaultRefusals),
		histories: newHistories(options.Logger), now: time.Now,
	}
	b.sources = newSources(options.Logger)
	b.material.sources = b.sources
	b.metrics = newMetrics(b)
	b.runtime = newRuntime(b.logger, b.metrics)
	return b, nil
}

// Run serves until ctx ends, then drains and returns nil. An error means that a
// listener was lost. Call it once.
func (b *LoadBalancer) Run(ctx context.Context) error {
	defer b.close()
	defer b.applied.end()
	told := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(told))
	defer cancel()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	var tasks sync.WaitGroup
	tasks.Go(func() { b.reconcile(ctx) })
	tasks.Go(func() { b.watch.run(ctx, func() { b.reloadAndLog(ctx, "a file changed") }) })
	tasks.Go(func() { b.closeExpired(ctx) })
	b.sources.report = func(why string) { b.reloadAndLog(ctx, why) }
	tasks.Go(func() { b.sources.run(ctx) })
	tasks.Go(func() { b.warnOfOutlook(ctx) })
	tasks.Go(func() { b.saveSeen(ctx) })
	tasks.Go(func() { b.tellExpiry(ctx) })
	adminDone := make(chan struct{})
	go func() { defer close(adminDone); b.admin.run(background) }()

	b.ready.Store(true)
	// Whoever asks must not be told of readiness when a socket is closed already.
	defer context.AfterFunc(told, func() {
		b.logger.Info("draining", "at_most", b.state.Snapshot().LoadBalancer().Value.DrainTimeout.String())
		b.ready.Store(false)
		cancel()
	})()
	b.logger.Info("serving", "config", b.path, "listeners", b.runtime.addresses(), "admin", b.AdminAddress())
	err := b.runtime.run(ctx, func() { b.ready.Store(false); cancel() })
	tasks.Wait()
	b.saveSeenNow()
	// The admin side outlives the listeners, so that a drain can be watched.
	stopBackground()
	<-adminDone
	b.logger.Info("stopped")
	return err
}

// Reload reads the config and every file it names, asks every source, and puts them in
// force. A source that does not answer stays as it is. If
// anything is wrong with them, the error says what, with its place in the file,
// and nothing changes. It returns when the new state is in force, for which Run
// must be running. Logs are reopened by name in any case.
func (b *LoadBalancer) Reload(ctx context.Context) error { return b.reload(ctx, true) }

// reload is Reload; unless fetch, only sources that are new to it are asked.
func (b *LoadBalancer) reload(ctx context.Context, fetch bool) error {
	if err := b.runtime.reopenLogs(); err != nil {
		b.logger.Error("reloading", "error", err)
	}
	revision, err := b.commit(ctx, fetch)
	if err == nil {
		err = b.applied.wait(ctx, revision)
	}
	if ctx.Err() == nil {
		b.remember(err)
	}
	return err
}

// reloadAndLog reads files again for those who cannot use an error.
func (b *LoadBalancer) reloadAndLog(ctx context.Context, why string) {
	if err := b.reload(ctx, false); err != nil {
		b.logger.Error("reload refused, the running state stays", "why", why, "error", err)
		return
	}
	b.logger.Info("reloaded", "why", why, "revision", b.applied.current())
}

// commit validates the files and writes what they say as the desired state.
func (b *LoadBalancer) commit(ctx context.Context, fetch bool) (revision uint64, err error) {
	b.refreshSources(ctx, fetch)
	b.reloading.Lock()
	defer b.reloading.Unlock()
	p, err := b.read()
	if err != nil {
		return 0, err
	}
	if err := b.open(p); err != nil {
		p.discard(b.runtime)
		return 0, err
	}
	changes, err := b.state.Apply(p.desired, p.materials())
	if err != nil {
		p.discard(b.runtime)
		return 0, err
	}
	for _, w := range p.warnings {
		b.logger.Warn("the config is accepted with a warning", "warning", w.String())
	}
	if b.planned != nil {
		b.planned.discard(b.runtime) // overtaken before it was put in force
	}
	b.planned, b.plannedRevision = p, changes.Revision
	if changes.Empty() && b.applied.current() == changes.Revision {
		// Nobody is woken, and an earlier attempt may have failed.
		b.applied.reached(changes.Revision, b.follow(b.state.Snapshot()))
	}
	return changes.Revision, nil
}

// refreshSources fetches what is to be read, before anybody is held up by it: a slow
// server must not keep a local change from coming into force.
func (b *LoadBalancer) refreshSources(ctx context.Context, all bool) {
	if file, err := config.Load(b.path); err == nil { // commit tells of the error
		b.sources.refresh(ctx, file, all)
	}
}

// read makes a plan of the files as they are, and watches them whatever comes of
// it, so that a correction is noticed.
func (b *LoadBalancer) read() (*plan, error) {
	seen := make(signature)
	seen.add(b.path)
	file, err := config.Load(b.path)
	if err != nil {
		seen.add(b.watched...)
		b.watch.set(seen)
		return nil, err
	}
	b.watched = namedFiles(file)
	seen.add(b.watched...)
	defer b.watch.set(seen)
	return b.plan(file)
}

// open binds every address that p has and nobody has bound yet.
func (b *LoadBalancer) open(p *plan) error {
	var faults config.Errors
	if b.admin == nil {
		var err error
		b.admin, err = b.openAdmin(p.desired.Admin)
		faults = append(faults, p.desired.Place("admin.address", err)...)
	}
	faults = append(faults, b.runtime.open(p)...)
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// reconcile makes the runtime follow the desired state until ctx ends.
func (b *LoadBalancer) reconcile(ctx context.Context) {
	for {
		if _, err := b.state.Wait(ctx, b.applied.current()); err != nil {
			return // only a context ends a watch
		}
		if err := b.reconcileOnce(); err != nil {
			b.logger.Error("the desired state cannot be put in force, the running state stays", "error", err)
		}
	}
}

// reconcileOnce puts the newest desired state in force. If that fails it is not
// tried again before the next change.
func (b *LoadBalancer) reconcileOnce() error {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	desired := b.state.Snapshot()
	err := b.follow(desired)
	b.applied.reached(desired.Revision(), err)
	return err
}

// follow puts desired in force, by the plan that commit made of it or by one of
// its own.
func (b *LoadBalancer) follow(desired *state.Snapshot) error {
	p := b.planned
	if p == nil || b.plannedRevision != desired.Revision() {
		var err error
		if p, err = b.plan(desired.File()); err != nil {
			return err
		}
		if err := b.open(p); err != nil {
			p.discard(b.runtime)
			return err
		}
	}
	b.planned = nil
	b.rememberClients(p.desired)
	b.refusals.Resize(p.desired.Admin.Refusals)
	b.runtime.apply(p)
	b.sources.follow(p.desired, p.reading.copies.used)
	b.keepVersions(p)
	return nil
}

// closeExpired ends the connections of clients whose certificate has expired, or
// become unacceptable in another way that only the clock brings about.
func (b *LoadBalancer) closeExpired(ctx context.Context) {
	tick := time.NewTicker(expiryCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			b.runtime.closeExpired(now)
		}
	}
}

func (b *LoadBalancer) remember(err error) {
	text := ""
	if err != nil {
		text = err.Error()
		b.metrics.reloads.WithLabelValues("refused").Inc()
	} else {
		b.metrics.reloads.WithLabelValues("applied").Inc()
	}
	b.lastError.Store(&text)
}

func (b *LoadBalancer) lastReloadError() string {
	if text := b.lastError.Load(); text != nil {
		return *text
	}
	return ""
}

// namedFiles lists the files whose content matters to file.
func namedFiles(file *config.File) []string {
	var out []string
	for _, l := range file.Listeners {
		for _, c := range l.Certificates {
			out = append(out, c.Certificate, c.PrivateKey)
		}
	}
	for _, ts := range file.TrustStores {
		out = append(out, sourceFiles(ts.CACertificatesBundle, bundleExtensions)...)
		for _, r := range ts.Revocations {
			out = append(out, sourceFiles(r, revocationExtensions)...)
		}
		if folder := historyFolder(file.StateDirectory, ts.Name); folder != "" {
			out = append(out, versions.PinFile(folder))
		}
	}
	return out
}
