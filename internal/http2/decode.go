package http2

import "errors"

// fieldOverhead is what a field counts beyond its text (RFC 7541, section 4.1).
const fieldOverhead = 32

// A field is one of a header block. Its value, if it is in no table, stands in the
// block's text until that is complete.
type field struct {
	name     *name
	value    string
	from, to int // of the value in the text; to is 0 for one in a table
}

// A headerBlock is a decoded header block.
type headerBlock struct {
	fields []field
	text   []byte // values that are in no table
	size   int    // RFC 9113, section 6.5.2
	count  int
	// bad is what makes the request malformed; the block is decoded all the same,
	// since later ones depend on it.
	bad string

	maxSize, maxCount int
}

// reset makes the block ready for another.
func (h *headerBlock) reset(maxSize, maxCount int) {
	clear(h.fields)
	*h = headerBlock{fields: h.fields[:0], text: h.text[:0], maxSize: maxSize, maxCount: maxCount}
}

// trim lets go of what an unusually large block needed.
func (h *headerBlock) trim() {
	if cap(h.text) > bodyBlock {
		h.text = nil
	}
	if cap(h.fields) > 128 {
		h.fields = nil
	}
}

// tooLarge reports whether some of the fields were left out.
func (h *headerBlock) tooLarge() bool { return h.size > h.maxSize || h.count > h.maxCount }

// seal gives all fields their values; the strings share one copy of the text.
func (h *headerBlock) seal() {
	if len(h.text) == 0 {
		return
	}
	text := string(h.text)
	for i := range h.fields {
		if f := &h.fields[i]; f.to > 0 {
			f.value = text[f.from:f.to]
		}
	}
}

// admit counts a field of length bytes and reports whether it is to be kept.
func (h *headerBlock) admit(length int) bool {
	h.size += length + fieldOverhead
	h.count++
	return !h.tooLarge()
}

func (h *headerBlock) addEntry(e *entry) {
	if !h.admit(len(e.name.lower) + len(e.value)) {
		return
	}
	if !e.valid {
		h.bad = "field value"
	}
	h.fields = append(h.fields, field{name: e.name, value: e.value})
}

// addText adds a field whose value is the end of the text.
func (h *headerBlock) addText(n *name, from int) {
	value := h.text[from:]
	if !h.admit(len(n.lower) + len(value)) {
		h.text = h.text[:from]
		return
	}
	if !validValue(value) {
		h.bad = "field value"
	}
	h.fields = append(h.fields, field{n, "", from, len(h.text)})
}

var (
	errTruncated  = errors.New("header block ends within a field")
	errIndex      = errors.New("index beyond the tables")
	errInteger    = errors.New("integer too large")
	errTableSize  = errors.New("table size beyond what was agreed")
	errLateResize = errors.New("table size after a field")
)

// A decoder is the receiving side of the header compression of one connection
// (RFC 7541). Its table holds names that are classified and values that are
// checked, so that a field which a client sends again costs next to nothing.
type decoder struct {
	table   []entry // oldest first
	size    int
	limit   int
	scratch []byte
}

func newDecoder() decoder { return decoder{limit: maxTable} }

// decode appends the fields of a whole block to h. After an error the decoder is of
// no use any more.
func (d *decoder) decode(b []byte, h *headerBlock) error {
	var err error
	for len(b) > 0 {
		c := b[0]
		switch {
		case c&0x80 != 0:
			b, err = d.indexed(b, h)
		case c&0xc0 == 0x40:
			b, err = d.literal(b, 6, h)
		case c&0xe0 == 0x20:
			if h.count > 0 {
				return errLateResize
			}
			b, err = d.resize(b)
		default: // never indexed, or not this time
			b, err = d.literal(b, 4, h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// at returns an entry of the tables (RFC 7541, section 2.3.3).
func (d *decoder) at(i int) *entry {
	switch {
	case i < 1:
		return nil
	case i <= staticTableLen:
		return &staticTable[i-1]
	case i-staticTableLen <= len(d.table):
		return &d.table[len(d.table)-(i-staticTableLen)]
	}
	return nil
}

func (d *decoder) indexed(b []byte, h *headerBlock) ([]byte, error) {
	i, b, err := readInteger(b, 7)
	if err != nil {
		return nil, err
	}
	e := d.at(i)
	if e == nil {
		return nil, errIndex
	}
	h.addEntry(e)
	return b, nil
}

// literal reads a field that is spelt out; prefix 6 enters it in the table.
func (d *decoder) literal(b []byte, prefix int, h *headerBlock) ([]byte, error) {
	i, b, err := readInteger(b, prefix)
	if err != nil {
		return nil, err
	}
	var n *name
	if i > 0 {
		e := d.at(i)
		if e == nil {
			return nil, errIndex
		}
		n = e.name
	} else {
		d.scratch, b, err = appendString(d.scratch[:0], b)
		if err != nil {
			return nil, err
		}
		n = nameOf(d.scratch)
	}
	from := len(h.text)
	h.text, b, err = appendString(h.text, b)
	if err != nil {
		return nil, err
	}
	if prefix != 6 {
		h.addText(n, from)
		return b, nil
	}
	e := entry{name: n, value: string(h.text[from:])}
	e.valid = validValue(e.value)
	h.text = h.text[:from]
	h.addEntry(&e)
	d.add(e)
	return b, nil
}

func (d *decoder) resize(b []byte) ([]byte, error) {
	n, b, err := readInteger(b, 5)
	if err != nil {
		return nil, err
	}
	if n > maxTable {
		return nil, errTableSize
	}
	d.limit = n
	d.evict(0)
	return b, nil
}

// add enters a field (RFC 7541, section 4.4).
func (d *decoder) add(e entry) {
	size := e.size()
	d.evict(size)
	if size <= d.limit {
		d.table = append(d.table, e)
		d.size += size
	}
}

// evict makes room for size bytes.
func (d *decoder) evict(size int) {
	n := 0
	for n < len(d.table) && d.size+size > d.limit {
		d.size -= d.table[n].size()
		n++
	}
	if n > 0 {
		kept := copy(d.table, d.table[n:])
		clear(d.table[kept:])
		d.table = d.table[:kept]
	}
}

// readInteger reads an integer whose first byte has prefix bits of it (RFC 7541, section 5.1).
func readInteger(b []byte, prefix int) (int, []byte, error) {
	const longest = 4 // bytes after the first: 28 bits, more than any size here
	full := 1<<prefix - 1
	n := int(b[0]) & full
	b = b[1:]
	if n < full {
		return n, b, nil
	}
	for i := range min(len(b), longest) {
		n += int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return n, b[i+1:], nil
		}
	}
	if len(b) < longest {
		return 0, nil, errTruncated
	}
	return 0, nil, errInteger
}

// appendString appends a string literal to dst (RFC 7541, section 5.2).
func appendString(dst, b []byte) (_, rest []byte, _ error) {
	if len(b) == 0 {
		return dst, nil, errTruncated
	}
	huffman := b[0]&0x80 != 0
	n, b, err := readInteger(b, 7)
	if err != nil {
		return dst, nil, err
	}
	if n > len(b) {
		return dst, nil, errTruncated
	}
	if !huffman {
		return append(dst, b[:n]...), b[n:], nil
	}
	dst, err = appendHuffman(dst, b[:n])
	return dst, b[n:], err
}
