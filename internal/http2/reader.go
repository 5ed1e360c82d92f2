package http2

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/postern-lb/postern/internal/engine"
)

// errNoProgress says that a connection is of no use.
var errNoProgress = errors.New("http2: connection returned no bytes and no error")

// maxEmptyReads is how many reads without result a connection may make.
const maxEmptyReads = 16

// errIdle ends a connection that nobody needs.
var errIdle = errors.New("http2: idle")

// A reader is what a connection is read through. It borrows a buffer while there is
// something in it, or requests are open.
type reader struct {
	c     *conn
	block *engine.Block
	r, w  int       // block.B[r:w] is unread
	began time.Time // of what must come to its end in HeaderTimeout; zero if there is nothing
	until time.Time // the deadline that the connection has
	small [smallRead]byte
}

func (in *reader) bytes() []byte {
	if in.block == nil {
		return nil
	}
	return in.block.B[in.r:in.w]
}

func (in *reader) acquire() {
	if in.block == nil {
		in.block = in.c.server.reads.Get()
		in.block.B = in.block.Whole()
		in.r, in.w = 0, 0
	}
}

// release gives the buffer back if it is empty.
func (in *reader) release() {
	if in.block != nil && in.r == in.w {
		in.c.server.reads.Put(in.block)
		in.block, in.r, in.w = nil, 0, 0
	}
}

// discard drops what is buffered.
func (in *reader) discard() {
	in.r = in.w
	in.release()
}

// want reads until n bytes are buffered. If it is timed, the rest of what has begun
// may take no longer than HeaderTimeout.
func (in *reader) want(n int, timed bool) error {
	for in.w-in.r < n {
		if timed && in.w > in.r && in.began.IsZero() {
			in.began = time.Now()
		}
		if err := in.fill(); err != nil {
			return err
		}
	}
	return nil
}

// fill reads at least one more byte. Before it waits, what the connection has to
// say is sent.
func (in *reader) fill() error {
	c := in.c
	idle, flush := c.beforeRead()
	if flush {
		c.server.workers.do((*flusher)(c))
	}
	if in.r == in.w && idle {
		in.release()
		n, err := in.read(in.small[:])
		if err != nil {
			return err
		}
		in.acquire()
		in.w = copy(in.block.B, in.small[:n])
		return nil
	}
	in.acquire()
	if in.r > 0 {
		in.w = copy(in.block.B, in.block.B[in.r:in.w])
		in.r = 0
	}
	n, err := in.read(in.block.B[in.w:])
	in.w += n
	return err
}

// read is the connection's Read, with a deadline that is moved seldom.
func (in *reader) read(p []byte) (int, error) {
	for empty := 0; empty < maxEmptyReads; {
		if err := in.setDeadline(); err != nil {
			return 0, err
		}
		n, err := in.c.nc.Read(p)
		if n > 0 {
			return n, nil
		}
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			in.until = time.Time{}
		} else if err != nil {
			return 0, err
		} else {
			empty++
		}
	}
	return 0, errNoProgress
}

// setDeadline makes sure that the next read ends when something is due at the
// latest. A deadline that is too early is left: when it passes, it is looked at again.
func (in *reader) setDeadline() error {
	want, err := in.c.due(in.began)
	if err != nil {
		return err
	}
	if !want.IsZero() && (in.until.IsZero() || want.Before(in.until)) {
		in.until = want
		in.c.nc.SetReadDeadline(want)
	}
	return in.c.stillOpen()
}

// due returns when waiting for the client is to be looked at again, or the error
// that waiting ends with now.
func (c *conn) due(began time.Time) (time.Time, error) {
	var due time.Time
	now := time.Now()
	if d := c.server.HeaderTimeout; d > 0 && !began.IsZero() {
		if due = began.Add(d); !now.Before(due) {
			return due, fatal(codeEnhanceYourCalm, "frame took too long")
		}
	}
	d := c.server.IdleTimeout
	if d <= 0 {
		return due, nil
	}
	c.mu.Lock()
	idle := c.idleSince.Add(d)
	if len(c.streams) > 0 || c.running > 0 {
		idle = now.Add(d)
	}
	c.mu.Unlock()
	if !now.Before(idle) {
		c.finalGoodbye()
		return idle, errIdle
	}
	if due.IsZero() || idle.Before(due) {
		due = idle
	}
	return due, nil
}

// stillOpen is asked after the deadline has been set, which must not undo that of
// conn.quiet.
func (c *conn) stillOpen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.goodbye == goodbyeFinal && len(c.streams) == 0 && c.running == 0 && !c.flushing && c.out == nil {
		return errIdle
	}
	return nil
}

// beforeRead reports whether no request is open, and whether the caller has to see
// to the output.
func (c *conn) beforeRead() (idle, flush bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams) == 0, c.claimFlush()
}

// preface reads what every client begins with (RFC 9113, section 3.4).
func (in *reader) preface() error {
	if err := in.want(len(preface), true); err != nil {
		return err
	}
	if string(in.bytes()[:len(preface)]) != preface {
		return fatal(codeProtocol, "no HTTP/2 preface")
	}
	in.r += len(preface)
	return nil
}

// next reads a frame. It stays valid until the next call.
func (in *reader) next() (frame, error) {
	if err := in.want(frameHeaderLen, true); err != nil {
		return frame{}, err
	}
	h := in.bytes()[:frameHeaderLen]
	length := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	if length > maxFrame {
		return frame{}, fatal(codeFrameSize, "frame too large")
	}
	f := frame{kind: h[3], flags: h[4], stream: binary.BigEndian.Uint32(h[5:]) & maxStreamID}
	if err := in.want(frameHeaderLen+length, f.kind != frameData); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	f.payload = in.bytes()[frameHeaderLen : frameHeaderLen+length]
	in.r += frameHeaderLen + length
	return f, nil
}
