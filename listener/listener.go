package listener

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
)

// A Listener serves one address. Its socket is opened once, by [Listener.Open],
// and stays open until [Listener.Run] ends, however often the policy changes.
type Listener struct {
	// Fixed by New.
	name    string
	address string
	logger  *slog.Logger

	// policy is replaced whole by Apply and never modified after it is stored.
	policy atomic.Pointer[Policy]
	// serving is the servers for new connections. They are replaced when a policy
	// changes what they read only once.
	serving atomic.Pointer[serving]

	lines     quota // in the program's log
	admission admission
	live      live
	open      atomic.Int64   // connections accepted and not yet closed
	starting  sync.WaitGroup // goroutines before a server takes over

	exchanges sync.Pool // of *exchange
	buffers   sync.Pool // of *[copyBuffer]byte

	// Guarded by mu.
	mu       sync.Mutex
	ln       net.Listener
	servings []*serving // all that were ever started, for shutdown
	closing  bool

	draining atomic.Bool // answers end their connections
}

// New returns a listener that will serve the address of p. It opens nothing.
func New(p *Policy, logger *slog.Logger) *Listener {
	l := &Listener{name: p.name, address: p.address, logger: logger, lines: quota{limit: maxLines}}
	l.Apply(p)
	return l
}

// Name returns the name of the listener.
func (l *Listener) Name() string { return l.name }

// Apply puts p in force: for new connections at once, and for the rules of
// open connections from their next request on. Connections whose client is not
// acceptable under p are closed as by [Listener.Recheck]. The address of p must
// be the one the listener was made for.
func (l *Listener) Apply(p *Policy) {
	if p.address != l.address {
		panic("listener: internal error: policy of another address applied")
	}
	l.policy.Store(p)
	if old := l.serving.Load(); old == nil || old.settings != p.serverSettings {
		l.startServing(p)
	}
	l.Recheck()
}

// startServing makes servers for the connections to come. Those that earlier ones
// have stay with them: shutting one down would cut off clients whose next request
// is already on its way.
func (l *Listener) startServing(p *Policy) {
	s := newServing(l, p.serverSettings)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return
	}
	l.servings = append(l.servings, s)
	l.serving.Store(s)
	s.start()
}

// Open binds the address. The error names the listener and the address.
func (l *Listener) Open() error {
	ln, err := listenConfig().Listen(context.Background(), "tcp", l.address)
	if err != nil {
		return fmt.Errorf("listener %q: opening %s: %w", l.name, l.address, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ln = ln
	return nil
}

// Close releases the socket, if it is open, and everything else of a listener
// that will not be run. Closing twice is harmless.
func (l *Listener) Close() {
	l.mu.Lock()
	l.closing = true
	if l.ln != nil {
		l.ln.Close()
	}
	servings := l.servings
	l.mu.Unlock()
	for _, s := range servings {
		s.close()
	}
}

// Addr returns the bound address, or nil before Open.
func (l *Listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln == nil {
		return nil
	}
	return l.ln.Addr()
}

// Run serves until ctx ends, then drains: the socket closes at once, idle
// connections close, requests in flight may finish within the policy's drain
// timeout, and what is left is then cut. It returns when nothing of the
// listener runs any more. The error, if any, says that the socket was lost
// before. Open must have succeeded before.
func (l *Listener) Run(ctx context.Context) error {
	l.mu.Lock()
	ln := l.ln
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	l.accept(ln)
	lost := ctx.Err() == nil
	l.drain()
	if lost {
		return fmt.Errorf("listener %q: the socket was closed by somebody else", l.name)
	}
	return nil
}

func (l *Listener) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), l.policy.Load().timeouts.Drain)
	defer cancel()
	l.mu.Lock()
	l.closing = true
	servings := l.servings
	l.mu.Unlock()
	l.draining.Store(true)

	started := make(chan struct{})
	go func() { l.starting.Wait(); close(started) }()
	select {
	case <-started:
	case <-ctx.Done():
	}
	for _, c := range l.live.starting() {
		c.raw.Close()
	}
	<-started

	var wg sync.WaitGroup
	for _, s := range servings {
		wg.Go(func() { s.shutdown(ctx) })
	}
	wg.Wait()
	// Shutdown does not wait for upgraded connections.
	select {
	case <-l.live.drained():
	case <-ctx.Done():
	}
	for _, c := range l.live.list() {
		c.raw.Close()
	}
	<-l.live.drained()
}
