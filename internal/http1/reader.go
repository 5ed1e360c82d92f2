package http1

import (
	"errors"
	"io"

	"github.com/postern-lb/postern/internal/engine"
)

// A reader is a connection with a buffer that it borrows while there is something
// in it. It is owned by whoever reads the connection.
type reader struct {
	src   io.Reader
	pool  *engine.Blocks
	block *engine.Block // what buf was borrowed as
	buf   []byte        // nil if nothing is borrowed; longer than a block for a long head
	r, w  int           // buf[r:w] is unread
	total int64         // bytes ever read from src
	short bool          // the last read from src found less than it had room for
}

func (b *reader) buffered() int { return b.w - b.r }

func (b *reader) bytes() []byte { return b.buf[b.r:b.w] }

func (b *reader) acquire() {
	if b.buf == nil {
		b.block = b.pool.Get()
		b.buf = b.block.Whole()
		b.r, b.w = 0, 0
	}
}

// release gives the buffer back if it is empty.
func (b *reader) release() {
	if b.buf == nil || b.r != b.w {
		return
	}
	b.pool.Put(b.block)
	b.block, b.buf, b.r, b.w = nil, nil, 0, 0
}

// discard drops what is buffered and gives the buffer back.
func (b *reader) discard() {
	b.r = b.w
	b.release()
}

// feed appends bytes that were read elsewhere from src, where there was room for so
// many.
func (b *reader) feed(p []byte, room int) {
	b.acquire()
	b.short = len(p) < room
	b.total += int64(len(p))
	b.w += copy(b.buf[b.w:], p)
}

var errNoProgress = errors.New("http1: connection returned no bytes and no error")

// maxEmptyReads is how many reads without result a connection may make.
const maxEmptyReads = 16

// fill reads at least one more byte into the buffer, which has to have room.
func (b *reader) fill() error {
	b.acquire()
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if b.w == len(b.buf) && b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	if b.w == len(b.buf) {
		panic("http1: internal error: filling a full buffer")
	}
	n, err := b.readSource(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	return err
}

func (b *reader) readSource(p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := b.src.Read(p)
		if n > 0 || err != nil {
			b.total += int64(n)
			b.short = n < len(p)
			return n, err
		}
	}
	return 0, errNoProgress
}

// full reports whether fill has no room for more.
func (b *reader) full() bool { return b.buf != nil && b.r == 0 && b.w == len(b.buf) }

// grow makes room for a head of up to limit bytes.
func (b *reader) grow(limit int) {
	bigger := make([]byte, min(limit, 4*len(b.buf)))
	b.w = copy(bigger, b.buf[b.r:b.w])
	b.r = 0
	b.pool.Put(b.block)
	b.block, b.buf = nil, bigger
}

// read is io.Reader's, past the buffer if it is empty and p is large.
func (b *reader) read(p []byte) (int, error) {
	if b.r == b.w {
		if len(p) >= readBuffer {
			return b.readSource(p)
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}
