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
	done   chan struct{} // guarded by mu; nil until asked for
	err    error         // guarded by mu
	after  []*afterFunc  // guarded by mu
	inline [1]*afterFunc
}

type afterFunc struct{ f func() }

// closedDone is the channel of contexts that ended before they were asked for one.
var closedDone = makeClosed()

func makeClosed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any { return c.parent.Value(key) }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = closedDone
		if c.err == nil {
			c.done = make(chan struct{})
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
	if c.after == nil {
		c.after = c.inline[:0]
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
	c.mu.Unlock()
	for _, a := range after {
		go a.f()
	}
}
