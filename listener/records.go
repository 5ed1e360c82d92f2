package listener

// A recordTracker follows the boundaries of TLS records (RFC 8446, section 5.1) in what
// crypto/tls reads from below, to know when it holds nothing back: crypto/tls asks for
// more only when it has no whole record left, so after a read that brought the end of
// one record, and not a byte more, that record is all there is.
type recordTracker struct {
	left int  // bytes of the current record still to come
	head int  // bytes of the current header that have come
	size int  // of the record whose header is coming
	ends int  // records that ended in the last read
	full bool // the last read filled what it was given
}

// saw notes one read of room bytes that brought b.
func (t *recordTracker) saw(b []byte, room int) {
	t.ends, t.full = 0, len(b) == room
	for len(b) > 0 {
		if t.left == 0 {
			b = b[t.header(b):]
			continue
		}
		n := min(t.left, len(b))
		b = b[n:]
		if t.left -= n; t.left == 0 {
			t.ends++
		}
	}
}

// header takes what b has of a record's header: five bytes, the last two of them the
// length of what follows.
func (t *recordTracker) header(b []byte) (taken int) {
	for taken < len(b) && t.head < recordHeaderLen {
		t.size = (t.size<<8 | int(b[taken])) & 0xffff
		t.head++
		taken++
	}
	if t.head < recordHeaderLen {
		return taken
	}
	t.head, t.left = 0, t.size
	if t.left == 0 {
		t.ends++
	}
	return taken
}

// drained reports whether crypto/tls has nothing left once the read that this was
// tracked for is over.
func (t *recordTracker) drained() bool { return t.left == 0 && t.head == 0 && t.ends <= 1 }
