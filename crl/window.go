package crl

import (
	"hash"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/internal/yield"
)

// windowSize is how much of a list is in memory at a time, unless one of its
// elements is longer. It is also the length of a slice of work: each time it
// is filled, the parser stands back for others. Decoding, hashing and
// indexing so much takes some 0.2 ms, against a second for a whole list of a
// million. In a process with one processor that serves 2,000 requests a second, the longest
// of them took 82 ms during a reload when the parser called runtime.Gosched, which
// does not look at the network; see package yield.
const windowSize = 64 << 10

// A window slides over the DER of one list.
type window struct {
	src  io.Reader
	turn *yield.Turn
	buf  []byte
	pos  int // of what comes next, in buf
	base int // where in the DER buf begins
	err  error

	// What was passed is hashed before it is dropped, from mark on if that is
	// not negative; it is kept for as long as there is no hash.
	mark int
	hash hash.Hash
}

func newWindow(src io.Reader, turn *yield.Turn) *window {
	return &window{src: src, turn: turn, buf: make([]byte, 0, windowSize), mark: -1}
}

// offset is where in the DER the window stands.
func (w *window) offset() int { return w.base + w.pos }

// end is how much of the DER has been read.
func (w *window) end() int { return w.base + len(w.buf) }

// next returns the bytes from the current one on, n of them at least, or all that
// there are until the end. They are good until the next call.
func (w *window) next(n int) []byte {
	for len(w.buf)-w.pos < n && w.err == nil {
		w.fill()
	}
	return w.buf[w.pos:]
}

// fill makes room for more and reads some of it.
func (w *window) fill() {
	w.turn.Yield()
	w.drop()
	if len(w.buf) == cap(w.buf) {
		w.buf = append(w.buf, 0)[:len(w.buf)] // an element longer than the window
	}
	n, err := w.src.Read(w.buf[len(w.buf):cap(w.buf)])
	w.buf = w.buf[:len(w.buf)+n]
	w.err = err
}

// drop forgets what was passed.
func (w *window) drop() {
	from := w.pos
	if w.mark >= 0 {
		w.sum()
		from = w.mark
	}
	n := copy(w.buf, w.buf[from:])
	w.buf = w.buf[:n]
	w.base += from
	w.pos -= from
	if w.mark >= 0 {
		w.mark -= from
	}
}

// sum hashes what was passed since mark.
func (w *window) sum() {
	if w.hash != nil {
		w.hash.Write(w.buf[w.mark:w.pos])
		w.mark = w.pos
	}
}

// skip passes n bytes that next has returned.
func (w *window) skip(n int) { w.pos += n }

// peek returns the tag of the element that comes next, which must begin before
// end, an offset; 0 if there is none.
func (w *window) peek(end int) asn1.Tag {
	if b := w.next(1); len(b) > 0 && w.offset() < end {
		return asn1.Tag(b[0])
	}
	return 0
}

// enter passes the header of an element and returns the offset where it ends. It
// must have the given tag, and end at or before the given offset.
func (w *window) enter(tag asn1.Tag, end int) (int, bool) {
	got, header, length, ok := readHeader(w.next(maxHeader))
	if !ok || got != tag || length > end-w.offset()-header {
		return 0, false
	}
	w.skip(header)
	return w.offset() + length, true
}

// element passes one whole element with the given tag that ends at or before the
// given offset.
func (w *window) element(tag asn1.Tag, end int) (cryptobyte.String, bool) {
	b := w.next(maxHeader)
	got, header, length, ok := readHeader(b)
	if !ok || got != tag || length > end-w.offset()-header {
		return nil, false
	}
	size := header + length
	if len(b) < size {
		if b = w.next(size); len(b) < size {
			return nil, false
		}
	}
	w.skip(size)
	return b[:size:size], true
}

// maxHeader is the longest header of an element: its tag, and a length of up to
// four bytes.
const maxHeader = 6

// readHeader reads tag and length of an element in DER. Like cryptobyte, it refuses
// tags and lengths of more than one and four bytes, and lengths that are not as short
// as can be.
func readHeader(b []byte) (tag asn1.Tag, header, length int, ok bool) {
	const longTag, longLength, maxLength = 0x1f, 0x80, 4
	if len(b) < 2 || b[0]&longTag == longTag {
		return 0, 0, 0, false
	}
	tag = asn1.Tag(b[0])
	if b[1] < longLength {
		return tag, 2, int(b[1]), true
	}
	n := int(b[1] - longLength)
	if n == 0 || n > maxLength || len(b) < 2+n || b[2] == 0 {
		return 0, 0, 0, false
	}
	var value uint64
	for _, c := range b[2 : 2+n] {
		value = value<<8 | uint64(c)
	}
	if value < longLength || value > MaxSize {
		return 0, 0, 0, false
	}
	return tag, 2 + n, int(value), true
}
