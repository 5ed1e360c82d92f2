// Package engine is what packages http1 and http2 have in common: the context of a
// request, the kinds of bytes that HTTP tells apart, pooled buffers, the Date header,
// how a connection is closed so that the last answer arrives, and how one waits for the
// last connection.
package engine

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// lingerTime and lingerBytes bound what is still read from a connection that has been
// closed for writing, so that the last answer is not lost to a reset.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// Linger closes for writing and reads on for a moment: to close with unread bytes
// would make the kernel reset the connection and could take the last answer with it.
func Linger(nc net.Conn) {
	if tc, ok := nc.(*tls.Conn); ok {
		tc.CloseWrite()
	}
	inner := Innermost(nc)
	half, ok := inner.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	nc.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, inner, lingerBytes)
}

// Innermost follows NetConn, the method by which *tls.Conn and others show what
// they wrap.
func Innermost(nc net.Conn) net.Conn {
	for {
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = outer.NetConn()
	}
}

// A Drain tells those who wait for it that a set has become empty. It belongs to the
// set, whose lock is held when its methods are called. The zero value is ready.
type Drain struct{ empty chan struct{} } // nil if nobody waits

// Left says how many are left, after one was taken out.
func (d *Drain) Left(n int) {
	if n == 0 && d.empty != nil {
		close(d.empty)
		d.empty = nil
	}
}

// Wait returns a channel that is closed once none is left of n.
func (d *Drain) Wait(n int) <-chan struct{} {
	if d.empty == nil {
		d.empty = make(chan struct{})
	}
	empty := d.empty
	d.Left(n)
	return empty
}

// A Date knows the value of the Date header. The zero value is ready for use, by many
// goroutines.
type Date struct{ last atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

// At returns the Date of now, formatted at most once a second.
func (c *Date) At(now time.Time) string {
	second := now.Unix()
	if d := c.last.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &date{second, now.UTC().Format(http.TimeFormat)}
	c.last.Store(d)
	return d.text
}

// A Block is a pooled buffer.
type Block struct{ B []byte }

// Whole is the block from its beginning to its capacity.
func (b *Block) Whole() []byte { return b.B[:cap(b.B)] }

// Blocks lend buffers of one size, to many goroutines.
type Blocks struct {
	Size int // fixed before the first Get
	pool sync.Pool
}

// Get lends a block, which is empty.
func (p *Blocks) Get() *Block {
	if b, ok := p.pool.Get().(*Block); ok {
		return b
	}
	return &Block{make([]byte, 0, p.Size)}
}

// Put takes a block back; nil is none. One that has grown far beyond its size is
// dropped.
func (p *Blocks) Put(b *Block) {
	if b != nil && cap(b.B) <= 8*p.Size {
		b.B = b.B[:0]
		p.pool.Put(b)
	}
}

// A Keeper is the http.ResponseWriter of a server that recycles requests. Keep tells it
// that this request is not to be used again.
type Keeper interface{ Keep() }
