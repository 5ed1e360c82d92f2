package crl

import (
	"bytes"
	"iter"
	"math/big"
	"slices"
)

// An Entry is one revoked serial number of a list.
type Entry struct {
	Serial *big.Int
	Reason ReasonCode
}

// Changes is how a list differs from an older one.
type Changes struct {
	// Added are serials that only the newer list has, Removed those that only the
	// older one has, and Reasons those that both have for another reason.
	Added, Removed, Reasons int
	// AddedEntries and RemovedEntries are the first of them, in the order of the
	// serials.
	AddedEntries, RemovedEntries []Entry
}

// Changes compares a list with a newer one and returns at most limit entries of each
// kind. It takes no memory for the others, and one look-up for each entry.
func (l *List) Changes(newer *List, limit int) Changes {
	var c Changes
	c.Added, _, c.AddedEntries = newer.without(l, limit)
	c.Removed, c.Reasons, c.RemovedEntries = l.without(newer, limit)
	return c
}

// without counts the entries of l that other has not, or has for another reason.
func (l *List) without(other *List, limit int) (missing, reasons int, first []Entry) {
	for serial, reason := range l.index.all() {
		theirs, ok := other.index.find(serial)
		switch {
		case !ok:
			missing++
			first = insert(first, serial, reason, limit)
		case theirs != reason:
			reasons++
		}
	}
	return missing, reasons, first
}

// insert keeps the smallest serials in order, limit of them at most.
func insert(first []Entry, content []byte, reason ReasonCode, limit int) []Entry {
	if limit <= 0 {
		return first
	}
	e := Entry{serialNumber(content), reason}
	if len(first) == limit && e.Serial.Cmp(first[limit-1].Serial) >= 0 {
		return first
	}
	at, _ := slices.BinarySearchFunc(first, e, func(a, b Entry) int { return a.Serial.Cmp(b.Serial) })
	return slices.Insert(first, at, e)[:min(len(first)+1, limit)]
}

// all returns the entries of an index, the serials as DER content octets, which are
// good until the next.
func (x *index) all() iter.Seq2[[]byte, ReasonCode] {
	return func(yield func([]byte, ReasonCode) bool) {
		var buffer [maxSerial]byte
		for _, block := range x.blocks {
			for i := range block {
				if !yield(block[i].serial(&buffer), ReasonCode(block[i][0]/forms)) {
					return
				}
			}
		}
	}
}

// serial undoes set.
func (r *record) serial(buffer *[maxSerial]byte) []byte {
	switch form := int(r[0] % forms); form {
	case formPositive:
		buffer[0] = 0
		copy(buffer[1:], r[1:])
		return buffer[:]
	case formNegative:
		buffer[0] = 0xff
		copy(buffer[1:], r[1:])
		return buffer[:]
	default:
		return append(buffer[:0], r[1:2+form]...)
	}
}

// serialNumber reads DER content octets.
func serialNumber(content []byte) *big.Int {
	if content[0] < 0x80 {
		return new(big.Int).SetBytes(content)
	}
	positive := bytes.Clone(content)
	negate(positive)
	return new(big.Int).Neg(new(big.Int).SetBytes(positive))
}
