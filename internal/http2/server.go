package http2

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// A Server answers HTTP/2 requests of connections that somebody else accepts. Its
// exported fields are fixed before the first call of [Server.ServeConn]; its
// methods are safe for concurrent use. Handler is the only field that has no
// default.
type Server struct {
	// Handler answers the requests, each on a goroutine of its own.
	Handler http.Handler
	// Malformed, if not nil, answers in Handler's place a request that is malformed
	// (RFC 9113, section 8.1.1), of which it sees no more than the request line and
	// the host. Its stream is reset after the answer; without Malformed, at once.
	Malformed http.Handler
	// Limits bound what a client may ask for; zero fields stand for the defaults.
	Limits Limits
	// HeaderTimeout is from the start of the connection to the end of its preface,
	// and from the first byte of a frame, or of a header block, to its end. DATA
	// frames have no such limit. Zero is no timeout.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may be without a request. Zero is no
	// timeout.
	IdleTimeout time.Duration
	// WriteTimeout is how long a write to the client may take before the connection
	// is closed, to within a quarter, and how long a response may wait for the
	// client's window before its stream is reset. Zero is no timeout.
	WriteTimeout time.Duration
	// Recycle says that Handler keeps nothing of a request after it has returned:
	// neither the *http.Request, its header map, the slices in it, nor its context or
	// body, and that no other goroutine does. Strings may be kept.
	Recycle bool
	// Context, if not nil, returns the context of a connection, derived from ctx.
	Context func(ctx context.Context, nc net.Conn) context.Context
	// State, if not nil, is told when a connection is new, active, idle and closed,
	// like net/http's ConnState. It must not call methods of the server.
	State func(net.Conn, http.ConnState)
	// Log is told of panics in handlers, and at level debug of clients that broke the
	// protocol or a limit; nil discards both.
	Log *slog.Logger

	once    sync.Once
	limits  Limits
	reads   engine.Blocks
	bodies  engine.Blocks
	outs    engine.Blocks
	streams sync.Pool
	workers workers
	date    engine.Date

	mu      sync.Mutex
	conns   map[net.Conn]*conn
	drain   engine.Drain // of conns
	closing bool
}

func (s *Server) init() {
	s.once.Do(func() {
		s.limits = s.Limits.withDefaults()
		s.reads.Size, s.bodies.Size, s.outs.Size = readBuffer, bodyBlock, bodyBlock
	})
}

// ServeConn serves one connection whose TLS handshake, if it has one, is over, until
// the connection is over too and all its handlers have returned. It closes nc. Ctx
// is what the requests' contexts derive from; its end is seen by handlers only.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.init()
	c := newConn(s, ctx, nc)
	c.setState(http.StateNew)
	if !s.track(c) {
		nc.Close()
		c.setState(http.StateClosed)
		return
	}
	defer s.untrack(c)
	c.serve()
}

// track enters a connection; false if the server is shutting down.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]*conn)
	}
	s.conns[c.nc] = c
	s.workers.start()
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.nc)
	if len(s.conns) == 0 {
		s.workers.stop()
	}
	s.drain.Left(len(s.conns))
}

// Shutdown tells all clients that their connections end, and lets requests in
// flight finish, and those that the client sent before it was told. Connections that
// come later are closed. It returns when none is left, or with the error of ctx,
// leaving the rest to [Server.Close]. It may be called more than once.
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
	s.closing = true
	for _, c := range s.conns {
		c.sayGoodbye()
	}
	return s.drain.Wait(len(s.conns))
}

// Close closes all connections, whatever they are doing. Handlers notice by their
// contexts, and when they read or write; Close does not wait for them.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for _, c := range s.conns {
		cut(c.nc)
	}
}

// Retire ends one connection that the server serves: its client is told by GOAWAY at
// once, requests that come from now on are not answered, and those in flight may go
// on for grace. It may be called at any moment, more than once, and for
// connections that are not the server's, which it leaves alone.
func (s *Server) Retire(nc net.Conn, grace time.Duration) {
	s.mu.Lock()
	c := s.conns[nc]
	s.mu.Unlock()
	if c != nil {
		c.retire(grace)
	}
}
