package http1

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A Server answers HTTP/1.1 requests of connections that somebody else accepts.
// Its exported fields are fixed before the first call of [Server.ServeConn]; its
// methods are safe for concurrent use. Handler is the only field that has no
// default.
type Server struct {
	// Handler answers the requests. It may keep the *http.Request, its headers and
	// strings; the strings of a request share one copy of its head.
	Handler http.Handler
	// Limits bound a request; zero fields stand for the defaults.
	Limits Limits
	// HeaderTimeout is from a request's first byte, or from the start of the
	// connection, to the end of its headers: 408. Zero is no timeout.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may wait between requests. It is kept
	// to within a quarter, so that it costs a busy connection nothing. Zero is no
	// timeout.
	IdleTimeout time.Duration
	// WriteTimeout is how long a single write to the client may take, likewise to
	// within a quarter. A handler's SetWriteDeadline goes first for the rest of its
	// request. Zero is no timeout.
	WriteTimeout time.Duration
	// Context, if not nil, returns the context of a connection, derived from ctx.
	Context func(ctx context.Context, nc net.Conn) context.Context
	// State, if not nil, is told when a connection is new, active, idle, hijacked
	// and closed, like net/http's ConnState.
	State func(net.Conn, http.ConnState)
	// Refuse, if not nil, writes the answer to a request that could not be read; ctx
	// is the connection's. The answer has to say Connection: close. Without it the
	// answer has an empty body.
	Refuse func(ctx context.Context, w io.Writer, refusal *Refusal)
	// Recycle says that Handler keeps nothing of a request after it has returned: not
	// the request, its context, headers or body, nor the ResponseWriter and its
	// headers. They then serve the next request. Strings may be kept.
	Recycle bool
	// Log is told of panics in handlers; nil discards them.
	Log *slog.Logger

	once      sync.Once
	limits    Limits
	reads     engine.Blocks
	writes    engine.Blocks
	exchanges sync.Pool
	date      engine.Date

	mu       sync.Mutex
	conns    map[*conn]struct{}
	watching bool
	drain    engine.Drain // of conns
	closing  atomic.Bool
}

func (s *Server) init() {
	s.once.Do(func() {
		s.limits = s.Limits.withDefaults()
		s.reads.Size, s.writes.Size = readBuffer, writeBuffer
	})
}

// ServeConn serves one connection, which may be a *tls.Conn, until it is over or
// hijacked. It closes nc, unless hijacked, and returns then. All handlers run on
// the calling goroutine. Ctx is what the requests' contexts derive from; its end
// is seen by handlers only.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.init()
	c := newConn(s, ctx, nc)
	c.setState(http.StateNew)
	if !s.track(c) {
		nc.Close()
		c.setState(http.StateClosed)
		return
	}
	defer c.end()
	if ctx.Done() != nil {
		defer context.AfterFunc(c.ctx, c.cancelCurrent)()
	}
	c.serve()
}

// track enters a connection; false if the server is shutting down.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	if !s.watching {
		s.watching = true
		go s.watch()
	}
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.drain.Left(len(s.conns))
}

// Shutdown closes idle connections at once, lets requests in flight finish with
// Connection: close, and gives connections that have sent nothing yet a second.
// Connections that come later are closed. It returns when none is left, or with
// the error of ctx, leaving the rest to [Server.Close]. Hijacked connections are
// nobody's concern here. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	empty := s.beginShutdown()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) beginShutdown() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for c := range s.conns {
		c.retire()
	}
	return s.drain.Wait(len(s.conns))
}

// Close closes all connections, whatever they are doing. Handlers notice when
// they read or write; Close does not wait for them.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for c := range s.conns {
		c.nc.Close()
	}
}

// watch ends the contexts of requests whose clients are gone. It runs while there
// are connections. A request is looked at only if it has been in its handler for
// a whole interval, so that one which is answered quickly costs nothing here.
func (s *Server) watch() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var long []*conn
	for range ticker.C {
		var more bool
		if long, more = s.longRequests(long[:0]); !more {
			return
		}
		for _, c := range long {
			c.checkClient()
		}
		clear(long)
	}
}

// longRequests appends the connections with requests that the look before saw too.
func (s *Server) longRequests(long []*conn) ([]*conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == 0 {
		s.watching = false
		return long, false
	}
	for c := range s.conns {
		x := c.current.Load()
		if x != nil && x == c.seen {
			long = append(long, c)
		}
		c.seen = x
	}
	return long, true
}
