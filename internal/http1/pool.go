package http1

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"
)

// A hostKey names what connections are interchangeable.
type hostKey struct{ scheme, address string }

// An upstream is one connection to a target. It is owned by the call that it
// carries, or by the pool.
type upstream struct {
	// Fixed by newUpstream.
	host  hostKey
	nc    net.Conn
	bare  bool                 // a socket and nothing above it
	state *tls.ConnectionState // nil without TLS
	abort func()               // makes all reading and writing fail; safe for all

	// Owned by whoever owns the connection.
	probe probe
	in    reader
	scan  scanner
	used  bool      // has carried a request
	idle  time.Time // since when it has been in the pool
}

func newUpstream(t *Transport, host hostKey, nc net.Conn) *upstream {
	u := &upstream{host: host, nc: nc}
	u.abort = func() { nc.SetDeadline(time.Unix(1, 0)) }
	u.in = reader{src: nc, pool: &t.reads}
	u.scan.limits = &t.limits
	u.probe.open(nc)
	_, u.bare = nc.(*net.TCPConn)
	if tc, ok := nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		u.state = &state
	}
	return u
}

func (u *upstream) close() {
	u.nc.Close()
	u.in.discard()
}

// quiet reports whether the connection is open and silent, as it has to be before
// a request. Bytes that TLS, or another layer, has taken from the socket already show in
// a read that is not allowed to wait. Behind a TLS connection, what waits in the
// socket is nearly always the target's farewell.
func (u *upstream) quiet() bool {
	if u.in.buffered() > 0 {
		return false
	}
	seen := u.probe.see()
	if seen == outlookData || seen == outlookOver {
		return false
	}
	if seen == outlookQuiet && u.bare {
		return true
	}
	if u.nc.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var one [1]byte
	n, err := u.nc.Read(one[:])
	timeout, ok := err.(net.Error)
	return n == 0 && ok && timeout.Timeout() && u.nc.SetReadDeadline(time.Time{}) == nil
}

// A pool holds idle connections, for each host the one used last on top.
type pool struct {
	// Fixed by open.
	perHost int
	timeout time.Duration

	mu      sync.Mutex
	hosts   map[hostKey][]*upstream
	count   int
	closing bool // connections that become idle are closed
	sweeper *time.Timer
	sweeps  bool // the timer is running
}

func (p *pool) open(perHost int, timeout time.Duration) {
	p.perHost, p.timeout = perHost, timeout
	if perHost <= 0 {
		p.perHost = DefaultMaxIdlePerHost
	}
	p.hosts = make(map[hostKey][]*upstream)
}

// get returns a connection that is fit for a request, or nil.
func (p *pool) get(host hostKey) *upstream {
	for {
		u := p.pop(host)
		if u == nil {
			return nil
		}
		if (p.timeout <= 0 || time.Since(u.idle) < p.timeout) && u.quiet() {
			return u
		}
		u.close()
	}
}

func (p *pool) pop(host hostKey) *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = false
	list := p.hosts[host]
	if len(list) == 0 {
		return nil
	}
	u := list[len(list)-1]
	list[len(list)-1] = nil
	p.hosts[host] = list[:len(list)-1]
	p.count--
	return u
}

// put keeps a connection, or closes it if there are enough.
func (p *pool) put(u *upstream) {
	u.used = true
	u.in.release()
	if p.timeout > 0 {
		u.idle = time.Now()
	}
	if !p.keep(u) {
		u.close()
	}
}

func (p *pool) keep(u *upstream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.hosts[u.host]
	if p.closing || len(list) >= p.perHost {
		return false
	}
	p.hosts[u.host] = append(list, u)
	p.count++
	p.schedule()
	return true
}

// sweepEvery bounds how long an idle connection that its target has closed takes
// up a socket.
const sweepEvery = 5 * time.Second

// schedule starts the sweeper unless it runs; the caller holds mu.
func (p *pool) schedule() {
	if p.sweeps {
		return
	}
	p.sweeps = true
	every := sweepEvery
	if p.timeout > 0 {
		every = min(every, max(p.timeout/4, time.Millisecond))
	}
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(every, p.sweep)
		return
	}
	p.sweeper.Reset(every)
}

// sweep closes the connections that have been idle for too long or were closed by
// their targets.
func (p *pool) sweep() {
	for _, u := range p.expired() {
		u.close()
	}
}

// expired takes them out of the pool. They are closed without the lock, since TLS
// says farewell to a peer that may not be listening.
func (p *pool) expired() (over []*upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeps = false
	now := time.Now()
	for host, list := range p.hosts {
		list = slices.DeleteFunc(list, func(u *upstream) bool {
			old := p.timeout > 0 && now.Sub(u.idle) >= p.timeout
			if old = old || u.probe.see() == outlookOver; old {
				over = append(over, u)
			}
			return old
		})
		p.hosts[host] = list
		if len(list) == 0 {
			delete(p.hosts, host)
		}
	}
	if p.count -= len(over); p.count > 0 {
		p.schedule()
	}
	return over
}

func (p *pool) closeIdle() {
	for _, u := range p.takeAll() {
		u.close()
	}
}

func (p *pool) takeAll() (all []*upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	for _, list := range p.hosts {
		all = append(all, list...)
	}
	clear(p.hosts)
	p.count = 0
	return all
}
