package listener

import (
	"sync"
	"time"
)

// recheckGrace is how long a request in flight may go on after its client's
// certificate was found unacceptable, before the connection is closed under it.
const recheckGrace = 800 * time.Millisecond

// live is the set of connections that net/http serves. It is safe for
// concurrent use.
type live struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
	empty chan struct{} // closed when the set is empty; nil if nobody waits
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

// remove reports whether c was in the set.
func (l *live) remove(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.registered {
		return false
	}
	c.registered = false
	delete(l.conns, c)
	if len(l.conns) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
	return true
}

func (l *live) list() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		out = append(out, c)
	}
	return out
}

// drained returns a channel that is closed once no connection is left.
func (l *live) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	return l.empty
}

// Recheck decides again about the client of every open connection, under the
// policy that is in force now, and closes those that are no longer accepted:
// idle ones at once, the others as soon as their response is out (HTTP/2: after
// GOAWAY) and within recheckGrace in any case. Package lb calls it after a trust
// store or a revocation list has changed. It returns how many were closed.
func (l *Listener) Recheck() int {
	p := l.policy.Load()
	if p == nil {
		return 0
	}
	closed := 0
	for _, c := range l.live.list() {
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
	if !c.active.Load() {
		c.raw.Close()
		return
	}
	time.AfterFunc(recheckGrace, func() { c.raw.Close() })
}
