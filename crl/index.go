package crl

import (
	"hash/maphash"
	"math/big"
	"math/bits"
)

// maxSerial is the longest serial number, in bytes of its DER content, that an
// entry may have: 20 (RFC 5280, 4.1.2.2), and a sign byte that some CAs forget
// to count.
const maxSerial = 21

// An index is the serials of a list, in buckets by hash. Serials are DER content
// octets, so that a negative serial differs from every positive one.
//
// All records are in one slice without pointers, which costs the garbage
// collector nothing, and are found through the directory of where each bucket
// begins. A record is a head byte, which holds the reason and the length, and the
// serial. With 20-byte serials that is 21 bytes, and 1 to 2 bytes of directory.
// A sorted slice would save the directory, but takes a sort of a million
// records to build and 20 cache misses to search, where this takes two.
//
// The hash is keyed with a random seed for each list, so that whoever picks
// serials cannot fill one bucket.
type index struct {
	seed    maphash.Seed
	shift   uint     // bucket = hash >> shift
	starts  []uint32 // one more than there are buckets
	records []byte
}

// find looks a serial up; nil is in no index.
func (x *index) find(serial []byte) (ReasonCode, bool) {
	if len(x.records) == 0 || len(serial) == 0 {
		return 0, false
	}
	bucket := maphash.Bytes(x.seed, serial) >> x.shift
	records := x.records[x.starts[bucket]:x.starts[bucket+1]]
	for len(records) > 0 {
		reason, length := splitHead(records[0])
		if length == len(serial) && string(records[1:1+length]) == string(serial) {
			return reason, true
		}
		records = records[1+length:]
	}
	return 0, false
}

// bytes is the memory that the index takes.
func (x *index) bytes() int { return len(x.records) + 4*len(x.starts) }

// A head holds a reason (0 to 10) and a length (1 to 21), which have 231
// combinations.
func joinHead(reason ReasonCode, length int) byte {
	return byte(int(reason)*maxSerial + length - 1)
}

func splitHead(head byte) (ReasonCode, int) {
	return ReasonCode(head / maxSerial), int(head%maxSerial) + 1
}

const (
	// perBucket is the least average number of records in a bucket, if there
	// are so many at all; it stays below twice that. A bucket then fills a line
	// or two of cache.
	perBucket = 2
	// minEntry is the size in DER of the shortest entry that there can be.
	minEntry = 20
)

// A builder makes an index in two passes over the entries, in linear time and
// without a copy of them: first count all, then allocate, then place all.
type builder struct {
	index
	entries int
}

// newBuilder prepares for the entries in so many bytes of DER. How many there are
// is not known yet, so count uses a directory for as many as there can be, which
// allocate folds to size.
func newBuilder(size int) *builder {
	buckets := bits.Len(uint(size / minEntry / perBucket)) // as power of two
	return &builder{index: index{
		seed:   maphash.MakeSeed(),
		shift:  uint(64 - buckets),
		starts: make([]uint32, 1<<buckets),
	}}
}

// count notes the size of one entry; the first pass. It uses starts for the
// size of each bucket.
func (b *builder) count(e entry) {
	b.starts[maphash.Bytes(b.seed, e.serial)>>b.shift] += uint32(1 + len(e.serial))
	b.entries++
}

// allocate makes room between the passes, and turns the sizes of buckets into
// where they end.
func (b *builder) allocate() {
	sizes := b.starts
	for len(sizes) > 1 && b.entries < perBucket*len(sizes) {
		for i := range len(sizes) / 2 {
			sizes[i] = sizes[2*i] + sizes[2*i+1]
		}
		sizes = sizes[:len(sizes)/2]
		b.shift++
	}
	b.starts = make([]uint32, len(sizes)+1)
	var end uint32
	for i, size := range sizes {
		end += size
		b.starts[i] = end
	}
	b.starts[len(sizes)] = end
	b.records = make([]byte, end)
}

// place stores one entry in its bucket, from the end of it to its start; the
// second pass. Once all are placed, starts is what its name says.
func (b *builder) place(e entry) {
	start := &b.starts[maphash.Bytes(b.seed, e.serial)>>b.shift]
	*start -= uint32(1 + len(e.serial))
	record := b.records[*start:]
	record[0] = joinHead(e.reason, len(e.serial))
	copy(record[1:], e.serial)
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
