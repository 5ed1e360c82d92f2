package listener

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/http1"
	"github.com/postern-lb/postern/internal/http2"
)

// A serving is what answers the requests of connections whose handshake is over:
// the engines of packages http1 and http2, and net/http with the queue of
// connections that feeds it where that is chosen for HTTP/2.
type serving struct {
	settings serverSettings
	http1    *http1.Server
	http2    *http2.Server
	standard *http.Server // HTTP2Standard only
	feed     *feed
	done     chan struct{}
}

// serverSettings is what the servers read once.
type serverSettings struct {
	idle           time.Duration
	requestHeaders time.Duration
	http2          bool
	engine         HTTP2Engine
}

// An HTTP2Engine is what serves HTTP/2 to clients.
type HTTP2Engine string

// The engines: that of package http2, and net/http's server, which is slower and is
// there to fall back on.
const (
	HTTP2Postern  HTTP2Engine = "postern"
	HTTP2Standard HTTP2Engine = "standard"
)

const (
	// maxHeaderBytes is where the server itself stops reading an HTTP/2 request. It
	// lies above ALB's 64 K so that one a little over still gets ALB's page.
	maxHeaderBytes = 96 << 10
	// maxStreams is ALB's number of parallel requests per HTTP/2 connection.
	maxStreams = 128
	// maxRequestsHTTP2 is how many requests an HTTP/2 connection carries before
	// it is ended by GOAWAY (ALB, "Listeners").
	maxRequestsHTTP2 = 10_000
)

func newServing(l *Listener, s serverSettings) *serving {
	return &serving{
		settings: s, http1: l.newHTTP1(s), http2: l.newHTTP2(s), standard: l.newStandard(s),
		feed: newFeed(), done: make(chan struct{}),
	}
}

func (l *Listener) newHTTP1(s serverSettings) *http1.Server {
	return &http1.Server{
		Handler:       http.HandlerFunc(l.serveHTTP),
		Limits:        http1.Limits{RequestLine: MaxRequestLine, Header: MaxRequestHeader, Headers: MaxRequestHeaders},
		HeaderTimeout: s.requestHeaders,
		IdleTimeout:   s.idle,
		WriteTimeout:  s.idle,
		State:         l.connState,
		Refuse:        l.refuseMalformed,
		Recycle:       true,
		Log:           l.logger,
	}
}

func (l *Listener) newHTTP2(s serverSettings) *http2.Server {
	return &http2.Server{
		Handler:       http.HandlerFunc(l.serveHTTP),
		Malformed:     http.HandlerFunc(l.serveMalformed),
		Limits:        http2.Limits{Streams: maxStreams, HeaderList: maxHeaderBytes},
		HeaderTimeout: s.requestHeaders,
		IdleTimeout:   s.idle,
		WriteTimeout:  s.idle,
		State:         l.connState,
		Recycle:       true,
		Log:           l.logger,
	}
}

func (l *Listener) newStandard(s serverSettings) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Server{
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
}

type connKey struct{}

func (s *serving) start() {
	go func() {
		defer close(s.done)
		s.standard.Serve(s.feed) // returns ErrServerClosed, or the feed's end
	}()
}

// serve answers the requests of c until it is over, or hands it to net/http if that
// is to serve HTTP/2. It reports false if the listener is closing.
func (s *serving) serve(c *conn, nc net.Conn) bool {
	ctx := context.WithValue(context.Background(), connKey{}, c)
	switch {
	case !c.isHTTP2():
		s.http1.ServeConn(ctx, nc)
	case s.settings.engine == HTTP2Standard:
		return s.feed.put(nc)
	default:
		c.http2.Store(s.http2)
		if c.condemned.Load() { // by somebody who did not see the server
			c.raw.Close()
		}
		s.http2.ServeConn(ctx, nc)
	}
	return true
}

// shutdown lets requests in flight finish until ctx ends, then closes all.
func (s *serving) shutdown(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if s.http1.Shutdown(ctx) != nil {
			s.http1.Close()
		}
	})
	wg.Go(func() {
		if s.http2.Shutdown(ctx) != nil {
			s.http2.Close()
		}
	})
	if err := s.standard.Shutdown(ctx); err != nil && errors.Is(err, ctx.Err()) {
		s.standard.Close()
	}
	wg.Wait()
	s.feed.Close()
	<-s.done
}

// close ends the servers of a listener that serves nobody.
func (s *serving) close() {
	s.http1.Close()
	s.http2.Close()
	s.standard.Close()
	s.feed.Close()
	<-s.done
}

// connState follows a connection through its server.
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
		// Tunnel closes it, and exchange.finish counts it out.
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
