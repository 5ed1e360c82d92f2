package http2

import (
	"context"
	"sync"
	"time"
)

// A requestContext is the context of one request. It ends when the handler returns, or
// the stream or the connection ends. Unlike context.WithCancel's it is part of
// something that is allocated anyway, and has a channel only if somebody asks.
type requestContext struct {
	parent context.Context // the connection's

	mu     sync.Mutex
	done   chan struct{}                    // guarded by mu; nil until asked for
	err    error                            // guarded by mu
	after  []*afterFunc                     // guarded by mu
	call   interface{ Cancel(cause error) } // guarded by mu: see Attach
	broken chan struct{}                    // guarded by mu: closed when the call has been broken; nil if it has not
}

type afterFunc struct{ f func() }

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any { return c.parent.Value(key) }

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

// AfterFunc makes context.AfterFunc, and contexts derived from this one, do without
// a goroutine. F runs on a goroutine of its own once the context has ended.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
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

func (c *requestContext) forget(a *afterFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.after {
		if other == a {
			last := len(c.after) - 1
			c.after[i], c.after[last] = c.after[last], nil
			c.after = c.after[:last]
			return true
		}
	}
	return false
}

// Attach makes the end of the context break a call of package http1, which looks for
// this method; false if it has ended, or breaks another call already.
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

// renew makes the context that of another request. The old one's has ended, with
// nobody left to use it.
func (c *requestContext) renew(parent context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parent = parent
	c.done, c.err, c.after, c.call, c.broken = nil, nil, nil, nil, nil
}

// cancel ends the context; the first error stays.
func (c *requestContext) cancel(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	after := c.after
	c.after = nil
	if c.done != nil {
		close(c.done)
	}
	call := c.call
	if call != nil {
		c.broken = make(chan struct{})
	}
	broken := c.broken
	c.mu.Unlock()
	for _, a := range after {
		go a.f()
	}
	if call != nil { // not under mu: it may end contexts derived from this one
		call.Cancel(err)
		close(broken)
	}
}
