package http1

import (
	"bytes"
	"io"
	"net/http"
)

type bodyMode uint8

const (
	modeNone bodyMode = iota
	modeLength
	modeChunked
	modeClose // until the connection ends
)

// A decoder reads one body out of a connection and not a byte more.
type decoder struct {
	in      *reader
	limits  *Limits
	mode    bodyMode
	left    int64 // of the body, or of the chunk
	inChunk bool  // chunk data was begun, so that a CRLF is due
	credit  int   // see chunkCredit
	err     error // what ended the body; io.EOF if all is well
	trailer http.Header
}

// chunkCredit is what a chunk earns: its framing may cost 16 bytes and as much
// again as twice its data. A body that overdraws [MaxChunkOverhead] is an attack on whoever
// counts only its data.
const chunkCredit = 16

// read is io.Reader's. The last data may come together with io.EOF.
func (d *decoder) read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	var n int
	switch d.mode {
	case modeLength:
		n, d.err = d.readLength(p)
	case modeChunked:
		n, d.err = d.readChunked(p)
	case modeClose:
		n, d.err = d.in.read(p)
	default:
		d.err = io.EOF
	}
	return n, d.err
}

// ready reports whether the rest of the body is in memory.
func (d *decoder) ready() bool {
	return d.err != nil || d.mode == modeNone || d.mode == modeLength && int64(d.in.buffered()) >= d.left
}

func (d *decoder) readLength(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	n, err := d.readData(p)
	if err == nil && d.left == 0 {
		err = io.EOF
	}
	return n, err
}

// readData reads at most what is left.
func (d *decoder) readData(p []byte) (int, error) {
	if int64(len(p)) > d.left {
		p = p[:d.left]
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := d.in.read(p)
	d.left -= int64(n)
	if err != nil && d.left == 0 {
		err = nil // it will be found by who reads on
	}
	return n, unexpected(err)
}

// readChunked reads data of as many chunks as are at hand (RFC 9112, section 7.1).
func (d *decoder) readChunked(p []byte) (n int, err error) {
	for n < len(p) {
		if d.left == 0 {
			if n > 0 && !d.atHand() {
				return n, nil
			}
			if err := d.nextChunk(); err != nil {
				return n, err
			}
		}
		if n > 0 && d.in.buffered() == 0 {
			return n, nil
		}
		m, err := d.readData(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// atHand reports whether the line of the next chunk is in the buffer whole, so
// that data which has been read need not wait for it.
func (d *decoder) atHand() bool {
	b := d.in.bytes()
	if d.inChunk {
		if len(b) < 2 {
			return false
		}
		b = b[2:]
	}
	return indexLF(b) >= 0
}

// nextChunk reads up to the data of the next chunk; io.EOF after the last.
func (d *decoder) nextChunk() error {
	if d.inChunk {
		if err := d.crlf(); err != nil {
			return err
		}
		d.inChunk = false
	}
	line, err := d.line(d.limits.ChunkLine, BadChunk)
	if err != nil {
		return err
	}
	size, bad := chunkSize(line)
	if bad != nil {
		return bad
	}
	d.credit += int(min(size, MaxChunkOverhead))*2 + chunkCredit - len(line) - 2
	d.credit = min(d.credit, 0)
	if d.credit < -MaxChunkOverhead {
		return &Error{ChunkTooCostly, http.StatusBadRequest, -1}
	}
	if size == 0 {
		return d.readTrailer()
	}
	d.left, d.inChunk = size, true
	return nil
}

func (d *decoder) crlf() error {
	for d.in.buffered() < 2 {
		if err := d.in.fill(); err != nil {
			return unexpected(err)
		}
	}
	b := d.in.bytes()
	if b[0] != '\r' || b[1] != '\n' {
		return &Error{BadChunk, http.StatusBadRequest, 0}
	}
	d.in.r += 2
	return nil
}

// line reads a line that ends in CRLF and returns it without that. It is valid
// until the next read. Limit is for the line with its CRLF.
func (d *decoder) line(limit int, reason Reason) ([]byte, error) {
	seen := 0
	for {
		b := d.in.bytes()
		if i := indexLF(b[seen:]); i >= 0 {
			end := seen + i
			if end == 0 || b[end-1] != '\r' {
				return nil, &Error{BareLF, http.StatusBadRequest, end}
			}
			if end+1 > limit {
				return nil, &Error{reason, http.StatusBadRequest, limit}
			}
			d.in.r += end + 1
			return b[:end-1], nil
		}
		seen = len(b)
		if seen >= limit {
			return nil, &Error{reason, http.StatusBadRequest, limit}
		}
		if d.in.full() {
			d.in.grow(max(limit, 2*len(d.in.buf)))
		}
		if err := d.in.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// maxSizeDigits keeps a chunk size within an int64.
const maxSizeDigits = 15

// chunkSize reads the size and checks the extensions, which are then dropped: a
// recipient ignores those it does not know (RFC 9112, section 7.1.1).
func chunkSize(line []byte) (int64, *Error) {
	var n int64
	i := 0
	for ; i < len(line); i++ {
		digit, ok := hexDigit(line[i])
		if !ok {
			break
		}
		if i == maxSizeDigits {
			return 0, bad(BadChunk, i)
		}
		n = n<<4 | int64(digit)
	}
	if i == 0 || i < len(line) && line[i] != ';' || !plainText(line[i:]) {
		return 0, bad(BadChunk, i)
	}
	return n, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c-'0' <= 9:
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// readTrailer reads the trailer lines up to the empty one. Its error is io.EOF if
// all is well.
func (d *decoder) readTrailer() error {
	left := d.limits.Trailers
	for count := 0; ; count++ {
		line, err := d.line(left, BadTrailer)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		left -= len(line) + 2
		if count == d.limits.HeaderCount || !d.addTrailer(line) {
			return &Error{BadTrailer, http.StatusBadRequest, -1}
		}
		if left < 2 {
			return &Error{BadTrailer, http.StatusBadRequest, d.limits.Trailers}
		}
	}
}

func (d *decoder) addTrailer(line []byte) bool {
	n, _ := nameShape(line)
	if n == 0 || n == len(line) || line[n] != ':' {
		return false
	}
	first, last := trimOWS(line, n+1, len(line))
	name := http.CanonicalHeaderKey(string(line[:n]))
	if !trailerAllowed(name) || !plainText(line[first:last]) {
		return false
	}
	if d.trailer == nil {
		d.trailer = make(http.Header)
	}
	d.trailer[name] = append(d.trailer[name], string(line[first:last]))
	return true
}

func indexLF(b []byte) int { return bytes.IndexByte(b, '\n') }

// unexpected turns the end of a connection in the middle of a message into an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
