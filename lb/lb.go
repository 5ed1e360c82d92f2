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
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/state"
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
	started  time.Time

	// reloading is held while files are read and checked, and while what they say
	// is put in force. It guards the fields below it.
	reloading       sync.Mutex
	material        *material
	watched         []string // the files that the last good config named
	planned         *plan    // what commit compiled, for the reconciler
	plannedRevision uint64

	runtime   *runtime
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
	_, err = b.commit()
	if err == nil {
		err = b.reconcileOnce()
	}
	if err != nil {
		b.runtime.closeSockets()
		b.material.certificates.stop()
		return nil, err
	}
	return b, nil
}

func newLoadBalancer(options Options) (*LoadBalancer, error) {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	store, err := state.New()
	if err != nil {
		return nil, fmt.Errorf("making the desired state: %w", err)
	}
	b := &LoadBalancer{
		path: options.ConfigPath, logger: options.Logger, registry: prometheus.NewRegistry(),
		state: store, watch: newFileWatch(options.Logger), started: time.Now(),
		material: newMaterial(newCertificates()),
	}
	b.metrics = newMetrics(b)
	b.runtime = newRuntime(b.logger, b.metrics)
	return b, nil
}

// Run serves until ctx ends, then drains and returns nil. An error means that a
// listener or the admin address was lost. Call it once.
func (b *LoadBalancer) Run(ctx context.Context) error {
	defer b.material.certificates.stop()
	admin, err := b.openAdmin()
	if err != nil {
		b.runtime.closeSockets()
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	group.Go(func() error { return b.reconcile(ctx) })
	group.Go(func() error {
		b.watch.run(ctx, func() { b.reloadAndLog(ctx, "a file changed") })
		return nil
	})
	group.Go(func() error { b.closeExpired(ctx); return nil })
	group.Go(func() error {
		<-ctx.Done()
		b.ready.Store(false)
		return nil
	})
	adminDone := make(chan struct{})
	go func() { defer close(adminDone); admin.run(background) }()

	b.ready.Store(true)
	b.logger.Info("serving", "config", b.path, "listeners", b.runtime.addresses(), "admin", admin.address())
	err = errors.Join(b.runtime.run(ctx), group.Wait())
	// The admin side outlives the listeners, so that a drain can be watched.
	stopBackground()
	<-adminDone
	b.runtime.closeLogs()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Reload reads the config and every file it names, and puts them in force. If
// anything is wrong with them, the error says what, with its place in the file,
// and nothing changes. It returns when the new state is in force. Logs are
// reopened by name in any case.
func (b *LoadBalancer) Reload(ctx context.Context) error {
	if err := b.runtime.reopenLogs(); err != nil {
		b.logger.Error("reloading", "error", err)
	}
	revision, err := b.commit()
	b.remember(err)
	if err != nil {
		return err
	}
	return b.applied.wait(ctx, revision)
}

// reloadAndLog is Reload for those who cannot use an error.
func (b *LoadBalancer) reloadAndLog(ctx context.Context, why string) {
	if err := b.Reload(ctx); err != nil {
		b.logger.Error("reload refused, the running state stays", "why", why, "error", err)
		return
	}
	b.logger.Info("reloaded", "why", why, "revision", b.applied.current())
}

// commit validates the files and writes what they say as the desired state.
func (b *LoadBalancer) commit() (revision uint64, err error) {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	files := []string{b.path}
	seen := signature(files)
	file, err := config.Load(b.path)
	if err != nil {
		b.watch.set(append(files, b.watched...), seen+signature(b.watched))
		return 0, err
	}
	b.watched = namedFiles(file)
	files = append(files, b.watched...)
	seen = signature(files)
	p, err := b.plan(file)
	b.watch.set(files, seen)
	if err != nil {
		return 0, err
	}
	if err := b.runtime.open(p); err != nil {
		return 0, err
	}
	for _, w := range p.warnings {
		b.logger.Warn("a file of the config", "file", w.File, "subject", w.Subject, "problem", w.Problem)
	}
	changes, err := b.state.Apply(file, p.materials())
	if err != nil {
		return 0, fmt.Errorf("writing the desired state: %w", err)
	}
	b.planned, b.plannedRevision = p, changes.Revision
	return changes.Revision, nil
}

// reconcile makes the runtime follow the desired state until ctx ends.
func (b *LoadBalancer) reconcile(ctx context.Context) error {
	for {
		if _, err := b.state.Wait(ctx, b.applied.current()); err != nil {
			return nil // only a context ends a watch
		}
		if err := b.reconcileOnce(); err != nil {
			b.logger.Error("the desired state cannot be put in force, the running state stays", "error", err)
		}
	}
}

// reconcileOnce puts the newest desired state in force.
func (b *LoadBalancer) reconcileOnce() error {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	desired := b.state.Snapshot()
	revision := desired.Revision()
	defer b.applied.reached(revision)
	p := b.planned
	if p == nil || b.plannedRevision != revision {
		var err error
		if p, err = b.plan(desired.File()); err != nil {
			return err
		}
		if err := b.runtime.open(p); err != nil {
			return err
		}
	}
	b.planned = nil
	b.runtime.apply(p)
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
		out = append(append(out, ts.CACertificatesBundle), ts.Revocations...)
	}
	return out
}

// revisions says up to which revision the desired state was put in force. It is
// safe for concurrent use.
type revisions struct {
	mu      sync.Mutex
	at      uint64
	changed chan struct{} // closed and replaced at each step
}

func (r *revisions) current() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *revisions) reached(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = max(r.at, revision)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// wait returns once revision has been reached, or ctx has ended.
func (r *revisions) wait(ctx context.Context, revision uint64) error {
	for {
		r.mu.Lock()
		if r.at >= revision {
			r.mu.Unlock()
			return nil
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
