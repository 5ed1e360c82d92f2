package crl

import (
	"hash/maphash"
	"math/big"
	"math/bits"

	"github.com/postern-lb/postern/internal/yield"
)

// maxSerial is the longest serial number, in bytes of its DER content, that an
// entry may have: 20 (RFC 5280, 4.1.2.2), and a sign byte that some CAs forget
// to count.
const maxSerial = 21

const (
	keySize    = 20
	recordSize = 1 + keySize
	// blockRecords is how many records a block has. So many make 42 pages, so that
	// the allocator adds nothing.
	blockBits    = 14
	blockRecords = 1 << blockBits
	// perBucket is the least average number of records in a bucket, if there
	// are so many at all; it stays below twice that. A bucket then fills a line
	// or two of cache.
	perBucket = 2
)

// A record is one entry: a head, which holds the reason and the form of the serial,
// and the serial's DER content octets, filled up with zeros. Of a serial of 21
// bytes the first is a sign byte and is in the form.
type record [recordSize]byte

// An index is the serials of a list, in buckets by hash. Serials are DER content
// octets, so that a negative serial differs from every positive one.
//
// Records are in blocks, which hold no pointers and cost the garbage collector
// nothing, and are found through the directory of where each bucket begins.
// That is 21 bytes an entry, and 1 to 2 bytes of directory. A sorted slice
// would save the directory, but takes 20 cache misses to search, where this
// takes two; serials of one length save a byte at most.
//
// The hash is keyed with a random seed for each list, so that whoever picks
// serials cannot fill one bucket.
type index struct {
	seed   maphash.Seed
	shift  uint     // bucket = hash >> shift
	starts []uint32 // one more than there are buckets
	blocks [][]record
}

func (x *index) at(i uint32) *record { return &x.blocks[i>>blockBits][i%blockRecords] }

// bucket is where a record belongs. The head has no part in it.
func (x *index) bucket(r *record) uint64 { return maphash.Bytes(x.seed, r[1:]) >> x.shift }

// find looks a serial up; nil is in no index.
func (x *index) find(serial []byte) (ReasonCode, bool) {
	if len(x.starts) == 0 || len(serial) == 0 {
		return 0, false
	}
	var want record
	want.set(entry{serial: serial})
	bucket := x.bucket(&want)
	for i, end := x.starts[bucket], x.starts[bucket+1]; i < end; i++ {
		r := x.at(i)
		if [keySize]byte(r[1:]) == [keySize]byte(want[1:]) && r[0]%forms == want[0] {
			return ReasonCode(r[0] / forms), true
		}
	}
	return 0, false
}

// bytes is the memory that the index takes.
func (x *index) bytes() int {
	n := 4 * cap(x.starts)
	for _, b := range x.blocks {
		n += recordSize * cap(b)
	}
	return n
}

// The forms of a serial: of 1 to 20 bytes, then of 21 bytes that begin with 0x00, and
// with 0xff. With reasons (0 to 10) there are 242 combinations.
const (
	formPositive = keySize
	formNegative = keySize + 1
	forms        = keySize + 2
)

// set makes r, which must be zero, the record of an entry.
func (r *record) set(e entry) {
	serial, form := e.serial, len(e.serial)-1
	if len(serial) > keySize {
		if form = formPositive; serial[0] != 0 {
			form = formNegative
		}
		serial = serial[1:]
	}
	r[0] = byte(int(e.reason)*forms + form)
	copy(r[1:], serial)
}

// A builder makes an index in one pass over the entries, whose number is not known
// before, and without a copy of them: they are stored as they come, and then
// put in order where they are.
type builder struct {
	n      int
	blocks [][]record
}

// add stores one entry.
func (b *builder) add(e entry) {
	const least = 64
	last := len(b.blocks) - 1
	switch {
	case last < 0:
		b.blocks = append(b.blocks, make([]record, 0, least))
		last++
	case len(b.blocks[last]) == blockRecords:
		b.blocks = append(b.blocks, make([]record, 0, blockRecords))
		last++
	case len(b.blocks[last]) == cap(b.blocks[last]): // the first one, which may stay small
		b.blocks[last] = append(make([]record, 0, min(2*cap(b.blocks[last]), blockRecords)), b.blocks[last]...)
	}
	block := &b.blocks[last]
	*block = (*block)[:len(*block)+1]
	(*block)[len(*block)-1].set(e)
	b.n++
}

// index returns the entries as an index. The builder must not be used afterwards.
func (b *builder) index(turn *yield.Turn) index {
	if b.n == 0 {
		return index{}
	}
	last := len(b.blocks) - 1
	b.blocks[last] = append(make([]record, 0, len(b.blocks[last])), b.blocks[last]...)
	buckets := max(bits.Len(uint(b.n/perBucket))-1, 0) // as power of two
	x := index{
		seed: maphash.MakeSeed(), shift: uint(64 - buckets),
		starts: make([]uint32, 1<<buckets+1), blocks: b.blocks,
	}
	x.count(turn)
	// Two rounds, because putting records of a list of a million right where they belong
	// misses all caches each time: first the regions of the list, then
	// the buckets within each.
	const regionBits = 8
	coarse := x.starts
	if buckets > regionBits {
		coarse = make([]uint32, 0, 1<<regionBits+1)
		for i := 0; i < len(x.starts); i += 1 << (buckets - regionBits) {
			coarse = append(coarse, x.starts[i])
		}
		x.order(coarse, x.shift+uint(buckets-regionBits), turn)
	}
	x.order(x.starts, x.shift, turn)
	return x
}

// yieldEvery is how many records are counted or moved between offers of the
// processor to others: some 0.1 ms.
const yieldEvery = 4096

// count fills in starts.
func (x *index) count(turn *yield.Turn) {
	for _, block := range x.blocks {
		for i := range block {
			if i%yieldEvery == 0 {
				turn.Yield()
			}
			x.starts[x.bucket(&block[i])+1]++
		}
	}
	for i := range len(x.starts) - 1 {
		x.starts[i+1] += x.starts[i]
	}
}

// order moves every record into the part where its hash, shifted, says that it
// belongs. starts is where the parts begin.
func (x *index) order(starts []uint32, shift uint, turn *yield.Turn) {
	free := append([]uint32(nil), starts...) // in each part, the first record that may not belong there
	looks := 0
	for part := range len(starts) - 1 {
		for free[part] < starts[part+1] {
			if looks++; looks%yieldEvery == 0 {
				turn.Yield()
			}
			r := x.at(free[part])
			to := maphash.Bytes(x.seed, r[1:]) >> shift
			if to != uint64(part) {
				other := x.at(free[to])
				*r, *other = *other, *r
			}
			free[to]++
		}
	}
}

// serialContent returns a serial number as DER content octets, in buffer, or nil
// if it is too long for any list that Parse accepts.
func serialContent(buffer *[maxSerial + 1]byte, n *big.Int) []byte {
	bitLen := n.BitLen()
	length := (bitLen + 7) / 8
	if length > maxSerial {
		return nil
	}
	content := buffer[:1+length]
	n.FillBytes(content)
	if n.Sign() < 0 {
		negate(content)
	}
	if length > 0 && content[0]>>7 == content[1]>>7 {
		return content[1:] // the sign byte says nothing new
	}
	return content
}

// negate turns a big-endian number into its two's complement.
func negate(b []byte) {
	carry := true
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = ^b[i]
		if carry {
			b[i]++
			carry = b[i] == 0
		}
	}
}
