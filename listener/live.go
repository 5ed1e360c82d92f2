package listener

import (
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/engine"
	"github.com/postern-lb/postern/internal/yield"
)

// recheckGrace is how long a request in flight may go on after its client's
// certificate was found unacceptable, before the connection is closed under it.
const recheckGrace = 800 * time.Millisecond

// flushTime is what net/http, serving HTTP/2, gets, once it calls an HTTP/2 connection idle, to
// write what it still holds: the end of the last response among it.
const flushTime = 50 * time.Millisecond

// live is the set of open connections: those that begin, and those that are being
// served. It is safe for concurrent use.
type live struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
	drain engine.Drain // of conns
}

func (l *live) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = make(map[*conn]struct{})
	}
	l.conns[c] = struct{}{}
	c.registered = true
}

// serve notes that the handshake of c is over.
func (l *live) serve(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.served = true
}

// remove reports whether c was in the set.
func (l *live) remove(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.registered {
		return false
	}
	c.registered = false
	delete(l.conns, c)
	l.drain.Left(len(l.conns))
	return true
}

// list returns the connections that are being served.
func (l *live) list() []*conn { return l.those(true) }

// beginning returns the connections whose handshake is not over.
func (l *live) beginning() []*conn { return l.those(false) }

func (l *live) those(served bool) []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		if c.served == served {
			out = append(out, c)
		}
	}
	return out
}

// drained returns a channel that is closed once no connection is left.
func (l *live) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drain.Wait(len(l.conns))
}

// Recheck decides again about the client of every open connection, under the
// policy that is in force now, and closes those that are no longer accepted:
// idle ones at once, the others as soon as their response is out (HTTP/2: after
// GOAWAY) and within recheckGrace in any case. It returns how many were closed.
// [Listener.Apply] ends with it; a program that publishes a trust store or a
// revocation list without applying a policy calls it.
func (l *Listener) Recheck() int {
	return l.recheck(func(*conn) bool { return true })
}

// CloseExpired is Recheck for those connections only in whose chain a
// certificate has ended by now.
func (l *Listener) CloseExpired(now time.Time) int {
	return l.recheck(func(c *conn) bool {
		end := c.expires.Load()
		return end != 0 && now.After(time.Unix(end, 0))
	})
}

// recheckSlice is how many connections are looked at between turns for others: some
// 0.2 ms if their chains are remembered. Ten thousand at once would hold up the
// requests of a process with one processor for as long as it takes.
const recheckSlice = 128

func (l *Listener) recheck(concerns func(*conn) bool) int {
	var turn yield.Turn
	defer turn.Close()
	p, closed := l.policy.Load(), 0
	for i, c := range l.live.list() {
		if i%recheckSlice == recheckSlice-1 {
			turn.Yield()
		}
		if !concerns(c) {
			continue
		}
		if verdict := p.recheck(c); verdict != nil {
			l.condemn(c, string(verdict.Reason), verdict.Detail)
			closed++
		}
	}
	return closed
}

// condemn ends a connection that should not go on.
func (l *Listener) condemn(c *conn, reason, detail string) {
	if c.condemned.Swap(true) {
		return
	}
	l.logger.Warn("closing a connection whose client certificate is no longer accepted",
		"listener", l.name, "conn_trace_id", c.traceID, "client", c.client.String(), "reason", reason, "detail", detail)
	server := c.http2.Load()
	switch {
	case server != nil:
		server.Retire(c.tc, recheckGrace)
	case c.active.Load():
		time.AfterFunc(recheckGrace, func() { c.raw.Close() })
	case c.isHTTP2():
		go c.sayGoodbye() // a client that reads nothing must not hold up the others
	default:
		c.raw.Close()
	}
}

// becameIdle ends a condemned connection whose last response is done.
func (c *conn) becameIdle() {
	if c.http2.Load() != nil {
		return // it is retired
	}
	if c.isHTTP2() {
		time.AfterFunc(flushTime, func() { c.raw.Close() })
		return
	}
	c.raw.Close()
}

func (c *conn) isHTTP2() bool { return c.tc != nil && c.state.NegotiatedProtocol == "h2" }

// goAwayFrame is HTTP/2's GOAWAY without an error, for all streams that the client
// may have opened (RFC 9113, section 6.8).
var goAwayFrame = [...]byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// goAwayWait bounds how long a client that reads nothing can hold up a GOAWAY.
const goAwayWait = 100 * time.Millisecond

// sayGoodbye tells an idle HTTP/2 client of net/http's that its connection ends, and ends it.
// While no request is in flight net/http writes nothing, so the frame cannot land
// inside another.
func (c *conn) sayGoodbye() {
	defer c.raw.Close()
	c.Conn.SetWriteDeadline(time.Now().Add(goAwayWait))
	c.tc.Write(goAwayFrame[:])
}
