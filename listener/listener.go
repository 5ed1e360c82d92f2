package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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
	// serving is the net/http server for new connections. It is replaced when a
	// policy changes what net/http reads only once.
	serving atomic.Pointer[serving]

	live     live
	open     atomic.Int64   // connections accepted and not yet closed
	starting sync.WaitGroup // goroutines before net/http takes over

	// Guarded by mu.
	mu       sync.Mutex
	ln       net.Listener
	servings []*serving // all that were ever started, for shutdown
	closing  bool

	draining atomic.Bool // answers end their connections
}

// New returns a listener that will serve the address of p. It opens nothing.
func New(p *Policy, logger *slog.Logger) *Listener {
	l := &Listener{name: p.name, address: p.address, logger: logger}
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

// startServing makes a net/http server for the connections to come. Those that
// an earlier server has stay with it: shutting it down would cut off clients
// whose next request is already on its way.
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
	ln, err := net.Listen("tcp", l.address)
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
		s.server.Close()
		s.feed.Close()
		<-s.done
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
	handshakes, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	l.accept(handshakes, ln)
	lost := ctx.Err() == nil
	l.drain(cancel)
	if lost {
		return fmt.Errorf("listener %q: the socket was closed by somebody else", l.name)
	}
	return nil
}

func (l *Listener) drain(cancelHandshakes context.CancelFunc) {
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
	cancelHandshakes()
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

// A serving is one net/http server together with the queue of connections that
// feeds it.
type serving struct {
	settings serverSettings
	server   *http.Server
	feed     *feed
	done     chan struct{}
}

// serverSettings is what net/http reads once per server.
type serverSettings struct {
	idle           time.Duration
	requestHeaders time.Duration
	http2          bool
}

const (
	// maxHeaderBytes is where net/http itself stops reading. It lies above
	// ALB's 64 K so that a request a little over ALB's limits still gets ALB's page.
	maxHeaderBytes = 96 << 10
	// maxStreams is ALB's number of parallel requests per HTTP/2 connection.
	maxStreams = 128
	// maxRequestsHTTP2 is how many requests an HTTP/2 connection carries before
	// it is ended by GOAWAY (ALB, "Listeners").
	maxRequestsHTTP2 = 10_000
)

func newServing(l *Listener, s serverSettings) *serving {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.http2)
	server := &http.Server{
		Handler: http.HandlerFunc(l.serveHTTP),
		// Or net/http would answer "OPTIONS *" itself, past rules and mutual TLS.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: s.requestHeaders,
		IdleTimeout:       s.idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(nc))
		},
		ConnState: l.connState,
		ErrorLog:  slog.NewLogLogger(l.logger.Handler(), slog.LevelDebug),
		Protocols: protocols,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	return &serving{settings: s, server: server, feed: newFeed(), done: make(chan struct{})}
}

type connKey struct{}

func (s *serving) start() {
	go func() {
		defer close(s.done)
		s.server.Serve(s.feed) // returns ErrServerClosed, or the feed's end
	}()
}

// shutdown lets requests in flight finish until ctx ends, then closes all.
func (s *serving) shutdown(ctx context.Context) {
	if err := s.server.Shutdown(ctx); err != nil && errors.Is(err, ctx.Err()) {
		s.server.Close()
	}
	s.feed.Close()
	<-s.done
}

// connState follows a connection through net/http.
func (l *Listener) connState(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		c.active.Store(true)
	case http.StateIdle:
		c.active.Store(false)
		if c.condemned.Load() {
			c.becameIdle()
		}
	case http.StateClosed:
		l.forget(c)
	case http.StateHijacked:
		// ReverseProxy closes it, and exchange.finish counts it out.
	}
}

// forget counts a connection out when it is closed. It may be called twice.
func (l *Listener) forget(c *conn) {
	if l.live.remove(c) {
		l.closed(c)
	}
}

// A feed is a net.Listener whose connections come from a channel: those that
// have finished their handshake.
type feed struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newFeed() *feed {
	return &feed{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands over a connection, or reports false if the feed is closed.
func (f *feed) put(nc net.Conn) bool {
	select {
	case <-f.done:
		return false
	default:
	}
	select {
	case f.conns <- nc:
		return true
	case <-f.done:
		return false
	}
}

// Accept implements net.Listener.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case nc := <-f.conns:
		return nc, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called more than once.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// Addr implements net.Listener; the address is nobody's.
func (f *feed) Addr() net.Addr { return &net.TCPAddr{} }
