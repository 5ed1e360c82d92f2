package listener

import (
	"crypto/x509"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/engine"
	"github.com/postern-lb/postern/internal/yield"
	"github.com/postern-lb/postern/trust"
)

// recheckGrace is how long a request in flight may go on after its client's
// certificate was found unacceptable, before the connection is closed under it.
const recheckGrace = 800 * time.Millisecond

// flushTime is what net/http, serving HTTP/2, gets, once it calls an HTTP/2 connection idle, to
// write what it still holds: the end of the last response among it.
const flushTime = 50 * time.Millisecond

// live is the set of open connections, those that begin and those that are being
// served, with an index from certificates to connections. It is safe for concurrent
// use.
//
// Every connection is in one list: of its client, if it has a certificate that was
// judged, or of those that begin, or of the others. The lists run through the
// connections themselves, so that the index costs 24 bytes a connection, and some 60
// more for each client.
type live struct {
	mu        sync.Mutex
	beginning peer // connections whose handshake is not over
	anonymous peer // connections that are served to nobody in particular
	clients   map[uint64]*peer
	seed      maphash.Seed // of the keys of clients; made with the map
	open      int
	drain     engine.Drain // of all lists

	// ends is no later than the first conn.expires of a connection that is served, as
	// Unix time; 0 if none of them has any.
	ends atomic.Int64
}

// A peer is the connections that have one certificate chain.
type peer struct {
	conns *conn // the first; the others by conn.next
	key   uint64
	other *peer // another client with the same key
}

func (p *peer) add(c *conn) {
	c.peer, c.prev, c.next = p, nil, p.conns
	if p.conns != nil {
		p.conns.prev = c
	}
	p.conns = c
}

func (p *peer) remove(c *conn) {
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		p.conns = c.next
	}
	c.prev, c.next = nil, nil
}

func (p *peer) appendTo(list []*conn) []*conn {
	for c := p.conns; c != nil; c = c.next {
		list = append(list, c)
	}
	return list
}

func (l *live) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beginning.add(c)
	c.registered = true
	l.open++
}

// serve notes that the handshake of c is over.
func (l *live) serve(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beginning.remove(c)
	l.peerOf(c).add(c)
	l.lookAt(c.expires.Load())
}

// peerOf returns the list that c belongs into once it is served.
func (l *live) peerOf(c *conn) *peer {
	if c.verdict == nil || len(c.presented) == 0 {
		return &l.anonymous
	}
	if l.clients == nil {
		l.clients, l.seed = make(map[uint64]*peer), maphash.MakeSeed()
	}
	key := maphash.Bytes(l.seed, c.presented[0].Raw)
	for p := l.clients[key]; p != nil; p = p.other {
		if slices.EqualFunc(p.conns.presented, c.presented, (*x509.Certificate).Equal) {
			return p
		}
	}
	p := &peer{key: key, other: l.clients[key]}
	l.clients[key] = p
	return p
}

// remove reports whether c was in the set.
func (l *live) remove(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.registered {
		return false
	}
	c.registered = false
	c.peer.remove(c)
	if p := c.peer; p.conns == nil && p != &l.beginning && p != &l.anonymous {
		l.forget(p)
	}
	l.open--
	l.drain.Left(l.open)
	return true
}

// forget removes a client that has no connection any more.
func (l *live) forget(gone *peer) {
	first := l.clients[gone.key]
	switch {
	case first != gone:
		for first.other != gone {
			first = first.other
		}
		first.other = gone.other
	case gone.other != nil:
		l.clients[gone.key] = gone.other
	default:
		delete(l.clients, gone.key)
	}
}

// list returns the connections that are being served, those of one client one after
// another.
func (l *live) list() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.anonymous.appendTo(make([]*conn, 0, l.open))
	for _, p := range l.clients {
		for ; p != nil; p = p.other {
			out = p.appendTo(out)
		}
	}
	return out
}

// starting returns the connections whose handshake is not over.
func (l *live) starting() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beginning.appendTo(nil)
}

// drained returns a channel that is closed once no connection is left.
func (l *live) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drain.Wait(l.open)
}

// lookAt sees to it that ends is not later than a connection's end, if it has one.
func (l *live) lookAt(end int64) {
	for end != 0 {
		if known := l.ends.Load(); (known != 0 && known <= end) || l.ends.CompareAndSwap(known, end) {
			return
		}
	}
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

// CloseExpired is Recheck for those connections only for which something has ended by
// now: a certificate in their chain, or what a revocation list is good for under the
// revocation policy. While nothing has, it looks at none of them.
func (l *Listener) CloseExpired(now time.Time) int {
	if first := l.live.ends.Load(); first == 0 || !now.After(time.Unix(first, 0)) {
		return 0
	}
	l.live.ends.Store(0) // and those that go on say again when they end
	return l.recheck(func(c *conn) bool {
		end := c.expires.Load()
		if end != 0 && now.After(time.Unix(end, 0)) {
			return true
		}
		l.live.lookAt(end)
		return false
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
	var client *peer
	var known again
	for i, c := range l.live.list() {
		if i%recheckSlice == recheckSlice-1 {
			turn.Yield()
		}
		if !concerns(c) {
			continue
		}
		if c.peer != client {
			client, known = c.peer, again{}
		}
		if verdict := p.recheck(c, &known); verdict != nil {
			l.condemn(c, verdict)
			closed++
			continue
		}
		l.live.lookAt(c.expires.Load())
	}
	return closed
}

// condemn ends a connection that should not go on.
func (l *Listener) condemn(c *conn, v *trust.Verdict) {
	if c.condemned.Swap(true) {
		return
	}
	l.logger.Warn("closing a connection whose client certificate is no longer accepted",
		"listener", l.name, "conn_trace_id", c.traceID, "client", c.client.String(), "reason", string(v.Reason), "detail", v.Detail)
	if v.Reason != "" {
		l.policy.Load().keepClosed(c, v)
	}
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
