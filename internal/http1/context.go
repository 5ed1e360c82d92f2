package http1

import (
	"context"
	"sync"
	"time"
)

// A requestContext is the context of one request. It costs no allocation, because
// nothing of it exists until somebody asks: the channel of Done is made by its first
// caller, and a [Transport] that sends the request on enters its call in a slot
// instead of making a context of its own. It is safe for concurrent use.
//
// Functions for AfterFunc are found by package context (see context.AfterFunc).
type requestContext struct {
	mu     sync.Mutex
	conn   *conn            // guarded by mu, and fixed while the request is being served
	done   chan struct{}    // guarded by mu; nil until asked for
	err    error            // guarded by mu; set once
	call   canceler         // guarded by mu: the call to break when the context ends
	broken chan struct{}    // guarded by mu: closed when the call has been broken; nil if it has not
	after  map[*func()]bool // guarded by mu: what to start then
}

var _ context.Context = (*requestContext)(nil)

// Deadline implements context.Context; there is none.
func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements context.Context: the connection's values.
func (c *requestContext) Value(key any) any {
	if _, ours := key.(connKey); ours {
		return c.conn
	}
	return c.conn.ctx.Value(key)
}

// AfterFunc starts f on a goroutine of its own when the context has ended, as
// context.AfterFunc, which calls it, promises.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]bool)
	}
	c.after[&f] = true
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		waiting := c.after[&f]
		delete(c.after, &f)
		return waiting
	}
}

// A canceler is a call as contexts see it.
type canceler interface{ Cancel(cause error) }

// A slot is a context that a call can be entered in, which costs less than AfterFunc: that of
// a request to a server of this package or of package http2.
type slot interface {
	Attach(call interface{ Cancel(cause error) }) (attached bool)
	Detach(call interface{ Cancel(cause error) })
}

var _ slot = (*requestContext)(nil)

// Attach makes the end of the context break a call; false if it has ended. There is
// one slot: a handler that sends several requests at a time gets AfterFunc for the
// others.
func (c *requestContext) Attach(call interface{ Cancel(cause error) }) (attached bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call != nil || c.err != nil {
		return false
	}
	c.call = call
	return true
}

// Detach takes the call out. Once it has returned, the context does nothing to it
// any more.
func (c *requestContext) Detach(call interface{ Cancel(cause error) }) {
	c.mu.Lock()
	broken := c.broken
	if c.call == call {
		c.call = nil
	}
	c.mu.Unlock()
	if broken != nil {
		<-broken
	}
}

// cancel ends the context.
func (c *requestContext) cancel() {
	c.mu.Lock()
	c.end()
}

// cancelOf ends the context if it is still that of a request of conn: who looks from
// outside may come too late.
func (c *requestContext) cancelOf(conn *conn) {
	c.mu.Lock()
	if c.conn != conn {
		c.mu.Unlock()
		return
	}
	c.end()
}

// end is cancel; the caller holds mu, which is released. The call is broken without it,
// because that may end contexts derived from this one, which then ask for it.
func (c *requestContext) end() {
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
	call := c.call
	if call == nil {
		c.mu.Unlock()
		return
	}
	broken := make(chan struct{})
	c.broken = broken
	c.mu.Unlock()
	defer close(broken)
	call.Cancel(context.Canceled)
}

// renew makes the context that of another request, or of none. The old one's has to
// have ended, with nobody left to use it.
func (c *requestContext) renew(conn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.done, c.err, c.call, c.broken, c.after = nil, nil, nil, nil, nil
}
