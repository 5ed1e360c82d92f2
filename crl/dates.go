package crl

import (
	"encoding/binary"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// dates is the first and the last of many times. Nearly all are UTCTime, which is
// compared as it is, since making a time.Time of each would show in the time
// that a list takes.
type dates struct {
	early, late utcKey // the elements, of UTCTime only; zero if there is none
	first, last time.Time
}

// A utcKey is a UTCTime that compares as the time does.
type utcKey struct {
	high uint64 // eight digits, of which the first tells the century
	low  uint32
}

func (k utcKey) before(other utcKey) bool {
	return k.high < other.high || k.high == other.high && k.low < other.low
}

// centuryShift makes the years from 00 on come after 99.
const centuryShift = 10 << 56

// note takes in a time, an element that readTime accepts.
func (d *dates) note(element []byte) {
	if element[0] != byte(asn1.UTCTime) {
		d.extend(element)
		return
	}
	digits := element[2:]
	k := utcKey{binary.BigEndian.Uint64(digits), binary.BigEndian.Uint32(digits[8:])}
	if digits[0] < '5' {
		k.high += centuryShift
	}
	if d.early == (utcKey{}) {
		d.early, d.late = k, k
	}
	if k.before(d.early) {
		d.early = k
	}
	if d.late.before(k) {
		d.late = k
	}
}

// extend takes in a time of any form.
func (d *dates) extend(element []byte) {
	s := cryptobyte.String(element)
	t, ok := readTime(&s)
	if !ok {
		return
	}
	if d.first.IsZero() || t.Before(d.first) {
		d.first = t
	}
	if t.After(d.last) {
		d.last = t
	}
}

// span returns the first and the last time; zero if there was none.
func (d dates) span() (first, last time.Time) {
	for _, k := range []utcKey{d.early, d.late} {
		if k == (utcKey{}) {
			continue
		}
		element := []byte{byte(asn1.UTCTime), 13}
		if element = binary.BigEndian.AppendUint64(element, k.high); element[2] > '9' {
			element[2] -= 10
		}
		element = binary.BigEndian.AppendUint32(element, k.low)
		d.extend(append(element, 'Z'))
	}
	return d.first, d.last
}
