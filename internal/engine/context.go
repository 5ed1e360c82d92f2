package engine

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A Context is the context of one request. It costs no allocation, because it is part
// of something that is allocated anyway, and nothing of it exists until somebody asks:
// the channel of Done is made by its first caller, and a client that sends the request
// on enters its call with Attach instead of making a context of its own. It begins
// with [Context.Renew], and is safe for concurrent use.
//
// Functions for AfterFunc are found by package context (see context.AfterFunc).
type Context struct {
	parent context.Context // fixed while the request is being served

	mu     sync.Mutex
	owner  any           // guarded by mu: whose request it is
	done   chan struct{} // guarded by mu; nil until asked for
	err    error         // guarded by mu; set once
	call   Canceler      // guarded by mu: the call to break when the context ends
	broken chan struct{} // guarded by mu: closed when the call has been broken; nil if it has not
	after  []*afterFunc  // guarded by mu: what to start then
}

var _ context.Context = (*Context)(nil)

// A Canceler is a call as contexts see it.
type Canceler interface{ Cancel(cause error) }

type afterFunc struct{ f func() }

// Deadline implements context.Context: the connection's.
func (c *Context) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Value implements context.Context: the connection's values.
func (c *Context) Value(key any) any { return c.parent.Value(key) }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
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
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc starts f on a goroutine of its own when the context has ended, as
// context.AfterFunc, which calls it, promises.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.after = append(c.after, a)
	return func() bool { return c.forget(a) }
}

func (c *Context) forget(a *afterFunc) (waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.after, a)
	if i < 0 {
		return false
	}
	c.after = slices.Delete(c.after, i, i+1)
	return true
}

// Attach makes the end of the context break a call; false if it has ended. There is
// one place: a handler that sends several requests at a time gets AfterFunc for the
// others.
func (c *Context) Attach(call Canceler) (attached bool) {
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
func (c *Context) Detach(call Canceler) {
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

// End ends the context, with context.Canceled.
func (c *Context) End() {
	c.mu.Lock()
	c.end()
}

// EndOf ends the context if it is still that of a request of owner: who looks from
// outside may come too late.
func (c *Context) EndOf(owner any) {
	c.mu.Lock()
	if c.owner != owner {
		c.mu.Unlock()
		return
	}
	c.end()
}

// end is End; the caller holds mu, which is released. The call is broken without it,
// because that may end contexts derived from this one, which then ask for it.
func (c *Context) end() {
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for _, a := range c.after {
		go a.f()
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

// Renew makes the context that of another request, whose values are parent's, or of
// none. The old one's has to have ended, with nobody left to use it.
func (c *Context) Renew(parent context.Context, owner any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parent, c.owner = parent, owner
	c.done, c.err, c.call, c.broken, c.after = nil, nil, nil, nil, nil
}
